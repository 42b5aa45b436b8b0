// A real Chromium through consent, the simulated GitHub and back to the client: what CSP, cookies and frames do in a
// browser is only known there. Screenshots go to the directory given.
// usage: node walk.mjs BINARY CHROMIUM DIRECTORY
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { startDemo } from "../clients/ts/demo.mjs";

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
const client = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<title>client</title>Back at the client")).listen(0, "127.0.0.1");
await once(client, "listening");
const redirectUri = `http://127.0.0.1:${client.address().port}/callback`;
// A web client at https://client.example, which this browser finds on loopback.
const tls = join(directory, "tls");
execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=client.example", "-keyout", `${tls}.key`, "-out", `${tls}.crt`], { stdio: "ignore" });
const web = createTlsServer({ key: readFileSync(`${tls}.key`), cert: readFileSync(`${tls}.crt`) }, (_, answer) => answer.end("Back at the web client")).listen(0, "127.0.0.1");
await once(web, "listening");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", `--host-resolver-rules=MAP client.example:443 127.0.0.1:${web.address().port}`] });

/** A link that begins a login for a fresh client with this redirect URI. */
async function linkFor(redirect_uri) {
  const registration = await fetch(`${demo.origin}/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ client_name: "Browser walk", redirect_uris: [redirect_uri], token_endpoint_auth_method: "none" }),
  });
  const { client_id } = await registration.json();
  return `${demo.origin}/authorize?${new URLSearchParams({ response_type: "code", client_id, redirect_uri, code_challenge: CHALLENGE, code_challenge_method: "S256", state: "s" })}`;
}
const link = await linkFor(redirectUri);
const yes = (page) => page.getByRole("button", { name: /^(approve|allow|authorize|continue|sign in)/i }).first();
const no = (page) => page.getByRole("button", { name: /^(cancel|deny)/i }).first();

/** Runs `walk` in a fresh browser profile; anything that Chromium complains about fails it. */
async function visit(look, walk) {
  const context = await browser.newContext(look);
  const page = await context.newPage();
  const complaints = [];
  const wanted = (message) => message.type() === "error" && !message.location().url.endsWith("/favicon.ico");
  page.on("console", (message) => wanted(message) && complaints.push(message.text()));
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
    });
}
// C8: Chromium applies a form-action policy to the whole chain of redirects behind a form; there is none, so that all of
// these get through.
walks["a web client gets its answer over https (C8)"] = () =>
  visit({ ...LOOKS[0], ignoreHTTPSErrors: true }, async (page) => {
    await page.goto(await linkFor("https://client.example/callback"));
    await yes(page).click();
    await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
    await yes(page).click();
    await page.waitForURL((url) => url.origin === "https://client.example");
    assert.ok(new URL(page.url()).searchParams.get("code"));
  });
walks["an app gets its answer through its own scheme (C8)"] = () =>
  visit(LOOKS[0], async (page) => {
    await page.goto(await linkFor("com.example.app:/callback"));
    await yes(page).click();
    await page.waitForURL((url) => url.pathname === "/login/oauth/authorize");
    const launched = page.waitForEvent("request", (request) => request.url().startsWith("com.example.app:/callback?code="));
    await yes(page).click({ noWaitAfter: true });
    await launched;
  });
walks["the cookie of a login is bound to this host and hidden from scripts (C5)"] = () =>
  visit(LOOKS[0], async (page) => {
    await page.goto(link);
    const [cookie, ...others] = await page.context().cookies();
    assert.deepEqual(others, []);
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path, cookie.domain], [true, "Lax", "/", "127.0.0.1"]);
    assert.equal(await page.evaluate(() => document.cookie), "");
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
      for (let logins = 0; logins < 2; logins++) {
        await page.goto(link);
        await through(yes(page), redirectUri);
      }
      await page.goto(`${demo.origin}/account`);
      await shoot(page, `account-sign-in-${look.name}`);
      await through(yes(page), `${demo.origin}/account`);
      const ends = page.getByRole("button", { name: /^End access of Browser walk at / });
      const before = await ends.count();
      assert.ok(before >= 2);
      await shoot(page, `account-${look.name}`);
      await page.keyboard.press("Tab");
      assert.match(await page.evaluate(() => document.activeElement.ariaLabel), /^End access of Browser walk/);
      await page.keyboard.press("Enter");
      assert.match(await page.getByRole("status").textContent(), /has ended/);
      assert.equal(await ends.count(), before - 1);
      await page.getByRole("button", { name: "End access of all" }).click();
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
          void button.offsetWidth; // lays the page out, so that the animation begins anew
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
walks["an error page explains itself"] = () =>
  visit(LOOKS[2], async (page) => {
    // Chromium logs a failed load as a console error: this page is one on purpose, so it is looked at without `goto`'s log.
    const answer = await page.context().request.get(`${demo.origin}/authorize?client_id=unknown`);
    assert.equal(answer.status(), 400);
    await page.setContent(await answer.text());
    await shoot(page, "error-phone-light");
  });
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
if (failed) console.error(log);
console.log(`Chromium: ${passed} passed, ${failed} failed; screenshots in ${directory}`);
process.exit(failed ? 1 : 0);
