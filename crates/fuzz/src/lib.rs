//! What fuzzing runs: for each input, one run of a decoder or of the core whose result is checked.
//!
//! A [`Target`] is a function of bytes. It panics if an invariant is violated, and returns if the bytes are refused or all is well.
//! libFuzzer calls it with inputs that it makes from the code that earlier inputs reached (`main.rs`, built by `fuzz.sh`). The test
//! `replay` calls it with the inputs in `corpus/`, which were kept for the code that they reach, or for a fault that they showed.
//! `docs/fuzzing.md` has the commands, and what was executed so far.

#![forbid(unsafe_code)]

mod arrivals;
mod decoders;
mod keys;
mod machine;
mod network;
mod people;
mod texts;
mod views;

/// What is fuzzed: see the crate's documentation.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name: of the folder with its inputs, too.
    pub name: &'static str,
    /// What is run, and which invariants are checked.
    pub what: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
}

/// The targets that read what strangers and peers send. They have a program of their own, which is five times as fast: libFuzzer looks at
/// every counter of a program after each input, and the decoders are a tenth of the code.
pub const WIRE: &[Target] = &[
    Target {
        name: "message",
        what: "A message on the control stream: it is refused, or within the limits, and comes back from its bytes",
        run: decoders::message,
    },
    Target {
        name: "stream",
        what: "A control stream in pieces: the same messages and the same refusal as in one; lengths and buffers are bounded",
        run: arrivals::stream,
    },
    Target {
        name: "opener",
        what: "Packets that open a NAT, among others: the node is told of each open rendezvous once, and QUIC sees the others",
        run: arrivals::opener,
    },
    Target {
        name: "packets",
        what: "Datagrams, credentials, beacons, reasons of closes, TLS certificates: the same; a changed beacon is not genuine",
        run: decoders::packets,
    },
    Target {
        name: "signed",
        what: "Records, certificates, revocations, figures: the same; none is genuine that was not signed",
        run: decoders::signed,
    },
];

/// All other targets.
pub const OTHERS: &[Target] = &[
    Target {
        name: "core",
        what: "A core with six peers: messages, connections, dials, time; tables, records, views and actions are checked after each",
        run: machine::run,
    },
    Target {
        name: "network",
        what: "Two or three cores under faults: packets late, lost, out of order; nodes that die. All views are exact once that ends",
        run: network::run,
    },
    Target {
        name: "view",
        what: "A network of any labels, addresses and links: every export and every answer of the API is well-formed",
        run: views::view,
    },
    Target {
        name: "recording",
        what: "A recording, packed or not: it is refused at a place, or can be shown, and comes back from its lines",
        run: views::recording,
    },
    Target {
        name: "http",
        what: "A request to the API of a node, and an answer to the command line's client",
        run: texts::http,
    },
    Target {
        name: "settings",
        what: "Settings files, `-s` and target files: refused with a place, or within the limits of every key",
        run: texts::settings,
    },
    Target {
        name: "files",
        what: "What a node and an authority keep: memory, members, public file, certificate, revocations, network keys",
        run: texts::files,
    },
    Target {
        name: "keys",
        what: "Files with a key or a certificate: refused, or read and written the same; what is read can be used",
        run: keys::keys,
    },
    Target {
        name: "scenario",
        what: "Scenario files of the simulator, impairments, rules, times: refused with a place, or written and read again",
        run: texts::scenario,
    },
    Target {
        name: "lab",
        what: "Scenario files of the lab and of its places: refused with a line, or planned",
        run: texts::lab,
    },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    targets().find(|target| target.name == name)
}

/// All targets.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    WIRE.iter().chain(OTHERS)
}

/// The target of these that the environment names: libFuzzer has the command line.
///
/// # Panics
///
/// If it names none of them.
#[must_use]
pub fn chosen(among: &'static [Target]) -> &'static Target {
    let name = std::env::var("AREA_NET_FUZZ").unwrap_or_default();
    let names = || among.iter().map(|target| target.name).collect::<Vec<_>>();
    among
        .iter()
        .find(|target| target.name == name)
        .unwrap_or_else(|| {
            panic!(
                "AREA_NET_FUZZ is {name:?}, and must be one of: {}",
                names().join(", ")
            )
        })
}
