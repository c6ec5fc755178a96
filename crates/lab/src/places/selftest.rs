//! Checks that each router is what the scenario says: probes with real UDP sockets before the nodes start, as in RFC 4787.
//!
//! A socket inside, with the port of the node, sends to two addresses outside, and to two ports of the first. The sources from
//! which these packets arrive show the **mapping**. Then packets to the mapping, from another port of the first address and from
//! an address to which nothing was sent, show the **filtering**.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::places::net::{Net, PROBER};
use crate::places::plan::Role;
use crate::places::scenario::Kind;
use crate::places::space;

/// How long a probe may take to arrive. It is local, so only a busy machine makes it slow.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a probe is sent that does not arrive. A router that drops one drops all of them.
const TRIES: usize = 3;

/// How long a packet is awaited that a NAT without hairpin drops.
const SILENCE: Duration = Duration::from_millis(100);

/// The first port of the sockets outside.
const PORT: u16 = 7001;

/// A timeout up to this is checked as well. A longer one would cost every run that time.
const SHORT_TIMEOUT_S: u32 = 3;

/// The number of addresses outside: two to which the host sends, and one to which it never does.
const OUTSIDE: usize = 3;

/// Checks one router of each description.
pub(crate) fn check(net: &mut Net) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for router in 0..net.plan.places.len() {
        let Role::Router(index) = net.plan.places[router].role else {
            continue;
        };
        let inside = net.plan.places[router].ports[0].segment;
        let hosts = net.plan.hosts_on(inside);
        if seen.contains(&index) || hosts.is_empty() {
            continue;
        }
        seen.push(index);
        let outside = net.plan.places[router].ports[1].segment;
        let probes = net.add_prober(outside, OUTSIDE)?;
        let words = one(net, router, &hosts, &probes);
        net.remove_prober()?;
        net.flush(router)?;
        let name = net.plan.places[router].name.clone();
        for line in
            words.with_context(|| format!("the router {name} is not what the scenario says"))?
        {
            found.push(format!("{name}: {line}"));
        }
    }
    Ok(found)
}

/// Checks a router for both families, and returns what it is, in words.
fn one(
    net: &Net,
    router: usize,
    hosts: &[(usize, usize)],
    probes: &[IpAddr],
) -> Result<Vec<String>> {
    let description = net.plan.router(router).context("it is a router")?;
    let (kind, kind6, hairpin) = (description.kind, description.kind6, description.hairpin);
    let mut lines = Vec::new();
    for (v4, kind) in [(true, kind), (false, kind6)] {
        let probes: Vec<IpAddr> = probes
            .iter()
            .copied()
            .filter(|probe| probe.is_ipv4() == v4)
            .collect();
        let mut inside = hosts.iter().filter_map(|(place, port)| {
            let it = &net.plan.places[*place].ports[*port];
            let address = if v4 {
                it.v4.map(IpAddr::V4)
            } else {
                it.v6.map(IpAddr::V6)
            };
            let name = net.plan.places[*place].name.clone();
            let port = net.plan.host(*place).map_or(0, |host| host.port);
            address.map(|address| (name, SocketAddr::new(address, port)))
        });
        let (Some(host), OUTSIDE) = (inside.next(), probes.len()) else {
            continue;
        };
        let observed = observe(&host, inside.next().as_ref(), &probes)?;
        observed.compare(kind, v4 && hairpin)?;
        if v4 && kind != Kind::Router && description.timeout_s <= SHORT_TIMEOUT_S {
            let timeout = Duration::from_secs(u64::from(description.timeout_s));
            forgets(&host, probes[0], timeout)?;
            lines.push(format!("forgets a flow that was silent for {timeout:?}"));
        }
        let family = if v4 { "IPv4" } else { "IPv6" };
        lines.push(format!("{family} {}", observed.words()));
    }
    Ok(lines)
}

/// What probes found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Observed {
    /// Packets leave with another address.
    translates: bool,
    /// All destinations see the same address and port.
    same_mapping: bool,
    /// The mapping takes packets of another port of the same address.
    from_other_port: bool,
    /// The mapping takes packets of any address.
    from_other_address: bool,
    /// Another host inside reaches the mapping. `None` if there is no other host, or no mapping.
    hairpin: Option<bool>,
}

impl Observed {
    fn words(&self) -> String {
        let mapping = match (self.translates, self.same_mapping) {
            (false, _) => "no translation",
            (true, true) => "endpoint-independent mapping",
            (true, false) => "address- and port-dependent mapping",
        };
        let filtering = match (self.from_other_port, self.from_other_address) {
            (_, true) => "endpoint-independent filtering",
            (true, false) => "address-dependent filtering",
            (false, false) => "address- and port-dependent filtering",
        };
        let hairpin = match self.hairpin {
            Some(true) => ", hairpin",
            Some(false) | None => "",
        };
        format!("{mapping}, {filtering}{hairpin}")
    }

