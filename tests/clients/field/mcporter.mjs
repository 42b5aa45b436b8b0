// mcporter: calls any server's tools from a shell.
// usage: node mcporter.mjs ORIGIN, with a browser in BROWSER and a home of its own
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { runSteps } from "../steps.mjs";

const mcporter = fileURLToPath(new URL("node_modules/.bin/mcporter", import.meta.url));
const endpoint = new URL("/mcp", process.argv[2]).href;
const call = (...words) => execFileSync(mcporter, [...words, "--allow-http"], { cwd: process.env.HOME, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });

await runSteps({
  "mcporter auth logs in": () => void call("auth", endpoint),
  "it lists the tools": () => assert.match(call("list", endpoint), /greet/),
  "greet greets": () => assert.match(call("call", `${endpoint}.greet`, "name=Ada"), /Hello, Ada!/),
});
