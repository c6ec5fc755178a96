//! Changes of the places while nodes run on them.

use std::net::IpAddr;

use anyhow::Result;

use super::{Net, SWITCH, far};
use crate::places::space;

impl Net {
    /// Gives ports new addresses, and takes the old ones first unless `keep`.
    pub(crate) fn renumber(&mut self, place: usize, ports: &[usize], keep: bool) -> Result<()> {
        let mut lines = String::new();
        for &port in ports {
            let old = self.plan.renumber(place, port);
            let name = self.plan.places[place].ports[port].name.clone();
            for address in self.plan.places[place].ports[port].addresses() {
                lines.push_str(&self.add_address(place, port, address));
            }
            for address in old.iter().filter(|_| !keep) {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                lines.push_str(&self.del_address(place, port, *address, bits, &name));
            }
        }
        lines.push_str(&self.routes(place));
        let name = self.space(place).to_owned();
        self.ip(Some(&name), &lines)?;
        self.reroute(place)
    }

    fn del_address(
        &self,
        place: usize,
        port: usize,
        address: IpAddr,
        full: u8,
        name: &str,
    ) -> String {
        let it = &self.plan.places[place].ports[port];
        let (v4, v6) = self.plan.segments[it.segment].prefixes;
        let bits = match address {
            IpAddr::V4(_) => v4.map_or(full, |prefix| prefix.bits),
            IpAddr::V6(_) => v6.map_or(full, |prefix| prefix.bits),
        };
        format!("addr del {address}/{bits} dev {name}\n")
    }

    /// Adapts what depends on a place's addresses: the rules and routes of routers beside it.
    fn reroute(&mut self, place: usize) -> Result<()> {
        let mut dependent = Vec::new();
        if self.plan.router(place).is_some() {
            self.rules(place)?;
            let segments: Vec<usize> = self.plan.places[place]
                .ports
                .iter()
                .map(|port| port.segment)
                .collect();
            for (other, it) in self.plan.places.iter().enumerate() {
                if other != place && it.ports.iter().any(|port| segments.contains(&port.segment)) {
                    dependent.push(other);
                }
            }
        } else {
            let segments = self.plan.places[place]
                .ports
                .iter()
                .map(|port| port.segment);
            let routers: Vec<usize> = segments
                .flat_map(|segment| self.plan.gateways(segment).collect::<Vec<_>>())
                .collect();
            for router in routers {
                self.rules(router)?;
            }
        }
        for other in dependent {
            let (lines, name) = (self.routes(other), self.space(other).to_owned());
            self.ip(Some(&name), &lines)?;
        }
        Ok(())
    }

    /// Takes the addresses of ports away, or restores them.
    pub(crate) fn drop_addresses(
        &mut self,
        place: usize,
        ports: &[usize],
        dropped: bool,
    ) -> Result<()> {
        let mut lines = String::new();
        for &port in ports {
            self.plan.places[place].ports[port].dropped = dropped;
            let it = self.plan.places[place].ports[port].clone();
            for address in it.addresses() {
                lines.push_str(&match dropped {
                    true => self.del_address(place, port, address, 128, &it.name),
                    false => self.add_address(place, port, address),
                });
            }
        }
        if !dropped {
            lines.push_str(&self.routes(place));
        }
        let name = self.space(place).to_owned();
        self.ip(Some(&name), &lines)
    }

    /// Removes the interface to a segment.
    pub(crate) fn unplug(&mut self, place: usize, port: usize) -> Result<()> {
        let it = &mut self.plan.places[place].ports[port];
        it.plugged = false;
        let line = format!("link del {}\n", it.name);
        let name = self.space(place).to_owned();
        self.ip(Some(&name), &line)
    }

    /// Adds an interface to a segment: the one that was unplugged, or a new one.
    pub(crate) fn plug(&mut self, place: usize, segment: usize) -> Result<()> {
        let ports = &self.plan.places[place].ports;
        let old = ports
            .iter()
            .position(|port| port.segment == segment && !port.plugged);
        let port = match old {
            Some(port) => port,
            None => self.plan.plug(place, segment),
        };
        self.plan.places[place].ports[port].plugged = true;
        let name = self.space(place).to_owned();
        self.ip(None, &self.pair(place, port))?;
        self.ip(Some(SWITCH), &self.switch_port(place, port))?;
        let lines = self.addresses(place, port) + &self.routes(place);
        self.ip(Some(&name), &lines)?;
        self.reroute(place)
    }

    /// The switch drops the packets of these ports, or passes them again.
    pub(crate) fn cut(&mut self, place: usize, ports: &[usize], cut: bool) -> Result<()> {
        let state = if cut { "0" } else { "3" };
        let lines: String = ports
            .iter()
            .map(|port| {
                format!(
                    "link set {} type bridge_slave state {state}\n",
                    far(place, *port)
                )
            })
            .collect();
        self.ip(Some(SWITCH), &lines)
    }

    /// A router forgets every flow.
    pub(crate) fn flush(&mut self, place: usize) -> Result<()> {
        let mut words = space::prefix(self.space(place));
        words.extend(["conntrack", "-F"].map(String::from));
        let name = self.space(place).to_owned();
        self.log(&name, "conntrack -F")?;
        space::command(&words, "")?;
        // Loading them again empties the sets.
        self.rules(place)
    }

    /// Runs a shell command in the namespace of a place.
    pub(crate) fn shell(&mut self, place: usize, command: &str) -> Result<String> {
        let mut words = space::prefix(self.space(place));
        words.extend(["sh".to_owned(), "-c".to_owned(), command.to_owned()]);
        let name = self.space(place).to_owned();
        self.log(&name, command)?;
        space::command(&words, "")
    }
}
