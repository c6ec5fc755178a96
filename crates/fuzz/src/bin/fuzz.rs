//! libFuzzer's program for all targets but the decoders of the wire: it runs the one that `AREA_NET_FUZZ` names. `fuzz.sh` builds and starts it.
//!
//! One program for many targets is linked once. Coverage of the others stays zero, and zeros are skipped eight at a time.

#![no_main]

use std::sync::OnceLock;

use area_net_fuzz::{OTHERS, Target, chosen};
use libfuzzer_sys::fuzz_target;

/// The target of this process.
static CHOSEN: OnceLock<&Target> = OnceLock::new();

fuzz_target!(|input: &[u8]| (CHOSEN.get_or_init(|| chosen(OTHERS)).run)(input));
