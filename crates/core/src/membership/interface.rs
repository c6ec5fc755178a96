//! What goes into a core and comes out of it: settings, inputs, actions, and events for the log.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::tuning::Tuning;
use super::view::Ids;
use crate::certificate::{Authorities, Certificate, Unfit};
use crate::record::{Body, Direction, LinkState};
use crate::revocations::Revocations;
use crate::wire::{Answer, CloseCode, Echo, Hello, Message, NodeId, Probe, ShortId};

/// A connection, as the transport numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// An attempt at a connection; its number is also the dialer's connection counter of the Hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// A node remembered from earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Where it could be dialed, the address that worked last in front.
    pub addrs: Vec<SocketAddr>,
    /// When it was last up, in ms of this node's running time: since its start, or before it if negative. The time between two
    /// runs does not count, since only the wall clock knows it, which may be wrong.
    pub seen_ms: i64,
    /// It left of its own will: not dialed unless configured.
    pub left: bool,
    /// Those of the addresses that were only seen: packets came from there, but the node may not listen there.
    pub(super) guesses: Vec<SocketAddr>,
    /// Dials that failed since it was last reached.
    pub(super) failures: u32,
    /// When its link was lost, in this run.
    pub(super) lost_at: Option<Time>,
}

impl Remembered {
    /// A node that could be dialed at those addresses, the best one first.
    #[must_use]
    pub fn new(addrs: Vec<SocketAddr>, seen_ms: i64, left: bool) -> Self {
        Self {
            addrs,
            seen_ms,
            left,
            guesses: Vec::new(),
            failures: 0,
            lost_at: None,
        }
    }

    /// The same node for the next run, after a run of this length.
    #[must_use]
    pub fn after(mut self, run: Time) -> Self {
        self.seen_ms = self.seen_ms.saturating_sub(running_ms(run));
        self
    }
}

/// The core's time in ms, as [`Remembered::seen_ms`] counts it.
pub(super) fn running_ms(now: Time) -> i64 {
    i64::try_from(now.as_millis()).expect("fits for an age of the earth")
}

/// Whom to dial, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Who is expected there; `None` for a configured address nobody answered at so far.
    pub id: Option<NodeId>,
    /// Where.
    pub addr: SocketAddr,
}

/// What a node of a network with an authority starts with.
#[derive(Debug, Clone)]
pub struct Charter {
    /// The authorities of the network.
    pub authorities: Arc<Authorities>,
    /// The node's own certificate. Without one, no other node admits it.
    pub certificate: Option<Arc<Certificate>>,
    /// The newest revocations that it knows.
    pub revocations: Option<Arc<Revocations>>,
    /// The Unix time in s at the core's time zero, by the wall clock as it is now.
    pub unix_s: u64,
}

/// What the core is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The network's name.
    pub network: Arc<str>,
    /// The node's label.
    pub label: Arc<str>,
    /// The addresses of the node's interfaces at the start; see [`Input::OwnAddrs`].
    pub addrs: Vec<SocketAddr>,
    /// Configured targets.
    pub targets: Vec<SocketAddr>,
    /// What an earlier run remembered.
    pub remembered: Vec<(NodeId, Remembered)>,
    /// Random, new at every start.
    pub run_id: u64,
    /// Above every epoch that this identity ever used.
    pub epoch: u64,
    /// Seeds the core's random generator.
    pub seed: [u8; 32],
    /// The pause between two probes on a healthy link, of a node that has no more than six; longer by as much as it has more,
    /// up to twice as long.
    pub probe_interval: Duration,
    /// Up to so many nodes, everybody links with everybody.
    pub full_mesh: usize,
    /// Above that, about so many links, counted both ways.
    pub degree_target: usize,
    /// Never more links than this that are chosen.
    pub degree_cap: usize,
    /// So many more links with guests: peers that depend on the link.
    pub guests: usize,
    /// The most nodes that count on the word of one other node.
    pub claims: usize,
    /// So many dials at a time.
    pub dials_at_once: usize,
    /// How long a dial that nobody answers takes.
    pub dial_timeout: Duration,
    /// What news of round-trip times alone may cost this node, in bytes a second.
    pub refresh_bytes_per_s: u32,
    /// How long the record of a node that is not up is kept.
    pub forget_after: Duration,
    /// The core's tuned constants: the defaults, but in a simulation that varies them.
    pub tuning: Arc<Tuning>,
    /// Tell which links newer records add and withdraw ([`Event::Links`]), for a history of the view.
    pub tells_links: bool,
    /// Who may be a member. `None`: everybody.
    pub charter: Option<Charter>,
    /// Where nodes stand in tables, if all cores of a simulator are to share that; else the core has a table of its own.
    pub ids: Option<Arc<Ids>>,
}

