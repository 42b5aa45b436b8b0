// A real Chromium through consent, the simulated GitHub and back to the client: the effects of CSP, cookies and frames in a
// browser can only be tested there. Screenshots go to the given directory.
// usage: node walk.mjs BINARY CHROMIUM DIRECTORY
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { freePort, startDemo } from "../clients/ts/demo.mjs";

const [binary, executablePath, directory] = process.argv.slice(2);
const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; // RFC 7636, appendix B
const LOOKS = [
  { name: "desktop-light", viewport: { width: 1280, height: 800 }, colorScheme: "light" },
  { name: "desktop-dark", viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
  { name: "phone-light", viewport: { width: 390, height: 844 }, colorScheme: "light" },
  { name: "phone-dark", viewport: { width: 390, height: 844 }, colorScheme: "dark" },
];

await mkdir(directory, { recursive: true });
const demo = await startDemo(binary);
// A callback page that passes its answer to the page that opened it, if there is one.
const HAND_OVER = "<script>if (window.opener) { window.opener.postMessage(location.search, location.origin); setTimeout(() => window.close(), 500); }</script>";
const client = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(`<title>client</title>${HAND_OVER}Back at the client`)).listen(0, "127.0.0.1");
await once(client, "listening");
const redirectUri = `http://127.0.0.1:${client.address().port}/callback`;
// A web client at https://client.example, which this browser resolves to loopback.
const tls = join(directory, "tls");
execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=client.example", "-keyout", `${tls}.key`, "-out", `${tls}.crt`], { stdio: "ignore" });
const web = createTlsServer({ key: readFileSync(`${tls}.key`), cert: readFileSync(`${tls}.crt`) }, (_, answer) => answer.end("Back at the web client")).listen(0, "127.0.0.1");
await once(web, "listening");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", `--host-resolver-rules=MAP client.example:443 127.0.0.1:${web.address().port}`] });

