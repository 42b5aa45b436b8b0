// The TypeScript SDK 1.x in the configuration of its own examples: Express, a session for each client, and one token.
// usage: PEER_TOKEN=… node sdk1.mjs PORT
import { randomUUID } from "node:crypto";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import * as z from "zod";

function greeter() {
  const server = new McpServer({ name: "bench", version: "1.0.0" });
  server.registerTool("greet", { description: "A simple greeting tool", inputSchema: { name: z.string() } },
    async ({ name }) => ({ content: [{ type: "text", text: `Hello, ${name}!` }] }));
  return server;
}

const verifier = {
  async verifyAccessToken(token) {
    if (token !== process.env.PEER_TOKEN) throw new InvalidTokenError("unknown");
    return { token, clientId: "bench", scopes: ["mcp"], expiresAt: Date.now() / 1000 + 3600 };
  },
};

const sessions = new Map();
const app = createMcpExpressApp();
app.use("/mcp", requireBearerAuth({ verifier }));
app.post("/mcp", async (request, response) => {
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport && isInitializeRequest(request.body)) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    transport.onclose = () => sessions.delete(transport.sessionId);
    await greeter().connect(transport);
  }
  if (!transport) return response.status(400).end();
  await transport.handleRequest(request, response, request.body);
});
for (const method of ["get", "delete"]) {
  app[method]("/mcp", async (request, response) => {
    const transport = sessions.get(request.headers["mcp-session-id"]);
    if (!transport) return response.status(404).end();
    await transport.handleRequest(request, response);
  });
}
app.listen(Number(process.argv[2]), "127.0.0.1");
