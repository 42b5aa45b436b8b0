// opencode: logs in with `mcp auth`; tools are called only by a model, so none is called.
// usage: node opencode.mjs ORIGIN, with a browser in BROWSER and a home of its own
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runSteps } from "../steps.mjs";

const opencode = fileURLToPath(new URL("node_modules/.bin/opencode", import.meta.url));
const endpoint = new URL("/mcp", process.argv[2]).href;
const call = (...words) => execFileSync(opencode, words, { cwd: process.env.HOME, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 90_000 });
const directory = join(process.env.HOME, ".config/opencode");
mkdirSync(directory, { recursive: true });
writeFileSync(join(directory, "opencode.json"), JSON.stringify({ mcp: { demo: { type: "remote", url: endpoint } } }));

await runSteps({
  "opencode mcp auth logs in": () => assert.match(call("mcp", "auth", "demo"), /Authentication successful/),
  "it connects": () => assert.match(call("mcp", "list"), /demo .*connected/),
});
