#!/usr/bin/env bash
# Shows that a release can be built again: bash config/deploy/reproduce.sh [FOLDER]
#
# It builds the last commit twice, the binary and the Debian package, and compares byte for byte. The two builds have source
# folders, cargo homes, target folders, time zones, languages and file permissions of their own. It works in FOLDER, which must not
# exist and is removed at the end; by default it is a temporary one. It takes two release builds: about eight minutes on two
# processors. The settings of cargo's environment, such as CARGO_PROFILE_RELEASE_LTO, count for both builds.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
if [ "$#" -gt 0 ]; then
    mkdir -- "$1"
    work=$(cd -- "$1" && pwd)
else
    work=$(mktemp -d)
fi
trap 'rm -rf "$work"' EXIT
target=x86_64-unknown-linux-musl
home=${CARGO_HOME:-$HOME/.cargo}
commit=$(git -C "$here" rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git -C "$here" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# One build: build NAME FOLDER.
build() {
    local side=$2
    mkdir -p "$side/source" "$side/home"
    git -C "$here" archive "$commit" | tar -x -C "$side/source"
    # The crates need not be fetched twice. They are unpacked anew.
    [ ! -e "$home/config.toml" ] || cp "$home/config.toml" "$side/home/"
    mkdir "$side/home/registry"
    for part in cache index; do
        [ ! -e "$home/registry/$part" ] || cp -r "$home/registry/$part" "$side/home/registry/"
    done
    export CARGO_HOME=$side/home CARGO_TARGET_DIR=$side/output
    bash "$side/source/config/deploy/build.sh" "$target" >"$side/said"
    binary=$side/output/$target/release/area-net
    bash "$side/source/config/deploy/deb.sh" "$binary" "$side/package" >>"$side/said"
    printf '%s:\n' "$1"
    sed "s#$side/##" "$side/said"
    sha256sum "$side"/package/*.deb | sed "s#$side/##"
}

echo "commit $commit"
(umask 022 && TZ=UTC LC_ALL=C build first "$work/one")
(umask 077 && TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 build second "$work/another/and a longer one")

different=0
for file in "output/$target/release/area-net" "package/$(basename "$work"/one/package/*.deb)"; do
    if cmp -- "$work/one/$file" "$work/another/and a longer one/$file"; then
        echo "equal: $(basename "$file")"
    else
        different=1
    fi
done
if [ "$different" -ne 0 ]; then
    echo "reproduce.sh: the two builds differ; diffoscope shows where, if you keep both" >&2
    exit 1
fi
