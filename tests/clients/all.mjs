// Real clients, each as its own program, against a `mcp-oauth-server demo` of its own.
// usage: node all.mjs BINARY RMCP-WALK; CLIENTS=rmcp,FastMCP in the environment runs those alone
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { startDemo } from "./ts/demo.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [binary, rmcp] = process.argv.slice(2).map((path) => resolve(path));
const MINUTES = 60_000;

const CLIENTS = {
  "TypeScript SDK 2": [process.execPath, here("ts2/walk.mjs")],
  "Python SDK 2": [here("python2/.venv/bin/python"), here("python2/walk.py")],
  FastMCP: [here("fastmcp/.venv/bin/python"), here("fastmcp/walk.py")],
  "MCP Inspector": [process.execPath, here("inspector/walk.mjs")],
  "mcp-remote": [process.execPath, here("mcp-remote/walk.mjs")],
  rmcp: [rmcp],
};

/** What the server must have seen, in this order, whatever the client says of itself. */
const LOGIN = [
  / method=POST route=mcp status=401 .*reason=no_token/,
  / method=GET route=resource_metadata status=200/,
  / method=GET route=server_metadata status=200/,
  / method=POST route=register status=201/,
  / method=GET route=authorize status=/,
  / method=POST route=consent status=303/,
  / method=GET route=callback status=/,
  / method=POST route=token status=200/,
  / method=POST route=mcp status=200/,
];

function missingFrom(log) {
  const lines = log.slice(log.indexOf(" serving ")).split("\n");
  let from = 0;
  return LOGIN.find((expected) => {
    const found = lines.slice(from).findIndex((line) => expected.test(line));
    from += found + 1;
    return found < 0;
  });
}

/** Runs a walk to its end: the steps it says it has passed, and whether it reached the end. */
async function run([program, ...args], origin) {
  const home = await mkdtemp(join(tmpdir(), "mcp-oauth-server-home-"));
  const env = { HOME: home, PATH: process.env.PATH, BROWSER: here("browser.mjs") };
  const child = spawn(program, [...args, origin], { env, stdio: ["ignore", "pipe", "pipe"], timeout: 2 * MINUTES });
  let [told, said] = ["", ""];
  child.stdout.on("data", (chunk) => (told += chunk));
  child.stderr.on("data", (chunk) => (said += chunk));
  const ended = await Promise.race([once(child, "close"), once(child, "error")]);
  await rm(home, { recursive: true, force: true });
  return { passed: told.match(/^ok: /gm)?.length ?? 0, fine: ended[0] === 0, said: `${told}${said}${ended[0]}` };
}

async function walk(name, command) {
  const demo = await startDemo(binary);
  const { passed, fine, said } = await run(command, demo.origin);
  const log = await demo.stop();
  const missing = missingFrom(log);
  if (!fine) console.error(`FAILED: ${name}\n${said}`);
  if (missing) console.error(`FAILED: the server's log lacks, in this order, ${missing}`);
  if (!fine || missing) console.error(log);
  const failed = [!fine || passed === 0, missing !== undefined].filter(Boolean).length;
  console.log(`${name}: ${passed + (missing ? 0 : 1)} passed, ${failed} failed`);
  return failed;
}

const wanted = process.env.CLIENTS?.split(",") ?? Object.keys(CLIENTS);
let failed = 0;
for (const name of wanted) failed += await walk(name, CLIENTS[name]);
process.exit(failed ? 1 : 0);
