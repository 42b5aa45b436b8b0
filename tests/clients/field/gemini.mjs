// Gemini CLI: sends HEAD /mcp for the challenge, logs in with /mcp auth; tools are called only by a model, so none is called.
// usage: node gemini.mjs ORIGIN, with a browser in BROWSER and a home of its own
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runSteps } from "../steps.mjs";
import { Terminal } from "../terminal.mjs";

const gemini = fileURLToPath(new URL("node_modules/.bin/gemini", import.meta.url));
const directory = join(process.env.HOME, ".gemini");
mkdirSync(directory);
writeFileSync(join(directory, "settings.json"), JSON.stringify({
  mcpServers: { demo: { httpUrl: new URL("/mcp", process.argv[2]).href } },
  security: { auth: { selectedType: "gemini-api-key" }, folderTrust: { enabled: false } },
  general: { disableAutoUpdate: true },
  privacy: { usageStatisticsEnabled: false },
}));

const terminal = await Terminal.start(`cd "${process.env.HOME}" && GEMINI_API_KEY=none "${gemini}" --skip-trust`);
process.on("exit", () => terminal.end());
await runSteps({
  "it starts": () => terminal.see(/Type your message/),
  "/mcp auth logs in": async () => {
    await terminal.type("/mcp auth demo");
    await terminal.see(/Do you want to continue/);
    await terminal.type("");
    await terminal.see(/Successfully authenticated and reloaded tools/);
  },
  "/mcp list lists the tools": async () => {
    await terminal.type("/mcp list");
    await terminal.see(/demo - Ready \(4 tools[^]*mcp_demo_greet/);
    await terminal.end();
  },
});
