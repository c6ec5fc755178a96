#!/bin/sh
# cargo calls this in place of rustc for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER): with coverage for libFuzzer, which stable
# Rust has too, and with the checks of a debug build. Dependencies are those of the release build.
set -- "$@" --cfg fuzzing -Cdebug-assertions=on -Coverflow-checks=on -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table
case " $* " in
# What our own checks compare is no hint at what an input should contain, and checks compare every byte of long texts.
*' --crate-name area_net_fuzz '*) ;;
*) set -- "$@" -Cllvm-args=-sanitizer-coverage-trace-compares ;;
esac
case " $* " in
# The core is what runs for long. The rest compiles in half the time with fewer optimisations.
*' --crate-name area_net '*) set -- "$@" -Copt-level=1 ;;
esac
exec "$@"
