//! Builds the planned places in the kernel, and changes them. Every command is logged.
//!
//! All switches are bridges in one namespace, `switch`. Each interface `ethN` of a place is one end of a veth pair; the other
//! end is a port of a bridge. A bridge's port that is disabled drops packets in both directions without a word, and the carrier
//! stays: that is `cut`.

mod changes;
mod prober;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;

use anyhow::{Context, Result, bail};

use crate::places::nat::Nat;
use crate::places::plan::{Plan, Role};
use crate::places::space;
use crate::shared::kernel::now_ns;

pub(crate) use self::prober::PROBER;

/// The namespace of the switches.
const SWITCH: &str = "switch";

/// The places as they are in the kernel.
pub(crate) struct Net {
    /// The plan, which follows every change.
    pub(crate) plan: Plan,
    commands: File,
}

/// The name of the switch's end of an interface.
fn far(place: usize, port: usize) -> String {
    format!("p{place}-{port}")
}

impl Net {
    /// Makes nothing yet. Each command is written to `commands` with its time.
    pub(crate) fn new(plan: Plan, commands: File) -> Self {
        Self { plan, commands }
    }

    /// The namespace of a place.
    pub(crate) fn space(&self, place: usize) -> &str {
        &self.plan.places[place].name
    }

    /// Builds everything.
    pub(crate) fn make(&mut self) -> Result<()> {
        let names: Vec<String> = self
            .plan
            .places
            .iter()
            .map(|place| place.name.clone())
            .collect();
        let mut spaces = format!("netns add {SWITCH}\n");
        for name in &names {
            let _ = writeln!(spaces, "netns add {name}");
        }
        self.ip(None, &spaces)?;
        space::set(SWITCH, &[("ipv6/conf/default/disable_ipv6", "1".into())])?;
        for (place, name) in names.iter().enumerate() {
            space::set(name, &self.parameters(place))?;
        }
        let mut bridges = String::new();
        for segment in 0..self.plan.segments.len() {
            let _ = writeln!(bridges, "link add br{segment} type bridge mcast_snooping 0");
            let _ = writeln!(bridges, "link set br{segment} up");
        }
        self.ip(Some(SWITCH), &bridges)?;
        let (mut pairs, mut ports) = (String::new(), String::new());
        for place in 0..names.len() {
            for port in 0..self.plan.places[place].ports.len() {
                pairs.push_str(&self.pair(place, port));
                ports.push_str(&self.switch_port(place, port));
            }
        }
        self.ip(None, &pairs)?;
        self.ip(Some(SWITCH), &ports)?;
        for (place, name) in names.iter().enumerate() {
            let mut lines = "link set lo up\n".to_owned();
            for port in 0..self.plan.places[place].ports.len() {
                lines.push_str(&self.addresses(place, port));
            }
            lines.push_str(&self.routes(place));
            self.ip(Some(name), &lines)?;
        }
        for place in 0..names.len() {
            self.rules(place)?;
        }
        Ok(())
    }

    /// Kernel parameters of a place, before it has interfaces.
    fn parameters(&self, place: usize) -> Vec<(&'static str, String)> {
        let mut values = Vec::new();
        let dad = self.plan.host(place).is_some_and(|host| host.dad);
        if !dad {
            values.push(("ipv6/conf/default/accept_dad", "0".to_owned()));
            values.push(("ipv6/conf/all/accept_dad", "0".to_owned()));
        }
        values.push(("ipv6/conf/default/accept_ra", "0".to_owned()));
        // Else an old address takes the new one of the same prefix with it when it goes.
        values.push(("ipv4/conf/all/promote_secondaries", "1".to_owned()));
        if self.plan.host(place).is_some_and(|host| !host.families.1) {
            values.push(("ipv6/conf/default/disable_ipv6", "1".to_owned()));
            values.push(("ipv6/conf/all/disable_ipv6", "1".to_owned()));
        }
        if let Some(router) = self.plan.router(place) {
            let timeout = router.timeout_s.to_string();
            values.push(("ipv4/ip_forward", "1".to_owned()));
            values.push(("ipv6/conf/all/forwarding", "1".to_owned()));
            values.push(("netfilter/nf_conntrack_udp_timeout", timeout.clone()));
            values.push(("netfilter/nf_conntrack_udp_timeout_stream", timeout));
        }
        values
    }

