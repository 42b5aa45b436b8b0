// Codex CLI: registers, opens the browser, stores its login, and calls tools for the programs that embed it.
// usage: node codex.mjs [TOOL ARGUMENTS ANSWER] ORIGIN, with a browser in BROWSER and a home of its own
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { runSteps } from "../steps.mjs";

const codex = fileURLToPath(new URL("node_modules/.bin/codex", import.meta.url));
const endpoint = new URL("/mcp", process.argv.at(-1)).href;
const [tool, words, answer] = process.argv.length > 3 ? process.argv.slice(2) : ["greet", '{"name":"Ada"}', "Hello, Ada!"];
const call = (...words) => execFileSync(codex, words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
mkdirSync(join(process.env.HOME, ".codex"));

/** `codex app-server`: requests and answers, a line of JSON each. */
class AppServer {
  constructor() {
    this.child = spawn(codex, ["app-server"], { stdio: ["pipe", "pipe", "ignore"] });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.id = 0;
  }

  send(message) {
    this.child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  async ask(method, params) {
    const id = ++this.id;
    this.send({ id, method, params });
    for (let line; !(line = await this.lines.next()).done; ) {
      const message = JSON.parse(line.value);
      if (message.id !== id) continue;
      assert.ok(message.result, line.value);
      return message.result;
    }
    throw new Error("codex app-server ended");
  }
}

let server, thread;
await runSteps({
  "codex mcp add finds the login and goes through it": () => assert.match(call("mcp", "add", "demo", "--url", endpoint), /Successfully logged in/),
  "codex mcp login does so again": () => assert.match(call("mcp", "login", "demo"), /Successfully logged in/),
  "it lists the tools": async () => {
    server = new AppServer();
    await server.ask("initialize", { clientInfo: { name: "walk", version: "1" }, capabilities: { experimentalApi: true } });
    server.send({ method: "initialized" });
    const { data } = await server.ask("mcpServerStatus/list", {});
    assert.ok(data[0].tools[tool], JSON.stringify(data));
  },
  "it calls one": async () => {
    ({ thread } = await server.ask("thread/start", { cwd: process.env.HOME }));
    const result = await server.ask("mcpServer/tool/call", { threadId: thread.id, server: "demo", tool, arguments: JSON.parse(words) });
    assert.equal(result.content[0].text, answer);
    server.child.kill();
  },
});
