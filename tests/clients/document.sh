#!/bin/sh
# A client whose id is the URL of its metadata document. This server fetches such documents from public addresses on port
# 443 alone, so the walk happens in a network of its own, in which a public address is this machine's, with names and a
# certificate authority of its own. Nothing leaves it, and it is gone when the walk ends.
# usage: document.sh BINARY
set -eu
here=$(cd "$(dirname "$0")" && pwd)
binary=$(realpath "$1")
apart="unshare --user --map-root-user --net --mount"
if ! $apart true 2>/dev/null; then
	echo "SKIPPED: the walk with a client metadata document needs a network namespace, which this system does not permit"
	exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# authority NAME: a certificate authority in NAME.pem; certificate AUTHORITY NAME HOST…: one of its certificates.
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>openssl.log
}
certificate() {
	issuer=$1 name=$2
	shift 2
	echo "subjectAltName=$(printf 'DNS:%s,' "$@" | sed 's/,$//')" >"$name.ext"
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr" 2>openssl.log
	openssl x509 -req -days 2 -in "$name.csr" -CA "$issuer.pem" -CAkey "$issuer.key" -CAcreateserial -extfile "$name.ext" -out "$name.pem" 2>openssl.log
}
authority trusted
authority unknown
certificate trusted known editor.example moved.example inside.example both.example
certificate unknown stranger stranger.example
cat >hosts <<-HOSTS
	127.0.0.1 localhost inside.example both.example
	1.1.1.1 editor.example moved.example stranger.example both.example
HOSTS
$apart sh -eu -c '
	ip link set lo up
	ip address add 1.1.1.1/32 dev lo
	mount --bind hosts /etc/hosts
	exec "$@"
' sh node "$here/ts2/document.mjs" "$binary" "$work"