    fn pair(&self, place: usize, port: usize) -> String {
        let (name, there) = (&self.plan.places[place].name, far(place, port));
        let here = &self.plan.places[place].ports[port].name;
        format!("link add {here} netns {name} type veth peer name {there} netns {SWITCH}\n")
    }

    fn switch_port(&self, place: usize, port: usize) -> String {
        let it = &self.plan.places[place].ports[port];
        let there = far(place, port);
        let isolated = self.plan.host(place).is_some_and(|host| host.isolated);
        let isolated = if isolated {
            format!("link set {there} type bridge_slave isolated on\n")
        } else {
            String::new()
        };
        format!(
            "link set {there} master br{}\n{isolated}link set {there} up\n",
            it.segment
        )
    }

    fn addresses(&self, place: usize, port: usize) -> String {
        let it = &self.plan.places[place].ports[port];
        let mut lines = format!("link set {} up\n", it.name);
        for address in it.addresses() {
            lines.push_str(&self.add_address(place, port, address));
        }
        lines
    }

    fn add_address(&self, place: usize, port: usize, address: IpAddr) -> String {
        let it = &self.plan.places[place].ports[port];
        let (v4, v6) = self.plan.segments[it.segment].prefixes;
        let dad = self.plan.host(place).is_some_and(|host| host.dad);
        match address {
            IpAddr::V4(_) => {
                let bits = v4.map_or(32, |prefix| prefix.bits);
                format!("addr add {address}/{bits} dev {}\n", it.name)
            }
            IpAddr::V6(_) => {
                let bits = v6.map_or(128, |prefix| prefix.bits);
                let nodad = if dad { "" } else { " nodad" };
                format!("addr add {address}/{bits} dev {}{nodad}\n", it.name)
            }
        }
    }

    /// The routes of a place: to everywhere over its gateway, and to what is below its networks.
    fn routes(&self, place: usize) -> String {
        let it = &self.plan.places[place];
        let up: Vec<usize> = match it.role {
            Role::Host(_) => (0..it.ports.len()).collect(),
            Role::Router(_) => (1..it.ports.len()).collect(),
        };
        let wanted = self.plan.host(place).and_then(|host| host.gateway.as_ref());
        let mut lines = String::new();
        let (mut has_v4, mut has_v6) = (false, false);
        for port in up
            .into_iter()
            .map(|port| &it.ports[port])
            .filter(|port| port.plugged)
        {
            for gateway in self.plan.gateways(port.segment) {
                let router = &self.plan.places[gateway];
                if wanted.is_some_and(|wanted| *wanted != router.stem && *wanted != router.name) {
                    continue;
                }
                let inside = &router.ports[0];
                if let (Some(via), true, false) = (inside.v4, port.v4.is_some(), has_v4) {
                    let _ = writeln!(lines, "route replace 0.0.0.0/0 via {via} dev {}", port.name);
                    has_v4 = true;
                }
                if let (Some(via), true, false) = (inside.v6, port.v6.is_some(), has_v6) {
                    let _ = writeln!(lines, "route replace ::/0 via {via} dev {}", port.name);
                    has_v6 = true;
                }
            }
        }
        for port in it.ports.iter().filter(|port| port.plugged) {
            for (router, (v4, v6)) in self.plan.below(port.segment) {
                let hop = self.plan.places[router].ports[1..]
                    .iter()
                    .find(|hop| hop.segment == port.segment);
                let Some(hop) = hop.filter(|_| router != place) else {
                    continue;
                };
                if let (Some(to), Some(via), true) = (v4, hop.v4, port.v4.is_some()) {
                    let _ = writeln!(
                        lines,
                        "route replace {}/{} via {via} dev {}",
                        to.base, to.bits, port.name
                    );
                }
                if let (Some(to), Some(via), true) = (v6, hop.v6, port.v6.is_some()) {
                    let _ = writeln!(
                        lines,
                        "route replace {}/{} via {via} dev {}",
                        to.base, to.bits, port.name
                    );
                }
            }
        }
        lines
    }

