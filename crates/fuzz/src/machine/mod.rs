//! One core, whose peers, transport, clock and user are played by the input.
//!
//! Each step of the input is one of the things that happen to a core. The transport keeps its promises: a connection that the core closes
//! is reported as ended, a message is taken before the next one, and a dial succeeds or fails once. All else is the input's choice: who
//! connects as whom, what is said, what is lost, and when. Six peers have keys, so what they say may be genuine. After each step the
//! invariants of `check` hold.

mod acts;
mod check;
mod says;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use area_net::membership::{
    Action, Closed, Config, ConnId, Core, DialError, DialId, Event, Input, MAX_DIAL_QUEUE, Time,
};
use area_net::record::Record;
use area_net::settings::{CoreStart, Settings};
use area_net::wire::{Answer, CloseCode, MAX_ECHO_WAY, Message, NodeId, dialable};

use crate::people::{NETWORK, PEERS, PEOPLE};

/// The most steps of one input. An input of 4 kB, libFuzzer's usual length, has about as many. Half: longer inputs are cut. Double: the
/// slowest inputs take twice as long.
const MOST_STEPS: usize = 600;
/// The most answers of lively peers to one step: each message that the core sends may bring the next. A core that sends this many in one
/// moment never stops.
const MOST_ECHOES: usize = 20_000;
/// After all peers are gone and this time has passed, nothing may be left of them: `forget_after` of these cores is 10 s, penalties and the
/// damping of links are looked at when they are used.
const AFTERWARDS: Duration = Duration::from_secs(60);
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// Nobody looks at the core more often in that time: nothing happens but dials that fail.
const LEAST_SLEEP: Duration = Duration::from_secs(4);

/// A connection that the core was told of.
#[derive(Debug)]
struct Conn {
    peer: usize,
    /// A message of the core is not taken yet.
    is_in_flight: bool,
    /// Probes of the core that were not answered, the oldest first.
    asked: VecDeque<u32>,
    last_probe: Option<u32>,
    /// What the peer numbers its own probes with.
    seq: u32,
    /// The core closed it, and the transport has not reported that yet.
    is_closing: bool,
}

/// A dial under way.
#[derive(Debug)]
struct Dialing {
    addrs: Vec<SocketAddr>,
    expect: Option<NodeId>,
}

/// See the module's documentation.
struct Machine {
    core: Core,
    config: Config,
    now: Time,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    dials: BTreeMap<DialId, Dialing>,
    last_dial: Option<DialId>,
    /// The nonces of rendezvous that the core opened.
    opened: Vec<u64>,
    /// The last runs of the nodes, in which they speak.
    runs: [u64; crate::people::ALL],
    /// These peers answer probes and take messages at once.
    is_lively: [bool; crate::people::ALL],
    /// Who is up, by the events.
    shown: BTreeSet<NodeId>,
    /// Another node with its key went on, and it fell silent: its last record stays as it was.
    was_silenced: bool,
    own: Arc<Record>,
    is_leaving: bool,
    /// What the transport has still to report.
    echoes: VecDeque<Input>,
}

/// Plays one input.
pub(crate) fn run(input: &[u8]) {
    let mut bytes = Unstructured::new(input);
    let Ok(mut machine) = Machine::new(&mut bytes) else {
        return;
    };
    machine.give(Input::Timeout);
    for _ in 0..MOST_STEPS {
        if bytes.is_empty() || machine.step(&mut bytes).is_err() {
            break;
        }
    }
    machine.end();
}

