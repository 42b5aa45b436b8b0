// Access rules in front of server-everything and the example of the library: the items that each person sees and may call, by the
// official SDKs of both eras, as a table; then memberships that end, and rules that change.
// usage: node access.mjs SERVER EXAMPLE
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as modern from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { startGitHub } from "../github.mjs";
import { freePort } from "../../clients/ts/demo.mjs";
import { logIn } from "../../clients/ts/person.mjs";

const [binary, example] = process.argv.slice(2);
const everything = fileURLToPath(new URL("node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url));
const REDIRECT_URI = "http://localhost:9/callback";
const INFO = { name: "access", version: "1" };

const ADMINS = { allow: ["team:acme/admins"] };
const MEMBERS = {
  allow: ["org:acme"], tools: ["echo", "get-*", "toggle-*"], exclude: ["get-env"], readOnly: true,
  prompts: ["completable-*"], resources: ["demo://resource/static/*"],
};
const CRON = { allow: ["token:cron"], tools: ["get-sum"] };
const EXAMPLE_RULES = [ADMINS, { allow: ["org:acme"], readOnly: true }, { ...CRON, tools: ["hell*"] }];

// ---- servers, people and tokens ----

async function start(program, args, github, more) {
  const port = await freePort();
  const state = await mkdtemp(join(tmpdir(), "mcp-oauth-server-access-"));
  const env = {
    PATH: process.env.PATH, MCP_LISTEN: `127.0.0.1:${port}`, MCP_STATE_DIR: state, MCP_ALLOW: "any", GITHUB_CLIENT_ID: "access",
    GITHUB_CLIENT_SECRET: "secret".repeat(6), GITHUB_URL: github.url, GITHUB_API_URL: `${github.url}/api/v3`, ...more,
  };
  if (process.getuid() === 0) env.MCP_CHILD_USER = "nobody"; // a user without access to root's files
  const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk) => (log += chunk));
  const ended = once(child, "exit");
  const origin = `http://127.0.0.1:${port}`;
  for (let tries = 0; !(await fetch(`${origin}/healthz`).then((answer) => answer.ok, () => false)); tries++) {
    if (child.exitCode !== null || tries > 3000) throw new Error(`${program} is not ready; it says:\n${log}`);
    await pause(20);
  }
  return {
    origin,
    log: () => log,
    /** A service token, which the operator makes. */
    token: (...args) => execFileSync(program, ["tokens", "add", "cron", ...args], { env, encoding: "utf8" }).match(/mcp_[\w.-]{40,}/)[0],
    async reload(event) {
      const seen = log.split(event).length;
      child.kill("SIGHUP");
      for (const end = Date.now() + 30_000; log.split(event).length === seen; await pause(20)) assert.ok(Date.now() < end, log);
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
      await rm(state, { recursive: true, force: true });
    },
  };
}

async function post(url, body) {
  const answer = await fetch(url, { method: "POST", body });
  return { status: answer.status, ...(await answer.json()) };
}

/** Someone with a client of their own, who has logged in at this issuer. */
async function person(issuer, github, login) {
  github.signsIn = login;
  const client = { client_name: "Access", redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: "none" };
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(client) };
  const { client_id } = await (await fetch(`${issuer}/register`, init)).json();
  const code_verifier = randomBytes(32).toString("base64url");
  const common = { client_id, redirect_uri: REDIRECT_URI, resource: `${issuer}/mcp` };
  const code_challenge = createHash("sha256").update(code_verifier).digest("base64url");
  const asked = { ...common, response_type: "code", code_challenge, code_challenge_method: "S256", scope: "mcp", state: "s" };
  const { callback } = await logIn(`${issuer}/authorize?${new URLSearchParams(asked)}`, REDIRECT_URI);
  const code = callback.searchParams.get("code");
  assert.ok(code, `${login} is not let in: ${callback}`);
  const form = new URLSearchParams({ ...common, grant_type: "authorization_code", code, code_verifier });
  let tokens = await post(`${issuer}/token`, form);
  assert.equal(tokens.status, 200, JSON.stringify(tokens));
  return {
    bearer: () => tokens.access_token,
    async refresh() {
      const form = { grant_type: "refresh_token", client_id, refresh_token: tokens.refresh_token, resource: `${issuer}/mcp` };
      const answer = await post(`${issuer}/token`, new URLSearchParams(form));
      if (answer.status === 200) tokens = answer;
      return answer;
    },
  };
}

// ---- clients of both eras ----