    /// Loads the rules of a router.
    fn rules(&mut self, place: usize) -> Result<()> {
        let Some(nat) = self.nat(place) else {
            return Ok(());
        };
        let rules = nat.rules();
        let mut words = space::prefix(self.space(place));
        words.extend(["nft", "-f", "-"].map(String::from));
        let name = self.space(place).to_owned();
        self.log(&name, &format!("nft -f - <<END\n{rules}END"))?;
        space::command(&words, &rules).with_context(|| format!("the rules are:\n{rules}"))?;
        Ok(())
    }

    /// What a router does.
    pub(crate) fn nat(&self, place: usize) -> Option<Nat> {
        let router = self.plan.router(place)?;
        let ports = &self.plan.places[place].ports;
        Some(Nat {
            kind: router.kind,
            kind6: router.kind6,
            inside: ports[0].name.clone(),
            outside: ports[1..]
                .iter()
                .map(|port| (port.name.clone(), port.v4))
                .collect(),
            ports: self.plan.outside_ports(place),
            maps: self.plan.maps(place),
            hairpin: router.hairpin,
            timeout_s: router.timeout_s,
        })
    }

    /// Runs a batch of `ip`, in a namespace or in the worker's own.
    fn ip(&mut self, space: Option<&str>, lines: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.log(
            space.unwrap_or("worker"),
            &format!("ip -batch - <<END\n{lines}END"),
        )?;
        // `ip` names the line that failed, and goes on to no other.
        let mut words = vec!["ip".to_owned()];
        if let Some(space) = space {
            words.extend(["-n".to_owned(), space.to_owned()]);
        }
        words.extend(["-batch", "-"].map(String::from));
        space::command(&words, lines).map(|_| ()).with_context(|| {
            let shown: Vec<&str> = lines.lines().take(20).collect();
            format!(
                "in {}: {}",
                space.unwrap_or("the worker's namespace"),
                shown.join("; ")
            )
        })
    }

    fn log(&mut self, space: &str, what: &str) -> Result<()> {
        let now = now_ns() / 1_000_000;
        writeln!(
            self.commands,
            "{}.{:03} {space}: {what}",
            now / 1000,
            now % 1000
        )
        .context("can't note a command")
    }

    /// Link-local IPv6 addresses of a place's interface.
    pub(crate) fn link_local(&self, place: usize, port: usize) -> Result<IpAddr> {
        let name = &self.plan.places[place].ports[port].name;
        let words = [
            "ip",
            "-n",
            self.space(place),
            "-6",
            "-o",
            "addr",
            "show",
            "dev",
            name,
            "scope",
            "link",
        ];
        let text = space::command(&words.map(String::from), "")?;
        let address = text.split_whitespace().find(|word| word.contains('/'));
        match address
            .and_then(|word| word.split_once('/'))
            .and_then(|(text, _)| text.parse().ok())
        {
            Some(address) => Ok(address),
            None => bail!("{} has no link-local address at {name}", self.space(place)),
        }
    }

    /// Ports by place, for steps about networks: all that are plugged, or those on one network.
    pub(crate) fn ports(&self, place: usize, net: Option<usize>) -> Vec<usize> {
        let ports = self.plan.places[place].ports.iter().enumerate();
        ports
            .filter(|(_, port)| {
                port.plugged && net.is_none_or(|net| self.plan.segments[port.segment].net == net)
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// The segments by name of their network, for `plug`.
    pub(crate) fn segment_of(&self, net: usize) -> usize {
        let by_net: BTreeMap<usize, usize> = self
            .plan
            .segments
            .iter()
            .enumerate()
            .rev()
            .map(|(index, segment)| (segment.net, index))
            .collect();
        by_net[&net]
    }
}