impl Machine {
    fn new(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let people = &*PEOPLE;
        let kind: u8 = bytes.arbitrary()?;
        let settings = Settings {
            network: NETWORK.to_owned(),
            label: "me".to_owned(),
            forget_after: FORGET_AFTER,
            ..Settings::default()
        };
        let remembered = (kind & 2 != 0).then(|| {
            let addrs = vec![says::addr(2), says::addr(9)];
            (
                people.id(2),
                area_net::membership::Remembered::new(addrs, -1000, kind & 4 != 0),
            )
        });
        let config = settings.core(CoreStart {
            published: vec![says::addr(0)],
            remembered: remembered.into_iter().collect(),
            run_id: says::RUNS[0],
            epoch: says::EPOCH,
            seed: [kind; 32],
            tells_links: kind & 8 != 0,
            charter: (kind & 1 != 0).then(|| people.charter()),
            ..CoreStart::default()
        });
        // A large network's rules with few nodes: links are chosen, given up and refused.
        let (full_mesh, degree_target, degree_cap, guests) = match kind >> 4 & 3 {
            0 | 1 => (16, 8, 16, 256),
            2 => (2, 2, 4, 1),
            _ => (3, 3, 4, 0),
        };
        let config = Config {
            full_mesh,
            degree_target,
            degree_cap,
            guests,
            claims: if kind & 64 == 0 { 64 } else { 1 },
            dials_at_once: if kind & 128 == 0 { 8 } else { 1 },
            targets: vec![says::addr(1), says::addr(0)],
            ..config
        };
        let core = Core::new(config.clone(), people.all[0].clone());
        Ok(Self {
            own: core.own_record(),
            core,
            config,
            now: Duration::ZERO,
            conns: BTreeMap::new(),
            next_conn: 0,
            dials: BTreeMap::new(),
            last_dial: None,
            opened: Vec::new(),
            runs: [says::RUNS[1]; crate::people::ALL],
            is_lively: [true; crate::people::ALL],
            shown: BTreeSet::new(),
            was_silenced: false,
            is_leaving: false,
            echoes: VecDeque::new(),
        })
    }

    /// Gives the core one input, and what follows from it at lively peers.
    fn give(&mut self, input: Input) {
        self.pass(input);
        self.pass_echoes();
        self.check();
    }

    fn pass_echoes(&mut self) {
        let mut count = 0;
        while let Some(echo) = self.echoes.pop_front() {
            count += 1;
            assert!(count < MOST_ECHOES, "the core never stops sending");
            self.pass(echo);
        }
    }

    /// Gives the core one input, and performs all actions.
    fn pass(&mut self, input: Input) {
        if let Input::Closed(conn, _) = &input {
            self.conns.remove(conn);
        }
        self.is_leaving |= matches!(input, Input::Leave);
        self.core.handle(self.now, input);
        while let Some(action) = self.core.poll_action() {
            self.perform(action);
        }
        while let Some(event) = self.core.poll_event() {
            self.hear(&event);
        }
        let own = self.core.own_record();
        if !Arc::ptr_eq(&own, &self.own) {
            self.check_own(&own);
            self.own = own;
        }
    }

    /// The connection that an action is about: one that the core knows, and did not close.
    fn open(&mut self, conn: ConnId, what: &str) -> &mut Conn {
        let open = self.conns.get_mut(&conn).filter(|open| !open.is_closing);
        open.unwrap_or_else(|| panic!("{what} on {conn:?}, which is not open"))
    }

    fn perform(&mut self, action: Action) {
        let is_lively = |machine: &Self, conn: ConnId| {
            machine
                .conns
                .get(&conn)
                .is_some_and(|open| machine.is_lively[open.peer])
        };
        match action {
            Action::Send(conn, message) => {
                check::check_sent(&message);
                let open = self.open(conn, "a message");
                let was_in_flight = std::mem::replace(&mut open.is_in_flight, true);
                assert!(!was_in_flight, "two messages under way on {conn:?}");
                if is_lively(self, conn) {
                    self.flushed(conn, usize::MAX);
                }
            }
            Action::Probe(conn, probe) => {
                let open = self.open(conn, "a probe");
                assert!(
                    open.last_probe < Some(probe.seq),
                    "probes are not counted up"
                );
                assert!(probe.next_ms > 0, "the next probe is due at once");
                open.last_probe = Some(probe.seq);
                open.asked.push_back(probe.seq);
                // As many as a peer could still answer.
                if open.asked.len() > 64 {
                    open.asked.pop_front();
                }
                if is_lively(self, conn) {
                    self.answer(conn, Some(300));
                }
            }
            Action::Echo(conn, echo) => {
                self.open(conn, "an echo");
                assert!((2..=MAX_ECHO_WAY).contains(&echo.way.len()), "{echo:?}");
            }
            Action::Close(conn, code, alternatives) => {
                assert!(alternatives.len() <= area_net::wire::MAX_ALTERNATIVES);
                assert!(alternatives.is_empty() || code != CloseCode::Leaving);
                self.open(conn, "a close").is_closing = true;
                // From others, what was under way may come before that report.
                if is_lively(self, conn) {
                    self.echoes.push_back(Input::Closed(conn, Closed::Local));
                }
            }
            Action::Dial {
                dial,
                addr,
                others,
                expect,
                ..
            } => self.dial(dial, addr, others, expect),
            Action::Open { addrs, nonce } => {
                assert!(
                    (1..=3).contains(&addrs.len()),
                    "{} addresses to open",
                    addrs.len()
                );
                assert!(addrs.iter().all(|addr| dialable(addr, true)), "{addrs:?}");
                self.opened.push(nonce);
            }
        }
    }

