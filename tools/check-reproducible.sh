#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the library and the command twice, in folders of different names and lengths, and compares them byte by byte: in
# the Test Anything Protocol. Called by make check-all.
set -eu
cd "$(dirname "$0")/.."

PATH=$PWD/.venv/bin:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() {
    mkdir -p "$1"
    python3 tools/sources.py all | tar -cf - -T - | tar -xf - -C "$1"
    (cd "$1" && meson setup out -Dtests=disabled -Dbench=disabled -Donnxruntime=disabled && ninja -C out -j"${JOBS:-2}") \
        >"$work/log" 2>&1 || {
        tail -n 30 "$work/log"
        echo 'Bail out! the build failed'
        exit 1
    }
}

build "$work/one"
build "$work/another/folder of some depth"
n=0 bad=0
for name in src/liblatchwork.so latchwork; do
    n=$((n + 1))
    if cmp "$work/one/out/$name" "$work/another/folder of some depth/out/$name"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        bad=1
    fi
done
echo "1..$n"
exit $bad
