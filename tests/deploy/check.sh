#!/bin/sh
# check.sh BINARY [NGINX]: fails unless the examples of docs/deploy work: nginx with its example in front of BINARY, and a
# systemd that finds nothing wrong with the unit.
set -eu
binary=$(realpath "$1")
nginx=${2:-nginx}
root=$(realpath "$(dirname "$0")/../..")
work=$(mktemp -d)
pids=
# A failed check says what both servers said.
trap 'status=$?; kill $pids 2>/dev/null; [ $status = 0 ] || cat "$work/server.log" "$work/error.log" >&2; rm -rf "$work"' EXIT
fail() { echo "deploy-check: $*" >&2; exit 1; }
for tool in "$nginx" curl; do command -v "$tool" >/dev/null || fail "this check needs $tool"; done

# The example as it is, but for the places of things.
mkdir "$work/tmp"
sed -e "s|/run/mcp-oauth-server|$work|; s|/etc/letsencrypt/live/mcp.example.com/fullchain.pem|$root/fixtures/tls/ecdsa.pem|" \
    -e "s|/etc/letsencrypt/live/mcp.example.com/privkey.pem|$root/fixtures/tls/ecdsa.key|; s|mcp.example.com|localhost|" \
    -e '/listen \[::\]/d; s|listen 80;|listen 127.0.0.1:18480;|; s|listen 443 |listen 127.0.0.1:18443 |' \
    "$root/docs/deploy/nginx.conf" >"$work/example.conf"
cat >"$work/nginx.conf" <<END
daemon off;
pid $work/nginx.pid;
error_log $work/error.log;
events {}
http {
    client_body_temp_path $work/tmp;
    proxy_temp_path $work/tmp/proxy;
    fastcgi_temp_path $work/tmp/fastcgi;
    uwsgi_temp_path $work/tmp/uwsgi;
    scgi_temp_path $work/tmp/scgi;
    include $work/example.conf;
}
END
[ "$(id -u)" != 0 ] || { echo "user root;" >>"$work/nginx.conf"; }

env -i GITHUB_CLIENT_ID=Ov23 GITHUB_CLIENT_SECRET=x MCP_ALLOW=id:1 MCP_PUBLIC_URL=https://localhost:18443 \
    MCP_STATE_DIR="$work/state" MCP_BEHIND_PROXY="unix:$work/http.sock" MCP_TRUSTED_PROXY=unix \
    "$binary" 2>"$work/server.log" &
pids=$!
"$nginx" -p "$work" -c "$work/nginx.conf" -e "$work/error.log" 2>/dev/null &
pids="$pids $!"

ask() { curl --silent --max-time 20 --cacert "$root/fixtures/tls/ecdsa.pem" "$@"; }
url=https://localhost:18443
ask --output /dev/null --retry 15 --retry-delay 1 --retry-all-errors --retry-max-time 20 --fail "$url/healthz" || fail "no answer"

status() { ask --output /dev/null --write-out '%{http_code}' "$@"; }
expect() { wanted=$1; shift; got=$(status "$@"); [ "$got" = "$wanted" ] || fail "$got instead of $wanted: $*"; }
expect 200 "$url/.well-known/oauth-authorization-server"
expect 401 --request POST "$url/mcp"
expect 301 "http://localhost:18480/"
ask "$url/.well-known/oauth-authorization-server" | grep -q "\"issuer\":\"$url\"" || fail "the issuer is not $url"
# A body without a length gets one from nginx.
client='{"redirect_uris":["http://127.0.0.1:9/callback"],"token_endpoint_auth_method":"none","client_name":"deploy"}'
expect 201 --http1.1 --header 'Transfer-Encoding: chunked' --json "$client" "$url/register"
# A long link arrives whole: the server, not nginx, says that it does not know this client.
expect 400 "$url/authorize?client_id=$(head -c 7000 /dev/zero | tr '\0' a)"
# Nobody chooses the address that they are counted under.
expect 200 --header 'X-Forwarded-For: 203.0.113.9' "$url/"
grep 'route=home' "$work/server.log" | grep -q 'peer=127.0.0.1$' || fail "the client's address is not in the log"
! grep -q '203.0.113.9' "$work/server.log" || fail "a forged address is in the log"
echo "ok: nginx"

if command -v systemd-analyze >/dev/null; then
    # The binary and the files of /etc are not on this machine.
    sed -e "s|/usr/local/bin/mcp-oauth-server|$binary|" "$root/docs/deploy/mcp-oauth-server.service" >"$work/mcp-oauth-server.service"
    found=$(systemd-analyze verify "$work/mcp-oauth-server.service" 2>&1 | grep 'mcp-oauth-server.service' || true)
    [ -z "$found" ] || fail "systemd: $found"
    echo "ok: systemd unit; $(systemd-analyze security --offline=true "$work/mcp-oauth-server.service" 2>/dev/null | tail -1)"
fi
