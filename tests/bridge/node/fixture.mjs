// The server that the conformance suites and the matrix need, independent of any SDK: `answer(method, params, call)`. `call` is one
// request of a client: { notify, ask, refuse, changed, closeStream, token, capabilities, signal, rewind }.
import { setTimeout as pause } from "node:timers/promises";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
const STEP = 50;

export const INFO = { name: "bridge-fixture", version: "1.0.0" };
export const INSTRUCTIONS = "A server for tests.";
export const CAPABILITIES = {
  tools: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  prompts: { listChanged: true },
  logging: {},
  completions: {},
};

const text = (text) => ({ type: "text", text });
const says = (words) => ({ content: [text(words)] });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const object = (properties = {}, required) => ({ type: "object", properties, ...(required && { required }) });
const string = { type: "string" };

/** Questions: what is asked, in the words of both eras. */
const form = (message, properties, required) =>
  ({ method: "elicitation/create", params: { mode: "form", message, requestedSchema: object(properties, required) } });
const sample = (prompt, maxTokens = 100) =>
  ({ method: "sampling/createMessage", params: { messages: [{ role: "user", content: text(prompt) }], maxTokens } });
const roots = { method: "roots/list", params: {} };
const NAME = form("What is your name?", { name: string }, ["name"]);

const DEFAULTS = {
  name: { type: "string", default: "John Doe" },
  age: { type: "integer", default: 30 },
  score: { type: "number", default: 95.5 },
  status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
  verified: { type: "boolean", default: true },
};
const titled = [{ const: "one", title: "First" }, { const: "two", title: "Second" }];
const ENUMS = {
  untitledSingle: { type: "string", enum: ["one", "two"] },
  titledSingle: { type: "string", oneOf: titled },
  legacyEnum: { type: "string", enum: ["one", "two"], enumNames: ["First", "Second"] },
  untitledMulti: { type: "array", items: { type: "string", enum: ["one", "two"] } },
  titledMulti: { type: "array", items: { anyOf: titled } },
};
const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: { address: { $anchor: "addressDef", type: "object", properties: { street: string, city: string } } },
  properties: {
    name: string, address: { $ref: "#/$defs/address" },
    contactMethod: { type: "string", enum: ["phone", "email"] }, phone: string, email: string,
  },
  allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
  if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
  then: { required: ["phone"] },
  else: { required: ["email"] },
  additionalProperties: false,
};

async function steps(words, each) {
  for (const word of words) {
    await each(word);
    await pause(STEP);
  }
}

const log = (call, data) => call.notify("notifications/message", { level: "info", logger: "fixture", data });
const heard = ({ action, content }) => `action=${action}, content=${JSON.stringify(content ?? {})}`;

