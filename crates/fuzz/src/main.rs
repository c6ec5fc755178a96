//! libFuzzer's program: it runs the target that `AREA_NET_FUZZ` names. `fuzz.sh` builds and starts it.
//!
//! One program for all targets is linked once. Coverage of the other targets stays zero, and zeros are skipped eight at a time.

#![no_main]

use std::sync::OnceLock;

use area_net_fuzz::{TARGETS, Target, target};
use libfuzzer_sys::fuzz_target;

/// The target of this process.
static CHOSEN: OnceLock<&Target> = OnceLock::new();

fn choose() -> &'static Target {
    let name = std::env::var("AREA_NET_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!(
            "AREA_NET_FUZZ is {name:?}, and must be one of: {}",
            names.join(", ")
        )
    })
}

fuzz_target!(|input: &[u8]| (CHOSEN.get_or_init(choose).run)(input));
