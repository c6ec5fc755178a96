#!/usr/bin/env bash
# Builds the static binary that a release contains: bash config/deploy/build.sh [TARGET]
#
# TARGET is x86_64-unknown-linux-musl if it isn't given: the binary then needs no library and runs on every Linux of that machine.
# It needs the target's standard library (rustup target add) and musl's C compiler (Debian: musl-tools). The same commit and the
# same compilers give the same binary, byte for byte, whatever the folder: no path of this machine gets into it.
set -euo pipefail
target=${1:-x86_64-unknown-linux-musl}
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cargo=${CARGO_HOME:-$HOME/.cargo}
output=${CARGO_TARGET_DIR:-$here/target}
mkdir -p "$output"
output=$(cd -- "$output" && pwd)

# Cargo passes flags with spaces only in this form. The last prefix that fits wins, so the target folder, which may be in the
# repository, comes last.
separator=$'\x1f'
flags=()
c_flags=()
for pair in "$here=/area-net" "$cargo=/cargo" "$output=/target"; do
    flags+=("--remap-path-prefix=$pair")
    c_flags+=("-ffile-prefix-map=$pair")
done
CARGO_ENCODED_RUSTFLAGS=$(IFS=$separator && printf '%s' "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
export CFLAGS="${CFLAGS:-} ${c_flags[*]}"
# The times in archives of object files are zero.
export ZERO_AR_DATE=1
export SOURCE_DATE_EPOCH=0

cd "$here"
cargo build --release --locked --package area-net --bin area-net --target "$target"
binary=$output/$target/release/area-net
# The name of each library that the loader must find; a static binary names none.
if grep -aq 'ld-linux' "$binary"; then
    echo "build.sh: $binary is not static" >&2
fi
sha256sum "$binary"
