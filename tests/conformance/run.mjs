// The official conformance suites, run against examples/conformance behind its real login.
// usage: node run.mjs SERVER OUTPUT-DIRECTORY
import { join, resolve } from "node:path";
import { freePort, startDemo } from "../clients/ts/demo.mjs";
import { logIn } from "../clients/ts/person.mjs";
import { LATEST, REDIRECT_URI, register, STABLE, suite, token, withToken } from "./suite.mjs";

const [server, output] = process.argv.slice(2).map((path) => resolve(path));

/** A client that asked for no more than `mcp` meets a tool that needs more, and follows the challenge. */
async function stepUp(origin) {
  const clientId = await register(origin, REDIRECT_URI, "mcp");
  const params = { name: "scoped", arguments: {}, _meta: {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  } };
  const call = (bearer) =>
    fetch(`${origin}/mcp`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${bearer}`,
        accept: "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "scoped",
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params }),
    });
  const refused = await call(await token(origin, "mcp", clientId));
  const challenge = refused.headers.get("www-authenticate") ?? "";
  const scope = challenge.match(/ scope="([^"]*)"/)?.[1];
  const checks = { "403": refused.status === 403, "insufficient_scope": /error="insufficient_scope"/.test(challenge), scope: scope === "conformance:more mcp" };
  checks.served = (await call(await token(origin, scope, clientId))).status === 200;
  const failed = Object.keys(checks).filter((check) => !checks[check]);
  return {
    name: "step-up",
    status: failed.length,
    printed: challenge,
    passed: Object.keys(checks).length - failed.length,
    failed: failed.map((id) => ({ id })),
    warned: [],
  };
}

/** The suite of authorization servers prints a link and waits for the browser to come back. */
async function authorization(origin) {
  const port = await freePort();
  const redirectUri = `http://127.0.0.1:${port}/callback`;
  const clientId = await register(origin, redirectUri);
  const args = ["authorization", "--url", origin, "--client-id", clientId, "-p", String(port), "--resource", `${origin}/mcp`];
  const visits = [];
  const onLine = (line) => {
    const link = line.match(/https?:\/\/\S+\/authorize\?\S+/)?.[0];
    if (link) visits.push(logIn(link, redirectUri).then(({ callback }) => fetch(callback)).catch((error) => console.error(error)));
  };
  const result = await suite(join(output, "authorization"), [LATEST, ...args], { onLine });
  await Promise.all(visits);
  return result;
}

function report({ name, status, printed, passed, failed, warned }) {
  const good = status === 0 && passed > 0 && failed.length === 0;
  console.log(`${name}: ${passed} passed, ${failed.length} failed, ${warned.length} warnings, exit ${status}`);
  for (const { id, errorMessage } of warned) console.log(`  warning ${id}: ${errorMessage ?? ""}`);
  for (const { id, errorMessage } of failed) console.error(`  FAILED ${id}: ${errorMessage ?? ""}`);
  if (!good) console.error(printed);
  return { passed, failed: good ? 0 : Math.max(1, failed.length) };
}

// Documents of clients are enabled, as by default outside of a demo: the suite checks whether they are offered.
const demo = await startDemo(server, { MCP_CLIENT_DOCUMENTS: "on" });
const results = [];
try {
  const env = await withToken(demo.origin);
  const url = ["server", "--url", `${demo.origin}/mcp`];
  const runs = [
    ["2025-11-25", [LATEST, ...url, "--requirements", "2025-11-25"]],
    ["2026-07-28", [LATEST, ...url, "--requirements", "2026-07-28"]],
    ["stable-active", [STABLE, ...url, "--suite", "active"]],
    ["stable-all", [STABLE, ...url, "--suite", "all"]],
  ];
  for (const [name, args] of runs) results.push(report(await suite(join(output, name), args, { env })));
  results.push(report(await authorization(demo.origin)));
  results.push(report(await stepUp(demo.origin)));
} finally {
  await demo.stop();
}
const sum = (what) => results.reduce((total, result) => total + result[what], 0);
console.log(`Conformance: ${sum("passed")} passed, ${sum("failed")} failed`);
process.exit(sum("failed") ? 1 : 0);
