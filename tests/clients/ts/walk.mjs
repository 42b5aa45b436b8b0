// The official TypeScript SDK, with its own OAuth code, against `mcp-oauth-server demo`.
// usage: node walk.mjs BINARY
import { strict as assert } from "node:assert";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LoggingMessageNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { startDemo } from "./demo.mjs";
import { logIn } from "./person.mjs";

const REDIRECT_URI = "http://localhost:9/callback";

/** What an MCP client keeps between requests, in memory. */
class Keeper {
  clientMetadata = { client_name: "TypeScript SDK", redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: "none" };
  redirectUrl = REDIRECT_URI;
  state = () => "state of the client &=?";
  clientInformation = () => this.client;
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.current;
  saveTokens = (tokens) => void (this.current = tokens);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  redirectToAuthorization = (url) => void (this.link = url);
  invalidateCredentials(scope) {
    if (scope !== "verifier") this.current = undefined;
    if (scope === "all" || scope === "client") this.client = undefined;
  }
}

const binary = process.argv[2];
const demo = await startDemo(binary, { MCP_LEGACY_SSE: "on" });
const endpoint = new URL("/mcp", demo.origin);
const keeper = new Keeper();
const logs = [];

async function connect() {
  const client = new Client({ name: "walk", version: "1" });
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void logs.push(params));
  const transport = new StreamableHTTPClientTransport(endpoint, { authProvider: keeper });
  await client.connect(transport);
  return { client, transport };
}

const ask = (token) =>
  fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "walk", version: "1" } } }),
  });
const greet = async (client, name) => (await client.callTool({ name: "greet", arguments: { name } })).content[0].text;

let first, connected;
const steps = {
  "a call without a token is answered 401 and a challenge": async () => {
    const answer = await ask();
    assert.equal(answer.status, 401);
    assert.match(answer.headers.get("www-authenticate"), /^Bearer .*resource_metadata="http/);
  },
  "the SDK discovers the server, registers and asks for a browser": async () => {
    first = new StreamableHTTPClientTransport(endpoint, { authProvider: keeper });
    await assert.rejects(new Client({ name: "walk", version: "1" }).connect(first), UnauthorizedError);
    assert.equal(keeper.link.origin + keeper.link.pathname, `${demo.origin}/authorize`);
    assert.equal(keeper.link.searchParams.get("resource"), endpoint.href);
    assert.ok(keeper.client.client_id);
  },
  "a person says yes to us, then to GitHub, and the client is told": async () => {
    const { callback, seen } = await logIn(keeper.link, REDIRECT_URI);
    assert.equal(callback.searchParams.get("state"), keeper.state());
    assert.equal(callback.searchParams.get("iss"), demo.origin);
    assert.ok(seen.includes(`post ${demo.origin}/consent`), seen.join(", "));
    await first.finishAuth(callback.searchParams.get("code"));
    assert.ok(keeper.current.refresh_token);
    assert.equal((await ask(keeper.current.access_token)).status, 200);
  },
  "the SDK connects and lists the tools": async () => {
    connected = await connect();
    assert.ok(connected.transport.sessionId);
    const names = (await connected.client.listTools()).tools.map(({ name }) => name);
    for (const name of ["greet", "multi-greet", "start-notification-stream"]) assert.ok(names.includes(name), names.join());
  },
  "greet greets": async () => assert.equal(await greet(connected.client, "Ada"), "Hello, Ada!"),
  "multi-greet says on the way what it does": async () => {
    const result = await connected.client.callTool({ name: "multi-greet", arguments: { name: "Ada" } });
    assert.equal(result.content[0].text, "Good morning, Ada!");
    assert.ok(logs.length >= 2, JSON.stringify(logs));
  },
  "prompts and resources are served": async () => {
    const prompt = await connected.client.getPrompt({ name: "greeting-template", arguments: { name: "Ada" } });
    assert.match(prompt.messages[0].content.text, /Ada/);
    const resource = await connected.client.readResource({ uri: "https://example.com/greetings/default" });
    assert.equal(resource.contents[0].text, "Hello, world!");
  },
  "a token that is over is refreshed without a person": async () => {
    const before = keeper.current;
    keeper.link = undefined;
    keeper.current = { ...before, access_token: "mcp_at_over" };
    assert.equal(await greet(connected.client, "Grace"), "Hello, Grace!");
    assert.notEqual(keeper.current.refresh_token, before.refresh_token);
    assert.equal(keeper.link, undefined);
  },
  "a session ends when the client says so": async () => {
    await connected.transport.terminateSession();
    await connected.client.close();
    connected = await connect();
    assert.equal(await greet(connected.client, "Ada"), "Hello, Ada!");
  },
  "a client of 2024-11-05 logs in and calls, too": async () => {
    const old = new Keeper();
    const transport = () => new SSEClientTransport(new URL("/sse", demo.origin), { authProvider: old });
    const asking = transport();
    await assert.rejects(new Client({ name: "old", version: "1" }).connect(asking), UnauthorizedError);
    const { callback } = await logIn(old.link, REDIRECT_URI);
    await asking.finishAuth(callback.searchParams.get("code"));
    const client = new Client({ name: "old", version: "1" });
    await client.connect(transport());
    assert.equal(await greet(client, "Ada"), "Hello, Ada!");
    await client.close();
  },
  "what is revoked is worth nothing": async () => {
    const metadata = await (await fetch(new URL("/.well-known/oauth-authorization-server", demo.origin))).json();
    const { access_token, refresh_token } = keeper.current;
    const body = new URLSearchParams({ token: refresh_token, client_id: keeper.client.client_id });
    assert.equal((await fetch(metadata.revocation_endpoint, { method: "POST", body })).status, 200);
    assert.equal((await ask(access_token)).status, 401);
    await assert.rejects(greet(connected.client, "Ada"), UnauthorizedError);
    assert.equal(keeper.link.pathname, "/authorize");
    await connected.client.close();
  },
};

let [passed, failed] = [0, 0];
for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
    passed++;
  } catch (error) {
    failed++;
    console.error(`FAILED: ${name}\n`, error);
    break; // each step depends on the one before
  }
}
const log = await demo.stop();
if (failed) console.error(log);
console.log(`TypeScript SDK: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
