//! Limits the incoming handshakes that are under way at once.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError};

use quinn::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;

/// The most incoming handshakes under way at once. Each costs a few kB and 0.7 ms of a core, so these cost less than 0.1 s.
pub(super) const MAX_HANDSHAKES: usize = 128;
/// The most handshakes under way at once from one remote host (an IPv4 address, or the /64 of an IPv6 address). Without it, one
/// host could take every slot. Nodes on this machine are exempt: they share one address. A NAT may hide many hosts that start
/// together; those over the limit get in with their next packet ([`NoSlot::turn_away`]). At 100 ms of round-trip time the last of 30
/// such hosts is in after 0.5 s. Halved: after 1.0 s. Doubled: after 0.3 s, and four hosts could take every slot.
const HANDSHAKES_A_HOST: usize = 16;

/// A slot for one handshake. Dropping it frees the slot.
pub(super) struct HandshakeSlot {
    shared: Arc<Shared>,
    host: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

/// Why there is no slot.
#[derive(Debug)]
pub(super) enum NoSlot {
    /// All are taken: the dialer should try another node.
    ForAnybody,
    /// Those of this host are taken, perhaps by other nodes behind its NAT.
    ForHost(IpAddr),
}

impl NoSlot {
    /// Turns a connection away. If its host has too many, its packet is dropped without an answer. The dialer sends it again, and
    /// may find a slot then; a dialer that is refused gives up.
    pub(super) fn turn_away(self, incoming: Incoming) -> String {
        match self {
            Self::ForAnybody => {
                incoming.refuse();
                format!("{MAX_HANDSHAKES} handshakes are under way")
            }
            Self::ForHost(host) => {
                incoming.ignore();
                format!("{HANDSHAKES_A_HOST} handshakes with {host} are under way")
            }
        }
    }
}

impl HandshakeSlot {
    /// Takes a slot, or returns why none is free.
    pub(super) fn take(shared: &Arc<Shared>, remote: IpAddr) -> Result<Self, NoSlot> {
        let permit = shared.handshakes.clone().try_acquire_owned();
        let permit = permit.map_err(|_| NoSlot::ForAnybody)?;
        let host = host_of(remote);
        if let Some(host) = host {
            let mut by_host = shared
                .by_host
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = by_host.entry(host).or_default();
            if *count >= HANDSHAKES_A_HOST {
                return Err(NoSlot::ForHost(host));
            }
            *count += 1;
        }
        Ok(Self {
            shared: shared.clone(),
            host,
            _permit: permit,
        })
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let Some(host) = self.host else { return };
        let mut by_host = self
            .shared
            .by_host
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_host.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                by_host.remove(&host);
            }
        }
    }
}

/// The address under which a remote host's handshakes are counted; `None` for this machine.
pub(super) fn host_of(remote: IpAddr) -> Option<IpAddr> {
    match remote.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V4(v4) => Some(v4.into()),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
    }
}
