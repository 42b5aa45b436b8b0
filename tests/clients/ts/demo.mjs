// Starts `mcp-oauth-server demo` on a free port with a state directory of its own, and ends both.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** A TCP port of this machine that nobody listens on. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** The origin of a running demo, and `stop()`, which gives back what it wrote to its log. `args` follow `demo` on its command line. */
export async function startDemo(binary, options = {}, args = []) {
  const origin = `http://127.0.0.1:${await freePort()}`;
  const state = await mkdtemp(join(tmpdir(), "mcp-oauth-server-clients-"));
  const env = { MCP_LISTEN: new URL(origin).host, MCP_STATE_DIR: state, ...options };
  const child = spawn(binary, ["demo", ...args], { env, stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk) => (log += chunk));
  const ended = once(child, "close"); // with the last line of the log
  const metadata = `${origin}/.well-known/oauth-authorization-server`;
  for (let tries = 0; !(await fetch(metadata).then((answer) => answer.ok, () => false)); tries++) {
    if (child.exitCode !== null || tries > 3000) throw new Error(`${binary} is not ready; it says:\n${log}`);
    await pause(20);
  }
  const stop = async () => {
    child.kill("SIGTERM");
    const [code] = await ended;
    await rm(state, { recursive: true, force: true });
    if (code !== 0) throw new Error(`${binary} ended with ${code}:\n${log}`);
    return log;
  };
  return { origin, stop };
}
