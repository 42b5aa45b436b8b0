// Real clients, each as its own program, against a `mcp-oauth-server demo` of its own.
// usage: node all.mjs sdks BINARY RMCP-WALK
//        node all.mjs field BINARY CHROMIUM
// CLIENTS=rmcp,FastMCP in the environment runs only those.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, startDemo } from "./ts/demo.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [group, ...paths] = process.argv.slice(2);
const [binary, program] = paths.map((path) => resolve(path));
const MINUTES = 60_000;

const page = `http://127.0.0.1:${await freePort()}`;
const scratch = await mkdtemp(join(tmpdir(), "mcp-oauth-server-clients-"));
const configured = join(scratch, "clients.json");
await writeFile(configured, JSON.stringify([{ client_id: "mastra", client_name: "Mastra", redirect_uris: ["http://127.0.0.1/callback"] }]));

// The expected answer of a program behind the login: the contents of a file that it reads.
const files = await mkdtemp(join(tmpdir(), "mcp-oauth-server-files-"));
await chmod(files, 0o755);
await writeFile(join(files, "note.txt"), "from the files");
const reading = ["read_text_file", JSON.stringify({ path: join(files, "note.txt") }), "from the files"];
const bridged = ["--", "npx", "-y", "@modelcontextprotocol/server-filesystem@2026.8.31", files];

const node = (path, ...words) => ({ command: [process.execPath, here(path), ...words] });
const python = (environment, ...words) => ({ command: [here(`${environment}/.venv/bin/python`), here(words[0]), ...words.slice(1)] });
/** By name: the program and its first words, what its environment, the server's and the server's command line have besides, what it
 * leaves out of a login. */
const GROUPS = {
  sdks: {
    "TypeScript SDK 2": node("ts2/walk.mjs"),
    "Python SDK 2": python("python2", "python2/walk.py"),
    FastMCP: python("fastmcp", "fastmcp/walk.py"),
    "MCP Inspector": node("inspector/walk.mjs"),
    "mcp-remote": node("mcp-remote/walk.mjs"),
    rmcp: { command: [program] },
  },
  field: {
    "Codex CLI": node("field/codex.mjs"),
    "Codex CLI bridged": { ...node("field/codex.mjs", ...reading), server: { PATH: process.env.PATH }, args: bridged },
    "Gemini CLI": node("field/gemini.mjs"),
    "Copilot CLI": node("field/copilot.mjs"),
    opencode: node("field/opencode.mjs"),
    mcporter: node("field/mcporter.mjs"),
    "use-mcp": { ...node("field/use-mcp.mjs"), env: { CHROMIUM: program, PAGE: page }, server: { MCP_ALLOW_ORIGIN: page } },
    "AI SDK": node("field/ai-sdk.mjs"),
    Mastra: { ...node("field/mastra.mjs"), env: { CLIENT_ID: "mastra" }, server: { MCP_CLIENTS: configured }, without: ["register"] },
    "pydantic-ai": python("field/frameworks", "field/frameworks.py", "pydantic-ai"),
    "openai-agents": python("field/frameworks", "field/frameworks.py", "openai-agents"),
    "TypeScript SDK 1.10": { ...node("field/old-sdk.mjs"), without: ["resource_metadata"] },
    "Python SDK 1.8": { ...python("field/old", "field/old_sdk.py"), without: ["mcp", "resource_metadata"] },
    "mcp-remote 0.1.2": { ...node("mcp-remote/walk.mjs", "0.1.2"), without: ["resource_metadata"] },
  },
};
const CLIENTS = GROUPS[group];

/** What the server must have seen, in this order, whatever the client says of itself. */
const LOGIN = [
  / method=(POST|GET|HEAD) route=mcp status=401 .*reason=no_token/,
  / method=GET route=resource_metadata status=200/,
  / method=GET route=server_metadata status=200/,
  / method=POST route=register status=201/,
  / method=GET route=authorize status=/,
  / method=POST route=consent status=303/,
  / method=GET route=callback status=/,
  / method=POST route=token status=200/,
  / method=POST route=mcp status=200/,
];

function missingFrom(log, without = []) {
  const lines = log.slice(log.indexOf(" serving ")).split("\n");
  let from = 0;
  const [last, ...before] = LOGIN.toReversed();
  const asked = before.reverse().filter((expected) => !without.some((route) => expected.source.includes(` route=${route} `)));
  return [...asked, last].find((expected) => {
    const found = lines.slice(from).findIndex((line) => expected.test(line));
    from += found + 1;
    return found < 0;
  });
}

/** Runs a walk to its end: the steps it says it has passed, and whether it reached the end. */
async function run({ command: [program, ...words], env: more }, origin) {
  const home = await mkdtemp(join(tmpdir(), "mcp-oauth-server-home-"));
  const env = { HOME: home, PATH: process.env.PATH, TERM: "xterm-256color", LANG: "C.UTF-8", BROWSER: here("browser.mjs"), ...more };
  const child = spawn(program, [...words, origin], { env, stdio: ["ignore", "pipe", "pipe"], timeout: 2 * MINUTES });
  let [told, said] = ["", ""];
  child.stdout.on("data", (chunk) => (told += chunk));
  child.stderr.on("data", (chunk) => (said += chunk));
  const ended = await Promise.race([once(child, "close"), once(child, "error")]);
  await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 }); // some write until they end
  return { passed: told.match(/^ok: /gm)?.length ?? 0, fine: ended[0] === 0, said: `${told}${said}${ended[0]}` };
}

async function walk(name, client) {
  const demo = await startDemo(binary, client.server, client.args);
  const { passed, fine, said } = await run(client, demo.origin);
  const log = await demo.stop();
  const missing = missingFrom(log, client.without);
  if (!fine) console.error(`FAILED: ${name}\n${said}`);
  if (missing) console.error(`FAILED: the server's log lacks, in this order, ${missing}`);
  if (!fine || missing) console.error(log);
  const failed = [!fine || passed === 0, missing !== undefined].filter(Boolean).length;
  console.log(`${name}: ${passed + (missing ? 0 : 1)} passed, ${failed} failed`);
  return failed;
}

const wanted = process.env.CLIENTS?.split(",") ?? Object.keys(CLIENTS);
for (const name of wanted) {
  if (!CLIENTS[name]) throw new Error(`CLIENTS: there is no ${name}, but ${Object.keys(CLIENTS).join(", ")}`);
}
let failed = 0;
for (const name of wanted) failed += await walk(name, CLIENTS[name]);
for (const directory of [scratch, files]) await rm(directory, { recursive: true });
process.exit(failed ? 1 : 0);
