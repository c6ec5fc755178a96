//! Computes digests and buckets as section 7 of the document specifies, and compares them with a core's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use area_net::identity::Identity;
use area_net::membership::{Action, ConnId, Connected, Core, Input};
use area_net::record::{Body, Direction, LinkState, Record, ShortRun, Signer as _, Version};
use area_net::sim::world::default_config;
use area_net::wire::{Hello, MAX_BUCKETS_LOG2, Message, NodeId, Probe, ShortId, ViewDigest};
use ring::digest::{SHA256, digest};

/// The number of nodes linked to the core's only neighbour.
const OTHERS: u8 = 40;
const RUN: u64 = 0x0a0b_0c0d_0e0f_1011;
const CONN: ConnId = ConnId(1);

/// The digest of a view by section 7.3.
pub(crate) fn digest_of<'a>(up: impl IntoIterator<Item = &'a Record>) -> ViewDigest {
    let fingerprints = up.into_iter().map(Record::fingerprint);
    let sum = fingerprints.fold(0, u128::wrapping_add);
    let hash = digest(&SHA256, &sum.to_be_bytes());
    ViewDigest(hash.as_ref()[..8].try_into().unwrap())
}

/// The bucket of a node by section 7.4: the highest bits of its id.
fn bucket(id: &NodeId, log2: u8) -> usize {
    let bits =
        id.0.iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    bits.take(log2.into())
        .fold(0, |number, bit| number * 2 + usize::from(bit))
}

fn sums(up: &[Arc<Record>], log2: u8) -> Vec<u64> {
    let mut sums = vec![0_u64; 1 << log2];
    for record in up {
        let sum = &mut sums[bucket(&record.id(), log2)];
        let bytes = record.fingerprint().to_be_bytes();
        *sum = sum.wrapping_add(u64::from_be_bytes(bytes[..8].try_into().unwrap()));
    }
    sums
}

fn identity(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

fn run_id(number: u8) -> u64 {
    RUN.rotate_left(number.into())
}

/// The record of a node that lists links to these peers.
fn record(network: &str, number: u8, peers: &[u8]) -> Arc<Record> {
    let link = |&peer: &u8| LinkState {
        peer: identity(peer).node_id().abbreviated(),
        run: ShortRun::of(run_id(peer)),
        direction: Direction::Dialer,
        rtt_us: 100,
        rtt_age_s: 0,
        loss: 0,
        suspect: false,
    };
    let mut links: Vec<LinkState> = peers.iter().map(link).collect();
    links.sort_by_key(|link| link.peer);
    let identity = identity(number);
    let body = Body {
        id: identity.node_id(),
        label: "".into(),
        run_id: run_id(number),
        epoch: 1,
        seq: 1,
        uptime_s: 0,
        addrs: Vec::new(),
        links,
        leaving: false,
        certificate: None,
    };
    Record::sign(body, network, &identity)
}

/// A core with one neighbour, node 1, to which all others are linked.
struct Scene {
    core: Core,
    now: Duration,
}

impl Scene {
    fn new() -> Self {
        let config = default_config(0, &[]);
        let network = config.network.clone();
        let core = Core::new(config, Arc::new(identity(100)));
        let mut scene = Self {
            core,
            now: Duration::from_secs(1),
        };
        let others: Vec<u8> = (2..2 + OTHERS).collect();
        let neighbour = record(&network, 1, &others);
        let remote = SocketAddr::from(([192, 0, 2, 1], 8083));
        let hello = Hello {
            run_id: neighbour.body().run_id,
            dial_counter: 1,
            replaces: false,
            observed: SocketAddr::from(([192, 0, 2, 2], 8083)),
            known: u32::from(OTHERS) + 1,
            digest: ViewDigest([0; 8]),
            record: neighbour,
            revocations: 0,
        };
        scene.handle(Input::Connected(Box::new(Connected {
            conn: CONN,
            dial: None,
            peer: identity(1).node_id(),
            remote,
            hello,
            rtt_us: None,
            replaces: false,
            spare: false,
        })));
        let mut records: Vec<_> = others.iter().map(|&n| record(&network, n, &[1])).collect();
        // One end alone makes no link: the neighbour does not list this one.
        records.push(record(&network, 99, &[1]));
        scene.handle(Input::Message(CONN, Message::Records(records)));
        scene.handle(Input::Probe(
            CONN,
            Probe {
                seq: 1,
                heard: true,
                rtt_us: 100,
                loss: 0,
                next_ms: 20_000,
                digest: ViewDigest([0; 8]),
            },
        ));
        scene
    }

    /// Lets time pass until nothing waits any more.
    fn settle(&mut self) {
        self.now += Duration::from_millis(500);
        self.handle(Input::Timeout);
    }

    /// Hands an input in, and takes the messages that come out.
    fn handle(&mut self, input: Input) -> Vec<Message> {
        let mut sent = Vec::new();
        self.core.handle(self.now, input);
        while let Some(action) = self.core.poll_action() {
            if let Action::Send(conn, message) = action {
                sent.push(message);
                self.core.handle(self.now, Input::Flushed(conn, usize::MAX));
            }
        }
        sent
    }

    fn up(&self) -> Vec<Arc<Record>> {
        self.core.records_up().cloned().collect()
    }

    /// The core's answer to these sums.
    fn answer(&mut self, log2: u8, sums: Vec<u64>) -> (u8, Vec<u16>, BTreeMap<ShortId, Version>) {
        let sent = self.handle(Input::Message(CONN, Message::Digests { log2, sums }));
        let answer = sent.into_iter().find_map(|message| match message {
            Message::Versions {
                log2,
                buckets,
                entries,
            } => Some((log2, buckets, entries.into_iter().collect())),
            _ => None,
        });
        answer.expect("sums are always answered")
    }
}

#[test]
fn who_is_up_and_the_digest_are_as_specified() {
    let mut scene = Scene::new();
    scene.settle();
    let up = scene.up();
    assert_eq!(up.len(), usize::from(OTHERS) + 2);
    assert!(up.iter().all(|r| r.id() != identity(99).node_id()));
    assert_eq!(
        scene.core.digest(),
        digest_of(up.iter().map(|record| &**record))
    );
}

#[test]
fn buckets_and_their_sums_are_as_specified() {
    let mut scene = Scene::new();
    scene.settle();
    for log2 in 0..=MAX_BUCKETS_LOG2 {
        let up = scene.up();
        let (fine, buckets, entries) = scene.answer(log2, sums(&up, log2));
        assert!(fine >= log2);
        assert_eq!((buckets.len(), entries.len()), (0, 0), "nothing differs");

        let mut other = sums(&up, log2);
        let victim = &up[usize::from(log2) % up.len()];
        let differs = bucket(&victim.id(), log2);
        other[differs] = other[differs].wrapping_add(1);
        let (fine, buckets, entries) = scene.answer(log2, other);
        let expected: Vec<u16> = (0..1_u16 << fine)
            .filter(|place| usize::from(*place) >> (fine - log2) == differs)
            .collect();
        let mut documented = buckets.clone();
        documented.sort_unstable();
        assert_eq!(documented, expected);
        let inside = up.iter().filter(|r| bucket(&r.id(), log2) == differs);
        let inside = inside.map(|record| (record.id().abbreviated(), record.version()));
        assert_eq!(entries, inside.collect::<BTreeMap<_, _>>());
    }
}
