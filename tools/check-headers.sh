#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compiles each header alone, with every compiler that is there: a header that leans on what its includer happened to
# include fails. The public header must be C++ too. Kernel texts (simd/*_text.h) and the vectors of one instruction
# set (simd/vec_*.h) are parts of simd/kernels.c and vec.h, not headers; tests/simde stands in for a compiler's header.
#
# Usage: tools/check-headers.sh    (TAP on standard output; exit status 1 when a case fails)
set -u
export LC_ALL=C
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0
failed=0

# try NAME COMMAND...: one case
try() {
    name=$1
    shift
    count=$((count + 1))
    if "$@" >"$work/log" 2>&1; then
        echo "ok $count - $name"
    else
        failed=$((failed + 1))
        echo "not ok $count - $name"
        sed -n 's/^/#   /; 1,12p' "$work/log"
    fi
}

# includes HEADER LANGUAGE: a file that includes it, twice, and nothing else
includes() {
    printf '#include "%s"\n#include "%s"\n' "$1" "$1" >"$work/alone.$2"
}

warnings='-Wall -Wextra -Wpedantic -Werror -Wno-unused-function -fsyntax-only'
places='-Iinclude -Isimd -Isrc'
compilers=
for compiler in "${CC:-cc}" gcc clang clang-14; do
    command -v "${compiler%% *}" >/dev/null 2>&1 || continue
    version=$($compiler --version | sed 's/^[^ ]* *//; q')
    case $compilers in
    *"|$version|"*) ;;
    *)
        compilers="$compilers|$version|"
        # shellcheck disable=SC2086 # options and a compiler with arguments are split on purpose
        for header in $(find include simd src cli bench tests examples -name '*.h' ! -name '*_text.h' ! -name 'vec_*.h' \
            ! -path 'tests/simde/*' 2>/dev/null | sort); do
            includes "$PWD/$header" c
            try "$header alone, $compiler" $compiler -std=c17 $warnings -D_GNU_SOURCE $places "-I${header%%/*}" \
                "$work/alone.c"
        done
        ;;
    esac
done
for compiler in "${CXX:-c++}" clang++ clang++-14; do
    command -v "${compiler%% *}" >/dev/null 2>&1 || continue
    # shellcheck disable=SC2086
    for header in include/*.h; do
        includes "$PWD/$header" cc
        try "$header in C++11, $compiler" $compiler -std=c++11 -Wall -Wextra -Werror -fsyntax-only "$work/alone.cc"
    done
done
echo "1..$count"
[ "$failed" = 0 ] && [ "$count" != 0 ]
