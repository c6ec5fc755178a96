#!/usr/bin/env bash
# Fuzzes what src/lib.rs lists. docs/fuzzing.md explains it.
#
#   fuzz.sh TARGET|all [SECONDS] [LIBFUZZER OPTION]...   fuzzes a target, or each in turn, for so long each (a minute)
#   fuzz.sh keep TARGET|all                              minimises what was found, with the corpus, into the corpus
#   fuzz.sh build                                        only builds the programs
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cd -- "$here/../.."

# New inputs stay here, and so do those that show a fault.
work=$PWD/target/fuzz
# The longest inputs that are made, in bytes. Most limits of the decoders are tested by units beside them: at four times this, an
# execution takes four times as long. At half, a record and a certificate don't fit into one message.
most_bytes=4096
# The longest input that is kept in the repository.
most_kept=1200

build() {
    # Linked quickly: inputs run no faster with optimisations across crates.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 RUSTC_WORKSPACE_WRAPPER=$here/instrument.sh \
        cargo build --quiet --release --locked --bin fuzz --bin fuzz-wire --features area-net-fuzz/libfuzzer
    programs=${CARGO_TARGET_DIR:-target}/release
    names=$(names_in WIRE OTHERS)
}

# The names in these lists of targets.
names_in() {
    local list
    for list in "$@"; do
        sed -n "/^pub const $list:/,/^];/s/^        name: \"\(.*\)\",\$/\1/p" "$here/src/lib.rs"
    done
}

options() {
    local fuzz=$programs/fuzz
    if names_in WIRE | grep -qx -- "$1"; then
        fuzz=$programs/fuzz-wire
    fi
    dictionary=$here/dictionaries/$1.dict
    run=("$fuzz" -max_len="$most_bytes" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$work/found-$1-")
    if [ -e "$dictionary" ]; then
        run+=(-dict="$dictionary")
    fi
    mkdir -p "$work/$1" "$here/corpus/$1"
}

run_one() {
    local name=$1 seconds=$2 log=$work/$1.log
    shift 2
    options "$name"
    if ! AREA_NET_FUZZ=$name "${run[@]}" -max_total_time="$seconds" -print_final_stats=1 "$@" "$work/$name" "$here/corpus/$name" \
        >"$log" 2>&1 </dev/null; then
        tail -n 60 "$log" >&2
        echo "$name: a fault; its input is in $work, named found-$name-" >&2
        return 1
    fi
    awk -v name="$name" -v seconds="$seconds" '
        /^stat::number_of_executed_units:/ { executions = $2 }
        /^stat::average_exec_per_sec:/ { speed = $2 }
        /^stat::peak_rss_mb:/ { memory = $2 }
        / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") edges = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
        END { printf "%-10s %12d executions, %7d a second, %6d edges, corpus %s, %d MiB\n", name, executions, speed, edges, corpus, memory }
    ' "$log"
}

keep_one() {
    local name=$1 small
    options "$name"
    small=$(mktemp -d)
    AREA_NET_FUZZ=$name "${run[@]}" -max_len="$most_kept" -merge=1 "$small" "$here/corpus/$name" "$work/$name" >"$work/$name.log" 2>&1 </dev/null
    # Named inputs are those that once showed a fault; they stay as they are.
    find "$here/corpus/$name" -type f -regex '.*/[0-9a-f]*' -delete
    for input in "$small"/*; do
        # The names are hashes. Half of one tells them apart.
        file=$(basename -- "$input")
        mv -- "$input" "$here/corpus/$name/${file:0:16}"
    done
    rm -r "$small"
    printf '%-10s %5d inputs, %7d bytes\n' "$name" "$(find "$here/corpus/$name" -type f | wc -l)" \
        "$(cat "$here/corpus/$name"/* | wc -c)"
}

for_each() {
    local what=$1 which=$2 name
    shift 2
    if [ "$which" != all ]; then
        "$what" "$which" "$@"
        return
    fi
    for name in $names; do
        "$what" "$name" "$@"
    done
}

case ${1:-} in
'' | -h | --help)
    sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    ;;
build)
    build
    ;;
keep)
    build
    mkdir -p "$work"
    for_each keep_one "${2:-all}"
    ;;
*)
    build
    mkdir -p "$work"
    which=$1
    seconds=${2:-60}
    shift "$(($# < 2 ? $# : 2))"
    for_each run_one "$which" "$seconds" "$@"
    ;;
esac
