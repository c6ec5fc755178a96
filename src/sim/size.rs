//! The encoded size of messages, computed without encoding them.

use std::net::SocketAddr;

use crate::record::{Record, Version};
use crate::wire::{Answer, Message, Probe, ShortId};

/// The overhead of a frame on the control stream: its length field, and QUIC's STREAM frame header.
const FRAME_OVERHEAD: usize = 4 + 7;
/// QUIC's DATAGRAM frame header (RFC 9221), and the kind of datagram.
const DATAGRAM_OVERHEAD: usize = 3 + 1;

/// The size of a control message, framed.
pub(super) fn frame(message: &Message) -> usize {
    FRAME_OVERHEAD + body(message)
}

/// The size of a probe, framed.
pub(super) fn probe(probe: &Probe) -> usize {
    let numbers = varint(probe.seq.into()) + varint(probe.rtt_us.into());
    DATAGRAM_OVERHEAD + numbers + varint(probe.next_ms.into()) + 1 + 1 + 8
}

/// The size of an answer, framed.
pub(super) fn answer(answer: &Answer) -> usize {
    DATAGRAM_OVERHEAD + varint(answer.seq.into()) + varint(answer.hold_us.into())
}

/// The bytes of records in a message.
pub(super) fn records(message: &Message) -> usize {
    match message {
        Message::Records(records) => records.iter().map(|one| record(one)).sum(),
        Message::Hello(_)
        | Message::Digests { .. }
        | Message::Versions { .. }
        | Message::Request(_)
        | Message::Superfluous(_)
        | Message::Have(_)
        | Message::Graft(_)
        | Message::Prune
        | Message::Figures(_)
        | Message::Revocations(_)
        | Message::Observed(_)
        | Message::Meet(_) => 0,
    }
}

fn body(message: &Message) -> usize {
    1 + match message {
        Message::Hello(hello) => {
            let numbers =
                varint(hello.run_id) + varint(hello.dial_counter) + varint(hello.known.into());
            let numbers = numbers + varint(hello.revocations);
            numbers + 1 + addr(&hello.observed) + 8 + record(&hello.record)
        }
        Message::Records(list) => length(list.len()) + records(message),
        Message::Digests { sums, .. } => {
            1 + length(sums.len()) + sums.iter().map(|sum| varint(*sum)).sum::<usize>()
        }
        Message::Versions {
            buckets, entries, ..
        } => {
            let numbers: usize = buckets.iter().map(|&bucket| varint(bucket.into())).sum();
            1 + length(buckets.len()) + numbers + versions(entries)
        }
        Message::Have(entries) => versions(entries),
        Message::Request(ids) | Message::Graft(ids) => length(ids.len()) + 16 * ids.len(),
        Message::Prune => 0,
        Message::Figures(entries) => {
            let all = entries.iter();
            length(entries.len())
                + all
                    .map(|(age_ds, one)| varint((*age_ds).into()) + one.encoded_len())
                    .sum::<usize>()
        }
        Message::Revocations(revocations) => revocations.encoded_len(),
        Message::Superfluous(_) => 1,
        Message::Observed(observed) => addr(observed),
        Message::Meet(meet) => {
            let addrs: usize = meet.addrs.iter().map(|one| 2 + addr(&one.addr)).sum();
            let way = length(meet.way.len()) + 16 * meet.way.len();
            way + 1 + varint(meet.nonce) + 1 + length(meet.addrs.len()) + addrs
        }
    }
}

fn record(record: &Record) -> usize {
    let signed = record.signed_len();
    length(signed) + signed + 1 + 64
}

fn versions(entries: &[(ShortId, Version)]) -> usize {
    let entries_len: usize = entries.iter().map(|(_, one)| 16 + version(one)).sum();
    length(entries.len()) + entries_len
}

fn version(version: &Version) -> usize {
    varint(version.epoch) + varint(version.seq.into()) + varint(version.tie.into())
}

