// A GitHub on loopback with people whose memberships change while it runs. The person is set by `signsIn`, without a page.
import { createServer } from "node:http";
import { once } from "node:events";

/** `people` by login: `{ id, memberships }`, which are `org` or `org/team`. */
export async function startGitHub(people) {
  const codes = new Map();
  const github = { people, signsIn: Object.keys(people)[0] };
  const whose = (request) => request.headers.authorization?.match(/^Bearer gho_(\w+)_/)?.[1];
  const membership = (login, group) => (people[login]?.memberships.has(group) ? [200, { state: "active", role: "member" }] : [404, {}]);
  const answer = (request, url, body) => {
    const path = url.pathname.split("/").slice(1);
    if (path.join("/") === "login/oauth/authorize") {
      const code = `${github.signsIn}-${codes.size}`;
      codes.set(code, url.searchParams.get("scope"));
      const back = new URL(url.searchParams.get("redirect_uri"));
      for (const [name, value] of Object.entries({ code, state: url.searchParams.get("state") })) back.searchParams.set(name, value);
      return [302, {}, { location: back.href }];
    }
    if (path.join("/") === "login/oauth/access_token") {
      const code = new URLSearchParams(body).get("code");
      return [200, { access_token: `gho_${code.split("-")[0]}_${codes.size}`, scope: codes.get(code), token_type: "bearer" }];
    }
    if (request.method === "DELETE") return [204];
    const login = whose(request);
    if (path[2] === "user" && path.length === 3) return [200, { login, id: people[login].id, type: "User" }];
    if (path[2] === "user") return membership(login, path[5]);
    return membership(path[7], `${path[3]}/${path[5]}`);
  };
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const [status, json, fields] = answer(request, new URL(request.url, "http://127.0.0.1"), body);
    response.writeHead(status, { "content-type": "application/json", "x-oauth-scopes": "read:org", ...fields });
    response.end(json && JSON.stringify(json));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  github.url = `http://127.0.0.1:${server.address().port}`;
  github.stop = () => (server.closeAllConnections(), server.close());
  return github;
}
