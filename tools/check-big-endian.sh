#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Reads, runs and saves the golden models, and reads the damaged ones of the corpus, on an emulated machine that keeps the most significant byte first, and compares
# every number with this machine's: in the Test Anything Protocol. Builds for s390x with Debian's cross compiler; the one
# library that the readers need, jansson, comes from the same archive into the build directory and is not installed.
#
#   tools/check-big-endian.sh     BUILD (build): where this machine's tests lie and BUILD/s390x goes. By make check-all
set -eu
cd "$(dirname "$0")/.."

build=$(realpath "${BUILD:-build}")
cross=$build/s390x
root=$cross/root
log=$build/s390x.log

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

for tool in s390x-linux-gnu-gcc:gcc-s390x-linux-gnu qemu-s390x:qemu-user apt-get:apt; do
    command -v "${tool%:*}" >/dev/null 2>&1 || skip "${tool%:*} is not there; it comes with the package ${tool#*:}"
done

# The lists of the other architecture lie in the build directory: the system's own are left alone.
fetch_jansson() {
    state=$cross/apt
    mkdir -p "$state/lists/partial" "$state/archives/partial" "$root"
    set -- -o APT::Architecture=s390x -o APT::Architectures=s390x -o Dir::State="$state" \
        -o Dir::State::status="$state/status" -o Dir::Cache="$state" -o Debug::NoLocking=1 -o APT::Sandbox::User=root
    : >"$state/status"
    apt-get "$@" update && (cd "$cross" && apt-get "$@" download libjansson-dev libjansson4) || return 1
    for package in "$cross"/libjansson*.deb; do
        dpkg -x "$package" "$root" || return 1
    done
}

mkdir -p "$cross"
: >"$log"
libraries=$root/usr/lib/s390x-linux-gnu
[ -e "$libraries/libjansson.so" ] || fetch_jansson >>"$log" 2>&1 || skip 'jansson for s390x could not be fetched'
export PKG_CONFIG_LIBDIR="$libraries/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
if [ ! -f "$cross/out/build.ninja" ]; then
    meson setup "$cross/out" --cross-file=tools/cross/s390x-linux-gnu.ini -Dcli=disabled -Dexamples=disabled \
        -Dbench=disabled -Donnxruntime=disabled -Dtests=auto >>"$log" 2>&1 || {
        tail -n 30 "$log"
        echo 'Bail out! meson could not configure for s390x'
        exit 1
    }
fi
ninja -C "$cross/out" tests/files_tap >>"$log" 2>&1 || {
    tail -n 30 "$log"
    echo 'Bail out! the tests could not be built for s390x'
    exit 1
}
: >"$cross/here" && : >"$cross/there"
for folder in tests/golden tests/corpus; do
    "$build/tests/files_tap" $folder --hashes >>"$cross/here"
    qemu-s390x -L /usr/s390x-linux-gnu -E LD_LIBRARY_PATH="$libraries:/usr/s390x-linux-gnu/lib" \
        "$cross/out/tests/files_tap" $folder --hashes >>"$cross/there" || true
done
awk '
    FNR == NR { if ($1 == "hash") want[$2] = $3; next }
    $1 == "hash" { came[$2] = $3 }
    END {
        for (name in want) {
            n++
            printf "%s %d - %s\n", want[name] == came[name] ? "ok" : "not ok", n, name
            if (want[name] != came[name]) {
                bad = 1
                printf "# %s there, %s here\n", name in came ? came[name] : "nothing", want[name]
            }
        }
        printf "1..%d\n", n
        exit bad || !n
    }' "$cross/here" "$cross/there"