/// A connection after both Hellos.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Its number.
    pub conn: ConnId,
    /// The dial it came from; `None` if the peer dialed.
    pub dial: Option<DialId>,
    /// The node whose key the handshake proved.
    pub peer: NodeId,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// What the peer said.
    pub hello: Hello,
    /// Round-trip time of the handshake in µs, the first guess at the path.
    pub rtt_us: Option<u32>,
    /// Whether our own Hello said that this connection replaces one we take for dead.
    pub replaces: bool,
    /// It was dialed from a port on which this node does not listen: the address that the peer observes is none of this node's.
    pub spare: bool,
}

/// What keeps packets from an address, as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// This machine has no route to there.
    NoRoute,
    /// The socket's own address can't be the source of packets to there.
    Source,
    /// The socket's own address is of the other family, IPv4 or IPv6.
    Family,
    /// This machine forbids it: its firewall.
    ProhibitedHere,
    /// A firewall on the way forbids it, and says so by ICMP; its address.
    Prohibited(Option<IpAddr>),
    /// A router has no route to there, or nobody there has that address; its address.
    NoWay(Option<IpAddr>),
}

/// Why a dial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialError {
    /// No answer in time.
    Timeout,
    /// The system there says that nobody listens at that port.
    Unreachable,
    /// No packet got there, and the system says why.
    Blocked(Obstacle),
    /// Another node answered there, and proved its key.
    OtherKey(NodeId),
    /// This very node answered.
    Myself,
    /// The other side refused; where it is full, with addresses to try instead.
    Refused(Option<CloseCode>, Vec<SocketAddr>),
    /// Anything else, in words.
    Failed(String),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it, with this code if it is one of ours.
    ByPeer(Option<CloseCode>),
    /// The peer has forgotten the connection: it was restarted.
    Reset,
    /// QUIC's own idle timeout.
    TimedOut,
    /// We closed it for what the peer did; the reason in words.
    Violation(CloseCode, String),
    /// We closed it ourselves.
    Local,
    /// The transport failed, in words.
    Failed(String),
}

