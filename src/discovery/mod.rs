//! Discovery: nodes of one network on one LAN find each other without targets.
//!
//! A node sends a small signed [`beacon`] to a multicast group of each link, over IPv6 and IPv4. Whoever hears a beacon of a
//! node that it can't reach dials the address from which the beacon came. A beacon proves nothing but that somebody with that key
//! once sent it: the handshake of the dial proves the rest, and a dial reaches nobody but the node of that key.
//!
//! - [`pace`] decides when to send and whom to dial. It is pure: time is an argument.
//! - [`beacon`] is the format.
//! - [`sockets`] sends and receives, on every interface that is up, also on those that come later.
//!
//! mDNS would serve too, but a responder shares its port with the one of the system, tells everybody on the link more than a hash of the
//! network's name, and signs nothing; its library (mdns-sd) runs a thread and adds 9 packages.

pub mod beacon;
pub mod pace;
pub mod sockets;

pub use beacon::{Beacon, Heard};
pub use pace::Pace;
