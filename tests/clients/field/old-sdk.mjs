// The official TypeScript SDK 1.10, which supports no protocol version after 2024-11-05 and rejects any other.
// usage: node old-sdk.mjs ORIGIN
import { strict as assert } from "node:assert";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { runSteps } from "../steps.mjs";
import { logIn } from "../ts/person.mjs";
import { Keeper, REDIRECT_URI } from "./keeper.mjs";

const endpoint = new URL("/mcp", process.argv[2]);
const keeper = new Keeper("TypeScript SDK 1.10");
const transport = () => new StreamableHTTPClientTransport(endpoint, { authProvider: keeper });
const client = new Client({ name: "walk", version: "1" });
await runSteps({
  "it registers and logs in": async () => {
    const asking = transport();
    await assert.rejects(new Client({ name: "walk", version: "1" }).connect(asking), UnauthorizedError);
    const { callback } = await logIn(keeper.link, REDIRECT_URI);
    await asking.finishAuth(callback.searchParams.get("code"));
  },
  "it accepts the version and lists the tools": async () => {
    await client.connect(transport());
    assert.ok((await client.listTools()).tools.some(({ name }) => name === "greet"));
  },
  "greet greets": async () => {
    const { content } = await client.callTool({ name: "greet", arguments: { name: "Ada" } });
    assert.equal(content[0].text, "Hello, Ada!");
    await client.close();
  },
});