/** A link that begins a login at `origin` for a fresh client with this redirect URI; `register` posts to the server. */
async function linkAt(origin, redirect_uri, register, client_name = "Browser walk") {
  const { client_id } = await register(`${origin}/register`, { client_name, redirect_uris: [redirect_uri], token_endpoint_auth_method: "none" });
  return `${origin}/authorize?${new URLSearchParams({ response_type: "code", client_id, redirect_uri, code_challenge: CHALLENGE, code_challenge_method: "S256", state: "s" })}`;
}
const post = async (url, body) => (await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
const linkFor = (redirect_uri) => linkAt(demo.origin, redirect_uri, post);
const link = await linkFor(redirectUri);
const otherLink = await linkAt(demo.origin, redirectUri, post, "Another program");
// A second server that admits nobody from its GitHub.
const strict = await startDemo(binary, { MCP_ALLOW: "user:somebody-else" });

/** A server that encrypts, up to the consent page: there is no GitHub behind it. Its origin, and `stop()`. */
async function startEncrypted() {
  const state = await mkdtemp(join(tmpdir(), "mcp-oauth-server-browser-"));
  const origin = `https://127.0.0.1:${await freePort()}`;
  const env = {
    MCP_LISTEN: new URL(origin).host, MCP_PUBLIC_URL: origin, MCP_STATE_DIR: state, MCP_ALLOW: "any", MCP_TLS_CERT: `${tls}.crt`, MCP_TLS_KEY: `${tls}.key`,
    GITHUB_CLIENT_ID: "none", GITHUB_CLIENT_SECRET: "none", GITHUB_URL: "http://127.0.0.1:9",
  };
  const child = spawn(binary, [], { env, stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(child, "exit");
  for await (const chunk of child.stderr) if (String(chunk).includes(" serving ")) break;
  return { origin, stop: () => (child.kill("SIGTERM"), ended.then(() => rm(state, { recursive: true, force: true }))) };
}
const yes = (page) => page.getByRole("button", { name: /^(approve|allow|authorize|continue|sign in)/i }).first();
const no = (page) => page.getByRole("button", { name: /^(cancel|deny)/i }).first();

/** Runs `walk` in a fresh browser profile; anything that Chromium complains about fails it. */
async function visit(look, walk) {
  const context = await browser.newContext(look);
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const complaints = [];
  // A browser asks each origin for its icon; the pages of the server and the simulated GitHub bring theirs.
  const wanted = (message) => message.type() === "error" && message.location().url !== `${new URL(redirectUri).origin}/favicon.ico`;
  page.on("console", (message) => wanted(message) && complaints.push(`${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await walk(page);
  assert.deepEqual(complaints, []);
  await context.close();
}

async function shoot(page, name) {
  const [scrollWidth, clientWidth] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(scrollWidth <= clientWidth, `${name} scrolls sideways: ${scrollWidth} > ${clientWidth}`);
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished)));
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
}

const walks = {};
for (const look of LOOKS) {
  walks[`${look.name}: consent, GitHub, back at the client`] = () =>
    visit(look, async (page) => {
      await page.goto(link);
      await shoot(page, `consent-${look.name}`);
      await yes(page).click();
      await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
      await shoot(page, `github-${look.name}`);
      await yes(page).click();
      await page.waitForURL((url) => url.href.startsWith(redirectUri));
      const { searchParams } = new URL(page.url());
      assert.ok(searchParams.get("code"));
      assert.deepEqual([searchParams.get("state"), searchParams.get("iss")], ["s", demo.origin]);
      assert.deepEqual(await page.context().cookies(), [], "a login leaves no cookie behind");
    });
}
// C8: Chromium applies a form-action policy to the whole chain of redirects after a form; there is none, so that all of
// these work.
walks["a web client gets its answer over https (C8)"] = () =>
  visit({ ...LOOKS[0], ignoreHTTPSErrors: true }, async (page) => {
    await page.goto(await linkFor("https://client.example/callback"));
    await yes(page).click();
    await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
    await yes(page).click();
    await page.waitForURL((url) => url.origin === "https://client.example");
    const { searchParams } = new URL(page.url());
    assert.ok(searchParams.get("code"));
    assert.deepEqual([searchParams.get("state"), searchParams.get("iss")], ["s", demo.origin]);
  });
walks["an app gets its answer through its own scheme (C8)"] = () =>
  visit(LOOKS[0], async (page) => {
    await page.goto(await linkFor("com.example.app:/callback"));
    await yes(page).click();
    await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
    const launched = page.waitForEvent("request", (request) => request.url().startsWith("com.example.app:/callback?code="));
    await yes(page).click({ noWaitAfter: true });
    const { searchParams } = new URL((await launched).url());
    assert.deepEqual([searchParams.get("state"), searchParams.get("iss")], ["s", demo.origin]);
  });
/** The one cookie of a login whose consent page was just opened. */
async function loginCookie(page) {
  const [cookie, ...others] = await page.context().cookies();
  assert.deepEqual(others, []);
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path, cookie.domain], [true, "Lax", "/", "127.0.0.1"]);
  const left = cookie.expires - Date.now() / 1000;
  assert.ok(left > 500 && left < 610, `the cookie lives for ${left} s`);
  assert.equal(await page.evaluate(() => document.cookie), "");
  return cookie;
}
walks["the cookie of a login is bound to this host and hidden from scripts (C5)"] = () =>
  visit(LOOKS[0], async (page) => {
    await page.goto(link);
    const { name, secure } = await loginCookie(page);
    assert.ok(name.startsWith("mcp_login_") && !secure, name);
  });
walks["over https Chromium takes it as a __Host- cookie (C5)"] = () =>
  visit({ ...LOOKS[0], ignoreHTTPSErrors: true }, async (page) => {
    const { origin, stop } = await startEncrypted();
    try {
      const register = async (url, data) => (await page.context().request.post(url, { data })).json();
      await page.goto(await linkAt(origin, redirectUri, register));
      await yes(page).waitFor();
      const { name, secure } = await loginCookie(page);
      assert.ok(name.startsWith("__Host-mcp_login_") && secure, name);
    } finally {
      await stop();
    }
  });
for (const look of LOOKS) {
  walks[`${look.name}: the account page, from the button to the last grant (C11)`] = () =>
    visit(look, async (page) => {
      const through = async (press, arrived) => {
        await press.click();
        await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
        await yes(page).click();
        await page.waitForURL((url) => url.href.startsWith(arrived));
      };
      for (const each of [otherLink, link, link]) {
        await page.goto(each);
        await through(yes(page), redirectUri);
      }
      await page.goto(`${demo.origin}/account`);
      await shoot(page, `account-sign-in-${look.name}`);
      await through(yes(page), `${demo.origin}/account`);
      const ends = page.getByRole("button", { name: /^End access of / });
      const before = await ends.count();
      assert.ok(before >= 2);
      await page.getByText(/^\d+ logins$/).first().click();
      await shoot(page, `account-${look.name}`);
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "End this login");
      await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
      assert.match(await page.getByRole("status").textContent(), /has ended/);
      assert.equal(await ends.count(), before);
      await page.keyboard.press("Tab");
      assert.match(await page.evaluate(() => document.activeElement.ariaLabel), /^End access of Browser walk/);
      await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
      assert.match(await page.getByRole("status").textContent(), /has ended/);
      assert.equal(await ends.count(), before - 1);
      const all = page.getByRole("button", { name: "Yes, end all access" });
      assert.equal(await all.isVisible(), false);
      await page.getByText("End all access").first().click();
      await shoot(page, `account-ask-${look.name}`);
      await Promise.all([page.waitForEvent("load"), all.click()]);
      assert.equal(await ends.count(), 0);
      await shoot(page, `account-ended-${look.name}`);
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByRole("heading", { name: "You are signed out here" }).waitFor();
      await page.goto(`${demo.origin}/account`);
      await yes(page).waitFor();
    });
}
walks["cancel goes back with access_denied"] = () =>
  visit(LOOKS[0], async (page) => {
    await page.goto(link);
    await no(page).click();
    await page.waitForURL((url) => url.href.startsWith(redirectUri));
    assert.equal(new URL(page.url()).searchParams.get("error"), "access_denied");
  });
walks["the button is dead at first, for people who were about to click elsewhere (C6)"] = () =>
  visit(LOOKS[0], async (page) => {
    await page.goto(link);
    const clickable = (restart) =>
      yes(page).evaluate((button, restart) => {
        if (restart) {
          button.style.animation = "none";
          void button.offsetWidth; // forces a layout, so that the animation restarts
          button.style.animation = "";
          button.style.animationPlayState = "paused";
        }
        return getComputedStyle(button).pointerEvents !== "none" && document.activeElement !== button;
      }, restart);
    assert.equal(await clickable(true), false);
    await page.reload();
    await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished)));
    assert.equal(await clickable(false), true);
  });
walks["two tabs log in side by side"] = () =>
  visit(LOOKS[0], async (first) => {
    const second = await first.context().newPage();
    await first.goto(link);
    await second.goto(link);
    for (const page of [first, second]) {
      await yes(page).click();
      await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
      await yes(page).click();
      await page.waitForURL((url) => url.href.startsWith(redirectUri));
      assert.ok(new URL(page.url()).searchParams.get("code"));
    }
  });
for (const look of LOOKS) {
  walks[`${look.name}: an error page explains itself`] = () =>
    visit(look, async (page) => {
      // Chromium logs a failed load as a console error: these pages fail on purpose, so they are opened without
      // `goto`'s log.
      const error = async (name, url) => {
        const answer = await page.context().request.get(url);
        assert.equal(answer.status(), 400);
        await page.setContent(await answer.text());
        await shoot(page, `${name}-${look.name}`);
      };
      await error("error", `${demo.origin}/authorize?client_id=unknown`);
      const longHost = `https://${"0123456789".repeat(5)}.client.example/callback`;
      await error("way-back", (await linkFor(longHost)).replace("response_type=code", "response_type=token"));
      await page.goto(demo.origin);
      await shoot(page, `home-${look.name}`);
    });
}
// Web clients (use-mcp, ChatGPT and similar) open the login in a popup: its opener waits for a message of the callback page
// and takes `closed` for a refusal. A Cross-Origin-Opener-Policy on any page on the way would sever the two.
for (const [end, answer] of [["code", yes], ["error", no]]) {
  walks[`a login in a popup reaches its opener: ${end}`] = () =>
    visit(LOOKS[0], async (opener) => {
      await opener.goto(`${new URL(redirectUri).origin}/opener`);
      const opened = opener.waitForEvent("popup");
      await opener.evaluate((url) => {
        const popup = window.open(url, "login", "width=600,height=700");
        const closed = [];
        setInterval(() => closed.push(popup.closed), 20);
        window.addEventListener("message", ({ data }) => (window.answer = { data, polls: closed.length, closed: closed.includes(true) }));
      }, link);
      const popup = await opened;
      await yes(popup).click();
      await popup.waitForURL((url) => url.pathname === "/login/oauth/authorize");
      await answer(popup).click({ noWaitAfter: true });
      await opener.waitForFunction(() => window.answer);
      const { data, polls, closed } = await opener.evaluate(() => window.answer);
      assert.ok(new URLSearchParams(data).get(end), data);
      assert.ok(polls > 10 && !closed, `closed before the answer, in ${polls} polls`);
    });
}
for (const look of LOOKS) {
  walks[`${look.name}: a person who is not let in can tell the client so`] = () =>
    visit(look, async (page) => {
      await page.goto(await linkAt(strict.origin, redirectUri, post));
      await yes(page).click();
      await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
      page.removeAllListeners("console"); // Chromium logs the 403
      await yes(page).click();
      const back = page.getByRole("link", { name: "Back to Browser walk" });
      await back.waitFor();
      await shoot(page, `not-allowed-${look.name}`);
      await back.click();
      await page.waitForURL((url) => url.href.startsWith(redirectUri));
      const { searchParams } = new URL(page.url());
      assert.deepEqual(["error", "state", "iss"].map((name) => searchParams.get(name)), ["access_denied", "s", strict.origin]);
    });
}
walks["the MCP endpoint in a browser shows how to connect"] = async () => {
  const page = await browser.newPage();
  const answer = await page.goto(`${demo.origin}/mcp`);
  assert.equal(answer.status(), 401);
  await page.getByText("MCP OAuth Server").waitFor();
  await page.getByRole("link", { name: "Install in VS Code" }).waitFor();
  await page.close();
};
walks["another site cannot frame the consent page"] = async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(redirectUri);
  await page.setContent(`<iframe src="${link.replaceAll("&", "&amp;")}"></iframe>`);
  const frame = await (await page.waitForSelector("iframe")).contentFrame();
  await frame.waitForURL((url) => url.protocol === "chrome-error:");
  await context.close();
};

let [passed, failed] = [0, 0];
for (const [name, walk] of Object.entries(walks)) {
  try {
    await walk();
    passed++;
  } catch (error) {
    failed++;
    console.error(`FAILED: ${name}\n`, error);
  }
}
await browser.close();
client.close();
web.close();
const log = await demo.stop();
await strict.stop();
if (failed) console.error(log);
console.log(`Chromium: ${passed} passed, ${failed} failed; screenshots in ${directory}`);
process.exit(failed ? 1 : 0);
