//! Checks section 9 of the document, and its timers and rates, against a core: collisions, close codes, and how long it waits.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use area_net::identity::Identity;
use area_net::membership::{Action, Closed, Config, ConnId, Connected, Core, DialId, Input};
use area_net::record::{Body, Record, Signer as _};
use area_net::sim::world::default_config;
use area_net::wire::{Answer, CloseCode, Hello, Message, ShortId, ViewDigest};

use crate::document::{Document, bare, number};

const OLD: ConnId = ConnId(1);
const NEW: ConnId = ConnId(2);

/// An action of a core.
#[derive(Debug, PartialEq)]
enum Done {
    Hello(ConnId),
    Closed(ConnId, CloseCode, usize),
}

/// A core and the connections of one peer. The peer answers probes on some of them.
struct Scene {
    core: Core,
    me: Identity,
    peer: Identity,
    network: Arc<str>,
    now: Duration,
    answering: BTreeSet<ConnId>,
    /// The transport takes each message at once.
    flushing: bool,
    done: Vec<(Duration, Done)>,
}

/// A connection to be made.
struct Opening {
    conn: ConnId,
    mine: bool,
    counter: u64,
    replaces: bool,
    run_id: u64,
}

impl Scene {
    fn new(me: Identity, peer: Identity, config: Config) -> Self {
        let network = config.network.clone();
        Self {
            core: Core::new(config, Arc::new(Identity::from_seed(&seed_of(&me)))),
            me,
            peer,
            network,
            now: Duration::from_secs(100),
            answering: BTreeSet::from([OLD, NEW]),
            flushing: true,
            done: Vec::new(),
        }
    }

    /// A core with the lower or the higher of two ids.
    fn with_ids(lower: bool) -> Self {
        let mut both = [1, 2].map(|byte| Identity::from_seed(&[byte; 32]));
        both.sort_by_key(|identity| (identity.node_id() < other_id(identity)) != lower);
        let [me, peer] = both;
        assert_eq!(me.node_id() < peer.node_id(), lower);
        Self::new(me, peer, default_config(0, &[]))
    }

    fn opened(&self, opening: &Opening) -> Connected {
        let body = Body {
            id: self.peer.node_id(),
            label: "".into(),
            run_id: opening.run_id,
            epoch: opening.run_id,
            seq: 1,
            uptime_s: 0,
            addrs: Vec::new(),
            links: Vec::new(),
            leaving: false,
            certificate: None,
        };
        let remote = SocketAddr::from(([192, 0, 2, 1], 8083));
        Connected {
            conn: opening.conn,
            dial: opening.mine.then_some(DialId(opening.counter)),
            peer: self.peer.node_id(),
            remote,
            hello: Hello {
                run_id: opening.run_id,
                dial_counter: if opening.mine { 0 } else { opening.counter },
                replaces: opening.replaces && !opening.mine,
                observed: remote,
                known: 1,
                digest: ViewDigest([0; 8]),
                record: Record::sign(body, &self.network, &self.peer),
                revocations: 0,
            },
            rtt_us: Some(100),
            replaces: opening.replaces && opening.mine,
            spare: false,
        }
    }

    fn connect(&mut self, opening: &Opening) {
        let connected = self.opened(opening);
        self.handle(Input::Connected(Box::new(connected)));
    }

    /// Makes a link that stands: the peer has dialed and sent a message after its Hello.
    fn linked(&mut self) {
        self.connect(&Opening {
            conn: OLD,
            mine: false,
            counter: 1,
            replaces: false,
            run_id: 1,
        });
        self.handle(Input::Message(OLD, Message::Superfluous(false)));
        self.pass(Duration::from_secs(2));
        assert!(self.lists_peer());
        self.done.clear();
    }

    fn lists_peer(&self) -> bool {
        let peer = self.peer.node_id().abbreviated();
        self.core.own_record().link_to(&peer).is_some()
    }

    fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input);
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Probe(conn, probe) if self.answering.contains(&conn) => {
                    let answer = Answer {
                        seq: probe.seq,
                        hold_us: 0,
                    };
                    self.core
                        .handle(self.now, Input::Answer(conn, answer, Some(100)));
                }
                Action::Send(conn, message) => {
                    if let Message::Hello(_) = message {
                        self.done.push((self.now, Done::Hello(conn)));
                    }
                    if self.flushing {
                        self.core.handle(self.now, Input::Flushed(conn, usize::MAX));
                    }
                }
                Action::Close(conn, code, alternatives) => {
                    let closed = Done::Closed(conn, code, alternatives.len());
                    self.done.push((self.now, closed));
                }
                Action::Probe(..)
                | Action::Echo(..)
                | Action::Dial { .. }
                | Action::Open { .. } => {}
            }
        }
        while self.core.poll_event().is_some() {}
    }

    /// Lets time pass while `goes_on` is true, but no longer than `time`.
    fn pass_while(&mut self, time: Duration, goes_on: impl Fn(&Self) -> bool) {
        let until = self.now + time;
        while goes_on(self) {
            let due = self.core.poll_timeout().max(self.now);
            if due > until {
                self.now = until;
                return;
            }
            self.now = due;
            self.handle(Input::Timeout);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.pass_while(time, |_| true);
    }

    /// The time from `since` until the connection was closed with that code.
    fn closed(&self, since: Duration, conn: ConnId, code: CloseCode) -> Duration {
        let addrs = match code {
            // The addresses of the other run.
            CloseCode::IdentityInUse => 1,
            _ => 0,
        };
        let closed = Done::Closed(conn, code, addrs);
        let (at, _) = self.done.iter().find(|(_, done)| *done == closed).unwrap();
        *at - since
    }

    fn closes(&self) -> usize {
        let is_close = |(_, done): &&(Duration, Done)| matches!(done, Done::Closed(..));
        self.done.iter().filter(is_close).count()
    }
}

/// The two identities of these tests are made from the seeds 1 and 2.
fn seed_of(identity: &Identity) -> [u8; 32] {
    let is = |byte: &u8| Identity::from_seed(&[*byte; 32]).node_id() == identity.node_id();
    [[1, 2].into_iter().find(is).unwrap(); 32]
}

fn other_id(identity: &Identity) -> area_net::wire::NodeId {
    Identity::from_seed(&[3 - seed_of(identity)[0]; 32]).node_id()
}

/// A timer in the table of section 12.2.
fn timer(name: &str) -> Duration {
    let rows = Document::read().table("### 12.2 Timers");
    let row = rows.iter().find(|row| row[0] == name).unwrap();
    time(&row[1])
}

fn time(cell: &str) -> Duration {
    let value = number(cell) as u64;
    match cell.split([' ', ',']).nth(1).unwrap() {
        "s" => Duration::from_secs(value),
        "ms" => Duration::from_millis(value),
        other => panic!("{other:?} in {cell:?}"),
    }
}

#[test]
fn both_ends_resolve_a_collision_as_specified() {
    let kept = timer("loser of a collision is kept");
    let rows = Document::read().table("### 9.3 Collision resolution");
    assert!(rows.len() > 8);
    for row in &rows {
        for lower in [true, false] {
            let mut scene = Scene::with_ids(lower);
            let opening = |conn, by: &str, counter: &str, replaces| Opening {
                conn,
                mine: (by == "lower id") == lower,
                counter: counter.parse().unwrap(),
                replaces,
                run_id: 1,
            };
            scene.connect(&opening(OLD, &row[0], &row[1], false));
            scene.handle(Input::Message(OLD, Message::Superfluous(false)));
            scene.pass(time(&row[5]));
            assert_eq!(scene.closes(), 0);
            let since = scene.now;
            scene.connect(&opening(NEW, &row[2], &row[3], row[4] == "true"));
            scene.pass(Duration::from_secs(1));
            let loser = if row[6] == "new" { OLD } else { NEW };
            let closed = scene.closed(since, loser, CloseCode::Duplicate);
            assert_eq!(closed, kept, "{row:?}");
            assert_eq!(scene.closes(), 1, "{row:?}");
            assert!(scene.lists_peer(), "the link is never unlisted");
        }
    }
}

#[test]
fn the_old_connection_of_a_restarted_peer_is_tested_as_specified() {
    let (test, kept) = (
        timer("test of the old connection of a restarted peer"),
        timer("loser of a collision is kept"),
    );
    for silent in [true, false] {
        let mut scene = Scene::with_ids(true);
        scene.linked();
        if silent {
            scene.answering.remove(&OLD);
        }
        let since = scene.now;
        scene.connect(&Opening {
            conn: NEW,
            mine: false,
            counter: 1,
            replaces: false,
            run_id: 2,
        });
        scene.pass(Duration::from_secs(1));
        if silent {
            assert_eq!(scene.done[0], (since + test, Done::Hello(NEW)));
            let closed = scene.closed(since, OLD, CloseCode::Duplicate);
            assert_eq!(closed, test + kept);
        } else {
            let closed = scene.closed(since, NEW, CloseCode::IdentityInUse);
            assert_eq!(closed, Duration::ZERO);
        }
        assert_eq!(scene.closes(), 1);
    }
}

