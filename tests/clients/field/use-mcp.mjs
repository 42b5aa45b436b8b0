// use-mcp, a React hook for web pages, which logs in through a popup: three logins, each in a fresh browser profile.
// usage: node use-mcp.mjs ORIGIN, with a Chromium in CHROMIUM; ORIGIN allows the page's origin, which is PAGE
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:http";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { runSteps } from "../steps.mjs";

const url = new URL("/mcp", process.argv[2]).href;
const APP = `
  import { createElement } from "react";
  import { createRoot } from "react-dom/client";
  import { onMcpAuthorization } from "use-mcp";
  import { useMcp } from "use-mcp/react";

  function Page() {
    const mcp = useMcp({ url: ${JSON.stringify(url)}, clientName: "use-mcp", callbackUrl: location.origin + "/oauth/callback", autoReconnect: false });
    window.mcp = mcp;
    return createElement("div", null,
      createElement("p", { id: "state" }, mcp.state), createElement("p", { id: "error" }, mcp.error),
      createElement("p", { id: "tools" }, mcp.tools.map(({ name }) => name).join()),
      createElement("button", { onClick: () => mcp.authenticate() }, "Log in"));
  }
  if (location.pathname === "/oauth/callback") onMcpAuthorization();
  else createRoot(document.getElementById("root")).render(createElement(Page));
`;
const bundle = await build({
  stdin: { contents: APP, resolveDir: import.meta.dirname ?? new URL(".", import.meta.url).pathname }, bundle: true, format: "esm", write: false,
  define: { "process.env.NODE_ENV": '"production"' }, logLevel: "silent",
});
const app = createServer((request, answer) => {
  if (request.url === "/app.js") answer.setHeader("content-type", "text/javascript").end(bundle.outputFiles[0].contents);
  else answer.setHeader("content-type", "text/html").end('<!doctype html><title>page</title><div id="root"></div><script type="module" src="/app.js"></script>');
}).listen(new URL(process.env.PAGE).port, "127.0.0.1");
await once(app, "listening");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"] });

async function logIn() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(process.env.PAGE);
  // A popup that no click opened is blocked; the page then offers a button.
  const button = page.getByRole("button", { name: "Log in" });
  let popup = context.pages().find((other) => other !== page);
  if (!popup) {
    const opened = context.waitForEvent("page");
    await page.locator("#state", { hasText: /pending_auth|failed|authenticating/ }).waitFor();
    popup = context.pages().find((other) => other !== page);
    if (!popup) {
      await button.click();
      popup = await opened;
    }
  }
  const yes = (where) => where.getByRole("button", { name: /^(approve|allow|authorize|continue|sign in)/i }).first();
  await popup.waitForURL((at) => at.pathname === "/authorize");
  await yes(popup).click();
  await popup.waitForURL((at) => at.pathname === "/login/oauth/authorize");
  await yes(popup).click();
  await page.locator("#state", { hasText: "ready" }).waitFor({ timeout: 15_000 });
  assert.match(await page.locator("#tools").textContent(), /greet/);
  const result = await page.evaluate(() => window.mcp.callTool("greet", { name: "Ada" }));
  assert.equal(result.content[0].text, "Hello, Ada!");
  await context.close();
}

const steps = {};
for (const which of ["first", "second", "third"]) steps[`the ${which} login in a popup, and greet greets`] = logIn;
await runSteps(steps);
