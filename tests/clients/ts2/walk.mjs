// The official TypeScript SDK 2.x, in both eras.
// usage: node walk.mjs ORIGIN
import { strict as assert } from "node:assert";
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import { runSteps } from "../steps.mjs";
import { logIn } from "../ts/person.mjs";

const REDIRECT_URI = "http://localhost:9/callback";
const endpoint = new URL("/mcp", process.argv[2]);

/** What an MCP client keeps between requests, in memory. */
class Keeper {
  clientMetadata = { client_name: "TypeScript SDK 2", redirect_uris: [REDIRECT_URI] };
  redirectUrl = REDIRECT_URI;
  state = () => "state of the client &=?";
  clientInformation = () => this.client;
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.current;
  saveTokens = (tokens) => void (this.current = tokens);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  discoveryState = () => this.discovered;
  saveDiscoveryState = (state) => void (this.discovered = state);
  redirectToAuthorization = (url) => void (this.link = url);
}

/** A client that negotiates as `mode` says, and its transport; neither has sent anything. */
function start(keeper, mode) {
  const client = new Client({ name: "walk", version: "1" }, { versionNegotiation: { mode } });
  return { client, transport: new StreamableHTTPClientTransport(endpoint, { authProvider: keeper }) };
}

function stepsOf(era, mode, version) {
  const keeper = new Keeper();
  let connected;
  const greet = async (name) => (await connected.callTool({ name: "greet", arguments: { name } })).content[0].text;
  return {
    [`${era}: the first call is answered 401, and the SDK registers and asks for a browser`]: async () => {
      const { client, transport } = start(keeper, mode);
      await assert.rejects(client.connect(transport), UnauthorizedError);
      assert.equal(keeper.link.searchParams.get("resource"), endpoint.href);
      const { callback } = await logIn(keeper.link, REDIRECT_URI);
      assert.equal(callback.searchParams.get("state"), keeper.state());
      await transport.finishAuth(callback.searchParams);
      assert.ok(keeper.current.refresh_token);
    },
    [`${era}: the SDK settles on ${version} and lists the tools`]: async () => {
      const { client, transport } = start(keeper, mode);
      await client.connect(transport);
      connected = client;
      assert.equal(client.getNegotiatedProtocolVersion(), version);
      const names = (await client.listTools()).tools.map(({ name }) => name);
      assert.ok(names.includes("greet"), names.join());
    },
    [`${era}: greet greets`]: async () => assert.equal(await greet("Ada"), "Hello, Ada!"),
    [`${era}: a token that is over is refreshed without a person`]: async () => {
      const before = keeper.current;
      keeper.link = undefined;
      keeper.current = { ...before, access_token: "mcp_at_over" };
      assert.equal(await greet("Grace"), "Hello, Grace!");
      assert.notEqual(keeper.current.refresh_token, before.refresh_token);
      assert.equal(keeper.link, undefined);
      await connected.close();
    },
  };
}

await runSteps({
  ...stepsOf("legacy", "legacy", "2025-11-25"),
  ...stepsOf("auto", "auto", "2026-07-28"),
  ...stepsOf("pinned", { pin: "2026-07-28" }, "2026-07-28"),
});
