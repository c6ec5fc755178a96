//! Limits the incoming handshakes that are under way at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quinn::Incoming;
use tokio::sync::oneshot;

use crate::admission::joins::{Caller, source_of};
use crate::wire::plain;

/// The most incoming handshakes under way at once. Each costs a few kB and 0.7 ms of a core, so these cost less than 0.1 s.
pub(super) const MAX_HANDSHAKES: usize = 128;
/// The most handshakes under way at once from one remote host (an IPv4 address, or the /64 of an IPv6 address). Without it, one
/// host could take every slot. Nodes on this machine are exempt: they share one address. A NAT may hide many hosts that start
/// together; those over the limit get in with their next packet ([`NoSlot::turn_away`]). At 100 ms of round-trip time the last of 30
/// such hosts is in after 0.5 s. Halved: after 1.0 s. Doubled: after 0.3 s, and four hosts could take every slot.
const HANDSHAKES_A_HOST: usize = 16;
/// The most handshakes under way at once from one address and port. A node dials another one once at a time; it may give up and try
/// again while the first attempt is still under way here. Halved, such a node waits; doubled, one port takes a host's slots.
const HANDSHAKES_AN_ADDRESS: usize = 8;
/// How long a complete handshake waits for the Hello before it loses its slot to a newcomer with a better standing. An honest dialer says
/// Hello at once, or a round trip later. Halved, one on a slow path may lose its slot while others wait; doubled, newcomers wait
/// twice as long beside a host that holds handshakes.
const HELLO_YIELDS_AFTER: Duration = Duration::from_secs(1);
/// The same for a handshake that TLS has not completed. On a machine that is starting many nodes, honest ones take a second and more. A
/// dialer that was not answered by then gives up soon. Halved, such nodes drive each other out; doubled, newcomers wait for longer.
const SHAKE_YIELDS_AFTER: Duration = Duration::from_millis(2500);

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    held: BTreeMap<u64, Held>,
    next: u64,
}

/// A slot that is taken.
#[derive(Debug)]
struct Held {
    addr: SocketAddr,
    host: IpAddr,
    /// When it must yield from.
    yields_at: Duration,
    standing: u32,
    /// Dropped when the slot goes to somebody else.
    _keep: oneshot::Sender<()>,
}

/// A slot for one handshake. Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct HandshakeSlot {
    slots: Arc<Slots>,
    number: u64,
    kept: oneshot::Receiver<()>,
}

/// Why there is no slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// All are taken: the dialer should try another node.
    Anywhere,
    /// Those of this host are taken, perhaps by other nodes behind its NAT.
    OfHost(IpAddr),
    /// Those of this address are taken.
    OfAddress(SocketAddr),
}

impl NoSlot {
    /// Turns a connection away. If its host has too many, its packet is dropped without an answer. The dialer sends it again, and
    /// may find a slot then; a dialer that is refused gives up.
    pub(super) fn turn_away(self, incoming: Incoming) -> String {
        match self {
            Self::Anywhere => {
                incoming.refuse();
                format!("{MAX_HANDSHAKES} handshakes are under way")
            }
            Self::OfHost(host) => {
                incoming.ignore();
                format!("{HANDSHAKES_A_HOST} handshakes with {host} are under way")
            }
            Self::OfAddress(addr) => {
                incoming.ignore();
                format!("{HANDSHAKES_AN_ADDRESS} handshakes with {addr} are under way")
            }
        }
    }
}

