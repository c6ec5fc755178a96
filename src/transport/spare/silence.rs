//! The addresses whose dials stay silent, and which of them are remembered if there are too many.
//!
//! Anybody can make a node dial silent addresses: whoever brings records of invented nodes names them. So the addresses at which
//! there was a connection are counted apart from the others. A connection can't be invented, and the flow that leads nowhere is
//! most often that of an earlier connection. Within each kind, and within each host, those make room that were silent least often,
//! and of these the one that was dialed longest ago. Ever new addresses replace each other, since each of them was silent once. A
//! node that is alone hears of no invented nodes, so its targets are safe as well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::transport::admission::host_of;

/// The most addresses that are remembered of each kind. It bounds memory: 60 kB for both. Halved: a node that lost a whole
/// network of 500 at once dials some from the listening port alone. Doubled: twice the memory, and longer walks over the table.
const MAX: usize = 512;
/// The most of them at one host. A NAT may hide some thirty nodes. Halved: the later half of these is forgotten. Doubled: eight
/// hosts fill the table instead of sixteen.
const MAX_A_HOST: usize = 32;
/// An address that was not dialed for so long makes room first. Halved: two dials in a row of a target that never answers may be
/// further apart. Doubled: addresses that nobody dials any more keep newer ones out for longer.
const KEPT: Duration = Duration::from_secs(3600);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Silences(BTreeMap<SocketAddr, Silence>);

#[derive(Debug, Clone, Copy)]
struct Silence {
    /// How many dials in a row stayed silent.
    dials: u32,
    /// There was a connection with that address.
    met: bool,
    at: Instant,
}

impl Silences {
    /// How many dials of that address in a row stayed silent.
    pub(super) fn dials(&self, addr: &SocketAddr) -> u32 {
        self.0.get(addr).map_or(0, |silence| silence.dials)
    }

    /// A dial of that address stayed silent.
    pub(super) fn fell_silent(&mut self, addr: SocketAddr, now: Instant) {
        let before = self.0.remove(&addr);
        let silence = Silence {
            dials: before.map_or(0, |before| before.dials).saturating_add(1),
            met: before.is_some_and(|before| before.met),
            at: now,
        };
        self.put(addr, silence);
    }

    /// A connection with that address ended.
    pub(super) fn met(&mut self, addr: SocketAddr, now: Instant) {
        let before = self.0.remove(&addr);
        let silence = Silence {
            dials: before.map_or(0, |before| before.dials),
            met: true,
            at: now,
        };
        self.put(addr, silence);
    }

    /// That address answers, or is to be dialed as if it did.
    pub(super) fn forgive(&mut self, addr: &SocketAddr) {
        if let Some(silence) = self.0.get_mut(addr) {
            silence.dials = 0;
            if !silence.met {
                self.0.remove(addr);
            }
        }
    }

    fn put(&mut self, addr: SocketAddr, silence: Silence) {
        let now = silence.at;
        let host = host_of(addr.ip());
        let alike = |other: &Silence| other.met == silence.met;
        let alike = || self.0.iter().filter(|(_, other)| alike(other));
        let at_host = || alike().filter(|(addr, _)| host_of(addr.ip()) == host);
        let worth = |silence: &Silence| (now < silence.at + KEPT, silence.dials, silence.at);
        let least = if at_host().count() >= MAX_A_HOST {
            at_host().min_by_key(|(_, other)| worth(other))
        } else if alike().count() >= MAX {
            alike().min_by_key(|(_, other)| worth(other))
        } else {
            None
        };
        if let Some(least) = least.map(|(addr, _)| *addr) {
            self.0.remove(&least);
        }
        self.0.insert(addr, silence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn addr(host: u32, port: u16) -> SocketAddr {
        SocketAddr::from((std::net::Ipv4Addr::from_bits(0x0b00_0000 + host), port))
    }

    fn honest() -> SocketAddr {
        // A table that evicts by order loses this one first.
        "10.0.0.1:8083".parse().unwrap()
    }

    #[test]
    fn invented_addresses_do_not_displace_one_that_was_a_neighbour() {
        let (mut silences, start) = (Silences::default(), now());
        silences.met(honest(), start);
        silences.fell_silent(honest(), start);
        // Each is dialed three times, and each dial comes after that of the honest one.
        for at in 0..3 {
            for host in 0..5000 {
                silences.fell_silent(addr(host, 8083), start + SECOND * at);
            }
        }
        assert_eq!(silences.dials(&honest()), 1);
        silences.fell_silent(honest(), start + SECOND * 3);
        assert_eq!(silences.dials(&honest()), 2);
        assert!(silences.0.len() <= 2 * MAX);
    }

    #[test]
    fn ever_new_addresses_do_not_displace_one_that_was_silent_twice() {
        let (mut silences, start) = (Silences::default(), now());
        silences.fell_silent(honest(), start);
        silences.fell_silent(honest(), start);
        for host in 0..5000 {
            silences.fell_silent(addr(host, 8083), start + SECOND);
        }
        assert_eq!(silences.dials(&honest()), 2);
        assert_eq!(silences.0.len(), MAX);
    }

    #[test]
    fn a_host_has_a_bounded_part_of_the_table_even_if_it_was_met() {
        let (mut silences, start) = (Silences::default(), now());
        silences.met(honest(), start);
        for port in 1..5000 {
            silences.met(addr(0, port), start + SECOND);
            silences.fell_silent(addr(1, port), start + SECOND);
        }
        assert_eq!(silences.0.len(), 2 * MAX_A_HOST + 1);
        assert!(silences.0.contains_key(&honest()));
    }

    #[test]
    fn what_was_not_dialed_for_an_hour_makes_room_first() {
        let (mut silences, start) = (Silences::default(), now());
        for host in 0..u32::try_from(MAX).unwrap() {
            for _ in 0..4 {
                silences.fell_silent(addr(host, 8083), start);
            }
        }
        let later = start + KEPT + SECOND;
        silences.fell_silent(honest(), later);
        silences.fell_silent(addr(9999, 8083), later);
        silences.fell_silent(honest(), later);
        assert_eq!(silences.dials(&honest()), 2);
    }

    #[test]
    fn an_address_that_answers_begins_anew() {
        let (mut silences, start) = (Silences::default(), now());
        for _ in 0..3 {
            silences.fell_silent(honest(), start);
        }
        silences.forgive(&honest());
        assert_eq!(silences.dials(&honest()), 0);
        assert!(silences.0.is_empty());
    }
}
