import { setTimeout as pause } from "node:timers/promises";
import { logIn } from "../ts/person.mjs";

const link = new URL(process.argv[2]);
const redirectUri = link.searchParams.get("redirect_uri");
const { callback } = await logIn(link, redirectUri);
console.log(callback.href);

// Port 9 stands for a client that is told by this program's output. Others may still be opening their port.
for (let tries = 0; callback.port !== "9" && tries < 250; tries++) {
  const answer = await fetch(callback).catch(() => undefined);
  if (answer) process.exit(answer.ok ? 0 : 1);
  await pause(20);
}
