//! libFuzzer's program for the decoders of the wire: it runs the one that `AREA_NET_FUZZ` names. `fuzz.sh` builds and starts it.
//!
//! It may name nothing else: whatever is linked has counters, and libFuzzer looks at all of them after each input.

#![no_main]

use std::sync::OnceLock;

use area_net_fuzz::{Target, WIRE, chosen};
use libfuzzer_sys::fuzz_target;

/// The target of this process.
static CHOSEN: OnceLock<&Target> = OnceLock::new();

fuzz_target!(|input: &[u8]| (CHOSEN.get_or_init(|| chosen(WIRE)).run)(input));
