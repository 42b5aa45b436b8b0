#!/bin/sh
# check.sh BINARY [NGINX [CADDY]]: fails unless the examples of docs/deploy work: nginx and Caddy, each with its example in
# front of BINARY, carry a whole login and a stream of events, at a host of its own and below a path; systemd finds nothing
# wrong with the unit.
set -eu
binary=$(realpath "$1")
nginx=${2:-nginx}
caddy=${3:-caddy}
root=$(realpath "$(dirname "$0")/../..")
rig="$root/tests/rig.py"
ca="$root/fixtures/tls/ecdsa.pem"
work=$(mktemp -d)
pids=
stop() { [ -z "$pids" ] || { kill $pids; wait $pids; } 2>/dev/null || true; pids=; }
# A failed check says what all of them said.
trap 'status=$?; [ $status = 0 ] || tail -n 50 "$work"/*.log >&2; stop; rm -rf "$work"' EXIT
fail() { echo "deploy-check: $*" >&2; exit 1; }
for tool in "$nginx" curl python3 mkfifo; do command -v "$tool" >/dev/null || fail "this check needs $tool"; done

# A GitHub that ends with this script.
mkfifo "$work/until"
python3 "$rig" github <"$work/until" >"$work/github" &
exec 3>"$work/until"
while [ ! -s "$work/github" ]; do sleep 0.1; done
github="http://127.0.0.1:$(cat "$work/github")"

# serve URL VARIABLE=VALUE…: the server under that public URL.
serve() {
    url=$1
    shift
    env -i GITHUB_CLIENT_ID=Ov23 GITHUB_CLIENT_SECRET=x GITHUB_URL="$github" GITHUB_API_URL="$github/api/v3" MCP_ALLOW=id:583231 \
        MCP_PUBLIC_URL="$url" MCP_STATE_DIR="$work/state" "$@" "$binary" 2>"$work/server.log" &
    pids="$pids $!"
}
ask() { curl --silent --max-time 20 --cacert "$ca" "$@"; }
ready() { ask --output /dev/null --retry 60 --retry-delay 1 --retry-all-errors --retry-max-time 60 --fail "$url/healthz" || fail "no answer"; }
status() { ask --output /dev/null --write-out '%{http_code}' "$@"; }
expect() { wanted=$1; shift; got=$(status "$@"); [ "$got" = "$wanted" ] || fail "$got instead of $wanted: $*"; }

# Lines of the log come a moment after the answer.
heard() {
    for _ in $(seq 300); do
        if grep -q "$1" "$work/server.log"; then return 0; fi
        sleep 0.1
    done
    return 1
}

# Checks behind any proxy.
through() {
    ready
    expect 200 "$url/.well-known/oauth-authorization-server"
    expect 401 --request POST "$url/mcp"
    expect 401 --request POST "$url/mcp/"
    expect 401 --head "$url/mcp"
    ask "$url/.well-known/oauth-authorization-server" | grep -q "\"issuer\":\"$url\"" || fail "the issuer is not $url"
    client='{"redirect_uris":["http://127.0.0.1:9/callback"],"token_endpoint_auth_method":"none","client_name":"deploy"}'
    expect 201 --http1.1 --header 'Transfer-Encoding: chunked' --json "$client" "$url/register"
    # A long link arrives whole: the server, not the proxy, says that it does not know this client.
    expect 400 "$url/authorize?client_id=$(head -c 7000 /dev/zero | tr '\0' a)"
    # Cookies of other applications on the host come along, whatever is in them.
    expect 200 --header "Cookie: $(head -c 20000 /dev/zero | tr '\0' a)" --header "$(printf 'X-City: M\374nchen')" "$url/"
    # Nobody chooses the address that they are counted under.
    expect 200 --header 'X-Forwarded-For: 203.0.113.9' "$url/"
    heard 'route=home .*peer=127.0.0.1$' || fail "the client's address is not in the log"
    ! grep -q '203.0.113.9' "$work/server.log" || fail "a forged address is in the log"
    said=$(python3 "$rig" login "$url" "$ca") || fail "no login through $1"
    echo "ok: $1: $said"
    stop
}

