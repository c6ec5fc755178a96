//! Rules for nftables that make a router behave as a kind of NAT or firewall of RFC 4787.
//!
//! conntrack alone gives one kind: it filters by address and port, and an unsolicited packet that the router itself takes would
//! occupy a mapping. So:
//!
//! - **Mapping.** Each host's port has a fixed outside port (`map source`), so the mapping is endpoint-independent. A symmetric
//!   NAT draws a random port for each flow.
//! - **Filtering.** A packet that belongs to no flow is translated back by `map target`, where the kind allows that. It passes
//!   only if the host sent something within the timeout: to anybody (`set open`, full cone), or to that address
//!   (`set peers`, address-restricted).
//! - **Nothing for the router.** It drops UDP to itself, without an ICMP error.
//!
//! A mapping rests with the flow table of the kernel and with the sets. Both are emptied if the NAT reboots.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::places::scenario::Kind;

/// What the rules depend on.
#[derive(Debug, Clone)]
pub(crate) struct Nat {
    /// The kind for IPv4.
    pub(crate) kind: Kind,
    /// The kind for IPv6.
    pub(crate) kind6: Kind,
    /// The interface inside.
    pub(crate) inside: String,
    /// The interfaces outside, with their IPv4 addresses.
    pub(crate) outside: Vec<(String, Option<Ipv4Addr>)>,
    /// A host's address and port, and its outside port.
    pub(crate) ports: Vec<(Ipv4Addr, u16, u16)>,
    /// Port mappings: outside port, host's address, host's port.
    pub(crate) maps: Vec<(u16, Ipv4Addr, u16)>,
    /// Whether hosts inside reach each other at the outside address.
    pub(crate) hairpin: bool,
    /// Seconds after which a silent mapping is forgotten.
    pub(crate) timeout_s: u32,
}

impl Nat {
    /// The rules, as text for `nft -f`. They replace those that were there.
    pub(crate) fn rules(&self) -> String {
        let mut text = String::from("table inet wall\ndelete table inet wall\n");
        text.push_str(&self.wall());
        text.push_str("table ip nat\ndelete table ip nat\n");
        if self.kind.translates() {
            text.push_str(&self.nat());
        }
        text
    }

    /// The filter. One table for both families keeps the order of its rules plain.
    fn wall(&self) -> String {
        let inside = &self.inside;
        let timeout = self.timeout_s;
        let mut text = format!(
            "table inet wall {{\n\
             set open {{ type ipv4_addr . inet_service; flags timeout,dynamic; timeout {timeout}s; }}\n\
             set peers {{ type ipv4_addr . inet_service . ipv4_addr; flags timeout,dynamic; timeout {timeout}s; }}\n\
             chain input {{ type filter hook input priority filter; policy accept;\n"
        );
        if self.kind.translates() {
            text.push_str("meta l4proto udp drop\n");
        }
        text.push_str(
            "}\nchain forward { type filter hook forward priority filter; policy drop;\n",
        );
        let _ = writeln!(
            text,
            "iifname \"{inside}\" meta nfproto ipv4 meta l4proto udp update @open {{ ip saddr . udp sport }} \
             update @peers {{ ip saddr . udp sport . ip daddr }}"
        );
        let _ = writeln!(text, "iifname \"{inside}\" oifname != \"{inside}\" accept");
        text.push_str("ct state established,related accept\n");
        if self.kind == Kind::Router {
            text.push_str("meta nfproto ipv4 accept\n");
        }
        if self.kind6 == Kind::Router {
            text.push_str("meta nfproto ipv6 accept\n");
        }
        if self.hairpin {
            let _ = writeln!(
                text,
                "iifname \"{inside}\" oifname \"{inside}\" ct status dnat accept"
            );
        }
        match self.kind {
            Kind::FullCone => text.push_str("meta l4proto udp ip daddr . udp dport @open accept\n"),
            Kind::AddressRestricted => {
                text.push_str("meta l4proto udp ip daddr . udp dport . ip saddr @peers accept\n");
            }
            Kind::Router | Kind::Firewall | Kind::PortRestricted | Kind::Symmetric => {}
        }
        for (_, host, port) in &self.maps {
            let _ = writeln!(
                text,
                "ip daddr {host} udp dport {port} ct status dnat accept"
            );
        }
        text.push_str("}\n}\n");
        text
    }

    fn nat(&self) -> String {
        let inside = &self.inside;
        let addresses: Vec<Ipv4Addr> = self.outside.iter().filter_map(|(_, v4)| *v4).collect();
        let mut text = String::from("table ip nat {\n");
        if self.kind != Kind::Symmetric {
            for (number, address) in addresses.iter().enumerate() {
                let pairs = self.ports.iter().map(|(host, port, outside)| {
                    format!("{host} . {port} : {address} . {outside}")
                });
                text.push_str(&map(
                    &format!("source{number}"),
                    "ipv4_addr . inet_service",
                    &pairs.collect::<Vec<_>>(),
                ));
            }
        }
        let target = self
            .ports
            .iter()
            .map(|(host, port, outside)| format!("{outside} : {host} . {port}"));
        text.push_str(&map("target", "inet_service", &target.collect::<Vec<_>>()));
        let mapped = self
            .maps
            .iter()
            .map(|(outside, host, port)| format!("{outside} : {host} . {port}"));
        text.push_str(&map("mapped", "inet_service", &mapped.collect::<Vec<_>>()));
        text.push_str("chain prerouting { type nat hook prerouting priority dstnat;\n");
        for address in &addresses {
            let from = if self.hairpin {
                String::new()
            } else {
                format!("iifname != \"{inside}\" ")
            };
            let _ = writeln!(
                text,
                "{from}ip daddr {address} meta l4proto udp dnat ip to udp dport map @mapped"
            );
            match self.kind {
                Kind::FullCone | Kind::AddressRestricted => {
                    let _ = writeln!(
                        text,
                        "{from}ip daddr {address} meta l4proto udp dnat ip to udp dport map @target"
                    );
                }
                Kind::PortRestricted if self.hairpin => {
                    let _ = writeln!(
                        text,
                        "iifname \"{inside}\" ip daddr {address} meta l4proto udp dnat ip to udp dport map @target"
                    );
                }
                Kind::Router | Kind::Firewall | Kind::PortRestricted | Kind::Symmetric => {}
            }
        }
        text.push_str("}\nchain postrouting { type nat hook postrouting priority srcnat;\n");
        for (number, (name, _)) in self
            .outside
            .iter()
            .filter(|(_, v4)| v4.is_some())
            .enumerate()
        {
            if self.kind == Kind::Symmetric {
                let _ = writeln!(text, "oifname \"{name}\" masquerade random,fully-random");
            } else {
                let _ = writeln!(
                    text,
                    "oifname \"{name}\" meta l4proto udp snat ip to ip saddr . udp sport map @source{number}"
                );
                let _ = writeln!(text, "oifname \"{name}\" masquerade");
            }
        }
        if self.hairpin {
            let _ = writeln!(
                text,
                "oifname \"{inside}\" ct status dnat meta l4proto udp snat ip to ip saddr . udp sport map @source0"
            );
        }
        text.push_str("}\n}\n");
        text
    }
}

/// A map to an address and a port.
fn map(name: &str, key: &str, elements: &[String]) -> String {
    let elements = match elements.is_empty() {
        true => String::new(),
        false => format!("elements = {{ {} }}\n", elements.join(", ")),
    };
    format!("map {name} {{ type {key} : ipv4_addr . inet_service;\n{elements}}}\n")
}
