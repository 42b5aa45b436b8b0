// The official TypeScript SDK 2.x as a client without registration: its id is the URL of a document that describes it.
// usage: node document.mjs BINARY CERTIFICATES, in the network that ../document.sh makes
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import { startDemo } from "../ts/demo.mjs";
import { logIn } from "../ts/person.mjs";
import { runSteps } from "../steps.mjs";

const [binary, certificates] = process.argv.slice(2);
const REDIRECT_URI = "http://localhost:9/callback";
const DOCUMENT = "https://editor.example/client.json";

/** What the web server was asked, and at which of its addresses it was connected to. */
const asked = [];
const connections = [];

async function context(name) {
  const read = (kind) => readFile(join(certificates, `${name}.${kind}`));
  return { key: await read("key"), cert: await read("pem") };
}

/** Serves a client's document under every name, on every address of this network. */
async function publish() {
  const stranger = createSecureContext(await context("stranger"));
  const SNICallback = (name, done) => done(null, name === "stranger.example" ? stranger : undefined);
  const server = createServer({ ...(await context("known")), SNICallback }, ({ method, url, headers }, answer) => {
    asked.push({ method, url, headers });
    if (headers.host === "moved.example") return answer.writeHead(302, { location: DOCUMENT }).end();
    const client_id = `https://${headers.host}${url}`;
    const document = { client_id, client_name: "An editor", redirect_uris: [REDIRECT_URI] };
    answer.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));
  });
  server.on("connection", (socket) => connections.push(socket.localAddress));
  server.listen(443, "0.0.0.0");
  await once(server, "listening");
}

class Keeper {
  clientMetadataUrl = DOCUMENT;
  clientMetadata = { client_name: "An editor", redirect_uris: [REDIRECT_URI] };
  redirectUrl = REDIRECT_URI;
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

await publish();
const demo = await startDemo(binary, { MCP_CLIENT_DOCUMENTS: "on", MCP_CA_FILE: join(certificates, "trusted.pem") });
const keeper = new Keeper();
const connect = async () => {
  const client = new Client({ name: "walk", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL("/mcp", demo.origin), { authProvider: keeper });
  return { client, transport, done: client.connect(transport) };
};
/** The page for a client with this id, asked for as the SDK asks. */
const page = async (clientId) => {
  const link = new URL(keeper.link);
  link.searchParams.set("client_id", clientId);
  const answer = await fetch(link, { redirect: "manual" });
  return { status: answer.status, text: (await answer.text()).replace(/Reference: \w+/, "Reference") };
};
let connected;

await runSteps({
  "the SDK names its document and asks for a browser": async () => {
    const { transport, done } = await connect();
    await assert.rejects(done, UnauthorizedError);
    assert.equal(keeper.link.searchParams.get("client_id"), DOCUMENT);
    assert.deepEqual(asked, []);
    keeper.transport = transport;
  },
  "the consent page names the host that vouches for the client": async () => {
    const { status, text } = await page(DOCUMENT);
    assert.equal(status, 200);
    assert.match(text, /An editor.*<b>editor\.example<\/b>/s);
  },
  "the document was fetched once, plainly": async () => {
    assert.deepEqual(asked.map(({ method, url }) => `${method} ${url}`), ["GET /client.json"]);
    const { headers } = asked[0];
    assert.deepEqual([headers.accept, headers["accept-encoding"]], ["application/json", "identity"]);
    assert.ok(!headers.cookie && !headers.authorization && !headers.referer, JSON.stringify(headers));
  },
  "a person logs in, and the SDK gets tokens": async () => {
    const { callback } = await logIn(keeper.link, REDIRECT_URI);
    await keeper.transport.finishAuth(callback.searchParams);
    assert.ok(keeper.current.refresh_token);
  },
  "the SDK lists the tools and calls one": async () => {
    const { client, done } = await connect();
    await done;
    connected = client;
    assert.ok((await client.listTools()).tools.some(({ name }) => name === "greet"));
    const greeting = await client.callTool({ name: "greet", arguments: { name: "Ada" } });
    assert.equal(greeting.content[0].text, "Hello, Ada!");
  },
  "it refreshes, and nothing is fetched again": async () => {
    const before = keeper.current;
    keeper.current = { ...before, access_token: "mcp_at_over" };
    await connected.callTool({ name: "greet", arguments: { name: "Grace" } });
    assert.notEqual(keeper.current.refresh_token, before.refresh_token);
    assert.equal(asked.length, 1);
    await connected.close();
  },
  "documents behind redirects, strange certificates and addresses that are not public are none": async () => {
    const { text } = await page("https://missing.example/client.json");
    for (const host of ["moved", "stranger", "inside", "both"]) {
      assert.deepEqual(await page(`https://${host}.example/client.json`), { status: 400, text }, host);
    }
    assert.deepEqual(asked.map(({ headers }) => headers.host), ["editor.example", "moved.example"]);
    // The stranger was connected to and not trusted; if one address is not public, none is tried.
    assert.deepEqual(connections, ["1.1.1.1", "1.1.1.1", "1.1.1.1"]);
  },
  "the server saw no registration": async () => {
    const log = await demo.stop();
    assert.ok(!log.includes("route=register"), log);
  },
});