# Checks in front of tiny_http, which takes no bodies without a length and no fields outside ASCII.
through_tiny_http() {
    ready
    expect 200 "$url/.well-known/oauth-authorization-server"
    expect 401 --request POST "$url/mcp"
    truncate -s 100M "$work/large"
    # nginx answers 413; Caddy breaks off, and curl may miss its 413.
    got=$(status --data-binary "@$work/large" "$url/token") || true
    case $got in 413 | 000) ;; *) fail "$got instead of 413 for a large body" ;; esac
    ! grep -q 'route=token\|request_leaked' "$work/server.log" || fail "a large body has come through"
    said=$(python3 "$rig" login "$url" "$ca") || fail "no login through $1 and tiny_http"
    echo "ok: $1, tiny_http: $said"
    stop
}

# Checks below a path that the proxy passes on uncut, beside other programs of the host.
through_a_path() {
    ready
    host=${url%"$path"}
    for document in oauth-authorization-server openid-configuration; do
        for at in "$host/.well-known/$document$path" "$url/.well-known/$document"; do
            ask "$at" | grep -q "\"issuer\":\"$url\"" || fail "$at does not name the issuer"
        done
    done
    ask "$host/.well-known/oauth-protected-resource$path/mcp" | grep -q "\"resource\":\"$url/mcp\"" || fail "the resource is not named"
    ask --include --request POST "$url/mcp" | grep -qi "^www-authenticate: .*\"$host/.well-known/oauth-protected-resource$path/mcp\"" ||
        fail "the 401 does not say where the login is"
    # These are other programs' of the host.
    for other in / /mcp /authorize "${path}2/mcp" /.well-known/oauth-authorization-server /apps/healthz; do
        status "$host$other" >"$work/status"
    done
    said=$(python3 "$rig" login "$url" "$ca") || fail "no login below a path through $1"
    streams=$(python3 "$rig" streams "$url" "$ca") || fail "no streams below a path through $1"
    ! grep -q 'route=none' "$work/server.log" || fail "$1 passed on what is not below the path"
    echo "ok: $1, below $path: $said; $streams"
    stop
}

# The lines of the text about paths that begin in a block for this proxy, for this path and port.
path=/apps/mcp-host
lines_for() { sed -n "/^    # $1, in place of/,/^\$/ { s|/base|$path|g; s|3001|${2:-3001}|; /^    [^#]/p }" "$root/docs/deploy/README.md"; }

# The example as it is, but for the places of things.
mkdir "$work/tmp"
sed -e "s|/run/mcp-oauth-server|$work|; s|/etc/letsencrypt/live/mcp.example.com/fullchain.pem|$ca|" \
    -e "s|/etc/letsencrypt/live/mcp.example.com/privkey.pem|$root/fixtures/tls/ecdsa.key|; s|mcp.example.com|localhost|" \
    -e '/listen \[::\]/d; s|listen 80;|listen 127.0.0.1:18480;|; s|listen 443 |listen 127.0.0.1:18443 |' \
    "$root/docs/deploy/nginx.conf" >"$work/example.conf"
cat >"$work/nginx.conf" <<END
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
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
serve https://localhost:18443 MCP_LISTEN="unix:$work/http.sock" MCP_TRUSTED_PROXY=unix
"$nginx" -p "$work" -c "$work/nginx.conf" -e "$work/nginx.log" 2>/dev/null &
pids="$pids $!"
ready
expect 301 "http://localhost:18480/"
through nginx

# Below a path, with the line that the text gives.
line=$(lines_for nginx)
[ "$line" ] || fail "docs/deploy/README.md has no line for nginx"
cp "$work/example.conf" "$work/root.conf"
line=$line awk '$0 == "    location / {" { $0 = ENVIRON["line"] } { print }' "$work/root.conf" >"$work/example.conf"
serve "https://localhost:18443$path" MCP_LISTEN="unix:$work/http.sock" MCP_TRUSTED_PROXY=unix MCP_LEGACY_SSE=on
"$nginx" -p "$work" -c "$work/nginx.conf" -e "$work/nginx.log" 2>/dev/null &
pids="$pids $!"
through_a_path nginx
cp "$work/root.conf" "$work/example.conf"

