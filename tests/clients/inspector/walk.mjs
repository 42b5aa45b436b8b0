// MCP Inspector's command line, which opens a browser and listens for the callback itself, in both eras.
// usage: node walk.mjs ORIGIN, with a browser in BROWSER
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runSteps } from "../steps.mjs";
import { freePort } from "../ts/demo.mjs";

const inspector = fileURLToPath(new URL("node_modules/.bin/mcp-inspector", import.meta.url));
const endpoint = new URL("/mcp", process.argv[2]).href;
const callback = `http://127.0.0.1:${await freePort()}/oauth/callback`;
const env = { ...process.env, MCP_AUTO_OPEN_ENABLED: "true", MCP_INSPECTOR_SECRET_STORE: "file" };

/** What one call of the command line gives back. */
async function inspect(era, ...options) {
  const target = ["--server-url", endpoint, "--transport", "http", "--callback-url", callback];
  const args = [inspector, "--cli", ...target, "--protocol-era", era, "--format", "json", ...options];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(stdout).result;
}

const listed = ({ tools }) => assert.ok(tools.some(({ name }) => name === "greet"), JSON.stringify(tools));
const greet = ["--method", "tools/call", "--tool-name", "greet", "--tool-arg", "name=Ada"];
const greeted = ({ content }) => assert.equal(content[0].text, "Hello, Ada!");

const steps = {
  "without a login it is refused": () =>
    assert.rejects(inspect("legacy", "--stored-auth-only", "--method", "tools/list"), /auth_required/),
};
for (const era of ["legacy", "auto", "modern"]) {
  steps[`${era}: it registers, logs in and lists the tools`] = async () => listed(await inspect(era, "--relogin", "--method", "tools/list"));
  steps[`${era}: greet greets with the login that is stored`] = async () => greeted(await inspect(era, "--stored-auth-only", ...greet));
}
await runSteps(steps);
