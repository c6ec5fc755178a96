//! Benchmarks of the operations of one core in networks of three sizes, and of short simulations.
//!
//! Run `cargo bench --bench core`, or a part of it by name: `cargo bench --bench core -- record`. Criterion compares each run with
//! the one before.

use std::hint::black_box;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use area_net::export::{d2, json};
use area_net::membership::bench_support::BenchView;
use area_net::membership::{Config, ConnId, Connected, Core, Input, Time};
use area_net::record::{Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer};
use area_net::settings::Shows;
use area_net::sim::world::default_config;
use area_net::sim::{self, parse};
use area_net::wire::{Hello, Message, NodeId, ViewDigest};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const SIZES: [usize; 3] = [100, 1000, 10_000];
/// Node `n` has links to `n ± step` on a ring for each of these steps: eight links, and short paths to all nodes.
const STEPS: [usize; 4] = [1, 7, 31, 43];
const NETWORK: &str = "bench";

struct Key(Ed25519KeyPair);

impl Key {
    fn new(number: usize) -> Self {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Self(Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed"))
    }
}

impl Signer for Key {
    fn node_id(&self) -> NodeId {
        NodeId(self.0.public_key().as_ref().try_into().expect("32 bytes"))
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("64 bytes")
    }
}

/// A network with the records of all its nodes.
struct Network {
    keys: Vec<Arc<Key>>,
    ids: Vec<NodeId>,
    records: Vec<Arc<Record>>,
}

impl Network {
    fn new(nodes: usize) -> Self {
        let keys: Vec<Arc<Key>> = (0..nodes)
            .map(|number| Arc::new(Key::new(number)))
            .collect();
        let ids = keys.iter().map(|key| key.node_id()).collect();
        let mut network = Self {
            keys,
            ids,
            records: Vec::new(),
        };
        network.records = (0..nodes).map(|node| network.record(node, 1, 8)).collect();
        network
    }

    fn addr(node: usize) -> SocketAddr {
        let port = 1024 + u16::try_from(node).expect("there are few enough");
        (Ipv6Addr::LOCALHOST, port).into()
    }

    fn run_id(node: usize) -> u64 {
        (node as u64 + 1) << 40
    }

    fn peers(&self, node: usize) -> Vec<usize> {
        let nodes = self.ids.len();
        let both = |step: usize| [(node + step) % nodes, (node + nodes - step) % nodes];
        STEPS.into_iter().flat_map(both).collect()
    }

    /// A version of a node's record that lists its first `links` links.
    fn record(&self, node: usize, seq: u32, links: usize) -> Arc<Record> {
        let link = |peer: usize| LinkState {
            peer: self.ids[peer].abbreviated(),
            run: ShortRun::of(Self::run_id(peer)),
            direction: Direction::Dialer,
            rtt_us: 20_000 + seq,
            rtt_age_s: 1,
            loss: 0,
            suspect: false,
        };
        let mut links: Vec<LinkState> =
            self.peers(node).into_iter().take(links).map(link).collect();
        links.sort_by_key(|link| link.peer);
        let body = Body {
            id: self.ids[node],
            label: format!("node {node}").into(),
            run_id: Self::run_id(node),
            epoch: 1,
            seq,
            uptime_s: 0,
            addrs: vec![PublishedAddr::local(Self::addr(node))],
            links,
            leaving: false,
            certificate: None,
        };
        Record::sign(body, NETWORK, &*self.keys[node])
    }

    /// A copy as received from the network, without a cached verdict on its signature.
    fn received(record: &Record) -> Arc<Record> {
        let bytes = postcard::to_stdvec(record).expect("it encodes");
        Arc::new(postcard::from_bytes(&bytes).expect("it decodes"))
    }

    /// The view of node 0, in which all nodes are up.
    fn view(&self) -> BenchView {
        let mut view = BenchView::new(self.records[0].clone());
        for record in &self.records[1..] {
            view.accept(record.clone(), Duration::ZERO);
        }
        let peers = self.peers(0).into_iter();
        let peers: Vec<NodeId> = peers.map(|peer| self.ids[peer]).collect();
        view.set_links(&peers);
        view.derive_up(Duration::ZERO);
        assert_eq!(view.up_count(), self.ids.len());
        view
    }

