// The fixture on the TypeScript SDK 2.x, in both eras, or in 2026-07-28 alone.
// usage: node sdk2.mjs stdio | PORT [modern]
import { randomBytes, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { localhostHostValidation, localhostOriginValidation, NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from "@modelcontextprotocol/node";
import {
  createMcpHandler, createRequestStateCodec, inputRequired, isInitializeRequest, isLegacyRequest,
  MissingRequiredClientCapabilityError, ProtocolError, ResourceNotFoundError, Server,
} from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { answer, CAPABILITIES, INFO, INSTRUCTIONS, NAMES } from "./fixture.mjs";

const CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const codec = createRequestStateCodec({ key: randomBytes(32) });
const [where, only] = process.argv.slice(2);
const legacy = only === "modern" ? "reject" : undefined;
const WATCHED = "test://watched-resource";
let broadcast;

class Asks extends Error {
  constructor(result) {
    super("input required");
    this.result = result;
  }
}

function fixture() {
  const options = { capabilities: CAPABILITIES, instructions: INSTRUCTIONS, requestState: { verify: codec.verify } };
  const server = new Server(INFO, options);
  // To all streams of 2026-07-28 over HTTP, and to the connection that caused the change.
  const changed = {
    tools: () => (broadcast?.toolsChanged(), server.sendToolListChanged()),
    prompts: () => (broadcast?.promptsChanged(), server.sendPromptListChanged()),
    watched: () => (broadcast?.resourceUpdated(WATCHED), server.sendResourceUpdated({ uri: WATCHED })),
  };
  const callOf = ({ mcpReq, http }) => {
    // The answers of earlier rounds are sent along by the client.
    const known = { ...(mcpReq.requestState() ?? {}), ...(mcpReq.inputResponses ?? {}) };
    return {
      notify: (method, params) =>
        method === "notifications/message" ? mcpReq.log(params.level, params.data, params.logger) : mcpReq.notify({ method, params }),
      async ask(questions) {
        const open = Object.entries(questions).filter(([key]) => !known[key]);
        if (open.length) throw new Asks(inputRequired({ inputRequests: Object.fromEntries(open), requestState: await codec.mint(known) }));
        return Object.fromEntries(Object.keys(questions).map((key) => [key, known[key]]));
      },
      refuse(requiredCapabilities) {
        throw new MissingRequiredClientCapabilityError({ requiredCapabilities });
      },
      invalid(message) {
        throw new ProtocolError(-32602, message);
      },
      unknownResource(uri) {
        throw new ResourceNotFoundError(uri);
      },
      changed: (what) => void changed[what]().catch(() => {}),
      closeStream: () => http?.closeSSE?.(),
      token: mcpReq._meta?.progressToken,
      capabilities: mcpReq.envelope?.[CLIENT_CAPABILITIES] ?? server.getClientCapabilities() ?? {},
      signal: mcpReq.signal,
    };
  };
  for (const method of NAMES) {
    server.setRequestHandler(method, async (request, context) => {
      try {
        return await answer(method, request.params, callOf(context));
      } catch (error) {
        if (error instanceof Asks) return error.result;
        throw error;
      }
    });
  }
  server.setRequestHandler("resources/subscribe", () => ({}));
  server.setRequestHandler("resources/unsubscribe", () => ({}));
  return server;
}

function listen(port) {
  const handler = createMcpHandler(fixture, { legacy: "reject" });
  const handle = toNodeHandler(handler);
  const [isHost, isOrigin] = [localhostHostValidation(), localhostOriginValidation()];
  const sessions = new Map();
  const serveLegacy = async (request, response, body) => {
    const id = request.headers["mcp-session-id"];
    let transport = sessions.get(id);
    if (!transport && isInitializeRequest(body)) {
      transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (id) => void sessions.set(id, transport) });
      transport.onclose = () => sessions.delete(transport.sessionId);
      await fixture().connect(transport);
    }
    if (!transport) return response.writeHead(id ? 404 : 400).end();
    await transport.handleRequest(request, response, body);
  };
  broadcast = handler.notify;
  createServer(async (request, response) => {
    if (!isHost(request, response) || !isOrigin(request, response)) return;
    let text = "";
    for await (const chunk of request) text += chunk;
    let body;
    try {
      body = text ? JSON.parse(text) : undefined;
    } catch {
      return response.writeHead(400).end();
    }
    if (legacy || !(await isLegacyRequest(await toWebRequest(request, body), body))) return handle(request, response, body);
    await serveLegacy(request, response, body);
  }).listen(port, "127.0.0.1");
}

if (where === "stdio") serveStdio(fixture, { legacy });
else listen(Number(where));
