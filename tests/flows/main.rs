//! Nodes behind NATs, in virtual time, over sockets in memory.
//!
//! A NAT may remember a flow that leads nowhere: the node reaches its peer from a spare port, and goes back to the port that it
//! listens on once the NAT has forgotten. And a NAT may hide many nodes, which a peer sees at one address. Hostile peers take part
//! in some of it: they hold spare ports and handshakes, and name a victim in rendezvous.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod joins;
#[cfg(test)]
mod nat;
#[cfg(all(test, feature = "qlog"))]
mod qlog;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod spare;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod switch;
