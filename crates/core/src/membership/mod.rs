//! The core: membership without I/O.
//!
//! Inputs go in ([`Core::handle`]), actions come out ([`Core::poll_action`]), and the caller asks when to come back
//! ([`Core::poll_timeout`]). The core never reads a clock, never draws entropy and never touches a socket: the time is an
//! argument, the random generator is seeded, settings and identity are passed in. The same core runs in the node and in a
//! simulator, and replays to the byte.
//!
//! Use it in one way: mutate, then drain to empty.
//!
//! # Nine owners and a coordinator
//!
//! Each part of the state has one owner, with private fields, a narrow interface and a deadline of its own. Owners never call each
//! other: an owner returns what happened, an event or a plan, and the `coordinator`, which is [`Core`] and alone knows all of them,
//! tells the others.
//!
//! - `view`: the newest record of every node, who is up, digests. It knows no other owner; all of them read it.
//! - `links`: the links, their connections, collisions, damping; is each link alive. It knows no other owner.
//! - `gossip`: what each neighbour may lack and is to be sent. It reads the links, and alone puts records into the view.
//! - `overlay`: whom to link with, where nodes might be, dials under way. It reads view and links, and returns a plan.
//! - `own_record`: what this node says of itself, and when. It reads the links.
//! - `figures`: what is measured on the links of all nodes, how old it is, and when to tell our own. It reads view and links.
//! - `meet`: rendezvous of nodes that no dial connects. It reads view and links.
//! - `echo`: how long paths take now. It reads view and links.
//! - `members`: who may be a member, in a network with an authority. It reads the view.
//!
//! Beside them are `pace` (every wait that depends on the network's size), `peers` (a small table), `nets` (which addresses belong together), `tuning` (all tuned constants), `out` (what comes
//! out) and `interface` (the types of what goes in and comes out).

pub mod bench_support;
mod coordinator;
mod echo;
mod figures;
mod gossip;
mod interface;
mod links;
mod meet;
mod members;
mod nets;
mod out;
mod overlay;
mod own_record;
mod pace;
mod peers;
#[cfg(test)]
mod testing;
mod tuning;
mod view;

use std::time::Duration;

pub use coordinator::Core;
pub use interface::{
    Action, Candidate, Charter, Closed, Config, ConnId, Connected, DialError, DialId, Event, Input,
    LinkNews, Obstacle, Remembered, Tables,
};
pub use links::detector::{LONGEST_INTERVAL, SLOWEST_VERDICT};
pub use overlay::MAX_QUEUE as MAX_DIAL_QUEUE;
pub use overlay::candidates::MAX_REMEMBERED;
pub use tuning::{Constant, Kind, Tuning, TuningError, Value};
pub use view::{Ids, MAX_NODES, ring_position};

/// The time since the node's start. One clock for all of the core; it never goes back.
pub type Time = Duration;
