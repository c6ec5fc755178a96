//! Reads a TOML file into a [`Scenario`]. Every mistake is found here, before anything starts.

use std::collections::BTreeSet;
use std::ops::Range as Span;
use std::path::Path;

use area_net::sim::parse::words::{Wrong, explain};
use serde::Deserialize;
use toml::Spanned;

use crate::places::names::{Known, Names, seconds};
use crate::places::raw_must::RawMust;
use crate::places::raw_step::RawStep;
use crate::places::scenario::{Host, Kind, Net, Router, Scenario};
use crate::shared::scenarios::{self, BadScenario};

/// The longest scenario, in seconds. A longer one is taken for a mistake.
const LONGEST_S: f64 = 1800.0;

/// The most copies of a network, and the most hosts on one: an address is made of their number, in 8 bits.
const MOST: usize = 230;

/// The port of every node that names no other: the program's default.
const PORT: u16 = 8083;

/// The time after which the kernel forgets a UDP flow that went both ways.
const TIMEOUT_S: u32 = 120;

/// The file's contents, before validation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    #[serde(default)]
    short: bool,
    lasts: Spanned<String>,
    #[serde(default)]
    settings: Vec<String>,
    net: Vec<Spanned<RawNet>>,
    #[serde(default)]
    router: Vec<Spanned<RawRouter>>,
    host: Vec<Spanned<RawHost>>,
    #[serde(default)]
    step: Vec<Spanned<RawStep>>,
    must: Vec<Spanned<RawMust>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNet {
    name: String,
    v4: Option<String>,
    v6: Option<String>,
    count: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRouter {
    name: String,
    inside: String,
    outside: Names,
    kind: Kind,
    kind6: Option<Kind>,
    #[serde(default)]
    hairpin: bool,
    timeout: Option<String>,
    #[serde(default)]
    map: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHost {
    name: String,
    on: Names,
    count: Option<usize>,
    port: Option<u16>,
    listen: Option<String>,
    #[serde(default)]
    targets: Vec<String>,
    targets_from: Option<String>,
    key_of: Option<String>,
    #[serde(default)]
    settings: Vec<String>,
    start: Option<String>,
    families: Option<Families>,
    #[serde(default)]
    isolated: bool,
    #[serde(default)]
    dad: bool,
    gateway: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Families {
    V4,
    V6,
    Both,
}

/// Reads a file.
pub(crate) fn file(path: &Path) -> Result<Scenario, BadScenario> {
    scenario(path, &scenarios::read(path)?)
}

/// Parses `text`, the contents of the file at `path`.
pub(crate) fn scenario(path: &Path, text: &str) -> Result<Scenario, BadScenario> {
    scenarios::parse(path, text, explain, build)
}

fn build(name: &str, file: File) -> Result<Scenario, Wrong> {
    let lasts_s = seconds(file.lasts.get_ref(), &file.lasts.span())?;
    if !(1.0..=LONGEST_S).contains(&lasts_s) {
        let what = format!("a scenario lasts between 1s and {LONGEST_S} s");
        return Err(Wrong::new(file.lasts.span(), what));
    }
    let known = known(&file)?;
    let spans: Vec<Span<usize>> = file.net.iter().map(Spanned::span).collect();
    let nets: Vec<Net> = file.net.into_iter().map(net).collect::<Result<_, _>>()?;
    let hosts: Vec<Host> = file
        .host
        .into_iter()
        .map(|raw| host(raw, &known, lasts_s))
        .collect::<Result<_, _>>()?;
    let routers = file
        .router
        .into_iter()
        .map(|raw| router(raw, &known, &hosts, &nets))
        .collect::<Result<Vec<_>, _>>()?;
    for (net, span) in spans.into_iter().enumerate() {
        let crowd = crowd(net, &nets, &routers, &hosts);
        if crowd > MOST {
            let what = format!("{crowd} hosts and routers are on it, and at most {MOST} can be");
            return Err(Wrong::new(span, what));
        }
    }
    let mut steps = Vec::new();
    for raw in file.step {
        let span = raw.span();
        steps.extend(raw.into_inner().steps(&known, &span, lasts_s)?);
    }
    steps.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
    let mut promises = Vec::new();
    for raw in file.must {
        let span = raw.span();
        promises.push(raw.into_inner().promise(&known, &span, lasts_s)?);
    }
    Ok(Scenario {
        name: name.to_owned(),
        title: file.title,
        short: file.short,
        lasts_s,
        settings: file.settings,
        nets,
        routers,
        hosts,
        steps,
        promises,
    })
}

/// Collects the names, and refuses those that are used twice or could be mistaken for others.
fn known(file: &File) -> Result<Known, Wrong> {
    let mut places = BTreeSet::new();
    let nets = file.net.iter().map(|net| (&net.get_ref().name, net.span()));
    let routers = file
        .router
        .iter()
        .map(|one| (&one.get_ref().name, one.span()));
    let hosts = file
        .host
        .iter()
        .map(|one| (&one.get_ref().name, one.span()));
    let mut seen = BTreeSet::new();
    for (name, span) in nets.clone().chain(routers.clone()).chain(hosts.clone()) {
        let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.ends_with(|last: char| last.is_ascii_lowercase())
            && name.len() <= 10
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if !plain || name == "all" {
            let what =
                format!("`{name}` can't be a name: 1 to 10 small letters or hyphens, not `all`");
            return Err(Wrong::new(span, what));
        }
        if !seen.insert(name.clone()) {
            return Err(Wrong::new(span, format!("`{name}` is there twice")));
        }
    }
    places.extend(routers.chain(hosts).map(|(name, _)| name.clone()));
    Ok(Known {
        nets: nets.map(|(name, _)| name.clone()).collect(),
        places,
    })
}

fn count(count: Option<usize>, span: &Span<usize>) -> Result<usize, Wrong> {
    match count.unwrap_or(1) {
        count @ 1..=MOST => Ok(count),
        _ => Err(Wrong::new(
            span.clone(),
            format!("count is between 1 and {MOST}"),
        )),
    }
}

fn net(raw: Spanned<RawNet>) -> Result<Net, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let net = Net {
        count: count(raw.count, &span)?,
        name: raw.name,
        v4: raw.v4,
        v6: raw.v6,
    };
    // Every copy must have sound prefixes.
    for copy in [0, net.count - 1] {
        net.prefixes(copy)
            .map_err(|what| Wrong::new(span.clone(), what))?;
    }
    Ok(net)
}

/// How many routers and hosts are at most on one copy of a network. The plan gives each of them an address there.
fn crowd(net: usize, nets: &[Net], routers: &[Router], hosts: &[Host]) -> usize {
    let routers = routers.iter().map(|router| {
        // All copies of a router are on the first copy of a network before it.
        let outside = router.outside.iter().filter(|outside| **outside == net);
        usize::from(router.inside == net) + outside.count() * nets[router.inside].count
    });
    let hosts = hosts.iter().map(|host| {
        let on = host.on.iter().enumerate().filter(|(_, on)| **on == net);
        let copies = on.map(|(at, _)| match at {
            0 => 1,
            // If there are fewer copies of this network, the last one has the hosts of all others.
            _ => 1 + nets[host.on[0]].count.saturating_sub(nets[net].count),
        });
        copies.sum::<usize>() * host.count
    });
    routers.chain(hosts).sum()
}

fn router(
    raw: Spanned<RawRouter>,
    known: &Known,
    hosts: &[Host],
    nets: &[Net],
) -> Result<Router, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let wrong = |what: String| Wrong::new(span.clone(), what);
    let inside = known.net(&raw.inside, &span)?;
    let outside: Vec<usize> = raw
        .outside
        .list()
        .iter()
        .map(|name| known.net(name, &span))
        .collect::<Result<_, _>>()?;
    if outside.is_empty() || outside.contains(&inside) {
        return Err(wrong(
            "a router needs an outside net, other than its inside".into(),
        ));
    }
    if outside.iter().any(|net| nets[*net].count != 1) {
        return Err(wrong("an outside net has no copies".into()));
    }
    if raw.kind == Kind::Symmetric && raw.hairpin {
        return Err(wrong(
            "a symmetric NAT has no hairpin: its mappings are for one destination each".into(),
        ));
    }
    let kind6 = raw.kind6.unwrap_or(match raw.kind {
        Kind::Router => Kind::Router,
        _ => Kind::Firewall,
    });
    if kind6.translates() {
        return Err(wrong(
            "kind6 is `router` or `firewall`: IPv6 is not translated".into(),
        ));
    }
    let timeout_s = match &raw.timeout {
        None => TIMEOUT_S,
        Some(text) => seconds(text, &span)?.max(1.0) as u32,
    };
    let maps = raw
        .map
        .iter()
        .map(|text| mapping(text, hosts).ok_or_else(|| {
            wrong(format!("map `{text}` is not OUTSIDE PORT:HOST:PORT with a host of this file, such as 9000:c:8083"))
        }))
        .collect::<Result<_, _>>()?;
    Ok(Router {
        name: raw.name,
        inside,
        outside,
        kind: raw.kind,
        kind6,
        hairpin: raw.hairpin,
        timeout_s,
        maps,
    })
}

fn mapping(text: &str, hosts: &[Host]) -> Option<(u16, usize, u16)> {
    let (outside, rest) = text.split_once(':')?;
    let (name, port) = rest.split_once(':')?;
    let host = hosts.iter().position(|host| host.name == name)?;
    Some((outside.parse().ok()?, host, port.parse().ok()?))
}

fn host(raw: Spanned<RawHost>, known: &Known, lasts_s: f64) -> Result<Host, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let on: Vec<usize> = raw
        .on
        .list()
        .iter()
        .map(|name| known.net(name, &span))
        .collect::<Result<_, _>>()?;
    if on.is_empty() {
        return Err(Wrong::new(span, "a host is on a net at least"));
    }
    let start_s = match raw.start.as_deref() {
        None => Some(0.0),
        Some("never") => None,
        Some(text) => Some(seconds(text, &span)?),
    };
    if start_s.is_some_and(|at| at >= lasts_s) {
        return Err(Wrong::new(span, "it starts when the run has ended"));
    }
    for target in raw
        .targets
        .iter()
        .filter(|target| !target.contains([':', '{']))
    {
        let name = target.trim_end_matches('%');
        known.who(Names::One(name.to_owned()), &span)?;
    }
    for other in [&raw.targets_from, &raw.key_of].into_iter().flatten() {
        known.who(Names::One(other.clone()), &span)?;
    }
    if raw.key_of.is_some() && start_s == Some(0.0) {
        let what = "it starts when the node has made the key that it copies, so it needs a `start`";
        return Err(Wrong::new(span, what));
    }
    Ok(Host {
        name: raw.name,
        on,
        count: count(raw.count, &span)?,
        port: raw.port.unwrap_or(PORT),
        listen: raw.listen.unwrap_or_else(|| "::".to_owned()),
        targets: raw.targets,
        targets_from: raw.targets_from,
        key_of: raw.key_of,
        settings: raw.settings,
        start_s,
        families: match raw.families.unwrap_or(Families::Both) {
            Families::V4 => (true, false),
            Families::V6 => (false, true),
            Families::Both => (true, true),
        },
        isolated: raw.isolated,
        dad: raw.dad,
        gateway: raw.gateway,
    })
}
