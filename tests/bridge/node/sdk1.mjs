// The fixture on the TypeScript SDK 1.x.
// usage: node sdk1.mjs stdio | PORT
import { randomUUID } from "node:crypto";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { answer, CAPABILITIES, INFO, INSTRUCTIONS, NAMES } from "./fixture.mjs";

const SCHEMAS = {
  "tools/list": types.ListToolsRequestSchema,
  "tools/call": types.CallToolRequestSchema,
  "prompts/list": types.ListPromptsRequestSchema,
  "prompts/get": types.GetPromptRequestSchema,
  "resources/list": types.ListResourcesRequestSchema,
  "resources/read": types.ReadResourceRequestSchema,
  "resources/templates/list": types.ListResourceTemplatesRequestSchema,
  "completion/complete": types.CompleteRequestSchema,
};

function fail(code, message, data) {
  throw new types.McpError(code, message, data);
}

function fixture() {
  const server = new Server(INFO, { capabilities: CAPABILITIES, instructions: INSTRUCTIONS });
  const watched = new Set();
  const changed = {
    tools: () => server.sendToolListChanged(),
    prompts: () => server.sendPromptListChanged(),
    watched: () => watched.forEach((uri) => server.sendResourceUpdated({ uri })),
  };
  for (const method of NAMES) {
    server.setRequestHandler(SCHEMAS[method], (request, extra) =>
      answer(method, request.params, {
        notify: (method, params) => extra.sendNotification({ method, params }),
        async ask(questions) {
          const asked = Object.entries(questions).map(async ([key, question]) => [key, await extra.sendRequest(question, types.ResultSchema)]);
          return Object.fromEntries(await Promise.all(asked));
        },
        refuse: (capabilities) => fail(types.ErrorCode.InvalidRequest, `missing: ${Object.keys(capabilities)}`),
        invalid: (message) => fail(types.ErrorCode.InvalidParams, message),
        unknownResource: (uri) => fail(-32002, "Resource not found", { uri }),
        changed: (what) => void changed[what](),
        closeStream: () => extra.closeSSEStream?.(),
        token: extra._meta?.progressToken,
        capabilities: server.getClientCapabilities() ?? {},
        signal: extra.signal,
      }));
  }
  server.setRequestHandler(types.SubscribeRequestSchema, ({ params }) => (watched.add(params.uri), {}));
  server.setRequestHandler(types.UnsubscribeRequestSchema, ({ params }) => (watched.delete(params.uri), {}));
  return server;
}

function listen(port) {
  const sessions = new Map();
  const app = createMcpExpressApp();
  app.use((request, response, next) => {
    const { origin, host } = request.headers;
    if (origin && origin !== `http://${host}`) return response.status(403).end();
    next();
  });
  app.all("/mcp", async (request, response) => {
    const id = request.headers["mcp-session-id"];
    let transport = sessions.get(id);
    if (!transport && request.method === "POST" && types.isInitializeRequest(request.body)) {
      transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (id) => sessions.set(id, transport) });
      transport.onclose = () => sessions.delete(transport.sessionId);
      await fixture().connect(transport);
    }
    if (!transport) return response.status(id ? 404 : 400).end();
    await transport.handleRequest(request, response, request.body);
  });
  app.listen(port, "127.0.0.1");
}

if (process.argv[2] === "stdio") await fixture().connect(new StdioServerTransport());
else listen(Number(process.argv[2]));