/// What happens to the core.
#[derive(Debug)]
pub enum Input {
    /// Nothing but time.
    Timeout,
    /// A connection is through both Hellos.
    Connected(Box<Connected>),
    /// A dial failed.
    DialFailed(DialId, DialError),
    /// One address of a dial failed, and the dial goes on with others.
    AddrFailed(DialId, SocketAddr, DialError),
    /// A connection ended.
    Closed(ConnId, Closed),
    /// A message on the control stream.
    Message(ConnId, Message),
    /// The transport takes the next message to this connection: the line carries within a moment what is still under way. The
    /// message should have at most so many bytes, since the rest would wait in the transport.
    Flushed(ConnId, usize),
    /// A probe came (and the transport has answered it).
    Probe(ConnId, Probe),
    /// An answer came; with the path's share of the time, in µs, where it could be told.
    Answer(ConnId, Answer, Option<u32>),
    /// The system at the peer's address says that nobody listens there.
    Unreachable(ConnId),
    /// The peer's packets come from that address now.
    Moved(ConnId, SocketAddr),
    /// The addresses to publish are these from now on; those at which peers see the node are known to the core.
    OwnAddrs {
        /// Where others are to dial, by the settings.
        advertised: Vec<SocketAddr>,
        /// The addresses of the interfaces at which the node listens, with its port.
        local: Vec<SocketAddr>,
    },
    /// The addresses behind those targets that the settings give by name, all of them; beside [`Config::targets`].
    Targets(Vec<SocketAddr>),
    /// That node is said to be at that address, by itself: a beacon came from there.
    Found(NodeId, SocketAddr),
    /// This machine lost the address to which a connection is bound, or its packets can't leave any more. Repeated while that
    /// lasts.
    PathLost(ConnId),
    /// A connection works, but a better one may be possible: dial its peer anew.
    Redial(ConnId),
    /// A small packet of an open rendezvous came (see [`Action::Open`]). Reported once for each rendezvous.
    Opened {
        /// The nonce in the packet.
        nonce: u64,
        /// Where it came from.
        from: SocketAddr,
    },
    /// An echo came, or its answer.
    Echo(ConnId, Echo),
    /// Somebody wants to know how long the way to a node takes now: send an echo to each node of the path, and tell what came back
    /// ([`Event::Pinged`]).
    Ping {
        /// Goes into the event.
        number: u64,
        /// The nodes of the path without this node, the neighbour first. Of a path that is longer than an echo may go, the first
        /// [`MAX_ECHO_WAY`](crate::wire::MAX_ECHO_WAY) - 1.
        path: Vec<NodeId>,
    },
    /// This node trusts other authorities from now on; in a network with an authority.
    Authorities(Arc<Authorities>),
    /// This node has another certificate from now on, or none; in a network with an authority.
    Certificate(Option<Arc<Certificate>>),
    /// Somebody handed revocations to this node. They count, and spread, if they are newer than those that it knows.
    Revocations(Arc<Revocations>),
    /// The wall clock was corrected: at the core's time zero, the Unix time was so many seconds.
    Origin(u64),
    /// Leave: publish a last record that says so.
    Leave,
}

/// What the transport is to do.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Connect to an address; with `expect`, only if that node answers.
    Dial {
        /// The attempt's number.
        dial: DialId,
        /// Where.
        addr: SocketAddr,
        /// Other addresses of the same node, to be tried as well, one after the other and a little later each.
        others: Vec<SocketAddr>,
        /// Who must answer.
        expect: Option<NodeId>,
        /// To say in the Hello: this replaces a connection we take for dead.
        replaces: bool,
        /// The other side may be starting up this very moment: repeat the first packet quickly.
        eager: bool,
    },
    /// Send small packets from the socket, so that the NAT of this machine expects those of a peer. Report the first that comes
    /// from the peer.
    Open {
        /// Where to: at most three addresses.
        addrs: Vec<SocketAddr>,
        /// Goes into the packets.
        nonce: u64,
    },
    /// Send a message on the control stream.
    Send(ConnId, Message),
    /// Send a probe.
    Probe(ConnId, Probe),
    /// Send an echo, or its answer.
    Echo(ConnId, Echo),
    /// Close a connection.
    Close(ConnId, CloseCode, Vec<SocketAddr>),
}

