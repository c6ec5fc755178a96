//! The plan of the places: every copy of every network, router and host, with interfaces and addresses. It does no I/O, and it
//! follows what the steps change, so the judge knows the true addresses from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::places::scenario::{Host, Net, Prefix, Prefixes, Router, Scenario};

/// One copy of a network.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// The index of the network in the scenario.
    pub(crate) net: usize,
    /// Its prefixes.
    pub(crate) prefixes: Prefixes,
    /// The host part of the next address.
    next: u32,
}

/// One copy of a host or router. It has a namespace of its own, which has its name.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its name: that of the file, and a number if there are several.
    pub(crate) name: String,
    /// The name in the file.
    pub(crate) stem: String,
    /// What it is.
    pub(crate) role: Role,
    /// Its interfaces, in the order in which they came. `ethN` is the N-th.
    pub(crate) ports: Vec<Port>,
}

/// What a place is. Each is an index into the scenario's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A host.
    Host(usize),
    /// A router. Its first port is inside, the others are outside.
    Router(usize),
}

/// An interface.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    /// The segment, by index.
    pub(crate) segment: usize,
    /// Its name in the place's namespace.
    pub(crate) name: String,
    /// Its IPv4 address.
    pub(crate) v4: Option<Ipv4Addr>,
    /// Its IPv6 address. The link-local one is not listed.
    pub(crate) v6: Option<Ipv6Addr>,
    /// Addresses that it had before.
    pub(crate) former: Vec<IpAddr>,
    /// Whether the interface exists.
    pub(crate) plugged: bool,
    /// Whether the addresses were taken away for a time.
    pub(crate) dropped: bool,
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The segments.
    pub(crate) segments: Vec<Segment>,
    /// Routers first, then hosts.
    pub(crate) places: Vec<Place>,
    /// The places of the nodes, in their order.
    pub(crate) nodes: Vec<usize>,
    routers: Vec<Router>,
    hosts: Vec<Host>,
}

impl Net {
    /// The prefixes of one copy. The error says what is no prefix.
    pub(crate) fn prefixes(&self, copy: usize) -> Result<Prefixes, String> {
        let v4 = self.v4.as_deref().map(|text| {
            let behind = |base: Ipv4Addr, bits: u8| base.to_bits().checked_shl(bits.into());
            prefix(text, copy, 24, |base, bits| {
                behind(base, bits).unwrap_or(0) == 0
            })
        });
        let v6 = self.v6.as_deref().map(|text| {
            let behind = |base: Ipv6Addr, bits: u8| base.to_bits().checked_shl(bits.into());
            prefix(text, copy, 112, |base, bits| {
                behind(base, bits).unwrap_or(0) == 0
            })
        });
        Ok((v4.transpose()?, v6.transpose()?))
    }
}

/// Parses a prefix. `#` stands for the number of the copy. The last bits must have room for the number of a host, and are zeros.
fn prefix<A: std::str::FromStr + Copy>(
    text: &str,
    copy: usize,
    longest: u8,
    is_first: impl Fn(A, u8) -> bool,
) -> Result<Prefix<A>, String> {
    let full = text.replace('#', &copy.to_string());
    let parsed = full.split_once('/').and_then(|(base, length)| {
        let base = base.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let is_sound = length <= longest && is_first(base, length);
        is_sound.then_some(Prefix { base, bits: length })
    });
    parsed.ok_or_else(|| {
        let kind = if longest < 32 { "IPv4" } else { "IPv6" };
        format!("`{full}` is no {kind} prefix of at most {longest} bits with zeros behind them")
    })
}

