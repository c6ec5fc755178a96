//! What peers say: genuine records of nodes whose keys are known, and everything else that fits the encoding.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use area_net::figures::{FiguresBody, LinkFigures, dialed};
use area_net::membership::Core;
use area_net::record::{
    AddrKind, Body, Direction, LinkState, MAX_ADDRS, PublishedAddr, Record, ShortRun, Version,
};
use area_net::wire::{
    CloseCode, Hello, MAX_WAY, Meet, Message, NodeId, ShortId, ViewDigest, dialable,
};

use crate::people::{ALL, NETWORK, PEOPLE, START_S};

/// The ids of runs. A link is to the first two bytes of one.
pub(super) const RUNS: [u64; 3] = [0x0101 << 48, 0x0202 << 48, 0x0303 << 48];
/// The epoch of the node under test.
pub(super) const EPOCH: u64 = START_S * 1000;

/// The address of a node.
pub(super) fn addr(place: usize) -> SocketAddr {
    let port = 8000 + u16::try_from(place).expect("there are few nodes");
    ([0, 0, 0, 0, 0, 0, 0, 1], port).into()
}

/// An address that somebody names: of a node, or any of those that are treated in ways of their own.
pub(super) fn address(bytes: &mut Unstructured<'_>) -> Result<SocketAddr> {
    let odd = [
        "127.0.0.1:8001",
        "127.0.0.1:80",
        "0.0.0.0:8000",
        "[::]:0",
        "10.0.0.1:8001",
        "10.0.0.2:8001",
        "192.168.7.1:8001",
        "192.0.2.7:443",
        "192.0.2.7:8001",
        "192.0.2.8:8001",
        "198.51.100.1:8001",
        "[fe80::1]:8001",
        "[fe80::1%3]:8001",
        "224.0.0.1:9",
        "[ff02::1]:8001",
        "255.255.255.255:1",
        "[2001:db8::1]:8083",
        "[2001:db8::2]:8083",
        "[fd00::1]:8083",
        "[::ffff:10.0.0.1]:8001",
        "[::ffff:192.0.2.7]:8001",
        "100.64.0.1:8001",
        "192.0.2.7:0",
        "192.0.2.7:53",
    ];
    let choice = usize::from(bytes.arbitrary::<u8>()?);
    Ok(match choice % 40 {
        place @ 0..ALL => addr(place),
        other => odd[other % odd.len()].parse().expect("it is an address"),
    })
}

/// Whether somebody may listen there: what the user and beacons name is checked before the core hears of it. Beacons come from link-local
/// addresses, which are dialed for that reason alone.
pub(super) fn is_place(addr: &SocketAddr) -> bool {
    let is_link_local = match addr.ip() {
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    addr.port() != 0 && (is_link_local || dialable(addr, true))
}

/// An address from which packets can come, or that the user names.
pub(super) fn place(bytes: &mut Unstructured<'_>) -> Result<SocketAddr> {
    let named = address(bytes)?;
    Ok(if is_place(&named) { named } else { addr(9) })
}

pub(super) fn close_code(bytes: &mut Unstructured<'_>) -> Result<Option<CloseCode>> {
    Ok(CloseCode::from_number(bytes.int_in_range(0..=13_u64)?))
}

/// The Hello as the transport gives it to the core: its record is not verified yet.
pub(super) fn as_arrived(hello: Hello) -> Option<Hello> {
    match Message::from_body(&Message::Hello(hello).to_frame()[4..]) {
        Ok(Message::Hello(hello)) => Some(hello),
        _ => None,
    }
}

/// Says things as the nodes in their present runs.
pub(super) struct Voice<'a> {
    runs: &'a [u64; ALL],
    core: &'a Core,
}

impl<'a> Voice<'a> {
    pub(super) fn new(runs: &'a [u64; ALL], core: &'a Core) -> Self {
        Self { runs, core }
    }

    pub(super) fn hello(&self, bytes: &mut Unstructured<'_>, peer: usize) -> Result<Hello> {
        let flags: u8 = bytes.arbitrary()?;
        let teller = if flags & 15 == 15 {
            bytes.int_in_range(0..=ALL - 1)?
        } else {
            peer
        };
        let record = self.record(bytes, teller)?;
        let run_id = if flags & 112 == 112 {
            bytes.arbitrary()?
        } else {
            record.body().run_id
        };
        Ok(Hello {
            run_id,
            dial_counter: bytes.arbitrary::<u8>()?.into(),
            replaces: flags & 128 != 0,
            observed: address(bytes)?,
            known: match bytes.arbitrary::<u8>()? {
                255 => u32::MAX,
                few => few.into(),
            },
            digest: ViewDigest([flags; 8]),
            record,
            revocations: u64::from(flags & 3),
        })
    }

