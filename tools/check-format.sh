#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compares the C sources with the style of .clang-format; --rewrite brings them into it (`make format`).
# The one-line operations of simd/vec_*.h are a table, which the formatter would tear apart.
#
# Usage: tools/check-format.sh [--rewrite]    (TAP on standard output; exit status 1 when a file differs)
set -u
export LC_ALL=C
cd "$(dirname "$0")/.."
# Other versions of the formatter differ in small things: the one of Debian 12 decides.
formatter=${CLANG_FORMAT:-clang-format-14}
if ! command -v "$formatter" >/dev/null 2>&1; then
    if [ "${1:-}" = --rewrite ]; then
        echo "make format: please install $formatter" >&2
        exit 1
    fi
    echo "ok 1 - the style of the C sources # SKIP $formatter is not installed"
    echo 1..1
    exit 0
fi
python=.venv/bin/python
[ -x "$python" ] || python=python3
files=$("$python" tools/sources.py c | grep -v '^simd/vec_')
if [ "${1:-}" = --rewrite ]; then
    # shellcheck disable=SC2086 # a list of names without spaces
    exec "$formatter" -i $files
fi
count=0
failed=0
for file in $files; do
    count=$((count + 1))
    if problems=$("$formatter" --dry-run -Werror "$file" 2>&1); then
        echo "ok $count - $file has the style"
    else
        failed=$((failed + 1))
        echo "not ok $count - $file has the style"
        echo "$problems" | grep '^[^ ].*error:' | head -n 5 | sed 's/^/#   /'
        echo '#   make format mends it'
    fi
done
echo "1..$count"
[ "$failed" = 0 ] && [ "$count" != 0 ]
