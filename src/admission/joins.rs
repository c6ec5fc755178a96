//! Limits how often others begin a connection with this node, before TLS computes anything.
//!
//! A handshake costs a few hundred µs, and each new node costs every other one a little. So a node limits the newcomers a second, and one
//! source may use half of that limit. Addresses with which it had a connection before have a limit of their own: a flood of newcomers
//! keeps no former neighbour out. Within a source, the address that has tried less comes first: a newcomer beside an attacker gets in
//! while the attacker waits. Under load an address must be validated (RFC 9000, section 8.1) before anything counts against it.
//!
//! It reads no clock: `now` is the time since any fixed moment.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::bucket::{Bucket, Rate};
use crate::wire::plain;

/// How many seconds' worth of newcomers may come at once. A network of 200 nodes that start together on one machine gets in as if there
/// were no limit: with the default of 50 a second, 1000 newcomers may come at once, and 500 from one source. Halved, a start of 300 nodes
/// behind one address takes seconds longer. Doubled, an attacker costs a core for a second.
const BURST_S: f64 = 20.0;

/// How many connections one address may begin, whether it is known or not. Nodes dial from the port that they listen on, and dial one
/// node about once a second at most. Halved, a node whose link is lost again and again waits for seconds. Doubled, an attacker at one
/// port costs twice as much.
const ADDRESS: Rate = Rate {
    burst: 16.0,
    per_s: 0.5,
};

/// How fast attempts of an address are forgotten: one a minute. So an attacker needs more than 1,500 ports to try 25 times a second and count
/// as new each time. Twice as slow, a node that was restarted often waits behind others for longer.
const TRIES: Rate = Rate {
    burst: 16.0,
    per_s: 1.0 / 60.0,
};

/// The number of recent attempts from which an address counts as one of those that try most: half of what it may.
const MANY: u32 = 8;

/// The share of a limit that is kept for those who have tried less than [`MANY`] times.
const KEPT: f64 = 0.5;

/// The most sources and addresses that are remembered each. Half a MiB at most. A forgotten one counts as new, and the limit of all
/// newcomers still holds. Halved, an attacker with 2,000 ports counts as new again and again; with twice as many it takes 4,000 ports.
const MAX_REMEMBERED: usize = 4096;

/// How long a connection must last for its address to be known. Shorter: an attacker gets known while it attacks. Longer: a node that
/// comes and goes stays a newcomer.
const KNOWN_AFTER: Duration = Duration::from_secs(10);
/// The most known addresses: more than a node has links and remembers, by far. 0.5 MiB.
const MAX_KNOWN: usize = 16_384;
/// The most of them from one source: of more, the one that was met first is forgotten. Without it, one host that joins from ever new ports
/// would be known by all of them, and keep others from becoming known. Halved: of a NAT with more than 128 nodes, some count as newcomers
/// when they come back. Doubled: 32 hosts fill the table.
const KNOWN_OF_SOURCE: usize = 256;

/// Counts who begins connections, and decides who may.
#[derive(Debug)]
pub struct Joins {
    /// The limits of all newcomers, of one source, and of all known addresses.
    all: (Rate, Bucket),
    source: Rate,
    known_ones: (Rate, Bucket),
    sources: BTreeMap<IpAddr, [Bucket; 1]>,
    /// How many connections each address may still begin, and how little it has tried.
    addrs: BTreeMap<SocketAddr, [Bucket; 2]>,
    /// Addresses of nodes that were up, with the beginning of the connection that shows it.
    known: BTreeMap<SocketAddr, Duration>,
}

/// The sender of a first packet. A lower standing is the better one: it may take the place of a higher one that holds a handshake without
/// getting on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    addr: SocketAddr,
    is_known: bool,
    recent: u32,
}

impl Caller {
    /// Zero for a known address; for others one more than the number of its recent attempts.
    #[must_use]
    pub fn standing(&self) -> u32 {
        if self.is_known { 0 } else { 1 + self.recent }
    }

    /// The standing of the handshake that it begins now.
    #[must_use]
    pub fn standing_within(&self) -> u32 {
        if self.is_known { 0 } else { 2 + self.recent }
    }
}

