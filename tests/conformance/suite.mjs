// The official suites as programs, and the results of a login for them: shared by the conformance checks.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile, readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { logIn } from "../clients/ts/person.mjs";

const modules = fileURLToPath(new URL("node_modules/", import.meta.url));
export const LATEST = join(modules, "@modelcontextprotocol/conformance/dist/index.js");
export const STABLE = join(modules, "conformance-stable/dist/index.js");
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
export async function register(origin, redirectUri, scope) {
  const client = { client_name: "Conformance", redirect_uris: [redirectUri], token_endpoint_auth_method: "none", scope };
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(client) };
  return (await answerOf(`${origin}/register`, init)).client_id;
}

export const REDIRECT_URI = "http://localhost:9/callback";

/** An access token, from a whole login. */
export async function token(origin, scope, clientId) {
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

/** The environment in which a suite's requests to `origin` carry a token of a login of its own. */
export async function withToken(origin) {
  return {
    CONFORMANCE_ORIGIN: origin,
    CONFORMANCE_TOKEN: await token(origin, "mcp", await register(origin, REDIRECT_URI)),
    NODE_OPTIONS: `--import=${PRELOAD}`,
  };
}

/** Runs one suite, which leaves its results in `directory`; `onLine` sees what it prints. Its exit status, and its checks by their status. */
export async function suite(directory, args, { env = {}, onLine = () => {} } = {}) {
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
  return { name: basename(directory), status, printed, passed: of("SUCCESS").length, failed: of("FAILURE"), warned: of("WARNING") };
}

/** The checks whose results are below `directory`. */
export async function checksIn(directory) {
  const files = (await readdir(directory, { recursive: true }).catch(() => [])).filter((file) => file.endsWith("checks.json"));
  const lists = files.map(async (file) => JSON.parse(await readFile(join(directory, file), "utf8")));
  return (await Promise.all(lists)).flat();
}