#[test]
fn links_without_answers_or_connections_are_kept_as_specified() {
    let mut scene = Scene::with_ids(false);
    scene.linked();
    scene.answering.clear();
    scene.pass_while(Duration::from_secs(60), Scene::lists_peer);
    assert!(!scene.lists_peer());
    let since = scene.now;
    scene.pass(Duration::from_secs(60));
    let kept = scene.closed(since, OLD, CloseCode::Down);
    assert_eq!(kept, timer("link judged down is kept"));

    let mut scene = Scene::with_ids(false);
    scene.linked();
    let since = scene.now;
    let lost = Closed::ByPeer(Some(CloseCode::Duplicate));
    scene.handle(Input::Closed(OLD, lost));
    scene.pass_while(Duration::from_secs(60), Scene::lists_peer);
    let waited = scene.now - since;
    assert_eq!(
        waited,
        timer("link without its connection waits for the winner")
    );
}

#[test]
fn a_peer_that_takes_nothing_is_waited_for_as_specified() {
    let mut scene = Scene::with_ids(true);
    scene.linked();
    let since = scene.now;
    scene.flushing = false;
    let (log2, sums) = (0, vec![0]);
    scene.handle(Input::Message(OLD, Message::Digests { log2, sums }));
    scene.pass(Duration::from_secs(60));
    let waited = scene.closed(since, OLD, CloseCode::Stalled);
    assert_eq!(
        waited,
        timer("peer that takes nothing from the control stream")
    );
}

#[test]
fn messages_over_a_rate_close_the_connection_as_specified() {
    let rows = Document::read().table("The rates of a link:");
    assert_eq!(rows.len(), 3);
    for row in &rows[..2] {
        // Revocations need an authority's signature; `members` counts them with the others of their row.
        let names = row[0].split(' ').filter(|word| word.starts_with('`'));
        for name in names.filter(|name| !name.starts_with("`Revocations`")) {
            let mut scene = Scene::with_ids(true);
            scene.linked();
            // The buckets are full again after that.
            scene.pass(Duration::from_secs(5));
            let message = || match bare(name.trim_end_matches(',')) {
                "Digests" => Message::Digests {
                    log2: 0,
                    sums: vec![0],
                },
                "Versions" => Message::Versions {
                    log2: 0,
                    buckets: Vec::new(),
                    entries: Vec::new(),
                },
                "Superfluous" => Message::Superfluous(true),
                "Request" => Message::Request(vec![ShortId([0; 16])]),
                "Have" => Message::Have(Vec::new()),
                "Graft" => Message::Graft(Vec::new()),
                "Prune" => Message::Prune,
                "Observed" => Message::Observed(SocketAddr::from(([192, 0, 2, 7], 8083))),
                other => panic!("{other}"),
            };
            for _ in 0..number(&row[1]) {
                scene.handle(Input::Message(OLD, message()));
            }
            assert_eq!(scene.closes(), 0, "{name}");
            scene.handle(Input::Message(OLD, message()));
            scene.closed(scene.now, OLD, CloseCode::Limit);
        }
    }
}

#[test]
fn a_connection_that_is_not_accepted_is_closed_with_the_specified_code() {
    let rows = Document::read().table("### 9.1 Accepting");
    let documented: Vec<usize> = rows
        .iter()
        .filter_map(|row| row[1].strip_prefix("closes with "))
        .map(number)
        .collect();
    let opening = Opening {
        conn: OLD,
        mine: false,
        counter: 1,
        replaces: false,
        run_id: 1,
    };
    let code = |mut scene: Scene, change: &dyn Fn(&mut Scene, &mut Connected)| {
        let mut connected = scene.opened(&opening);
        change(&mut scene, &mut connected);
        scene.handle(Input::Connected(Box::new(connected)));
        match scene.done.as_slice() {
            [(_, Done::Closed(OLD, code, _))] => code.number() as usize,
            other => panic!("{other:?}"),
        }
    };
    let scene = || Scene::with_ids(true);
    let full = Config {
        degree_cap: 0,
        guests: 0,
        ..default_config(0, &[])
    };
    let own_key = |scene: &mut Scene, it: &mut Connected| it.peer = scene.me.node_id();
    let codes = [
        code(scene(), &|scene, it| {
            own_key(scene, it);
            it.hello.run_id = scene.core.run_id();
        }),
        code(scene(), &|scene, it| {
            own_key(scene, it);
            it.hello.run_id = scene.core.run_id() + 1;
        }),
        code(scene(), &|_, it| it.hello.run_id += 1),
        code(scene(), &|scene, _| {
            scene.handle(Input::Leave);
            scene.done.clear();
        }),
        code(Scene::new(scene().me, scene().peer, full), &|_, _| {}),
    ];
    assert_eq!(documented[..codes.len()], codes);
}
