// The official conformance suites, run against examples/conformance behind its real login.
// usage: node run.mjs SERVER OUTPUT-DIRECTORY
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { freePort, startDemo } from "../clients/ts/demo.mjs";
import { logIn } from "../clients/ts/person.mjs";

const [server, output] = process.argv.slice(2).map((path) => resolve(path));
const modules = fileURLToPath(new URL("node_modules/", import.meta.url));
const LATEST = join(modules, "@modelcontextprotocol/conformance/dist/index.js");
const STABLE = join(modules, "conformance-stable/dist/index.js");
const PRELOAD = pathToFileURL(fileURLToPath(new URL("with-token.mjs", import.meta.url)));
const MINUTES = 60_000;

/** The suites need Node 22: this one, or the one that npm brought. */
function newNode() {
  if (parseInt(process.versions.node) >= 22) return process.execPath;
  const brought = join(modules, `node-${process.platform}-${process.arch}/bin/node`);
  if (existsSync(brought)) return brought;
  throw new Error(`Node.js 22 or newer is needed; this is ${process.version}`);
}

async function answerOf(url, init) {
  const answer = await fetch(url, init);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

/** A client of the server's, registered like any other. */
async function register(origin, redirectUri, scope) {
  const client = { client_name: "Conformance", redirect_uris: [redirectUri], token_endpoint_auth_method: "none", scope };
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(client) };
  return (await answerOf(`${origin}/register`, init)).client_id;
}

const REDIRECT_URI = "http://localhost:9/callback";

/** An access token, from a whole login. */
async function token(origin, scope, clientId) {
  const redirectUri = REDIRECT_URI;
  const verifier = randomBytes(32).toString("base64url");
  const asked = {
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    resource: `${origin}/mcp`,
    scope,
    state: "conformance",
  };
  const { callback } = await logIn(`${origin}/authorize?${new URLSearchParams(asked)}`, redirectUri);
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    code: callback.searchParams.get("code"),
    client_id: clientId,
    redirect_uri: redirectUri,
    code_verifier: verifier,
    resource: `${origin}/mcp`,
  });
  return (await answerOf(`${origin}/token`, { method: "POST", body })).access_token;
}

/** A client that asked for no more than `mcp` meets a tool that needs more, and follows the challenge. */
async function stepUp(origin) {
  const clientId = await register(origin, REDIRECT_URI, "mcp");
  const params = { name: "scoped", arguments: {}, _meta: {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  } };
  const call = (bearer) =>
    fetch(`${origin}/mcp`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${bearer}`,
        accept: "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "scoped",
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params }),
    });
  const refused = await call(await token(origin, "mcp", clientId));
  const challenge = refused.headers.get("www-authenticate") ?? "";
  const scope = challenge.match(/ scope="([^"]*)"/)?.[1];
  const checks = { "403": refused.status === 403, "insufficient_scope": /error="insufficient_scope"/.test(challenge), scope: scope === "conformance:more mcp" };
  checks.served = (await call(await token(origin, scope, clientId))).status === 200;
  const failed = Object.keys(checks).filter((check) => !checks[check]);
  return {
    name: "step-up",
    status: failed.length,
    printed: challenge,
    passed: Object.keys(checks).length - failed.length,
    failed: failed.map((id) => ({ id })),
    warned: [],
  };
}

/** Runs one suite; `onLine` sees what it prints. Its exit status, and its checks by their status. */
async function suite(name, args, { env = {}, onLine = () => {} } = {}) {
  const directory = join(output, name);
  await rm(directory, { recursive: true, force: true });
  const child = spawn(newNode(), [...args, "-o", directory], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const limit = setTimeout(() => child.kill("SIGKILL"), 10 * MINUTES);
  let printed = "";
  const read = (stream) =>
    createInterface({ input: stream }).on("line", (line) => {
      printed += `${line}\n`;
      onLine(line);
    });
  read(child.stdout);
  read(child.stderr);
  const [status] = await once(child, "close");
  clearTimeout(limit);
  const checks = await checksIn(directory);
  const of = (status) => checks.filter((check) => check.status === status);
  return { name, status, printed, passed: of("SUCCESS").length, failed: of("FAILURE"), warned: of("WARNING") };
}

async function checksIn(directory) {
  const files = (await readdir(directory, { recursive: true }).catch(() => [])).filter((file) => file.endsWith("checks.json"));
  const lists = files.map(async (file) => JSON.parse(await readFile(join(directory, file), "utf8")));
  return (await Promise.all(lists)).flat();
}

/** The suite of authorization servers prints a link and waits for the browser to come back. */
async function authorization(origin) {
  const port = await freePort();
  const redirectUri = `http://127.0.0.1:${port}/callback`;
  const clientId = await register(origin, redirectUri);
  const args = ["authorization", "--url", origin, "--client-id", clientId, "-p", String(port), "--resource", `${origin}/mcp`];
  const visits = [];
  const onLine = (line) => {
    const link = line.match(/https?:\/\/\S+\/authorize\?\S+/)?.[0];
    if (link) visits.push(logIn(link, redirectUri).then(({ callback }) => fetch(callback)).catch((error) => console.error(error)));
  };
  const result = await suite("authorization", [LATEST, ...args], { onLine });
  await Promise.all(visits);
  return result;
}

function report({ name, status, printed, passed, failed, warned }) {
  const good = status === 0 && passed > 0 && failed.length === 0;
  console.log(`${name}: ${passed} passed, ${failed.length} failed, ${warned.length} warnings, exit ${status}`);
  for (const { id, errorMessage } of warned) console.log(`  warning ${id}: ${errorMessage ?? ""}`);
  for (const { id, errorMessage } of failed) console.error(`  FAILED ${id}: ${errorMessage ?? ""}`);
  if (!good) console.error(printed);
  return { passed, failed: good ? 0 : Math.max(1, failed.length) };
}

// Documents of clients are on, as they are unless it is a demo: the suite looks whether they are offered.
const demo = await startDemo(server, { MCP_CLIENT_DOCUMENTS: "on" });
const results = [];
try {
  const env = {
    CONFORMANCE_ORIGIN: demo.origin,
    CONFORMANCE_TOKEN: await token(demo.origin, "mcp", await register(demo.origin, REDIRECT_URI)),
    NODE_OPTIONS: `--import=${PRELOAD}`,
  };
  const url = ["server", "--url", `${demo.origin}/mcp`];
  const runs = [
    ["2025-11-25", [LATEST, ...url, "--requirements", "2025-11-25"]],
    ["2026-07-28", [LATEST, ...url, "--requirements", "2026-07-28"]],
    ["stable-active", [STABLE, ...url, "--suite", "active"]],
    ["stable-all", [STABLE, ...url, "--suite", "all"]],
  ];
  for (const [name, args] of runs) results.push(report(await suite(name, args, { env })));
  results.push(report(await authorization(demo.origin)));
  results.push(report(await stepUp(demo.origin)));
} finally {
  await demo.stop();
}
const sum = (what) => results.reduce((total, result) => total + result[what], 0);
console.log(`Conformance: ${sum("passed")} passed, ${sum("failed")} failed`);
process.exit(sum("failed") ? 1 : 0);
