// GitHub Copilot CLI: logs in with /mcp auth; tools are called only by a model, so none is called.
// usage: node copilot.mjs ORIGIN, with a browser in BROWSER and a home of its own
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { runSteps } from "../steps.mjs";
import { Terminal } from "../terminal.mjs";

const copilot = fileURLToPath(new URL("node_modules/.bin/copilot", import.meta.url));
const endpoint = new URL("/mcp", process.argv[2]).href;
let terminal;
await runSteps({
  "copilot mcp add takes the address": () => void execFileSync(copilot, ["mcp", "add", "--transport", "http", "demo", endpoint], { stdio: "ignore", timeout: 60_000 }),
  "it starts": async () => {
    terminal = await Terminal.start(`cd "${process.env.HOME}" && "${copilot}"`);
    await terminal.see(/Do you trust the files/);
    await terminal.type("");
  },
  "/mcp auth logs in": async () => {
    await terminal.see(/\/ commands/);
    await terminal.type("/mcp auth demo");
    await terminal.see(/Successfully authenticated with demo/);
    await terminal.type("");
  },
  "/mcp show lists the tools": async () => {
    await terminal.tmux("send-keys", "-t", "walk", "Escape");
    await terminal.see(/\/ commands/);
    await terminal.type("/mcp show demo");
    await terminal.see(/tools \(4\)[^]*greet/);
    await terminal.end();
  },
});
