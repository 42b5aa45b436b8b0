// The TypeScript SDK 2 on node:http: its handler for 2026-07-28, and one token.
// usage: PEER_TOKEN=… node sdk2.mjs PORT
import { createServer } from "node:http";
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";

const handle = toNodeHandler(createMcpHandler(() => {
  const server = new McpServer({ name: "bench", version: "1.0.0" });
  server.registerTool("greet", { description: "A simple greeting tool", inputSchema: z.object({ name: z.string() }) },
    async ({ name }) => ({ content: [{ type: "text", text: `Hello, ${name}!` }] }));
  return server;
}));
const isHost = localhostHostValidation();
const isOrigin = localhostOriginValidation();
const expected = `Bearer ${process.env.PEER_TOKEN}`;

createServer((request, response) => {
  if (!isHost(request, response) || !isOrigin(request, response)) return;
  if (request.headers.authorization !== expected) return response.writeHead(401).end();
  handle(request, response);
}).listen(Number(process.argv[2]), "127.0.0.1");