/// The decision about a first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Begin the handshake.
    Accept(Caller),
    /// Ask for a proof that the address is the sender's (QUIC Retry).
    Validate,
    /// Drop it without an answer. The sender repeats it, and may get in then.
    Ignore(&'static str),
    /// Refuse it. The sender tries another node.
    Refuse(&'static str),
}

impl Joins {
    /// Limits newcomers to this rate in the long run. The addresses are known from the start: nodes were up there in an earlier run.
    #[must_use]
    pub fn new(per_s: u32, known: impl IntoIterator<Item = SocketAddr>) -> Self {
        let per_s = f64::from(per_s.max(1));
        let rate = |share: f64| Rate {
            burst: (share * per_s * BURST_S).max(1.0),
            per_s: share * per_s,
        };
        let full = |rate: Rate| (rate, Bucket::holding(Duration::ZERO, rate.burst));
        let known = known.into_iter().take(MAX_KNOWN);
        Self {
            all: full(rate(1.0)),
            source: rate(0.5),
            known_ones: full(rate(1.0)),
            sources: BTreeMap::new(),
            addrs: BTreeMap::new(),
            known: known.map(|addr| (plain(&addr), Duration::ZERO)).collect(),
        }
    }

    /// Decides about a first packet from an address. `is_crowded`: so many handshakes are under way that addresses must be validated.
    /// Nothing is counted before [`Self::count`].
    pub fn judge(
        &mut self,
        now: Duration,
        remote: SocketAddr,
        is_validated: bool,
        is_crowded: bool,
    ) -> Verdict {
        let addr = plain(&remote);
        let [left, untried] = left_in(self.addrs.get_mut(&addr), now, [ADDRESS, TRIES]);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let recent = (TRIES.burst - untried).ceil().max(0.0) as u32;
        let is_known = self.is_known(now, &addr);
        let caller = Caller {
            addr,
            is_known,
            recent,
        };
        let source = (!is_known).then(|| source_of(addr.ip()));
        let of_source = source.map(|source| {
            let [left] = left_in(self.sources.get_mut(&source), now, [self.source]);
            (left, self.source)
        });
        let group = if is_known {
            &mut self.known_ones
        } else {
            &mut self.all
        };
        let of_all = (group.1.fill(now, group.0), group.0);
        let is_low = |(left, rate): (f64, Rate)| left < rate.burst * KEPT;
        let suspicious =
            is_crowded || recent >= MANY || is_low(of_all) || of_source.is_some_and(is_low);
        if suspicious && !is_validated {
            return Verdict::Validate;
        }
        // An address that tries often needs more of a limit to be left than one that tries for the first time.
        let share = KEPT * f64::from(recent.min(MANY)) / f64::from(MANY);
        let is_out = |(left, rate): (f64, Rate)| left < (rate.burst * share).max(1.0);
        if left < 1.0 {
            Verdict::Ignore("this address begins too many connections")
        } else if of_source.is_some_and(is_out) {
            Verdict::Ignore("too many newcomers from this source")
        } else if is_out(of_all) {
            Verdict::Refuse("too many newcomers")
        } else {
            Verdict::Accept(caller)
        }
    }

    /// Counts a handshake that begins.
    pub fn count(&mut self, now: Duration, caller: &Caller) {
        spend(&mut self.addrs, caller.addr, now, [ADDRESS, TRIES]);
        if caller.is_known {
            self.known_ones.1.spend(1.0);
        } else {
            self.all.1.spend(1.0);
            let source = source_of(caller.addr.ip());
            spend(&mut self.sources, source, now, [self.source]);
        }
    }

    /// A connection with a node at this address is complete.
    pub fn meet(&mut self, now: Duration, remote: SocketAddr) {
        let addr = plain(&remote);
        if self.known.contains_key(&addr) {
            return;
        }
        let source = source_of(addr.ip());
        let of_source = self.known.iter();
        let of_source = of_source.filter(|(known, _)| source_of(known.ip()) == source);
        let (count, oldest) = (
            of_source.clone().count(),
            of_source.min_by_key(|(_, since)| **since),
        );
        // The nodes of this machine share one source, and a machine has fewer of them than ports.
        if count >= KNOWN_OF_SOURCE && !addr.ip().is_loopback() {
            let oldest = oldest.map(|(known, _)| *known);
            oldest.map(|known| self.known.remove(&known));
        }
        if self.known.len() >= MAX_KNOWN {
            self.make_room();
        }
        self.known.insert(addr, now);
    }

    /// Forgets the known address that was met first, of the site that has most of them: who fills the table makes room.
    fn make_room(&mut self) {
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for known in self.known.keys() {
            *counts.entry(site_of(known.ip())).or_default() += 1;
        }
        let most = counts.iter().max_by_key(|(_, count)| **count);
        let most = most.map(|(site, _)| *site);
        let of_it = self.known.iter();
        let of_it = of_it.filter(|(known, _)| Some(site_of(known.ip())) == most);
        let first = of_it.min_by_key(|(_, since)| **since);
        if let Some(first) = first.map(|(known, _)| *known) {
            self.known.remove(&first);
        }
    }

    /// A connection with a node at this address, complete since then, is over. A short one makes no address known.
    pub fn part(&mut self, now: Duration, since: Duration, remote: SocketAddr) {
        let addr = plain(&remote);
        if now.saturating_sub(since) < KNOWN_AFTER && self.known.get(&addr) == Some(&since) {
            self.known.remove(&addr);
        }
    }

    fn is_known(&self, now: Duration, addr: &SocketAddr) -> bool {
        let met = self.known.get(addr);
        // Those of an earlier run are known from the beginning.
        met.is_some_and(|met| met.is_zero() || now.saturating_sub(*met) >= KNOWN_AFTER)
    }
}

/// The content of buckets; one that is not remembered is full.
fn left_in<const N: usize>(
    buckets: Option<&mut [Bucket; N]>,
    now: Duration,
    rates: [Rate; N],
) -> [f64; N] {
    let mut left = rates.map(|rate| rate.burst);
    if let Some(buckets) = buckets {
        for (at, bucket) in buckets.iter_mut().enumerate() {
            left[at] = bucket.fill(now, rates[at]);
        }
    }
    left
}

/// Takes one token of each bucket. Buckets that are full again are forgotten when there are too many; if that does not help, all are.
fn spend<K: Ord, const N: usize>(
    all: &mut BTreeMap<K, [Bucket; N]>,
    key: K,
    now: Duration,
    rates: [Rate; N],
) {
    if all.len() >= MAX_REMEMBERED && !all.contains_key(&key) {
        let is_full = |buckets: &mut [Bucket; N]| {
            let left = left_in(Some(buckets), now, rates);
            left.iter()
                .zip(&rates)
                .all(|(left, rate)| *left >= rate.burst)
        };
        all.retain(|_, buckets| !is_full(buckets));
        if all.len() >= MAX_REMEMBERED {
            all.clear();
        }
    }
    let full = || rates.map(|rate| Bucket::holding(now, rate.burst));
    let buckets = all.entry(key).or_insert_with(full);
    for (bucket, rate) in buckets.iter_mut().zip(rates) {
        bucket.take_one(now, rate);
    }
}

/// The source of an address: an IPv4 address, or the /64 of an IPv6 address. A subscriber gets at least a /64, and one machine can use
/// all of it. This machine is one source.
#[must_use]
pub fn source_of(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        ip if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// The site of an address: the /24 of an IPv4 address, or the /48 of an IPv6 address, the most that a provider usually gives to one
/// customer (RFC 6177).
fn site_of(remote: IpAddr) -> IpAddr {
    match source_of(remote) {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() >> 8 << 8).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_S: u32 = 50;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn from(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    /// Knocks, with Retry if that is asked for. Returns whether the handshake began.
    fn knock(joins: &mut Joins, now: Duration, addr: SocketAddr) -> bool {
        let mut verdict = joins.judge(now, addr, false, false);
        if verdict == Verdict::Validate {
            verdict = joins.judge(now, addr, true, false);
        }
        let Verdict::Accept(caller) = verdict else {
            return false;
        };
        joins.count(now, &caller);
        true
    }

    #[test]
    fn two_hundred_nodes_of_one_machine_that_start_together_all_get_in_at_once() {
        let mut joins = Joins::new(PER_S, []);
        for port in 0..200 {
            let addr = SocketAddr::from((Ipv6Addr::LOCALHOST, 8000 + port));
            let verdict = joins.judge(at(1), addr, false, false);
            let Verdict::Accept(caller) = verdict else {
                panic!("{port}: {verdict:?}");
            };
            joins.count(at(1), &caller);
        }
    }

    #[test]
    fn one_port_gets_sixteen_and_then_one_each_two_seconds() {
        let mut joins = Joins::new(PER_S, []);
        let mut got = 0;
        for ms in 0..10_000 {
            got += u32::from(knock(&mut joins, at(ms), from(1, 1)));
        }
        assert!((20..=21).contains(&got), "{got}");
    }

    #[test]
    fn a_source_gets_half_and_the_others_get_in() {
        let mut joins = Joins::new(PER_S, []);
        let mut got = 0;
        // Two thousand a second from ever new ports: for ten seconds.
        for ms in 0..10_000_u64 {
            for more in 0..2 {
                let port = u16::try_from(1 + (2 * ms + more) % 60_000).unwrap();
                got += u32::from(knock(&mut joins, at(ms), from(1, port)));
            }
            if ms % 100 == 0 {
                let other = u8::try_from(2 + ms / 100).unwrap();
                assert!(knock(&mut joins, at(ms), from(other, 1)), "{ms} ms");
            }
        }
        assert!((700..=760).contains(&got), "{got}");
    }

    #[test]
    fn a_newcomer_beside_an_attacker_comes_before_it() {
        let mut joins = Joins::new(PER_S, []);
        // A hundred ports that try again and again, from the newcomer's own address.
        let mut got = 0;
        for ms in 0..30_000_u64 {
            let port = u16::try_from(1 + ms % 100).unwrap();
            got += u32::from(knock(&mut joins, at(ms), from(1, port)));
            if ms % 500 == 0 {
                let port = u16::try_from(1000 + ms / 500).unwrap();
                assert!(knock(&mut joins, at(ms), from(1, port)), "{ms} ms");
            }
        }
        assert!(got <= 1250, "{got}");
    }

    #[test]
    fn who_was_known_comes_in_through_any_flood_of_newcomers() {
        let old = from(9, 8083);
        let mut joins = Joins::new(PER_S, [old]);
        let met = from(8, 8083);
        joins.meet(at(0), from(7, 1));
        joins.meet(at(5), met);
        joins.part(at(15_000), at(5), met);
        let brief = from(7, 8083);
        joins.meet(at(14_000), brief);
        joins.part(at(15_000), at(14_000), brief);
        for host in 0..=255 {
            for port in 0..100 {
                knock(
                    &mut joins,
                    at(20_000),
                    SocketAddr::from(([198, 51, 100, host], port)),
                );
            }
        }
        assert!(knock(&mut joins, at(20_000), old));
        assert!(knock(&mut joins, at(20_000), met));
        assert!(!knock(&mut joins, at(20_000), brief));
        let refused = joins.judge(at(20_000), brief, true, false);
        assert_eq!(refused, Verdict::Refuse("too many newcomers"));
    }

    #[test]
    fn an_address_that_nobody_proved_is_charged_for_half_at_most() {
        let victim = from(9, 8083);
        let mut joins = Joins::new(PER_S, [victim]);
        for _ in 0..1000 {
            if let Verdict::Accept(caller) = joins.judge(at(0), victim, false, false) {
                joins.count(at(0), &caller);
            }
        }
        assert_eq!(joins.judge(at(0), victim, false, false), Verdict::Validate);
        let proven = joins.judge(at(0), victim, true, false);
        assert!(matches!(proven, Verdict::Accept(_)), "{proven:?}");
        let crowded = joins.judge(at(0), from(8, 1), false, true);
        assert_eq!(crowded, Verdict::Validate);
    }

    #[test]
    fn one_host_that_joins_from_ever_new_ports_is_not_known_by_all_of_them() {
        let mut joins = Joins::new(PER_S, []);
        for port in 0..30_000_u64 {
            joins.meet(at(port), from(1, u16::try_from(port).unwrap()));
        }
        joins.meet(at(30_000), from(2, 1));
        let later = at(60_000);
        let known = (0..30_000).filter(|&port| joins.is_known(later, &from(1, port)));
        assert_eq!(known.count(), KNOWN_OF_SOURCE);
        assert!(joins.is_known(later, &from(2, 1)));
    }

    #[test]
    fn one_site_that_joins_from_ever_new_sources_leaves_room_for_others() {
        let mut joins = Joins::new(PER_S, []);
        let of_site = |at: u16| {
            let ip = Ipv6Addr::from([0x2001, 0xdb8, 1, at / 256, 0, 0, 0, 1]);
            SocketAddr::new(ip.into(), 1 + at % 256)
        };
        let elder = from(1, 1);
        joins.meet(at(0), elder);
        for port in 0..MAX_KNOWN as u16 {
            joins.meet(at(1), of_site(port));
        }
        joins.meet(at(2), from(2, 1));
        assert_eq!(joins.known.len(), MAX_KNOWN);
        for honest in [elder, from(2, 1)] {
            assert!(joins.is_known(at(60_000), &honest));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut joins = Joins::new(1_000_000, []);
        for source in 0..(MAX_KNOWN + MAX_REMEMBERED) as u16 {
            let [high, low] = source.to_be_bytes();
            let addr = SocketAddr::from(([10, 0, high, low], 1));
            let at_ms = u64::from(source);
            knock(&mut joins, at(at_ms / 10), addr);
            joins.meet(at(at_ms), addr);
        }
        assert!(joins.addrs.len() <= MAX_REMEMBERED);
        assert!(joins.sources.len() <= MAX_REMEMBERED);
        assert!(joins.known.len() <= MAX_KNOWN);
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64() {
        let source = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_eq!(source("127.0.0.1"), source("::1"));
    }
}