impl Slots {
    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.table().held.len()
    }

    /// Takes a slot, or returns why none is free. If none is, a handshake that did not get on loses its slot to a
    /// caller with a better standing: the one with the worst standing, of equals the
    /// one of the host that holds most, and of these the oldest.
    pub(super) fn take(
        self: &Arc<Self>,
        remote: SocketAddr,
        caller: &Caller,
        now: Duration,
    ) -> Result<HandshakeSlot, NoSlot> {
        let addr = plain(&remote);
        let host = source_of(addr.ip());
        let mut table = self.table();
        let of_addr = table.held.values().filter(|held| held.addr == addr);
        if of_addr.count() >= HANDSHAKES_AN_ADDRESS {
            return Err(NoSlot::OfAddress(addr));
        }
        if table.held_by(host) >= HANDSHAKES_A_HOST && !host.is_loopback() {
            let free = table.yield_one(Some(host), caller, now);
            free.then_some(()).ok_or(NoSlot::OfHost(host))?;
        } else if table.held.len() >= MAX_HANDSHAKES {
            let free = table.yield_one(None, caller, now);
            free.then_some(()).ok_or(NoSlot::Anywhere)?;
        }
        let number = table.next;
        table.next += 1;
        let (keep, kept) = oneshot::channel();
        let held = Held {
            addr,
            host,
            yields_at: now + SHAKE_YIELDS_AFTER,
            standing: caller.standing_within(),
            _keep: keep,
        };
        table.held.insert(number, held);
        drop(table);
        Ok(HandshakeSlot {
            slots: self.clone(),
            number,
            kept,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn held_by(&self, host: IpAddr) -> usize {
        let of_host = self.held.values().filter(|held| held.host == host);
        of_host.count()
    }

    /// Frees a slot, of that host if one is given, if one of its handshakes must yield to this caller.
    fn yield_one(&mut self, host: Option<IpAddr>, caller: &Caller, now: Duration) -> bool {
        let must = self.held.iter().filter(|(_, held)| {
            host.is_none_or(|host| held.host == host)
                && now >= held.yields_at
                && held.standing > caller.standing()
        });
        let worst = must.max_by_key(|(number, held)| {
            let of_host = self.held_by(held.host);
            (held.standing, of_host, std::cmp::Reverse(**number))
        });
        let worst = worst.map(|(number, _)| *number);
        worst.is_some_and(|number| self.held.remove(&number).is_some())
    }
}

/// Notes how a handshake gets on.
#[derive(Debug)]
pub(super) struct Progress {
    slots: Arc<Slots>,
    number: u64,
}

impl Progress {
    /// TLS has completed the handshake.
    pub(super) fn shaken(&self, now: Duration) {
        if let Some(held) = self.slots.table().held.get_mut(&self.number) {
            held.yields_at = now + HELLO_YIELDS_AFTER;
        }
    }
}

impl HandshakeSlot {
    pub(super) fn progress(&self) -> Progress {
        Progress {
            slots: self.slots.clone(),
            number: self.number,
        }
    }

    /// Waits until the slot is somebody else's.
    pub(super) async fn lost(&mut self) {
        // Nothing is ever sent.
        (&mut self.kept).await.ok();
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.slots.table().held.remove(&self.number);
    }
}

/// The address under which a remote host's handshakes are counted; `None` for this machine.
pub(super) fn host_of(remote: IpAddr) -> Option<IpAddr> {
    Some(source_of(remote)).filter(|source| !source.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::joins::{Joins, Verdict};

    const SECOND: Duration = Duration::from_secs(1);

    fn addr(host: &str, port: u16) -> SocketAddr {
        SocketAddr::new(host.parse().unwrap(), port)
    }

    struct Door {
        slots: Arc<Slots>,
        joins: Joins,
    }

    impl Door {
        fn new(known: &[SocketAddr]) -> Self {
            Self {
                slots: Arc::default(),
                joins: Joins::new(50, known.to_vec()),
            }
        }

        fn knock(&mut self, at: Duration, addr: SocketAddr) -> Result<HandshakeSlot, NoSlot> {
            let Verdict::Accept(caller) = self.joins.judge(at, addr, true, false) else {
                panic!("over the limit of joins");
            };
            let slot = self.slots.take(addr, &caller, at)?;
            self.joins.count(at, &caller);
            Ok(slot)
        }

        /// The same, and TLS is done at once.
        fn shake(&mut self, at: Duration, addr: SocketAddr) -> HandshakeSlot {
            let slot = self.knock(at, addr).unwrap();
            slot.progress().shaken(at);
            slot
        }
    }

    #[test]
    fn a_full_host_yields_its_oldest_handshake_to_a_newcomer_after_a_second() {
        for (host, most) in [("192.0.2.1", HANDSHAKES_A_HOST), ("::1", MAX_HANDSHAKES)] {
            let mut door = Door::new(&[]);
            let ports = 1..=u16::try_from(most).unwrap();
            let mut held: Vec<_> = ports
                .map(|port| door.shake(Duration::ZERO, addr(host, port)))
                .collect();
            let newcomer = addr(host, 9000);
            door.knock(SECOND - Duration::from_millis(1), newcomer)
                .unwrap_err();
            let slot = door.knock(SECOND, newcomer).unwrap();
            assert_eq!(door.slots.taken(), most);
            assert!(
                held[0]
                    .kept
                    .try_recv()
                    .is_err_and(|it| it == oneshot::error::TryRecvError::Closed)
            );
            assert!(
                held[1]
                    .kept
                    .try_recv()
                    .is_err_and(|it| it == oneshot::error::TryRecvError::Empty)
            );
            drop(held.remove(0));
            assert_eq!(door.slots.taken(), most, "what was lost is not freed again");
            // Those that come back drive nobody out.
            door.knock(SECOND * 3, addr(host, 1)).unwrap_err();
            drop(slot);
            door.knock(SECOND * 3, addr(host, 1)).unwrap();
        }
    }

    #[test]
    fn known_ones_drive_newcomers_out_and_not_the_other_way_round() {
        let old = addr("192.0.2.9", 8083);
        let mut door = Door::new(&[old]);
        let held = |door: &mut Door, host: u8| -> Vec<_> {
            let from = |port| addr(&format!("198.51.100.{host}"), port);
            (1..=16)
                .map(|port| door.shake(Duration::ZERO, from(port)))
                .collect()
        };
        let _all: Vec<_> = (1..=8).map(|host| held(&mut door, host)).collect();
        assert_eq!(door.slots.taken(), MAX_HANDSHAKES);
        door.knock(Duration::ZERO, old).unwrap_err();
        let _slot = door.knock(SECOND, old).unwrap();
        let _newer: Vec<_> = (1..128)
            .map(|host| {
                let from = addr(&format!("203.0.113.{host}"), 1);
                door.knock(SECOND * 2, from).unwrap()
            })
            .collect();
        let error = door
            .knock(SECOND * 2, addr("203.0.113.200", 1))
            .unwrap_err();
        assert_eq!(error, NoSlot::Anywhere);
    }

    #[test]
    fn a_handshake_under_way_gets_more_time_than_one_that_is_complete() {
        let mut door = Door::new(&[]);
        let from = |port| addr("192.0.2.1", port);
        let _held: Vec<_> = (1..=16)
            .map(|port| door.knock(Duration::ZERO, from(port)).unwrap())
            .collect();
        door.knock(SECOND * 2, from(17)).unwrap_err();
        door.knock(SECOND * 3, from(17)).unwrap();
    }

    #[test]
    fn one_port_holds_eight_slots() {
        let mut door = Door::new(&[]);
        let from = addr("::1", 1);
        let _held: Vec<_> = (0..8)
            .map(|_| door.knock(Duration::ZERO, from).unwrap())
            .collect();
        let error = door.knock(SECOND * 5, from).unwrap_err();
        assert_eq!(error, NoSlot::OfAddress(from));
        door.knock(Duration::ZERO, addr("::1", 2)).unwrap();
    }
}