/** name: [schema of the arguments, what is done] */
const TOOLS = {
  test_simple_text: [object(), () => says("This is a simple text response for testing.")],
  test_image_content: [object(), () => ({ content: [image] })],
  test_audio_content: [object(), () => ({ content: [{ type: "audio", data: WAV, mimeType: "audio/wav" }] })],
  test_embedded_resource: [object(), () => ({ content: [{ type: "resource", resource: {
    uri: "test://embedded-resource", mimeType: "text/plain", text: "This is an embedded resource content.",
  } }] })],
  test_multiple_content_types: [object(), () => ({ content: [text("Multiple content types test:"), image, { type: "resource", resource: {
    uri: "test://mixed-content-resource", mimeType: "application/json", text: '{"test":"data","value":123}',
  } }] })],
  test_error_handling: [object(), () => ({ isError: true, ...says("This tool intentionally returns an error for testing") })],
  test_tool_with_logging: [object(), async (_, call) => {
    await steps(["Tool execution started", "Tool processing data", "Tool execution completed"], (data) => log(call, data));
    return says("logged");
  }],
  test_tool_with_progress: [object(), async (_, call) => {
    const progressToken = call.token;
    if (progressToken !== undefined) {
      await steps([0, 50, 100], (progress) => call.notify("notifications/progress", { progressToken, progress, total: 100 }));
    }
    return says("done");
  }],
  test_sampling: [object({ prompt: string }, ["prompt"]), async ({ prompt }, call) =>
    says(`LLM response: ${(await call.ask({ answer: sample(prompt) })).answer.content.text}`)],
  test_elicitation: [object({ message: string }, ["message"]), async ({ message }, call) => {
    const asked = form(message, { username: string, email: string }, ["username", "email"]);
    return says(`User response: ${heard((await call.ask({ answer: asked })).answer)}`);
  }],
  test_elicitation_sep1034_defaults: [object(), async (_, call) =>
    says(`Elicitation completed: ${heard((await call.ask({ answer: form("Defaults", DEFAULTS, []) })).answer)}`)],
  test_elicitation_sep1330_enums: [object(), async (_, call) =>
    says(`Elicitation completed: ${heard((await call.ask({ answer: form("Choices", ENUMS, []) })).answer)}`)],
  json_schema_2020_12_tool: [SCHEMA, () => says("valid")],
  test_reconnection: [object(), async (_, call) => {
    call.closeStream();
    await pause(2 * STEP);
    return says("reconnected");
  }],
  test_missing_capability: [object(), (_, call) => call.capabilities.sampling ? says("sampling") : call.refuse({ sampling: {} })],
  test_streaming_elicitation: [object(), async (_, call) => says(heard((await call.ask({ user_name: NAME })).user_name))],
  test_logging_tool: [object(), async (_, call) => {
    await log(call, "only for those who want it");
    return says("logged");
  }],
  test_trigger_tool_change: [object(), (_, call) => call.changed("tools") ?? says("changed")],
  test_trigger_prompt_change: [object(), (_, call) => call.changed("prompts") ?? says("changed")],
  test_input_required_result_elicitation: [object(), async (_, call) =>
    says(`Hello, ${(await call.ask({ user_name: NAME })).user_name.content?.name}!`)],
  test_input_required_result_sampling: [object(), async (_, call) =>
    says((await call.ask({ capital_question: sample("What is the capital of France?") })).capital_question.content.text)],
  test_input_required_result_list_roots: [object(), async (_, call) =>
    says(JSON.stringify((await call.ask({ client_roots: roots })).client_roots.roots))],
  test_input_required_result_request_state: [object(), async (_, call) => {
    await call.ask({ confirm: form("Sure?", { ok: { type: "boolean" } }, ["ok"]) });
    return says("state-ok");
  }],
  test_input_required_result_tampered_state: [object(), async (_, call) => {
    await call.ask({ confirm: form("Sure?", { ok: { type: "boolean" } }, ["ok"]) });
    return says("state-ok");
  }],
  test_input_required_result_multiple_inputs: [object(), async (_, call) => {
    const asked = await call.ask({ user_name: NAME, greeting: sample("Greet", 50), client_roots: roots });
    return says(`${asked.user_name.content?.name} ${asked.greeting.content.text} ${asked.client_roots.roots.length}`);
  }],
  test_input_required_result_multi_round: [object(), async (_, call) => {
    const { step1 } = await call.ask({ step1: form("First", { name: string }, ["name"]) });
    const { step2 } = await call.ask({ step2: form("Second", { color: string }, ["color"]) });
    return says(`${JSON.stringify(step1.content)} ${JSON.stringify(step2.content)}`);
  }],
  test_input_required_result_capabilities: [object(), async (_, call) => {
    const asked = {};
    if (call.capabilities.elicitation) asked.user_name = NAME;
    if (call.capabilities.sampling) asked.greeting = sample("Greet");
    return says(JSON.stringify(await call.ask(asked)));
  }],
  test_x_mcp_header: [object({ region: { ...string, "x-mcp-header": "Region" } }), ({ region }) => says(`region ${region}`)],
  // For the matrix.
  "odd näme (1)": [object(), () => says("odd")],
  test_numbers: [object({ number: { type: "integer" } }), (given) => says(JSON.stringify(given))],
  test_wait: [object(), async (_, call) => {
    await log(call, "waiting");
    await new Promise((over) => call.signal.addEventListener("abort", over));
    waits.cancelled += 1;
    return says("too late");
  }],
  test_cancelled: [object(), () => says(String(waits.cancelled))],
  test_touch: [object(), (_, call) => call.changed("watched") ?? says("touched")],
};
const waits = { cancelled: 0 };