/// Something for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A link stands.
    Linked {
        /// The peer.
        peer: NodeId,
        /// Where.
        remote: SocketAddr,
        /// Who dialed.
        direction: Direction,
        /// It took the place of an older connection.
        replaced: bool,
    },
    /// A link is gone.
    Unlinked {
        /// The peer.
        peer: NodeId,
        /// Why, in words.
        why: String,
        /// Nothing is wrong: it was not needed, or the peer left.
        calm: bool,
    },
    /// A link that was judged down answered again.
    Restored(NodeId),
    /// A link misses answers.
    Suspected(NodeId),
    /// A node came into view.
    Up(NodeId),
    /// A node can't be reached any more.
    Unreachable(NodeId),
    /// A node left gracefully.
    Left(NodeId),
    /// A node is in view no longer, since it is no member any more.
    Removed(NodeId, Unfit),
    /// Newer revocations count from now on; with the neighbour that brought them, if one did. They should be kept on disk.
    Revocations(u64, Option<NodeId>),
    /// A newer record adds or withdraws links. Told only if [`Config::tells_links`] is set, before what follows from it.
    Links(Box<LinkNews>),
    /// The end of an [`Input::Ping`]: every node has answered, or the time for that is over.
    Pinged {
        /// That of the input.
        number: u64,
        /// The time from this node to each node of the path and back, in µs; `None` where no answer came. `None` in place of the list:
        /// nothing was sent, since too much was asked for at once.
        rtts_us: Option<Vec<Option<u32>>>,
    },
    /// This node has lost every link.
    CutOff,
    /// A connection could not be made.
    DialFailed(Candidate, DialError),
    /// A configured target is this node's own address.
    OwnTarget(SocketAddr),
    /// This identity runs twice; `silenced` if it is we who stop publishing.
    Twin {
        /// The other's run id.
        run_id: u64,
        /// Where it was seen, if it was dialed into us.
        remote: Option<SocketAddr>,
        /// We stop publishing.
        silenced: bool,
    },
    /// A peer is seen twice at once under one id.
    PeerTwin(NodeId, SocketAddr),
    /// Something a peer sent was turned away; counted under a name.
    Rejected {
        /// The counter.
        what: &'static str,
        /// The peer that sent it.
        peer: NodeId,
        /// The details.
        why: String,
    },
}

/// The links that a node's newer record adds and withdraws: the origin of every change in the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkNews {
    /// The node whose record it is.
    pub by: NodeId,
    /// The neighbour that brought the record. `None`: it is our own.
    pub via: Option<NodeId>,
    /// The peers that the record lists and the one before did not.
    pub added: Vec<ShortId>,
    /// The peers that only the record before lists.
    pub withdrawn: Vec<ShortId>,
}

impl LinkNews {
    /// Compares a record with the one before it. `None`: both list the same peers.
    pub(super) fn between(
        before: Option<&Body>,
        after: &Body,
        via: Option<NodeId>,
    ) -> Option<Self> {
        let old = before.map_or(&[][..], |before| &before.links);
        let only_in = |some: &[LinkState], others: &[LinkState]| -> Vec<ShortId> {
            // Both are in ascending order of the peers.
            let is_other = |link: &&LinkState| {
                let place = others.binary_search_by_key(&link.peer, |other| other.peer);
                place.is_err()
            };
            some.iter().filter(is_other).map(|link| link.peer).collect()
        };
        let (added, withdrawn) = (only_in(&after.links, old), only_in(old, &after.links));
        let (by, same) = (after.id, added.is_empty() && withdrawn.is_empty());
        (!same).then_some(Self {
            by,
            via,
            added,
            withdrawn,
        })
    }
}

/// How much there is in a core's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    /// Nodes in the view, at most [`MAX_NODES`](super::MAX_NODES).
    pub nodes: usize,
    /// The bytes of their records.
    pub bytes: usize,
    /// Nodes remembered beside what their records say, at most [`MAX_REMEMBERED`](super::MAX_REMEMBERED).
    pub remembered: usize,
    /// Links, those that were judged down and are kept for a while among them.
    pub links: usize,
    /// Connections, those that compete among them.
    pub conns: usize,
    /// Dials under way: at most [`Config::dials_at_once`], and one for each link that is to have another connection.
    pub dials: usize,
    /// Dials that wait for their turn, at most [`MAX_DIAL_QUEUE`](super::MAX_DIAL_QUEUE).
    pub dial_queue: usize,
}
