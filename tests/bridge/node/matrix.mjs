// Clients of both eras, by the official SDKs, in front of peers of both eras, through the bridge: the working features, as a table.
// usage: node matrix.mjs SERVER      MATRIX=progress,log runs some of the rows
import { strict as assert } from "node:assert";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as modern from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { whileBridging, whileServing } from "../serving.mjs";
import { freePort } from "../../clients/ts/demo.mjs";
import { REDIRECT_URI, register, token } from "../../conformance/suite.mjs";

const server = process.argv[2];
const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const CAPABILITIES = { elicitation: {}, sampling: {}, roots: {} };
const INFO = { name: "matrix", version: "1" };
const LOG_LEVEL = "io.modelcontextprotocol/logLevel";
const WATCHED = "test://watched-resource";
const SCHEMAS = {
  "elicitation/create": types.ElicitRequestSchema,
  "sampling/createMessage": types.CreateMessageRequestSchema,
  "roots/list": types.ListRootsRequestSchema,
  "notifications/message": types.LoggingMessageNotificationSchema,
  "notifications/resources/updated": types.ResourceUpdatedNotificationSchema,
  "notifications/tools/list_changed": types.ToolListChangedNotificationSchema,
};

// ---- one interface to both SDKs ----

const optionsOf = (bearer) => ({ requestInit: { headers: { authorization: `Bearer ${bearer}` } } });

async function legacyClient(url, bearer) {
  const client = new LegacyClient(INFO, { capabilities: CAPABILITIES });
  const it = {
    client,
    call: (name, given = {}, options) => client.callTool({ name, arguments: given }, undefined, options),
    handle: (method, answer) => client.setRequestHandler(SCHEMAS[method], answer),
    hear: (method, heard) => client.setNotificationHandler(SCHEMAS[method], heard),
    loudly: async (name) => (await client.setLoggingLevel("debug"), it.call(name)),
    watch: (filter) => Promise.all((filter.resourceSubscriptions ?? []).map((uri) => client.subscribeResource({ uri }))),
  };
  answerQuestions(it);
  await client.connect(new LegacyTransport(new URL(url), optionsOf(bearer)));
  await pause(200); // it opens its stream after that
  return it;
}

async function modernClient(url, bearer) {
  const client = new modern.Client(INFO, { capabilities: CAPABILITIES, versionNegotiation: { mode: { pin: "2026-07-28" } } });
  const it = {
    client,
    call: (name, given = {}, options) => client.callTool({ name, arguments: given }, options),
    handle: (method, answer) => client.setRequestHandler(method, answer),
    hear: (method, heard) => client.setNotificationHandler(method, heard),
    loudly: (name) => client.callTool({ name, arguments: {}, _meta: { [LOG_LEVEL]: "debug" } }),
    watch: (filter) => client.listen(filter),
  };
  answerQuestions(it);
  await client.connect(new modern.StreamableHTTPClientTransport(new URL(url), optionsOf(bearer)));
  return it;
}

const VALUES = { string: "Ada", boolean: true, integer: 1, number: 1.5 };

function answerQuestions({ handle }) {
  handle("elicitation/create", ({ params }) => {
    const content = Object.entries(params.requestedSchema.properties).map(([name, { type }]) => [name, VALUES[type]]);
    return { action: "accept", content: Object.fromEntries(content) };
  });
  handle("sampling/createMessage", () => ({ role: "assistant", model: "matrix", content: { type: "text", text: "Paris" } }));
  handle("roots/list", () => ({ roots: [{ uri: "file:///home/ada" }] }));
}

// ---- the rows ----

const textOf = (result) => result.content[0].text;

async function eventually(holds, what) {
  for (const end = Date.now() + 3000; !(await holds()); await pause(20)) assert.ok(Date.now() < end, what);
}

