//! Turns at an address that several nodes claim.
//!
//! At most one of them is there. The others are wrong, or name a victim, for as many ids as they like. A stranger's address has a burst,
//! with which each node of the network could dial there at once. So the nodes take turns: they are ranked by their places on the ring,
//! counted from the hash of the address, and a node begins its first dial when the budget of the network allows for those before it.
//! Its later dials are as far apart as that budget says.
//!
//! A node that counts by itself, whatever others claim, is dialed without a turn: otherwise whoever claims the addresses of all honest
//! nodes could keep them apart.

use std::net::SocketAddr;

use sha2::{Digest as _, Sha256};

use super::ways::may_be_at;
use super::{Overlay, Seen};
use crate::membership::interface::Candidate;
use crate::membership::view::View;
use crate::wire::{NodeId, plain};

impl Overlay {
    /// A candidate is to be dialed: this node waits for its turn at those of its addresses that others claim as well.
    pub(super) fn take_turns(&mut self, seen: &Seen<'_>, candidate: &Candidate) {
        let view = seen.view;
        // A rendezvous has limits of its own.
        let waits = |id: &NodeId| !view.counts_alone(id) && !self.met.contains_key(id);
        let Some(id) = candidate.id.filter(waits) else {
            return;
        };
        let ports = self.ports(Some(id), view);
        let mut addrs = self.addresses(&id, view);
        addrs.push(candidate.addr);
        addrs.retain(|addr| self.strangers.is_new(addr, id, &ports));
        if addrs.is_empty() {
            return;
        }
        let mut claims = vec![0_usize; addrs.len()];
        for record in view.records_up() {
            for (addr, count) in addrs.iter().zip(&mut claims) {
                *count += usize::from(may_be_at(&record.body().addrs, addr, &self.own_addrs));
            }
        }
        for (addr, count) in addrs.iter().zip(claims) {
            if count > 1 {
                let up = view.up_count();
                self.strangers
                    .wait_turn(seen.now, addr, rank(addr, view), up);
            }
        }
    }
}

/// How many nodes that are up come before this one at that address.
fn rank(addr: &SocketAddr, view: &View) -> usize {
    let hash = Sha256::digest(plain(addr).to_string());
    let first = u64::from_be_bytes(hash[..8].try_into().expect("SHA-256 has 32 bytes"));
    let behind = |index| view.ring(index).wrapping_sub(first);
    let own = behind(view.me());
    let all = view.nodes_up();
    all.filter(|(index, _)| behind(*index) < own).count()
}