fn addr(addr: &SocketAddr) -> usize {
    let ip = if addr.is_ipv6() { 16 } else { 4 };
    1 + ip + varint(addr.port().into())
}

fn length(length: usize) -> usize {
    varint(length as u64)
}

/// postcard writes numbers as LEB128: one byte for each seven bits.
fn varint(number: u64) -> usize {
    let bits = 64 - number.leading_zeros();
    (bits.max(1) as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{FiguresBody, LinkFigures};
    use crate::record::{Body, PublishedAddr, Signer as _};
    use crate::revocations::{Revocations, Revoked};
    use crate::sim::key::Key;
    use crate::wire::{Datagram, Hello, Meet, ViewDigest};

    fn figures_of(key: &Key) -> FiguresBody {
        FiguresBody {
            id: key.node_id().abbreviated(),
            epoch: 1_700_000_000_000,
            seq: 200,
            count: 300,
            every_s: 20,
            rtts: vec![200; 130],
            losses: vec![0; 130],
        }
    }

    #[test]
    fn sizes_are_those_of_the_real_encoding() {
        let key = Key::new(300);
        let body_of = Body {
            id: key.node_id(),
            label: "node 300".into(),
            run_id: u64::MAX / 3,
            epoch: 1_700_000_000_000,
            seq: 200,
            uptime_s: 0,
            addrs: vec![PublishedAddr::local("[::1]:8300".parse().unwrap())],
            links: Vec::new(),
            leaving: false,
            certificate: None,
        };
        let record = Record::sign(body_of, "a", &key);
        let version = record.version();
        let figures = figures_of(&key);
        let figures = LinkFigures::sign(figures, "a", &key);
        let ids = (0..200).map(|number| Key::new(number).node_id()).collect();
        let revoked = Revoked::new("a", 300, 1_700_000_000, ids);
        let revocations = Revocations::issue(revoked, &key).unwrap();
        let messages = [
            Message::Hello(Hello {
                run_id: 5,
                dial_counter: 1000,
                replaces: true,
                observed: "[::1]:8000".parse().unwrap(),
                known: 127,
                digest: ViewDigest([1; 8]),
                record: record.clone(),
                revocations: 300,
            }),
            Message::Records(vec![record.clone(); 200]),
            Message::Digests {
                log2: 2,
                sums: vec![0, 127, 128, u64::MAX],
            },
            Message::Versions {
                log2: 9,
                buckets: vec![1, 300],
                entries: vec![(ShortId([3; 16]), version); 130],
            },
            Message::Request(vec![ShortId([3; 16]); 3]),
            Message::Superfluous(true),
            Message::Have(vec![(ShortId([3; 16]), version); 5]),
            Message::Graft(vec![ShortId([3; 16]); 3]),
            Message::Prune,
            Message::Figures(vec![(300, figures)]),
            Message::Revocations(revocations),
            Message::Observed("192.0.2.7:443".parse().unwrap()),
            Message::Meet(Meet {
                way: vec![ShortId([1; 16]), ShortId([2; 16]), ShortId([3; 16])],
                is_answer: true,
                nonce: 300,
                asker_dials: false,
                addrs: vec![
                    PublishedAddr::local("[::1]:8300".parse().unwrap()),
                    PublishedAddr::local("192.0.2.7:443".parse().unwrap()),
                ],
            }),
        ];
        for message in messages {
            assert_eq!(body(&message), message.to_frame().len() - 4, "{message:?}");
        }
        let one = Probe {
            seq: 300,
            heard: true,
            rtt_us: 40_000,
            loss: 250,
            next_ms: 1500,
            digest: ViewDigest([1; 8]),
        };
        assert_eq!(probe(&one) - 3, Datagram::Probe(one).to_bytes().len());
        let one = Answer {
            seq: 127,
            hold_us: 5,
        };
        assert_eq!(answer(&one) - 3, Datagram::Answer(one).to_bytes().len());
    }
}