    fn compare(&self, kind: Kind, hairpin: bool) -> Result<()> {
        let (other_port, other_address) = match kind {
            Kind::Router | Kind::FullCone => (true, true),
            Kind::AddressRestricted => (true, false),
            Kind::Firewall | Kind::PortRestricted | Kind::Symmetric => (false, false),
        };
        let translates = kind.translates();
        let wanted = Self {
            translates,
            same_mapping: kind != Kind::Symmetric,
            from_other_port: other_port,
            from_other_address: other_address,
            hairpin: self.hairpin.map(|_| hairpin),
        };
        if *self != wanted {
            bail!(
                "{}: wanted {}, found {}",
                kind.word(),
                wanted.words(),
                self.words()
            );
        }
        Ok(())
    }
}

type Inside = (String, SocketAddr);

/// Probes the mapping of a host's port. `outside` has three addresses.
fn observe(host: &Inside, other: Option<&Inside>, outside: &[IpAddr]) -> Result<Observed> {
    let at = |number: usize, port| {
        let address = SocketAddr::new(outside[number], port);
        space::inside(PROBER, || bound(address))
    };
    let here = space::inside(&host.0, || bound(host.1))?;
    let known = at(0, PORT)?;
    let mut seen = Vec::new();
    for to in [&known, &at(0, PORT + 1)?, &at(1, PORT)?] {
        let address = to.local_addr().context("a socket has an address")?;
        // On a busy machine a packet may be lost before the neighbours know each other's addresses.
        let mut from = None;
        for _ in 0..TRIES {
            here.send_to(b"out", address)
                .context("can't send a probe")?;
            from = arrives(to, PATIENCE)?;
            if from.is_some() {
                break;
            }
        }
        seen.push(from.with_context(|| format!("a probe to {address} is lost on its way out"))?);
    }
    let translates = seen[0].ip() != host.1.ip();
    // The one that sends last is known, so whatever was not dropped is there before its answer.
    let passes = |from: &UdpSocket| -> Result<bool> {
        from.send_to(b"in", seen[0]).context("can't send a probe")?;
        known
            .send_to(b"answer", seen[0])
            .context("can't send a probe")?;
        let mut came = false;
        while let Some(source) = arrives(&here, PATIENCE)? {
            if Some(source) == known.local_addr().ok() {
                return Ok(came);
            }
            came = true;
        }
        bail!("an answer to {} is lost", seen[0])
    };
    let from_other_port = passes(&at(0, PORT + 2)?)?;
    let from_other_address = passes(&at(2, PORT)?)?;
    let hairpin = match other.filter(|_| translates) {
        None => None,
        Some(other) => {
            let there = space::inside(&other.0, || bound(other.1))?;
            there
                .send_to(b"hairpin", seen[0])
                .context("can't send a probe")?;
            Some(arrives(&here, SILENCE)?.is_some())
        }
    };
    Ok(Observed {
        translates,
        same_mapping: seen.iter().all(|one| *one == seen[0]),
        from_other_port,
        from_other_address,
        hairpin,
    })
}

/// Checks that a mapping ends once it was silent for the timeout.
fn forgets(host: &Inside, outside: IpAddr, timeout: Duration) -> Result<()> {
    let here = space::inside(&host.0, || bound(host.1))?;
    let there = space::inside(PROBER, || bound(SocketAddr::new(outside, PORT)))?;
    let address = there.local_addr().context("a socket has an address")?;
    here.send_to(b"out", address)
        .context("can't send a probe")?;
    let mapped = arrives(&there, PATIENCE)?.context("a probe is lost on its way out")?;
    std::thread::sleep(timeout + SILENCE);
    there
        .send_to(b"late", mapped)
        .context("can't send a probe")?;
    if arrives(&here, SILENCE)?.is_some() {
        bail!("a flow is still known after {timeout:?} of silence");
    }
    Ok(())
}

fn bound(address: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(address).with_context(|| format!("can't bind {address}"))
}

/// Waits for a packet, and returns its source.
fn arrives(socket: &UdpSocket, patience: Duration) -> Result<Option<SocketAddr>> {
    socket
        .set_read_timeout(Some(patience))
        .context("can't set a timeout")?;
    match socket.recv_from(&mut [0; 16]) {
        Ok((_, from)) => Ok(Some(from)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error).context("can't receive a probe"),
    }
}
