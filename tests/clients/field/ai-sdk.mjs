// @ai-sdk/mcp, the client of Vercel's AI SDK.
// usage: node ai-sdk.mjs ORIGIN
import { strict as assert } from "node:assert";
import { auth, createMCPClient } from "@ai-sdk/mcp";
import { runSteps } from "../steps.mjs";
import { logIn } from "../ts/person.mjs";
import { Keeper, REDIRECT_URI } from "./keeper.mjs";

const url = new URL("/mcp", process.argv[2]).href;
const keeper = new Keeper("AI SDK");
let client, tools;
await runSteps({
  "it registers and logs in": async () => {
    await assert.rejects(createMCPClient({ transport: { type: "http", url, authProvider: keeper } }));
    const { callback } = await logIn(keeper.link, REDIRECT_URI);
    const { code, state, iss } = Object.fromEntries(callback.searchParams);
    const settled = await auth(keeper, { serverUrl: url, authorizationCode: code, callbackState: state, callbackIssuer: iss });
    assert.equal(settled, "AUTHORIZED");
  },
  "it lists the tools": async () => {
    client = await createMCPClient({ transport: { type: "http", url, authProvider: keeper } });
    tools = await client.tools();
    assert.ok(tools.greet, Object.keys(tools).join());
  },
  "greet greets": async () => {
    const { content } = await tools.greet.execute({ name: "Ada" }, { messages: [], toolCallId: "1" });
    assert.equal(content[0].text, "Hello, Ada!");
  },
  "a token that is over is refreshed without a person": async () => {
    keeper.link = undefined;
    keeper.current = { ...keeper.current, access_token: "mcp_at_over" };
    const { content } = await tools.greet.execute({ name: "Grace" }, { messages: [], toolCallId: "2" });
    assert.equal(content[0].text, "Hello, Grace!");
    assert.equal(keeper.link, undefined);
    await client.close();
  },
});