    /// The core of node 0, with eight links, in whose view all nodes are up.
    fn core(&self) -> (Core, Time) {
        let config = Config {
            network: NETWORK.into(),
            run_id: Self::run_id(0),
            addrs: vec![Self::addr(0)],
            ..default_config(0, &[])
        };
        let mut core = Core::new(config, self.keys[0].clone());
        let mut now = Duration::from_secs(1);
        for (conn, peer) in self.peers(0).into_iter().enumerate() {
            let hello = Hello {
                run_id: Self::run_id(peer),
                dial_counter: 1,
                replaces: false,
                observed: Self::addr(0),
                known: u32::try_from(self.ids.len()).expect("there are few enough"),
                digest: ViewDigest([0; 8]),
                record: self.records[peer].clone(),
                revocations: 0,
            };
            let connected = Connected {
                conn: ConnId(conn as u64),
                dial: None,
                peer: self.ids[peer],
                remote: Self::addr(peer),
                hello,
                rtt_us: Some(20_000),
                replaces: false,
                spare: false,
            };
            core.handle(now, Input::Connected(Box::new(connected)));
        }
        // The core limits how many unknown nodes one neighbour may introduce, so the records come in batches from all eight.
        for (nth, batch) in self.records[1..].chunks(64).enumerate() {
            now += Duration::from_millis(5);
            let message = Message::Records(batch.to_vec());
            core.handle(now, Input::Message(ConnId(nth as u64 % 8), message));
            drain(&mut core);
        }
        while core.up_count() < self.ids.len() {
            now += Duration::from_millis(10);
            core.handle(now, Input::Timeout);
            drain(&mut core);
            assert!(now < Duration::from_secs(3), "all nodes come up");
        }
        (core, now)
    }
}

fn drain(core: &mut Core) {
    while core.poll_action().is_some() {}
    while core.poll_event().is_some() {}
}

fn records(c: &mut Criterion) {
    let network = Network::new(100);
    let mut group = c.benchmark_group("record");
    group.bench_function("sign", |b| b.iter(|| network.record(1, 2, 8)));
    let bytes = postcard::to_stdvec(&*network.records[1]).expect("it encodes");
    group.bench_function("decode", |b| {
        b.iter(|| postcard::from_bytes::<Record>(black_box(&bytes)).expect("it decodes"));
    });
    group.bench_function("verify", |b| {
        b.iter_batched(
            || Network::received(&network.records[1]),
            |record| record.verify(NETWORK).expect("it is genuine"),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(64));
    group.bench_function("verify 64 together", |b| {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        b.iter_batched(
            || -> Vec<Arc<Record>> {
                let some = network.records[..64].iter();
                some.map(|record| Network::received(record)).collect()
            },
            |records| {
                Record::verify_all(records.iter().map(|record| &**record), NETWORK, &mut rng);
                records
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn record_in(c: &mut Criterion) {
    let mut group = c.benchmark_group("record in");
    for nodes in SIZES {
        let network = Network::new(nodes);
        let (mut seq, mut node) = (1, 0);
        // Each version has other round-trip times, so none is a duplicate.
        let mut next = || {
            node = node % (nodes - 1) + 1;
            seq += u32::from(node == 1);
            network.record(node, seq + 1, 8)
        };
        let mut view = network.view();
        group.bench_function(BenchmarkId::new("newer, view", nodes), |b| {
            b.iter_batched(
                &mut next,
                |record| view.accept(record, Duration::from_secs(1)),
                BatchSize::SmallInput,
            );
        });
        let (mut core, mut now) = network.core();
        let mut next = || Message::Records(vec![next()]);
        group.bench_function(BenchmarkId::new("newer, passed on by a core", nodes), |b| {
            b.iter_batched(
                &mut next,
                |message| {
                    // So little that no probe comes due: nobody answers them here.
                    now += Duration::from_micros(1);
                    core.handle(now, Input::Message(ConnId(0), message));
                    for conn in 0..8 {
                        core.handle(now, Input::Flushed(ConnId(conn), usize::MAX));
                    }
                    drain(&mut core);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn who_is_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("who is up");
    for nodes in SIZES {
        let network = Network::new(nodes);
        let mut view = network.view();
        // A distant node loses six of its links, among them perhaps the one that connects it, and gets them back.
        let (node, mut seq) = (nodes / 2, 1);
        let mut next = || {
            seq += 1;
            network.record(node, seq, if seq % 2 == 0 { 2 } else { 8 })
        };
        group.bench_function(BenchmarkId::new("after a change of links", nodes), |b| {
            b.iter_batched(
                &mut next,
                |record| {
                    view.accept(record, Duration::from_secs(1));
                    view.derive_up(Duration::from_secs(1))
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn digests(c: &mut Criterion) {
    let mut group = c.benchmark_group("digest");
    for nodes in SIZES {
        let network = Network::new(nodes);
        let mut view = network.view();
        let mut seq = 1;
        let mut next = || {
            seq += 1;
            network.record(1, seq, 8)
        };
        group.bench_function(
            BenchmarkId::new("of the view, after a change", nodes),
            |b| {
                b.iter_batched(
                    &mut next,
                    |record| {
                        view.accept(record, Duration::from_secs(1));
                        view.digest()
                    },
                    BatchSize::SmallInput,
                );
            },
        );
        group.bench_function(BenchmarkId::new("sums of ranges", nodes), |b| {
            b.iter(|| view.range_sums());
        });
        group.bench_function(BenchmarkId::new("versions in one range", nodes), |b| {
            b.iter(|| view.versions_in(black_box(0)));
        });
    }
    group.finish();
}

fn pictures(c: &mut Criterion) {
    let mut group = c.benchmark_group("picture");
    group.sample_size(20);
    for nodes in SIZES {
        let network = Network::new(nodes);
        let (core, now) = network.core();
        group.bench_function(BenchmarkId::new("snapshot", nodes), |b| {
            b.iter(|| core.snapshot(now));
        });
        let snapshot = core.snapshot(now);
        group.bench_function(BenchmarkId::new("peers.d2", nodes), |b| {
            b.iter(|| d2::picture(black_box(&snapshot), Shows::Auto));
        });
        group.bench_function(BenchmarkId::new("network.json", nodes), |b| {
            b.iter(|| json::network(black_box(&snapshot)));
        });
    }
    group.finish();
}

fn simulations(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulation");
    group.sample_size(10);
    for (what, text) in [
        ("100 cores start, 3 s", "nodes = 100\nlasts = \"3s\""),
        ("300 cores start, 3 s", "nodes = 300\nlasts = \"3s\""),
        (
            "25 whole nodes start, 3 s",
            "nodes = 25\nlasts = \"3s\"\nfidelity = \"whole\"",
        ),
    ] {
        let scenario = parse::read_text("bench.toml", text).expect("it is a scenario");
        group.bench_function(what, |b| b.iter(|| sim::run(&scenario, |_| true)));
    }
    group.finish();
}

criterion_group!(
    benches,
    records,
    record_in,
    who_is_up,
    digests,
    pictures,
    simulations
);
criterion_main!(benches);
