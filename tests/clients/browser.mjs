#!/usr/bin/env node
// The browser of the clients: logs in at the link like a person, and follows the redirects back to the client.
// usage: browser.mjs LINK; prints the URL of the callback
import { setTimeout as pause } from "node:timers/promises";
import { logIn } from "./ts/person.mjs";

const link = new URL(process.argv[2]);
const { callback } = await logIn(link, link.searchParams.get("redirect_uri"));
console.log(callback.href);

// Port 9 stands for a client that reads the printed URL. Others may not have opened their port yet.
for (let tries = 0; callback.port !== "9" && tries < 250; tries++) {
  const answer = await fetch(callback).catch(() => undefined);
  if (answer) process.exit(answer.ok ? 0 : 1);
  await pause(20);
}
