//! A host that is in no plan: the sockets outside with which the routers are checked.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;

use super::{Net, SWITCH};
use crate::places::space;

/// The name of its namespace, and of its port at the switch.
pub(crate) const PROBER: &str = "prober";

impl Net {
    /// Adds a place for probes to a segment, with several addresses. It is in no plan.
    pub(crate) fn add_prober(&mut self, segment: usize, count: usize) -> Result<Vec<IpAddr>> {
        let name = PROBER;
        self.ip(None, &format!("netns add {name}\n"))?;
        space::set(
            name,
            &[
                ("ipv6/conf/default/accept_dad", "0".into()),
                ("ipv6/conf/all/accept_dad", "0".into()),
            ],
        )?;
        self.ip(
            None,
            &format!("link add eth0 netns {name} type veth peer name {name} netns {SWITCH}\n"),
        )?;
        self.ip(
            Some(SWITCH),
            &format!("link set {name} master br{segment}\nlink set {name} up\n"),
        )?;
        let (v4, v6) = self.plan.segments[segment].prefixes;
        let mut lines = "link set lo up\nlink set eth0 up\n".to_owned();
        let mut addresses = Vec::new();
        for _ in 0..count {
            let (one, other) = self.plan.take(segment);
            if let (Some(address), Some(prefix)) = (one, v4) {
                let _ = writeln!(lines, "addr add {address}/{} dev eth0", prefix.bits);
                addresses.push(IpAddr::V4(address));
            }
            if let (Some(address), Some(prefix)) = (other, v6) {
                let _ = writeln!(lines, "addr add {address}/{} dev eth0 nodad", prefix.bits);
                addresses.push(IpAddr::V6(address));
            }
        }
        for (router, (v4, v6)) in self.plan.below(segment) {
            let ports = &self.plan.places[router].ports[1..];
            let Some(hop) = ports.iter().find(|hop| hop.segment == segment) else {
                continue;
            };
            if let (Some(to), Some(via)) = (v4, hop.v4) {
                let _ = writeln!(lines, "route replace {}/{} via {via}", to.base, to.bits);
            }
            if let (Some(to), Some(via)) = (v6, hop.v6) {
                let _ = writeln!(lines, "route replace {}/{} via {via}", to.base, to.bits);
            }
        }
        self.ip(Some(name), &lines)?;
        Ok(addresses)
    }

    /// Removes it.
    pub(crate) fn remove_prober(&mut self) -> Result<()> {
        self.ip(Some(SWITCH), &format!("link del {PROBER}\n"))?;
        self.ip(None, &format!("netns del {PROBER}\n"))
    }
}
