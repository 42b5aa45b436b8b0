#!/bin/sh
# verify-static.sh BINARY: fails unless BINARY needs nothing of the host: no interpreter, no shared library, and a login works
# in an empty root directory.
set -eu
binary=$1
fail() { echo "verify-static: $*" >&2; exit 1; }
for tool in file readelf unshare python3; do command -v "$tool" >/dev/null || fail "this check needs $tool"; done
file "$binary" | grep -Eq 'statically linked|static-pie linked' || fail "$(file -b "$binary")"
[ "$(readelf -lW "$binary" | grep -c INTERP)" = 0 ] || fail "it has a program interpreter"
[ "$(readelf -dW "$binary" 2>/dev/null | grep -c NEEDED)" = 0 ] || fail "it needs shared libraries"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp "$binary" "$root/app"
# A user and network namespace of its own, and an empty root: no libc, no /etc, no /dev.
unshare -rn chroot "$root" /app --version >"$root/out" 2>&1 || fail "it does not run in an empty root: $(cat "$root/out")"
echo "ok: $(file -b "$binary" | cut -d, -f1-5); $(stat -c %s "$binary") bytes"
python3 "$(dirname "$0")/deploy/empty_root.py" "$binary"