impl Plan {
    /// Expands the scenario.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut plan = Self {
            segments: Vec::new(),
            places: Vec::new(),
            nodes: Vec::new(),
            routers: scenario.routers.clone(),
            hosts: scenario.hosts.clone(),
        };
        for (index, net) in scenario.nets.iter().enumerate() {
            for copy in 0..net.count {
                plan.segments.push(Segment {
                    net: index,
                    prefixes: net.prefixes(copy).expect("the parser tried it"),
                    next: 1,
                });
            }
        }
        for (index, router) in scenario.routers.iter().enumerate() {
            let copies = plan.copies(router.inside);
            for (copy, inside) in copies.iter().enumerate() {
                let outside = router.outside.iter().map(|net| plan.copies(*net)[0]);
                let segments: Vec<usize> = [*inside].into_iter().chain(outside).collect();
                let name = numbered(&router.name, copy, copies.len());
                plan.add(&router.name, name, Role::Router(index), &segments);
            }
        }
        for (index, host) in scenario.hosts.iter().enumerate() {
            let copies = plan.copies(host.on[0]);
            let total = copies.len() * host.count;
            for number in 0..total {
                let copy = number / host.count;
                let segments: Vec<usize> = host
                    .on
                    .iter()
                    .map(|net| {
                        let of_it = plan.copies(*net);
                        of_it[copy.min(of_it.len() - 1)]
                    })
                    .collect();
                let name = numbered(&host.name, number, total);
                let place = plan.add(&host.name, name, Role::Host(index), &segments);
                plan.nodes.push(place);
            }
        }
        plan
    }

    fn copies(&self, net: usize) -> Vec<usize> {
        let all = self.segments.iter().enumerate();
        all.filter(|(_, segment)| segment.net == net)
            .map(|(index, _)| index)
            .collect()
    }

    fn add(&mut self, stem: &str, name: String, role: Role, segments: &[usize]) -> usize {
        let place = self.places.len();
        self.places.push(Place {
            name,
            stem: stem.to_owned(),
            role,
            ports: Vec::new(),
        });
        for segment in segments {
            self.plug(place, *segment);
        }
        place
    }

    /// Adds an interface to a place, with new addresses. Returns its index.
    pub(crate) fn plug(&mut self, place: usize, segment: usize) -> usize {
        let (v4, v6) = self.fresh(place, segment);
        let ports = &mut self.places[place].ports;
        ports.push(Port {
            segment,
            name: format!("eth{}", ports.len()),
            v4,
            v6,
            former: Vec::new(),
            plugged: true,
            dropped: false,
        });
        ports.len() - 1
    }

    /// New addresses of a place on a segment, of its families.
    fn fresh(&mut self, place: usize, segment: usize) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let (has_v4, has_v6) = match self.places[place].role {
            Role::Host(host) => self.hosts[host].families,
            Role::Router(_) => (true, true),
        };
        let (v4, v6) = self.take(segment);
        (v4.filter(|_| has_v4), v6.filter(|_| has_v6))
    }

    /// Takes the next addresses of a segment.
    pub(crate) fn take(&mut self, segment: usize) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let segment = &mut self.segments[segment];
        let number = segment.next;
        segment.next += 1;
        let (v4, v6) = segment.prefixes;
        let v4 = v4.map(|prefix| Ipv4Addr::from_bits(prefix.base.to_bits() + number));
        let v6 = v6.map(|prefix| Ipv6Addr::from_bits(prefix.base.to_bits() + u128::from(number)));
        (v4, v6)
    }

    /// Gives a port new addresses. Returns the old ones.
    pub(crate) fn renumber(&mut self, place: usize, port: usize) -> Vec<IpAddr> {
        let (v4, v6) = self.fresh(place, self.places[place].ports[port].segment);
        let port = &mut self.places[place].ports[port];
        let old = port.addresses();
        port.former.extend(&old);
        (port.v4, port.v6) = (v4, v6);
        old
    }

    /// The router's description, if the place is one.
    pub(crate) fn router(&self, place: usize) -> Option<&Router> {
        match self.places[place].role {
            Role::Router(router) => Some(&self.routers[router]),
            Role::Host(_) => None,
        }
    }

    /// The host's description, if the place is one.
    pub(crate) fn host(&self, place: usize) -> Option<&Host> {
        match self.places[place].role {
            Role::Host(host) => Some(&self.hosts[host]),
            Role::Router(_) => None,
        }
    }

    /// The description of a node's host.
    pub(crate) fn node(&self, node: usize) -> &Host {
        self.host(self.nodes[node]).expect("a node is on a host")
    }

    /// The place with that name, the node's or router's.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.places.iter().position(|place| place.name == name)
    }

    /// The places that the names mean.
    pub(crate) fn who(&self, names: &[String]) -> Vec<usize> {
        let meant = |place: &Place| {
            let all = matches!(place.role, Role::Host(_));
            names
                .iter()
                .any(|name| (name == "all" && all) || *name == place.name || *name == place.stem)
        };
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, place)| meant(place))
            .map(|(index, _)| index)
            .collect()
    }

    /// The nodes that the names mean.
    pub(crate) fn nodes_of(&self, names: &[String]) -> Vec<usize> {
        let places = self.who(names);
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, place)| places.contains(place))
            .map(|(node, _)| node)
            .collect()
    }

    /// The routers whose inside is that segment.
    pub(crate) fn gateways(&self, segment: usize) -> impl Iterator<Item = usize> {
        let routers = self.places.iter().enumerate();
        routers
            .filter(move |(_, place)| {
                matches!(place.role, Role::Router(_)) && place.ports[0].segment == segment
            })
            .map(|(index, _)| index)
    }

    /// The hosts on a segment, with the port by which each is on it.
    pub(crate) fn hosts_on(&self, segment: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            for (port, it) in place.ports.iter().enumerate() {
                if it.segment == segment && matches!(place.role, Role::Host(_)) {
                    found.push((index, port));
                }
            }
        }
        found
    }

    /// What is below a segment: prefixes that others reach over the router in the first place, by family. `None` as the
    /// family's part if the router translates it.
    pub(crate) fn below(&self, segment: usize) -> Vec<(usize, Prefixes)> {
        let mut found = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            let Role::Router(router) = place.role else {
                continue;
            };
            if !place.ports[1..].iter().any(|port| port.segment == segment) {
                continue;
            }
            let inside = place.ports[0].segment;
            let translates = self.routers[router].kind.translates();
            let mut add =
                |(v4, v6): Prefixes| found.push((index, (v4.filter(|_| !translates), v6)));
            add(self.segments[inside].prefixes);
            for (_, deeper) in self.below(inside) {
                add(deeper);
            }
        }
        found
    }

    /// The addresses at which everybody can see a node: its own, or that of the outermost NAT before it, by family. Private
    /// addresses behind a NAT are in the second part: a record may list them as well.
    pub(crate) fn public(&self, node: usize) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let (mut seen, mut own) = (Vec::new(), Vec::new());
        let place = &self.places[self.nodes[node]];
        for port in place
            .ports
            .iter()
            .filter(|port| port.plugged && !port.dropped)
        {
            if let Some(v6) = port.v6 {
                seen.push(IpAddr::V6(v6));
            }
            let Some(v4) = port.v4 else { continue };
            let outside = self.nat_of(port.segment);
            if outside.is_empty() {
                seen.push(IpAddr::V4(v4));
            } else {
                own.push(IpAddr::V4(v4));
                seen.extend(outside);
            }
        }
        (seen, own)
    }

    /// The outside IPv4 addresses of the outermost NATs before a segment.
    fn nat_of(&self, segment: usize) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for router in self.gateways(segment) {
            for port in &self.places[router].ports[1..] {
                let further = self.nat_of(port.segment);
                let kind = self.router(router).expect("a gateway is a router").kind;
                match (further.is_empty(), kind.translates(), port.v4) {
                    (false, _, _) => found.extend(further),
                    (true, true, Some(v4)) => found.push(IpAddr::V4(v4)),
                    (true, _, _) => {}
                }
            }
        }
        found
    }

    /// The outside port of each host behind a NAT: host's address and port, and outside port. The port stays as it is where it
    /// is free.
    pub(crate) fn outside_ports(&self, router: usize) -> Vec<(Ipv4Addr, u16, u16)> {
        let inside = self.places[router].ports[0].segment;
        let mut taken = std::collections::BTreeSet::new();
        taken.extend(self.maps(router).iter().map(|(outside, _, _)| *outside));
        let mut found = Vec::new();
        for (place, port) in self.hosts_on(inside) {
            let listens = self.host(place).expect("it is a host").port;
            let Some(v4) = self.places[place].ports[port].v4 else {
                continue;
            };
            let free = (listens..).find(|outside| taken.insert(*outside));
            found.push((v4, listens, free.expect("there are ports enough")));
        }
        found
    }

    /// The port mappings of a router: outside port, address and port inside.
    pub(crate) fn maps(&self, router: usize) -> Vec<(u16, Ipv4Addr, u16)> {
        let inside = self.places[router].ports[0].segment;
        let maps = self.router(router).map_or(&[][..], |router| &router.maps);
        let mut found = Vec::new();
        for (outside, host, port) in maps {
            let place = self
                .hosts_on(inside)
                .into_iter()
                .find(|(place, _)| self.places[*place].role == Role::Host(*host));
            if let Some((place, at)) = place
                && let Some(v4) = self.places[place].ports[at].v4
            {
                found.push((*outside, v4, *port));
            }
        }
        found
    }

    /// Replaces placeholders: `{c}` is the address of `c` on its first network (a router's first outside one), IPv4 if it has
    /// one; `{c.6}` is the IPv6 address, `{c.1}` that on the second network, `{c.6.1}` both. `{r.in}`
    /// is the address of a router inside.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((word, further)) = after.split_once('}') else {
                break;
            };
            filled.push_str(before);
            // Other braces, as in rules for nft, are no placeholders.
            if word.contains([' ', '{', '"']) {
                filled.push('{');
                rest = after;
                continue;
            }
            let unknown = || format!("`{{{word}}}` in `{text}` stands for no address");
            filled.push_str(&self.placeholder(word).ok_or_else(unknown)?.to_string());
            rest = further;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn placeholder(&self, word: &str) -> Option<IpAddr> {
        let mut parts = word.split('.');
        let place = &self.places[self.named(parts.next()?)?];
        let mut parts = parts.peekable();
        let wants_v6 = parts.next_if_eq(&"6").is_some();
        let inside = parts.next_if_eq(&"in").is_some();
        let number: usize = parts.next().map_or(Some(0), |text| text.parse().ok())?;
        let first = usize::from(matches!(place.role, Role::Router(_)) && !inside);
        let port = place.ports.get(number + first)?;
        match (wants_v6, port.v4) {
            (false, Some(v4)) => Some(IpAddr::V4(v4)),
            _ => port.v6.map(IpAddr::V6),
        }
    }
}

impl Port {
    /// Its addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let v4 = self.v4.map(IpAddr::V4);
        v4.into_iter().chain(self.v6.map(IpAddr::V6)).collect()
    }
}

fn numbered(name: &str, number: usize, total: usize) -> String {
    match total {
        1 => name.to_owned(),
        _ => format!("{name}{number}"),
    }
}
