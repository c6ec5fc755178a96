#!/usr/bin/env bash
# Builds the static binary that a release contains: bash config/deploy/build.sh [TARGET]
#
# TARGET is x86_64-unknown-linux-musl if it isn't given: the binary then needs no library and runs on every Linux of that machine.
# It needs the target's standard library (rustup target add) and musl's C compiler (Debian: musl-tools). The same commit and the
# same compilers give the same binary, byte for byte, whatever the folder: no path of this machine gets into it. It prints the
# compilers, and the binary's hash as the last line. reproduce.sh builds twice and compares.
set -euo pipefail
target=${1:-x86_64-unknown-linux-musl}
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cargo=${CARGO_HOME:-$HOME/.cargo}
output=${CARGO_TARGET_DIR:-$here/target}
mkdir -p "$output"
output=$(cd -- "$output" && pwd)

fail() {
    echo "build.sh: $1" >&2
    exit 1
}
host=$(rustc -vV | sed -n 's/^host: //p')
if [[ $target == *-musl && $host != *-musl ]]; then
    # Without it, the crate ring fails with a message that doesn't say so.
    command -v musl-gcc >/dev/null || fail "musl-gcc is missing; on Debian: apt-get install musl-tools"
fi

cd "$here"
# The folders of crates exist from here on. Each is named after the registry's address, and a mirror's name must not get in.
cargo fetch --quiet --locked --target "$target"
mapped=("$here=/area-net" "$cargo=/cargo")
for folder in "$cargo"/registry/src/*; do
    mapped+=("$folder=/cargo/registry/src")
done
# The last prefix that fits wins, so the target folder, which may be in the repository, comes last.
mapped+=("$output=/target")
separator=$'\x1f'
flags=()
c_flags=()
for pair in "${mapped[@]}"; do
    flags+=("--remap-path-prefix=$pair")
    c_flags+=("$(printf '%q' "-ffile-prefix-map=$pair")")
done
# Cargo passes flags with spaces only in this form.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$separator && printf '%s' "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
export CFLAGS="${CFLAGS:-} ${c_flags[*]}"
# Flags with spaces are escaped as in a shell.
export CC_SHELL_ESCAPED_FLAGS=1
# The times in archives of object files are zero.
export ZERO_AR_DATE=1
export SOURCE_DATE_EPOCH=0

cargo build --release --locked --package area-net --bin area-net --target "$target"
binary=$output/$target/release/area-net
# The name of the loader. A static binary names none.
if [[ $target == *-musl ]] && grep -aq '/lib/ld-' "$binary"; then
    fail "$binary is not static"
fi
for path in "$here" "$cargo" "$output"; do
    if grep -aFq -- "$path/" "$binary"; then
        fail "$binary contains the path $path of this machine"
    fi
done
rustc -V
if [[ $target == *-musl && $host != *-musl ]]; then
    musl-gcc --version | head -n 1
else
    cc --version | head -n 1
fi
sha256sum "$binary"
