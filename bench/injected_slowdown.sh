#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# How often the gate errs on this machine, for real: builds the tree, and a copy whose LSTM kernel reads a value LOADS
# times more for each vector of units, then lets the gate judge both, and a build against itself, TRIALS times each.
#   bench/injected_slowdown.sh [TRIALS [LOADS [SHAPE]]]          20, 19 and "lstm T8 I64 H64" by default
# What the slow-down comes to is printed with each verdict. Everything lies in a temporary folder, which is removed.
set -eu
cd "$(dirname "$0")/.."
trials=${1:-20} loads=${2:-19} shape=${3:-lstm T8 I64 H64}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
mkdir "$folder/source"
tar -cf - --exclude='./build*' --exclude=./dist --exclude=./.venv --exclude=./.git . | tar -xf - -C "$folder/source"

build() {
    meson setup "$folder/$1" "$folder/source" --buildtype=release -Dtests=disabled -Dbench=disabled -Dexamples=disabled \
        >"$folder/log" 2>&1 && ninja -C "$folder/$1" latchwork >>"$folder/log" 2>&1 || { tail "$folder/log" >&2; exit 1; }
}

build before
text=$folder/source/simd/lstm_text.h
sed "s|^    lw_vec c = v_load(cell);|    const volatile float *again = cell;\\n    for (int k = 0; k < $loads; k++)\\n        (void)again[k % LW_LANES];\\n&|" \
    "$text" >"$folder/text"
cmp -s "$text" "$folder/text" && { echo "$text has no place for the slow-down" >&2; exit 1; }
cp "$folder/text" "$text"
build slower

for side in slower before; do
    echo "$side against before:"
    i=0
    while [ "$i" -lt "$trials" ]; do
        i=$((i + 1))
        "$folder/before/latchwork" bench compare "$folder/before" "$folder/$side" --seed "$i" --shape "$shape" |
            grep -E '^lstm' || true
    done | tee "$folder/lines"
    echo "$(grep -c '  slower  ' "$folder/lines" || true) of $trials failed"
done