    fn dial(
        &mut self,
        dial: DialId,
        addr: SocketAddr,
        others: Vec<SocketAddr>,
        expect: Option<NodeId>,
    ) {
        assert!(self.last_dial < Some(dial), "{dial:?} is not a new number");
        assert!(!self.is_leaving, "a leaving node dials");
        self.last_dial = Some(dial);
        let mut addrs = others;
        addrs.insert(0, addr);
        for addr in &addrs {
            assert!(says::is_place(addr), "{addr} can't be dialed");
        }
        let different: BTreeSet<_> = addrs.iter().collect();
        assert_eq!(different.len(), addrs.len(), "one address twice: {addrs:?}");
        assert_ne!(expect, Some(PEOPLE.id(0)), "it dials itself");
        self.dials.insert(dial, Dialing { addrs, expect });
        // Besides those, each link may be given another connection.
        let most = self.config.dials_at_once + PEERS;
        assert!(
            self.dials.len() <= most,
            "{} dials, {most} allowed",
            self.dials.len()
        );
        assert!(self.core.tables().dial_queue <= MAX_DIAL_QUEUE);
    }

    /// The transport takes the next message.
    fn flushed(&mut self, conn: ConnId, room: usize) {
        if let Some(open) = self.conns.get_mut(&conn)
            && std::mem::take(&mut open.is_in_flight)
        {
            self.echoes.push_back(Input::Flushed(conn, room));
        }
    }

    /// The peer answers the oldest probe.
    fn answer(&mut self, conn: ConnId, rtt_us: Option<u32>) {
        if let Some(open) = self.conns.get_mut(&conn)
            && let Some(seq) = open.asked.pop_front()
        {
            let answer = Answer { seq, hold_us: 0 };
            self.echoes.push_back(Input::Answer(conn, answer, rtt_us));
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Up(id) => {
                assert!(self.shown.insert(*id), "{id:?} came up twice");
            }
            Event::Unreachable(id) => {
                assert!(self.shown.remove(id), "{id:?} went down, and was not up");
            }
            // They are told of those that are gone with all others, too.
            Event::Left(id) | Event::Removed(id, _) => {
                self.shown.remove(id);
            }
            Event::CutOff => self.shown.clear(),
            Event::Twin { silenced, .. } => self.was_silenced |= silenced,
            Event::Suspected(id) | Event::Restored(id) => {
                assert!(PEOPLE.place(id).is_some_and(|at| (1..=PEERS).contains(&at)));
            }
            Event::Linked { .. }
            | Event::Unlinked { .. }
            | Event::Revocations(..)
            | Event::Links(_)
            | Event::Pinged { .. }
            | Event::DialFailed(..)
            | Event::OwnTarget(_)
            | Event::PeerTwin(..)
            | Event::Rejected { .. } => {}
        }
    }

    /// Messages arrive as bytes: what the decoder refuses costs the connection, as in the transport.
    fn arrive(&mut self, conn: ConnId, body: &[u8]) {
        match Message::from_body(body) {
            Ok(message) => self.give(Input::Message(conn, message)),
            Err(error) => {
                let why = Closed::Violation(CloseCode::Protocol, error.to_string());
                self.give(Input::Closed(conn, why));
            }
        }
    }

    /// All peers go, and time passes: nothing may be left of them.
    fn end(&mut self) {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            self.pass(Input::Closed(conn, Closed::Reset));
        }
        let until = self.now + AFTERWARDS;
        while self.now < until {
            while let Some((dial, _)) = self.dials.pop_first() {
                self.pass(Input::DialFailed(dial, DialError::Timeout));
            }
            let next = self.core.poll_timeout().max(self.now + LEAST_SLEEP);
            self.now = next.min(until);
            self.pass(Input::Timeout);
            self.pass_echoes();
        }
        self.check();
        self.check_empty();
    }
}
