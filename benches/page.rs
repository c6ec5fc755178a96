//! What an open page costs a node, for networks of three sizes that are at rest.
//!
//! Run `cargo bench --bench page`. Simulated cores make the views: a view a second of one of them, whose round-trip times change as they do
//! there. Then a real server serves them over loopback to a reader that wants the latency map, as the page does. It announces changes as
//! often as the core did. Times are processor time of the threads, so other programs disturb them little.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use area_net::chronicle::{Archive, Limit, Notes};
use area_net::impair::Impairment;
use area_net::sim::lines::Ground;
use area_net::sim::world::{World, default_settings};
use area_net::snapshot::{Changes, Snapshot, SnapshotReader};
use area_net::web::{Listener, Site, serve};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval};

const SIZES: [usize; 3] = [25, 100, 1000];
/// The virtual time until the network is at rest, and round-trip times are known: new links are measured more often for a while.
const SETTLED: Duration = Duration::from_secs(90);
/// The views, one a second.
const VIEWS: usize = 40;
/// The views that pass before the costs are counted: the first map takes longer.
const WARM: usize = 10;
/// The history of a node.
const HISTORY: Limit = Limit {
    bytes: 8 << 20,
    age: Duration::from_secs(24 * 60 * 60),
};

/// The processor time of this thread.
fn used() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("processor time is not negative")
}

/// What a node saw in a second, and how often it announced a change meanwhile.
struct Second {
    view: Arc<Snapshot>,
    announced: u64,
}

/// Views of node 0 at rest, and the time that one takes to be made.
fn views(nodes: usize) -> (Vec<Second>, Duration) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut world = World::new(1);
    for place in 0..nodes {
        let targets = [(); 2].map(|()| rng.random_range(0..nodes));
        world.add(place as u64, default_settings(place, &targets));
    }
    let lines = [5, 15, 30, 60, 90].map(|ms| {
        let words = format!("delay {ms}ms {}ms", ms / 10 + 1);
        Arc::new(words.parse::<Impairment>().expect("it is an impairment"))
    });
    world.change_terrain(|terrain| terrain.default = Ground::Spread(Arc::new(lines)));
    for place in 0..nodes {
        world.start(place);
    }
    let mut announced = Changes::default();
    let mut seconds = Vec::new();
    let mut cost = Duration::ZERO;
    for number in 0..VIEWS {
        let until = SETTLED + Duration::from_secs(number as u64);
        while world.step(until) {
            while world.poll_news().is_some() {}
        }
        let core = world.nodes[0].core().expect("it runs");
        let changes = core.changes();
        let begun = used();
        let view = core.snapshot(world.now());
        cost += used() - begun;
        seconds.push(Second {
            view: Arc::new(view),
            announced: changes.figures - announced.figures,
        });
        announced = changes;
    }
    (seconds, cost / VIEWS as u32)
}

/// Serves the views, a second each, and counts the processor time of the server's thread, and the bytes that the reader got.
fn look(seconds: &[Second]) -> (Duration, usize) {
    let (announce, changes) = watch::channel(Changes::default());
    let (requests, mut requested) = mpsc::channel(4);
    let archive = Arc::new(Archive::new(HISTORY, Notes::default()));
    let reader = SnapshotReader::new(changes, requests);
    let site = Arc::new(Site::live(reader, archive, None));
    let listener =
        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("loopback can be listened on");
    listener.set_nonblocking(true).expect("a socket");
    let addr = listener.local_addr().expect("it is bound");
    let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<Duration>>();
    std::thread::spawn(move || {
        runtime().block_on(async {
            tokio::spawn(serve(site, vec![Listener::Tcp(listener)]));
            while let Some(answer) = asked.recv().await {
                answer.send(used()).ok();
            }
        });
    });
    let got = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&got);
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).expect("the server listens");
        let request =
            format!("GET /v1/stream?from=live&map=latency HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            counted.fetch_add(count, Ordering::Relaxed);
        }
    });
    runtime().block_on(async {
        let cost = async || {
            let (answer, answered) = oneshot::channel();
            ask.send(answer).expect("the server runs");
            answered.await.expect("the server runs")
        };
        let mut from = (Duration::ZERO, 0);
        for (number, second) in seconds.iter().enumerate() {
            if number == WARM {
                from = (cost().await, got.load(Ordering::Relaxed));
            }
            let until = Instant::now() + Duration::from_secs(1);
            let mut ticks =
                interval(Duration::from_secs(1).div_f64(second.announced.max(1) as f64));
            while Instant::now() < until {
                tokio::select! {
                    _ = ticks.tick() => announce.send_modify(|changes| changes.figures += 1),
                    Some(answer) = requested.recv() => {
                        // It may ask no more.
                        oneshot::Sender::send(answer, Arc::clone(&second.view)).ok();
                    }
                }
            }
        }
        (cost().await - from.0, got.load(Ordering::Relaxed) - from.1)
    })
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime starts")
}

fn main() {
    println!(
        "nodes, links; changes announced a second; a view, ms; the server's thread, ms a second; bytes a second; share of a core"
    );
    for nodes in SIZES {
        let (seconds, view) = views(nodes);
        let (server, bytes) = look(&seconds);
        let counted = (VIEWS - WARM) as f64;
        let announced: u64 = seconds[WARM..].iter().map(|second| second.announced).sum();
        let server = server.div_f64(counted);
        println!(
            "{nodes}, {}; {:.0}; {:.2}; {:.2}; {:.0}; {:.2} %",
            seconds[0].view.links.len(),
            announced as f64 / counted,
            view.as_secs_f64() * 1000.0,
            server.as_secs_f64() * 1000.0,
            bytes as f64 / counted,
            (view + server).as_secs_f64() * 100.0,
        );
    }
}
