#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Static analysis by cppcheck: null pointers, bounds, formats, lost files. Leaks and uninitialised values are left to the
# sanitizers, which see what runs: cppcheck guesses wrong at both. A finding that is wrong is answered where it is
# found, with `// cppcheck-suppress NAME` and the reason.
#
# Usage: tools/check-static.sh    (TAP on standard output; exit status 1 on a finding)
set -u
export LC_ALL=C
cd "$(dirname "$0")/.."
if ! command -v cppcheck >/dev/null 2>&1; then
    echo 'ok 1 - static analysis # SKIP cppcheck is not installed'
    echo 1..1
    exit 0
fi
python=.venv/bin/python
[ -x "$python" ] || python=python3
files=$("$python" tools/sources.py c | grep '\.c$')
# Criterion's macros are unknown to it, and NULL checks of a test framework are not seen: the tests are left out.
files=$(echo "$files" | grep -v '^tests/')
# shellcheck disable=SC2086 # a list of names without spaces
findings=$(cppcheck --quiet --std=c11 --platform=unix64 --enable=warning,portability,performance --inline-suppr \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=memleak \
    --suppress=uninitvar --suppress=compareBoolExpressionWithInt -Iinclude -Isimd -Isrc -Icli -D__x86_64__=1 \
    -D__linux__=1 -D__GNUC__=12 -DLW_SIMD_AVX2=1 -j 2 --max-configs=4 \
    --template='{file}:{line}: {id}: {message}' --error-exitcode=1 $files 2>&1)
status=$?
if [ "$status" = 0 ]; then
    echo "ok 1 - static analysis of $(echo "$files" | wc -l) files"
else
    echo "not ok 1 - static analysis of $(echo "$files" | wc -l) files"
    echo "$findings" | head -n 40 | sed 's/^/#   /'
fi
echo 1..1
exit "$status"