const CLIENTS = {
  async 2025(url, bearer) {
    const client = new LegacyClient(INFO);
    await client.connect(new LegacyTransport(new URL(url), { requestInit: { headers: { authorization: `Bearer ${bearer}` } } }));
    return client;
  },
  async 2026(url, bearer) {
    const client = new modern.Client(INFO, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
    const options = { requestInit: { headers: { authorization: `Bearer ${bearer}` } } };
    await client.connect(new modern.StreamableHTTPClientTransport(new URL(url), options));
    return client;
  },
};

// SDK 2 caches a list for the time that the server declares, which is a minute.
const FRESH = { cacheMode: "refresh" };

const ARGUMENTS = {
  echo: { message: "hi" }, hello: { greeting: "Hi" }, "get-sum": { a: 1, b: 2 }, "get-annotated-message": { messageType: "success" },
  "get-resource-reference": { resourceType: "Text", resourceId: 1 }, "get-structured-content": { location: "New York" },
  "gzip-file-as-resource": { name: "x.gz", data: "data:text/plain,x", outputType: "resource" },
  "trigger-long-running-operation": { duration: 0.1, steps: 1 },
};
const PROMPT_ARGUMENTS = {
  "args-prompt": { city: "Rome" }, "completable-prompt": { department: "Sales", name: "Al" }, "resource-prompt": { resourceType: "Text", resourceId: "1" },
};

/** Each kind of thing: what a client sees of it, and how it uses one. */
const KINDS = {
  tool: {
    list: async (client) => (await client.listTools({}, FRESH)).tools.map(({ name }) => name),
    use: (client, name) => client.callTool({ name, arguments: ARGUMENTS[name] ?? {} }),
  },
  prompt: {
    list: async (client) => (await client.listPrompts({}, FRESH)).prompts.map(({ name }) => name),
    use: (client, name) => client.getPrompt({ name, arguments: PROMPT_ARGUMENTS[name] ?? {} }),
  },
  completion: {
    use: (client, name) =>
      client.complete({ ref: { type: "ref/prompt", name }, argument: { name: "department", value: "" } }),
  },
  resource: {
    list: async (client) => (await client.listResources({}, FRESH)).resources.map(({ uri }) => uri),
    use: (client, uri) => client.readResource({ uri }),
  },
  template: {
    list: async (client) => (await client.listResourceTemplates({}, FRESH)).resourceTemplates.map(({ uriTemplate }) => uriTemplate),
    use: (client, uri) => client.readResource({ uri: uri.replace("{resourceId}", "1") }),
  },
};

/** What comes of using a thing: `undefined`, or the error as the client has it, without the thing's name. */
const errorOf = (kind, client, name) =>
  KINDS[kind].use(client, name).then(
    () => undefined,
    ({ code, message, data }) => JSON.stringify({ code, message, data }).replaceAll(name.replace("{resourceId}", "1"), "NAME"),
  );

async function eachClient(url, bearer, use) {
  for (const [era, connect] of Object.entries(CLIENTS)) {
    const client = await connect(url, bearer);
    try {
      await use(client, era);
    } finally {
      await client.close();
    }
  }
}

// ---- the table ----

const rows = new Map();
const faults = [];

/** Asks for each thing in both eras; `open` is what this caller may use. */
async function fill(url, caller, bearer, things, open) {
  await eachClient(url, bearer, async (client, era) => {
    for (const [kind, names] of Object.entries(things)) {
      const seen = KINDS[kind].list && (await KINDS[kind].list(client));
      const absent = await errorOf(kind, client, kind === "resource" || kind === "template" ? "demo://absent" : "absent");
      for (const name of names) {
        const error = await errorOf(kind, client, name);
        const cell = error === undefined ? "yes" : error === absent ? "–" : error;
        const wanted = open.includes(name) ? "yes" : "–";
        const row = rows.get(`${kind} ${name}`) ?? [];
        rows.set(`${kind} ${name}`, [...row, cell]);
        if (cell !== wanted) faults.push(`${kind} ${name}, ${caller}, ${era}: ${cell} instead of ${wanted} (absent: ${absent})`);
        if (seen && seen.includes(name) !== open.includes(name)) faults.push(`${kind} ${name}, ${caller}, ${era}: in the list ${seen.includes(name)}`);
      }
    }
  });
}

function print(title, callers) {
  const heads = callers.flatMap((caller) => Object.keys(CLIENTS).map((era) => `${caller}, ${era}`));
  console.log(`\n${title}\n| | ${heads.join(" | ")} |\n| --- |${" --- |".repeat(heads.length)}`);
  for (const [row, cells] of rows) console.log(`| ${row} | ${cells.join(" | ")} |`);
  rows.clear();
}

/** Everything that somebody without limits sees. */
async function all(url, bearer) {
  const things = {};
  const client = await CLIENTS[2025](url, bearer);
  const offered = client.getServerCapabilities();
  for (const [kind, { list }] of Object.entries(KINDS)) {
    const capability = { tool: "tools", prompt: "prompts", completion: "completions" }[kind] ?? "resources";
    if (offered[capability]) things[kind] = list ? await list(client) : ["completable-prompt"];
  }
  await client.close();
  // It is declared as a task of 2025-11-25, which SDK 1 insists on even here, where it is served without.
  things.tool = things.tool.filter((name) => name !== "simulate-research-query");
  return things;
}

async function tools(url, bearer) {
  const lists = [];
  await eachClient(url, bearer, async (client) => lists.push((await KINDS.tool.list(client)).join()));
  assert.equal(lists[0], lists[1]);
  return lists[0];
}

async function step(what, work) {
  await work();
  console.log(`ok: ${what}`);
}

async function statusOf(url, bearer) {
  const answer = await fetch(url, { method: "POST", headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" }, body: "{}" });
  return [answer.status, answer.headers.has("www-authenticate")];
}

const people = {
  ada: { id: 1, memberships: new Set(["acme", "acme/admins"]) },
  bob: { id: 2, memberships: new Set(["acme"]) },
  eve: { id: 3, memberships: new Set() },
};
const github = await startGitHub(people);
const folder = await mkdtemp(join(tmpdir(), "mcp-oauth-server-rules-"));
const file = join(folder, "file.json");
const stops = [];
try {
  const entry = { command: process.execPath, args: [everything, "stdio"] };
  const write = (access) => writeFile(file, JSON.stringify({ mcpServers: { everything: { ...entry, access } } }));
  await write([ADMINS, MEMBERS, CRON]);
  const server = await start(binary, ["--servers", file], github);
  stops.push(server.stop);
  const issuer = `${server.origin}/everything`;
  const url = `${issuer}/mcp`;
  const [ada, bob] = [await person(issuer, github, "ada"), await person(issuer, github, "bob")];
  const cron = server.token("--server", "everything");
  const things = await all(url, ada.bearer());
  const everyone = Object.values(things).flat();
  const ofMembers = everyone.filter((name) =>
    name === "echo" || (name.startsWith("get-") && name !== "get-env") || name === "completable-prompt" || name.startsWith("demo://resource/static/"));
  await fill(url, "ada", ada.bearer(), things, everyone);
  await fill(url, "bob", bob.bearer(), things, ofMembers);
  await fill(url, "cron", cron, things, ["get-sum"]);
  print("server-everything behind the login", ["ada", "bob", "cron"]);
  await step("nobody is let in whom no rule names", () => assert.rejects(person(issuer, github, "eve"), /403/));

  const memberTools = things.tool.filter((name) => ofMembers.includes(name)).join();
  await step("who leaves the team has what the organisation has, from the next refresh on", async () => {
    people.ada.memberships.delete("acme/admins");
    assert.ok((await tools(url, ada.bearer())).startsWith(things.tool.join()));
    assert.equal((await ada.refresh()).status, 200);
    assert.equal(await tools(url, ada.bearer()), memberTools);
  });
  await step("who leaves the organisation has nothing, from the next refresh on", async () => {
    people.ada.memberships.clear();
    assert.equal(await tools(url, ada.bearer()), memberTools);
    assert.equal((await ada.refresh()).error, "invalid_grant");
    assert.deepEqual(await statusOf(url, ada.bearer()), [401, true]);
  });
  await step("SIGHUP takes tools away at the next request of an open session", async () => {
    await eachClient(url, bob.bearer(), async (client) => {
      await write([ADMINS, MEMBERS, CRON]);
      await server.reload("servers.reloaded");
      assert.equal((await KINDS.tool.list(client)).join(), memberTools);
      await write([ADMINS, { ...MEMBERS, tools: ["echo"] }, CRON]);
      await server.reload("servers.reloaded");
      assert.equal((await KINDS.tool.list(client)).join(), "echo");
      assert.equal(await errorOf("tool", client, "get-sum"), await errorOf("tool", client, "absent"));
    });
  });
  await step("SIGHUP shuts out whom no rule names any more, without a challenge, and leaves the token of the cron job", async () => {
    await write([ADMINS, CRON]);
    await server.reload("servers.reloaded");
    assert.deepEqual(await statusOf(url, bob.bearer()), [403, false]);
    assert.equal(await tools(url, cron), "get-sum");
  });

  await writeFile(file, JSON.stringify(EXAMPLE_RULES));
  people.ada.memberships = new Set(["acme", "acme/admins"]);
  const own = await start(example, [], github, { MCP_ACCESS: file });
  stops.push(own.stop);
  const ownUrl = `${own.origin}/mcp`;
  const hello = { tool: ["hello"] };
  for (const login of ["ada", "bob"]) {
    await fill(ownUrl, login, (await person(own.origin, github, login)).bearer(), hello, login === "ada" ? ["hello"] : []);
  }
  await fill(ownUrl, "cron", own.token(), hello, ["hello"]);
  print("examples/hello_tool", ["ada", "bob", "cron"]);
} finally {
  for (const stop of stops) await stop();
  github.stop();
  await rm(folder, { recursive: true, force: true });
}
for (const fault of faults) console.error(`FAULT ${fault}`);
process.exit(faults.length ? 1 : 0);