const ROWS = {
  async call({ call, client }) {
    const names = (await client.listTools()).tools.map(({ name }) => name);
    assert.ok(names.includes("test_simple_text") && names.includes("odd näme (1)"), names.join());
    assert.equal(textOf(await call("test_simple_text")), "This is a simple text response for testing.");
    assert.equal(textOf(await call("odd näme (1)")), "odd");
    assert.equal(client.getServerVersion().name, "bridge-fixture");
    assert.equal(client.getInstructions(), "A server for tests.");
  },
  async progress({ call }) {
    const seen = [];
    await call("test_tool_with_progress", {}, { onprogress: ({ progress }) => seen.push(progress) });
    assert.deepEqual(seen, [0, 50, 100]);
  },
  async log({ loudly, hear }) {
    const seen = [];
    hear("notifications/message", ({ params }) => void seen.push(params.data));
    await loudly("test_tool_with_logging");
    await eventually(() => seen.length >= 3, `heard ${seen}`);
    assert.deepEqual(seen, ["Tool execution started", "Tool processing data", "Tool execution completed"]);
  },
  async cancel({ call }) {
    const before = Number(textOf(await call("test_cancelled")));
    const abort = new AbortController();
    const waiting = call("test_wait", {}, { signal: abort.signal });
    setTimeout(() => abort.abort(), 300);
    await assert.rejects(waiting);
    await eventually(async () => Number(textOf(await call("test_cancelled"))) > before, "the peer was not told");
  },
  async elicitation({ call }) {
    const said = textOf(await call("test_elicitation", { message: "Who?" }));
    assert.match(said, /action=accept, content=\{"username":"Ada","email":"Ada"\}/);
  },
  async sampling({ call }) {
    assert.equal(textOf(await call("test_sampling", { prompt: "Capital?" })), "LLM response: Paris");
  },
  async roots({ call }) {
    assert.match(textOf(await call("test_input_required_result_list_roots")), /file:\/\/\/home\/ada/);
  },
  async "several questions at once"({ call }) {
    const said = JSON.parse(textOf(await call("test_input_required_result_capabilities")));
    assert.deepEqual([said.user_name.content.name, said.greeting.content.text], ["Ada", "Paris"]);
  },
  async "questions in rounds"({ call }) {
    assert.equal(textOf(await call("test_input_required_result_multi_round")), '{"name":"Ada"} {"color":"Ada"}');
  },
  async "a question of a prompt"({ client }) {
    const { messages } = await client.getPrompt({ name: "test_input_required_result_prompt" });
    assert.equal(messages[0].content.text, "Ada");
  },
  async resources({ client }) {
    assert.equal((await client.listResources()).resources.length, 3);
    assert.match((await client.readResource({ uri: "test://static-text" })).contents[0].text, /static text resource/);
    assert.ok((await client.readResource({ uri: "test://static-binary" })).contents[0].blob.length > 50);
    assert.match((await client.readResource({ uri: "test://template/7/data" })).contents[0].text, /Data for ID: 7/);
  },
  async subscriptions({ call, watch, hear }) {
    const seen = [];
    hear("notifications/resources/updated", ({ params }) => void seen.push(params.uri));
    await watch({ resourceSubscriptions: [WATCHED] });
    // The peer may receive it a moment later.
    await eventually(async () => (await call("test_touch"), await pause(100), seen.length > 0), "nothing was told");
    assert.equal(seen[0], WATCHED);
  },
  async list_changed({ call, watch, hear }) {
    let seen = 0;
    hear("notifications/tools/list_changed", () => void (seen += 1));
    await watch({ toolsListChanged: true });
    await eventually(async () => (await call("test_trigger_tool_change"), await pause(100), seen > 0), "nothing was told");
  },
  async prompts({ client }) {
    assert.equal((await client.listPrompts()).prompts.length, 5);
    const { messages } = await client.getPrompt({ name: "test_prompt_with_arguments", arguments: { arg1: "a", arg2: "b" } });
    assert.equal(messages[0].content.text, "Prompt with arguments: arg1='a', arg2='b'");
  },
  async completion({ client }) {
    const ref = { type: "ref/prompt", name: "test_prompt_with_arguments" };
    const { completion } = await client.complete({ ref, argument: { name: "arg1", value: "x" } });
    assert.deepEqual(completion.values, ["x-one", "x-two"]);
  },
  async paging({ client }) {
    const names = [];
    for (let cursor, first = true; first || cursor; first = false) {
      const page = await client.listResourceTemplates(cursor ? { cursor } : undefined);
      names.push(...page.resourceTemplates.map(({ name }) => name));
      cursor = page.nextCursor;
    }
    assert.deepEqual(names, ["data", "more"]);
  },
  async errors({ call, client }) {
    const failed = await call("test_error_handling");
    assert.ok(failed.isError && /intentionally/.test(textOf(failed)));
    await assert.rejects(call("no such tool"), /no tool no such tool/);
    await assert.rejects(client.readResource({ uri: "test://nowhere" }), ({ code }) => [-32002, -32602].includes(code));
  },
};