    fn version(bytes: &mut Unstructured<'_>) -> Result<(u64, u32)> {
        let choice: u8 = bytes.arbitrary()?;
        let epoch = match choice & 7 {
            0..=3 => EPOCH,
            4 => EPOCH + 1,
            5 => EPOCH - 1000,
            6 => EPOCH + 40 * 3_600_000,
            _ => u64::MAX,
        };
        let seq = match choice >> 3 {
            31 => u32::MAX,
            low => low.into(),
        };
        Ok((epoch, seq))
    }

    /// A record that its node signed, or that somebody forged.
    fn record(&self, bytes: &mut Unstructured<'_>, of: usize) -> Result<Arc<Record>> {
        let people = &*PEOPLE;
        let flags: u8 = bytes.arbitrary()?;
        let (epoch, seq) = Self::version(bytes)?;
        let mask: u16 = bytes.arbitrary()?;
        let kinds: u16 = if flags & 1 == 0 {
            0x5555
        } else {
            bytes.arbitrary()?
        };
        let mut links: Vec<LinkState> = (0..ALL)
            .filter(|peer| mask >> peer & 1 == 1 && *peer != of)
            .map(|peer| self.link(peer, kinds >> peer & 1 == 1, flags & 2 != 0))
            .collect();
        links.sort_by_key(|link| link.peer);
        let mut addrs = vec![PublishedAddr::local(addr(of))];
        if flags & 4 != 0 {
            let count = bytes.int_in_range(0..=MAX_ADDRS)?;
            addrs = (0..count)
                .map(|_| published(bytes))
                .collect::<Result<_>>()?;
        }
        let label = if flags & 8 == 0 {
            "peer"
        } else {
            "\u{202e}\0\n\"x"
        };
        let body = Body {
            id: people.id(of),
            label: label.into(),
            run_id: self.runs[of],
            epoch,
            seq,
            uptime_s: if flags & 16 == 0 { 1 } else { u32::MAX },
            addrs,
            links,
            leaving: flags & 48 == 48,
            // Whether the network is closed or not, most show the good one.
            certificate: people.certificate(
                of,
                if flags & 64 == 0 {
                    0
                } else {
                    bytes.arbitrary::<u8>()? & 3
                },
            ),
        };
        if flags & 160 == 160 {
            let signed = postcard::to_stdvec(&body).expect("a body encodes");
            return Ok(Record::from_parts(signed, [3; 64]).expect("it is within the limits"));
        }
        Ok(Record::sign(body, NETWORK, &*people.all[of]))
    }

    fn link(&self, peer: usize, is_dialed: bool, is_odd: bool) -> LinkState {
        let run = if is_odd { RUNS[2] } else { self.runs[peer] };
        // The node under test has one run.
        let run = if peer == 0 && !is_odd { RUNS[0] } else { run };
        LinkState {
            peer: PEOPLE.id(peer).abbreviated(),
            run: ShortRun::of(run),
            direction: if is_dialed {
                Direction::Dialer
            } else {
                Direction::Listener
            },
            rtt_us: if is_odd { u32::MAX } else { 500 },
            rtt_age_s: if is_odd { u16::MAX } else { 0 },
            loss: if is_odd { 255 } else { 0 },
            suspect: is_odd,
        }
    }

    pub(super) fn message(&self, bytes: &mut Unstructured<'_>) -> Result<Message> {
        Ok(match bytes.arbitrary::<u8>()? % 24 {
            0..=6 => {
                let count = bytes.int_in_range(1..=4_u8)?;
                let records = (0..count).map(|_| {
                    let of = bytes.int_in_range(0..=ALL - 1)?;
                    self.record(bytes, of)
                });
                Message::Records(records.collect::<Result<_>>()?)
            }
            7 => {
                // Sums of a small view, or of any size.
                let log2 = bytes.int_in_range(0..=11_u8)?;
                let sum = bytes.arbitrary()?;
                Message::Digests {
                    log2,
                    sums: vec![sum; 1 << log2],
                }
            }
            8 => {
                let log2 = bytes.int_in_range(0..=10_u8)?;
                let buckets = match bytes.arbitrary::<u8>()? & 3 {
                    0 => Vec::new(),
                    1 => vec![bytes.arbitrary()?; 3],
                    _ => (0..1 << log2).collect(),
                };
                Message::Versions {
                    log2,
                    buckets,
                    entries: self.entries(bytes)?,
                }
            }
            9 => Message::Request(self.ids(bytes)?),
            10 => Message::Superfluous(bytes.arbitrary()?),
            11 | 12 => Message::Have(self.entries(bytes)?),
            13 => Message::Graft(self.ids(bytes)?),
            14 => Message::Prune,
            15 => Message::Observed(address(bytes)?),
            16 | 17 => Message::Meet(self.meet(bytes)?),
            18..=20 => {
                let count = bytes.int_in_range(1..=3_u8)?;
                let all = (0..count).map(|_| self.figures(bytes));
                Message::Figures(all.collect::<Result<_>>()?)
            }
            21 | 22 => {
                let all = &PEOPLE.revocations;
                Message::Revocations(all[usize::from(bytes.arbitrary::<u8>()?) % all.len()].clone())
            }
            _ => Message::Hello(self.hello(bytes, 1)?),
        })
    }