const argument = (name) => ({ name, description: `The ${name}`, required: true });
const says_user = (...contents) => ({ messages: contents.map((content) => ({ role: "user", content })) });
const PROMPTS = {
  test_simple_prompt: [[], () => says_user(text("This is a simple prompt for testing."))],
  test_prompt_with_arguments: [["arg1", "arg2"], ({ arg1, arg2 }) =>
    says_user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  test_prompt_with_embedded_resource: [["resourceUri"], ({ resourceUri: uri }) => says_user(
    { type: "resource", resource: { uri, mimeType: "text/plain", text: "Embedded resource content for testing." } },
    text("Please process the embedded resource above."))],
  test_prompt_with_image: [[], () => says_user(image, text("Please analyze the image above."))],
  test_input_required_result_prompt: [[], async (_, call) =>
    says_user(text((await call.ask({ user_context: form("Context?", { context: string }, ["context"]) })).user_context.content?.context))],
};

const RESOURCES = [
  { uri: "test://static-text", mimeType: "text/plain", text: "This is the content of the static text resource." },
  { uri: "test://static-binary", mimeType: "image/png", blob: PNG },
  { uri: "test://watched-resource", mimeType: "text/plain", text: "Watched" },
];
const TEMPLATES = [
  { name: "data", uriTemplate: "test://template/{id}/data", mimeType: "application/json" },
  { name: "more", uriTemplate: "test://more/{id}", mimeType: "application/json" },
];

function read(uri, call) {
  const known = RESOURCES.find((resource) => resource.uri === uri);
  if (known) return { contents: [known] };
  const [, id] = uri.match(/^test:\/\/template\/(.+)\/data$/) ?? [];
  if (!id) return call.unknownResource(uri);
  return { contents: [{ uri, mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }] };
}

const METHODS = {
  "tools/list": () => ({ tools: Object.entries(TOOLS).map(([name, [inputSchema]]) => ({ name, description: `The tool ${name}`, inputSchema })) }),
  "tools/call": ({ name, arguments: given = {} }, call) => TOOLS[name]?.[1](given, call) ?? call.invalid(`no tool ${name}`),
  "prompts/list": () => ({ prompts: Object.entries(PROMPTS).map(([name, [named]]) =>
    ({ name, description: `The prompt ${name}`, ...(named.length && { arguments: named.map(argument) }) })) }),
  "prompts/get": ({ name, arguments: given = {} }, call) => PROMPTS[name]?.[1](given, call) ?? call.invalid(`no prompt ${name}`),
  "resources/list": () => ({ resources: RESOURCES.map(({ uri, mimeType }) => ({ uri, name: uri.slice("test://".length), mimeType })) }),
  "resources/read": ({ uri }, call) => read(uri, call),
  // One per page.
  "resources/templates/list": ({ cursor = "page-0" }) => {
    const page = Number(cursor.slice("page-".length));
    const next = page + 1 < TEMPLATES.length ? { nextCursor: `page-${page + 1}` } : {};
    return { resourceTemplates: [TEMPLATES[page]], ...next };
  },
  "completion/complete": ({ argument: { value } }) => ({ completion: { values: [`${value}-one`, `${value}-two`], hasMore: false } }),
};

export const NAMES = Object.keys(METHODS);

/** The result of one request. */
export const answer = (method, params, call) => METHODS[method](params ?? {}, call);
