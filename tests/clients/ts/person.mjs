// A person with a browser: opens the link, parses the forms of the pages, consents, and is redirected to the client.
import { strict as assert } from "node:assert";

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&#x27;": "'", "&amp;": "&" };
const decode = (text) => text.replace(/&(?:lt|gt|quot|#39|#x27|amp);/g, (entity) => ENTITIES[entity]);

function attributes(tag) {
  const found = {};
  for (const [, name, double, single, bare] of tag.matchAll(/([\w-]+)(?:=(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?/g)) {
    found[name.toLowerCase()] = decode(double ?? single ?? bare ?? "");
  }
  return found;
}

/** The form of a page that says yes: its target, and what its hidden fields and its button send. */
function yes(page) {
  for (const [, head, body] of page.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)) {
    const inputs = [...body.matchAll(/<input\b([^>]*)>/gs)].map(([, tag]) => attributes(tag));
    const buttons = [...body.matchAll(/<button\b([^>]*)>(.*?)<\/button>/gs)];
    const button = buttons.find(([, , text]) => /^\s*(approve|allow|authorize|continue|sign in)/i.test(text.replace(/<[^>]*>/g, "")));
    if (!button) continue;
    const form = attributes(head);
    const chosen = inputs.filter(({ type, checked }) => type === "hidden" || (type === "radio" && checked !== undefined));
    const fields = [...chosen, attributes(button[1])].filter(({ name }) => name);
    return { action: form.action, method: (form.method ?? "get").toLowerCase(), fields: fields.map(({ name, value }) => [name, value ?? ""]) };
  }
  throw new Error(`no form to say yes with in: ${page}`);
}

/** Logs in at `url` and returns the URL at which the client is told, which starts with `redirectUri`. */
export async function logIn(url, redirectUri) {
  const jars = new Map();
  let next = { url: new URL(url), method: "get", fields: [] };
  const seen = [];
  for (let step = 0; step < 12; step++) {
    if (next.url.href.startsWith(redirectUri)) return { callback: next.url, seen };
    const jar = jars.get(next.url.origin) ?? new Map();
    jars.set(next.url.origin, jar);
    const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") };
    const init = { method: next.method.toUpperCase(), headers, redirect: "manual" };
    if (next.method === "post") {
      init.body = new URLSearchParams(next.fields);
      headers.origin = next.url.origin;
      headers["sec-fetch-site"] = "same-origin";
    }
    const answer = await fetch(next.url, init);
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
      if (/max-age=0/i.test(cookie)) jar.delete(name);
      else jar.set(name, value);
    }
    seen.push(`${next.method} ${next.url.origin}${next.url.pathname}`);
    if ([302, 303].includes(answer.status)) {
      next = { url: new URL(answer.headers.get("location"), next.url), method: "get", fields: [] };
      continue;
    }
    const page = await answer.text();
    assert.equal(answer.status, 200, `${seen.at(-1)}: ${page}`);
    const form = yes(page);
    const target = new URL(form.action || next.url.href, next.url);
    if (form.method === "get") target.search = new URLSearchParams(form.fields);
    next = { url: target, method: form.method, fields: form.fields };
  }
  throw new Error(`the login goes round in circles: ${seen.join(", ")}`);
}