    fn short_id(bytes: &mut Unstructured<'_>) -> Result<ShortId> {
        let at = usize::from(bytes.arbitrary::<u8>()?);
        Ok(match at {
            0..ALL => PEOPLE.id(at).abbreviated(),
            // Nodes that do not exist.
            _ => ShortId([u8::try_from(at).expect("it was a byte"); 16]),
        })
    }

    fn ids(&self, bytes: &mut Unstructured<'_>) -> Result<Vec<ShortId>> {
        let count: usize = match bytes.arbitrary::<u8>()? {
            255 => 1025,
            few => usize::from(few & 15),
        };
        (0..count).map(|_| Self::short_id(bytes)).collect()
    }

    /// Versions: that which the core has of the node, or another one.
    fn entries(&self, bytes: &mut Unstructured<'_>) -> Result<Vec<(ShortId, Version)>> {
        let count = bytes.arbitrary::<u8>()? & 15;
        let entry = |_| {
            let id = Self::short_id(bytes)?;
            let known = (0..ALL)
                .map(|at| PEOPLE.id(at))
                .find(|known| known.abbreviated() == id);
            let known = known.and_then(|known: NodeId| self.core.record(&known));
            let (epoch, seq) = Self::version(bytes)?;
            let other = Version { epoch, seq, tie: 0 };
            let is_same = epoch == EPOCH && seq == 30;
            Ok((
                id,
                known
                    .filter(|_| is_same)
                    .map_or(other, |known| known.version()),
            ))
        };
        (0..count).map(entry).collect()
    }

    fn meet(&self, bytes: &mut Unstructured<'_>) -> Result<Meet> {
        let length = bytes.int_in_range(2..=MAX_WAY + 1)?;
        let way = (0..length)
            .map(|_| Self::short_id(bytes))
            .collect::<Result<_>>()?;
        let count = bytes.int_in_range(0..=MAX_ADDRS)?;
        Ok(Meet {
            way,
            is_answer: bytes.arbitrary()?,
            nonce: bytes.arbitrary::<u8>()?.into(),
            asker_dials: bytes.arbitrary()?,
            addrs: (0..count)
                .map(|_| published(bytes))
                .collect::<Result<_>>()?,
        })
    }

    /// Figures of a node's record as the core has it, or of another version.
    fn figures(&self, bytes: &mut Unstructured<'_>) -> Result<(u16, Arc<LinkFigures>)> {
        let of = bytes.int_in_range(0..=ALL - 1)?;
        let flags: u8 = bytes.arbitrary()?;
        let known = self.core.record(&PEOPLE.id(of)).map(|record| record.body());
        let (epoch, seq) = match known {
            Some(body) if flags & 7 != 7 => (body.epoch, body.seq),
            _ => Self::version(bytes)?,
        };
        let count = known.map_or(1, |body| dialed(body).count());
        let count = if flags & 24 == 24 {
            bytes.arbitrary::<u8>()?.into()
        } else {
            count
        };
        let body = FiguresBody {
            id: PEOPLE.id(of).abbreviated(),
            epoch,
            seq,
            count: bytes.arbitrary::<u8>()?.into(),
            every_s: if flags & 32 == 0 {
                10
            } else {
                bytes.arbitrary()?
            },
            rtts: vec![bytes.arbitrary()?; count],
            losses: if flags & 64 == 0 {
                Vec::new()
            } else {
                vec![flags; count]
            },
        };
        let signer = if flags & 128 == 128 && flags & 8 == 8 {
            1
        } else {
            of
        };
        let age_ds = bytes.arbitrary::<u8>()?.into();
        Ok((
            age_ds,
            LinkFigures::sign(body, NETWORK, &*PEOPLE.all[signer]),
        ))
    }
}

fn published(bytes: &mut Unstructured<'_>) -> Result<PublishedAddr> {
    let kinds = [AddrKind::Advertised, AddrKind::Local, AddrKind::Observed];
    Ok(PublishedAddr {
        kind: *bytes.choose(&kinds)?,
        dialable: bytes.arbitrary()?,
        addr: address(bytes)?,
    })
}