/** What cannot be, and why; `docs/bridge.md` says so. */
const IMPOSSIBLE = { roots: "directories of the client's machine, which servers take for their own" };

const node = process.execPath;
const PEERS = {
  "2025, stdio": ["--", node, file("sdk1.mjs"), "stdio"],
  "2026, stdio": ["--", node, file("sdk2.mjs"), "stdio", "modern"],
  "2025, HTTP": [node, file("sdk1.mjs")],
  "2026, HTTP": [node, file("sdk2.mjs"), "modern"],
};
const CLIENTS = { 2025: legacyClient, 2026: modernClient };

const wanted = process.env.MATRIX?.split(",") ?? Object.keys(ROWS);
const table = Object.fromEntries(wanted.map((row) => [row, []]));
const faults = [];

/** Each row has a client of its own. */
async function fill(peer, url, origin) {
  for (const [era, connect] of Object.entries(CLIENTS)) {
    const bearer = await token(origin, "mcp", await register(origin, REDIRECT_URI));
    for (const row of wanted) {
      let it;
      const work = async () => ROWS[row]((it = await connect(url, bearer)));
      const late = pause(15_000, undefined, { ref: false }).then(() => Promise.reject(new Error("it takes too long")));
      const why = await Promise.race([work(), late]).then(() => undefined, (error) => error.message.split("\n")[0]);
      await it?.client.close();
      if (why !== undefined && !IMPOSSIBLE[row]) faults.push(`${row}, client ${era}, peer ${peer}: ${why}`);
      if (why === undefined && IMPOSSIBLE[row]) faults.push(`${row}, client ${era}, peer ${peer}: works, though thought to be impossible`);
      table[row].push(why === undefined ? "yes" : IMPOSSIBLE[row] ? "–" : "NO");
    }
  }
}

for (const [peer, [first, ...rest]] of Object.entries(PEERS)) {
  if (first === "--") {
    await whileBridging(server, [first, ...rest], (url, origin) => fill(peer, url, origin));
  } else {
    const port = String(await freePort());
    const [script, ...more] = rest;
    await whileServing([first, script, port, ...more], {}, port, (url) =>
      whileBridging(server, ["--upstream", url], (url, origin) => fill(peer, url, origin)));
  }
}
const heads = Object.keys(PEERS).flatMap((peer) => Object.keys(CLIENTS).map((era) => `${era} → ${peer}`));
console.log(`| client → peer | ${heads.join(" | ")} |\n| --- |${" --- |".repeat(heads.length)}`);
for (const [row, cells] of Object.entries(table)) console.log(`| ${row} | ${cells.join(" | ")} |`);
for (const [row, why] of Object.entries(IMPOSSIBLE)) console.log(`${row}: ${why}`);
for (const fault of faults) console.error(`FAULT ${fault}`);
process.exit(faults.length ? 1 : 0);
