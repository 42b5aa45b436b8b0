// A preload for the suites, which cannot send a token: adds it to every request for one origin, in `fetch`, undici and `node:http`.
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import { getGlobalDispatcher, setGlobalDispatcher } from "undici";

const { CONFORMANCE_ORIGIN: origin, CONFORMANCE_TOKEN: token } = process.env;
const NAME = "authorization";
const value = `Bearer ${token}`;

/** The headers of a dispatch are absent, a flat list, pairs, or an object. */
function authorized(headers) {
  if (!headers) return { [NAME]: value };
  if (Array.isArray(headers)) return [...headers, NAME, value];
  return { ...(headers[Symbol.iterator] ? Object.fromEntries(headers) : headers), [NAME]: value };
}

const ours = (url) => new URL(url).origin === origin;

setGlobalDispatcher(
  getGlobalDispatcher().compose((dispatch) => (options, handler) =>
    dispatch(ours(options.origin) ? { ...options, headers: authorized(options.headers) } : options, handler)),
);

const plain = http.request;
http.request = (...args) => {
  const request = plain(...args);
  if (ours(`http://${request.host}:${args[0]?.port ?? new URL(args[0]).port}`)) request.setHeader(NAME, value);
  return request;
};
http.get = (...args) => http.request(...args).end();
syncBuiltinESMExports();
