// @mastra/mcp, which does not register: its client is configured in the operator's file MCP_CLIENTS.
// usage: node mastra.mjs ORIGIN, with a browser in BROWSER and the client's id in CLIENT_ID
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { MCPClient, MCPOAuthClientProvider } from "@mastra/mcp";
import { runSteps } from "../steps.mjs";
import { freePort } from "../ts/demo.mjs";

const redirectUrl = `http://127.0.0.1:${await freePort()}/callback`;
const authProvider = new MCPOAuthClientProvider({
  redirectUrl,
  clientMetadata: { client_name: "Mastra", redirect_uris: [redirectUrl], token_endpoint_auth_method: "none" },
  clientInformation: { client_id: process.env.CLIENT_ID },
  onRedirectToAuthorization: (link) => void spawn(process.env.BROWSER, [link.href], { stdio: "ignore" }),
});
const client = new MCPClient({ servers: { demo: { url: new URL("/mcp", process.argv[2]), authProvider } } });
let tools;
await runSteps({
  "it logs in": () => client.authenticate("demo", { timeoutMs: 30_000 }),
  "it lists the tools": async () => {
    tools = await client.listTools();
    assert.ok(tools.demo_greet, Object.keys(tools).join());
  },
  "greet greets": async () => {
    const result = await tools.demo_greet.execute({ name: "Ada" }, {});
    assert.match(JSON.stringify(result), /Hello, Ada!/);
    await client.disconnect();
  },
});
