// mcp-remote, which connects local programs to a remote server over stdio, and opens a browser and listens for the callback itself.
// usage: node walk.mjs ORIGIN, with a browser in BROWSER; node walk.mjs 0.1.2 ORIGIN for that version, which supports no protocol
// version after 2024-11-05
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { runSteps } from "../steps.mjs";
import { freePort } from "../ts/demo.mjs";

const old = process.argv[2] === "0.1.2";
const remote = fileURLToPath(new URL(`${old ? "../field/" : ""}node_modules/.bin/mcp-remote`, import.meta.url));
const endpoint = new URL("/mcp", process.argv.at(-1)).href;
const port = `${await freePort()}`;
const INITIALIZE = { protocolVersion: old ? "2024-11-05" : "2025-11-25", capabilities: {}, clientInfo: { name: "walk", version: "1" } };

/** A running mcp-remote, as a program that speaks MCP on stdio sees it. */
class Local {
  constructor(...options) {
    const args = [remote, endpoint, port, "--allow-http", "--transport", "http-only", ...options];
    this.child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.said = "";
    this.child.stderr.on("data", (chunk) => (this.said += chunk));
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.id = 0;
  }

  send(message) {
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }

  /** The result of a request; what else arrives before it is passed over. */
  async ask(method, params) {
    const id = ++this.id;
    this.send({ id, method, params });
    for (let line; !(line = await this.lines.next()).done; ) {
      const message = JSON.parse(line.value);
      if (message.id !== id) continue;
      assert.ok(message.result, `${line.value}\n${this.said}`);
      return message.result;
    }
    throw new Error(`mcp-remote ended:\n${this.said}`);
  }

  async initialize() {
    const { protocolVersion } = await this.ask("initialize", INITIALIZE);
    assert.equal(protocolVersion, INITIALIZE.protocolVersion);
    this.send({ method: "notifications/initialized" });
  }

  async greet() {
    const { content } = await this.ask("tools/call", { name: "greet", arguments: { name: "Ada" } });
    assert.equal(content[0].text, "Hello, Ada!");
  }

  async end() {
    const ended = once(this.child, "exit");
    if (old) this.child.kill(); // it does not end with its input
    else this.child.stdin.end();
    await ended;
  }
}

let local = new Local();
await runSteps({
  "it registers, logs in and passes initialize on": async () => {
    await local.initialize();
    assert.match(local.said, /Please authorize this client/);
  },
  "it lists the tools": async () => {
    const names = (await local.ask("tools/list", {})).tools.map(({ name }) => name);
    assert.ok(names.includes("greet"), names.join());
  },
  "greet greets": () => local.greet(),
  "started again, in the newer era where it has one, it needs no person": async () => {
    await local.end();
    local = new Local(...(old ? [] : ["--protocol", "auto"]));
    await local.initialize();
    await local.greet();
    assert.doesNotMatch(local.said, /Please authorize this client/);
    await local.end();
  },
});