# Checks in front of tiny_http, with the changes that the example names.
sed -i -e '/^    server unix:/d; /keepalive 16;/d; s/^    # \(zone \|server unix:\)/    \1/; s|proxy_set_header Connection "";|proxy_set_header Connection close;|' "$work/example.conf"
serve https://localhost:18443 MCP_BEHIND_PROXY="unix:$work/http.sock" MCP_TRUSTED_PROXY=unix
"$nginx" -p "$work" -c "$work/nginx.conf" -e "$work/nginx.log" 2>/dev/null &
pids="$pids $!"
through_tiny_http nginx

if command -v "$caddy" >/dev/null; then
    # Caddy would get a certificate by itself; here it is given one.
    {
        printf '{\n\tadmin off\n\tauto_https disable_redirects\n}\n'
        sed -e "s|^mcp.example.com {|https://localhost:18444 {\n\ttls $ca $root/fixtures/tls/ecdsa.key|; s|127.0.0.1:3001|127.0.0.1:18445|" \
            "$root/docs/deploy/Caddyfile"
    } >"$work/Caddyfile"
    serve https://localhost:18444 MCP_LISTEN=127.0.0.1:18445 MCP_TRUSTED_PROXY=127.0.0.1
    HOME="$work" "$caddy" run --config "$work/Caddyfile" --adapter caddyfile 2>"$work/caddy.log" &
    pids="$pids $!"
    through Caddy
    lines_for Caddy 18445 >"$work/lines"
    [ -s "$work/lines" ] || fail "docs/deploy/README.md has no lines for Caddy"
    sed "/reverse_proxy 127.0.0.1:18445 {/ { r $work/lines
        d }" "$work/Caddyfile" >"$work/Caddyfile.path"
    serve "https://localhost:18444$path" MCP_LISTEN=127.0.0.1:18445 MCP_TRUSTED_PROXY=127.0.0.1 MCP_LEGACY_SSE=on
    HOME="$work" "$caddy" run --config "$work/Caddyfile.path" --adapter caddyfile 2>"$work/caddy.log" &
    pids="$pids $!"
    through_a_path Caddy
    sed -i '/With MCP_BEHIND_PROXY/,/# }/ { /With/!s|# || }' "$work/Caddyfile"
    # Before 2.7 it had another name.
    case $("$caddy" version) in v2.[0-6].* | 2.[0-6].*) sed -i 's|request_buffers 4MiB|buffer_requests|' "$work/Caddyfile" ;; esac
    serve https://localhost:18444 MCP_BEHIND_PROXY=127.0.0.1:18445 MCP_TRUSTED_PROXY=127.0.0.1
    HOME="$work" "$caddy" run --config "$work/Caddyfile" --adapter caddyfile 2>"$work/caddy.log" &
    pids="$pids $!"
    through_tiny_http Caddy
else
    echo "skipped: Caddy, which is not installed (apt-get install caddy)"
fi

if command -v systemd-analyze >/dev/null; then
    # The binary and the files of /etc are not on this machine.
    for unit in "$root"/docs/deploy/*.service "$root"/docs/deploy/*.socket; do
        [ ! -e "$unit" ] || sed -e "s|/usr/local/bin/mcp-oauth-server|$binary|" "$unit" >"$work/$(basename "$unit")"
    done
    drop_in="$work/mcp-oauth-server.service.d"
    for what in "systemd unit" "systemd unit in front of programs"; do
        found=$(cd "$work" && systemd-analyze verify ./*.service ./*.socket 2>&1 | grep 'mcp-oauth-server\.' || true)
        [ -z "$found" ] || fail "$what: $found"
        systemd-analyze security --offline=true --threshold=15 "$work/mcp-oauth-server.service" >"$work/security.log" 2>&1 ||
            fail "the $what is less than hardened: $(tail -1 "$work/security.log")"
        echo "ok: $what; $(tail -1 "$work/security.log")"
        mkdir -p "$drop_in"
        cp "$root/docs/deploy/bridge.conf" "$drop_in"
    done
fi
