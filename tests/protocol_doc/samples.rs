//! One value of every kind, in the order of the variants. The names come from matches without a wildcard, so the compiler demands a
//! name for every new variant.

use std::net::SocketAddr;

use area_net::record::{AddrKind, Direction, Version};
use area_net::wire::{Answer, Datagram, Echo, Hello, Meet, Message, Probe, ShortId, ViewDigest};

use crate::sample::{figures, record, revocations};

/// The id of the node in the document's examples.
pub(crate) const ID: [u8; 32] = [
    0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd, 0x52, 0xdb, 0x2d, 0x3c, 0xba, 0x5d, 0x72,
    0xca, 0x67, 0x09, 0xbf, 0x1d, 0x94, 0x12, 0x1b, 0xf3, 0x74, 0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c,
];

pub(crate) fn message_name(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "Hello",
        Message::Records(_) => "Records",
        Message::Digests { .. } => "Digests",
        Message::Versions { .. } => "Versions",
        Message::Request(_) => "Request",
        Message::Superfluous(_) => "Superfluous",
        Message::Have(_) => "Have",
        Message::Graft(_) => "Graft",
        Message::Prune => "Prune",
        Message::Figures(_) => "Figures",
        Message::Observed(_) => "Observed",
        Message::Meet(_) => "Meet",
        Message::Revocations(_) => "Revocations",
    }
}

pub(crate) fn datagram_name(datagram: &Datagram) -> &'static str {
    match datagram {
        Datagram::Probe(_) => "Probe",
        Datagram::Answer(_) => "Answer",
        Datagram::Echo(_) => "Echo",
    }
}

pub(crate) fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Dialer => "Dialer",
        Direction::Listener => "Listener",
    }
}

pub(crate) fn kind_name(kind: AddrKind) -> &'static str {
    match kind {
        AddrKind::Advertised => "Advertised",
        AddrKind::Local => "Local",
        AddrKind::Observed => "Observed",
    }
}

pub(crate) fn messages() -> Vec<Message> {
    let largest = Version {
        epoch: u64::MAX,
        seq: u32::MAX,
        tie: u32::MAX,
    };
    let entries = vec![
        (ShortId([4; 16]), largest),
        (ShortId([5; 16]), record().version()),
    ];
    vec![
        Message::Hello(Hello {
            run_id: u64::MAX,
            dial_counter: 1,
            replaces: true,
            observed: SocketAddr::from(([192, 0, 2, 7], u16::MAX)),
            known: u32::MAX,
            digest: ViewDigest([255; 8]),
            record: record(),
            revocations: 0,
        }),
        Message::Records(vec![record(), record()]),
        Message::Digests {
            log2: 2,
            sums: vec![0, 127, 128, u64::MAX],
        },
        Message::Versions {
            log2: 10,
            buckets: vec![0, 127, 128, 1023],
            entries: entries.clone(),
        },
        Message::Request(vec![ShortId([6; 16]), ShortId([7; 16])]),
        Message::Superfluous(false),
        Message::Have(entries),
        Message::Graft(Vec::new()),
        Message::Prune,
        Message::Observed(SocketAddr::from(([192, 0, 2, 7], 128))),
        Message::Meet(Meet {
            way: (1..=5).map(|byte| ShortId([byte; 16])).collect(),
            is_answer: true,
            nonce: u64::MAX,
            asker_dials: true,
            addrs: record().body().addrs.clone(),
        }),
        Message::Figures(vec![(u16::MAX, figures()), (0, figures())]),
        Message::Revocations(revocations()),
    ]
}

pub(crate) fn datagrams() -> Vec<Datagram> {
    vec![
        Datagram::Probe(Probe {
            seq: u32::MAX,
            heard: false,
            rtt_us: u32::MAX,
            loss: u8::MAX,
            next_ms: u16::MAX,
            digest: ViewDigest([255; 8]),
        }),
        Datagram::Answer(Answer {
            seq: 0,
            hold_us: 128,
        }),
        Datagram::Echo(Echo {
            way: (1..=16).map(|byte| ShortId([byte; 16])).collect(),
            nonce: u64::MAX,
            is_answer: false,
        }),
    ]
}
