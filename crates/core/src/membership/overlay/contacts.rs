//! The hosts to which this node has sent something. A node that comes in from any other host proves that this one can be dialed:
//! neither a NAT nor a firewall expected its packets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::membership::Time;

/// The most hosts that are remembered. The one contacted longest ago makes room.
const MAX_CONTACTS: usize = 4096;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Contacts(BTreeMap<IpAddr, Time>);

impl Contacts {
    /// Something is sent to that host. Returns whether it is the first time.
    pub(super) fn note(&mut self, now: Time, addr: &SocketAddr) -> bool {
        let is_new = self.0.insert(addr.ip().to_canonical(), now).is_none();
        if self.0.len() > MAX_CONTACTS {
            let oldest = self.0.iter().min_by_key(|(_, at)| **at);
            oldest.map(|(ip, _)| *ip).map(|ip| self.0.remove(&ip));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_new_once_whatever_its_port() {
        let mut contacts = Contacts::default();
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(contacts.note(Time::ZERO, &addr("192.0.2.1:1")));
        assert!(!contacts.note(Time::ZERO, &addr("[::ffff:192.0.2.1]:2")));
        for host in 0..5000_u32 {
            contacts.note(
                Time::from_secs(1),
                &SocketAddr::new(IpAddr::V4(host.into()), 1),
            );
        }
        assert_eq!(contacts.0.len(), MAX_CONTACTS);
    }
}
