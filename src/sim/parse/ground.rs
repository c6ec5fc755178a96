//! The impairments of links: the same everywhere, a range of delays, or a matrix of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::super::lines::{Ground, Terrain};
use super::super::places::Places;
use super::super::scenario::{Action, Bounds, Group, Step};
use super::words::{can_be_named, duration, read_file};
use super::{Builder, DEFAULT_LINKS, File, Layer, ScenarioError};
use crate::impair::{Impairment, ParseError};
use crate::settings::Settings;

/// The number of delays that represent a range.
const DELAYS: u32 = 64;
/// The most sites of a matrix, and the largest file of one.
const MAX_SITES: usize = 1000;
const MAX_MATRIX: u64 = 16 << 20;
/// The first words of netem's options, without `distribution` and `gap`, which belong to the option before.
const PARTS: [&str; 7] = [
    "delay",
    "loss",
    "corrupt",
    "duplicate",
    "reorder",
    "rate",
    "limit",
];

/// Longer delays connect nobody, so nothing is expected of them.
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// The lowest rate, in bytes a second, over which nodes are expected to know each other: 12 kbit/s.
const LEAST_RATE: f64 = 1500.0;
/// A record with its share of a message, in bytes.
const RECORD: f64 = 600.0;

/// The impairments of all directions, and the sites of a matrix as groups.
pub(super) struct Grounds {
    pub(super) default: Ground,
    pub(super) groups: Vec<Group>,
}

impl Builder {
    /// The impairment of every direction that has no other. `links` overrides earlier layers; `delay`, `jitter` and `loss`
    /// replace their part of it.
    pub(super) fn ground(&self, nodes: usize) -> Result<Grounds, ScenarioError> {
        let Said {
            from,
            matrix_at,
            delay_at,
        } = self.said()?;
        let matrix = matrix_at.filter(|at| delay_at.is_none_or(|delay| delay < *at));
        let matrix = matrix.map(|at| self.layers[at].matrix()).transpose()?;
        let layers = &self.layers[from..];
        let (mut words, mut blamed) = match &layers[0].file.links {
            Some(text) => (Words::of(text.get_ref()), (&layers[0], text.span())),
            None if matrix.is_some() => (Words::default(), (&layers[0], 0..0)),
            None => (Words::of(DEFAULT_LINKS), (&layers[0], 0..0)),
        };
        if matrix.is_some() {
            // It overrides a delay of an earlier layer. Each pair's own delay is inserted later.
            words.0.retain(|part| part[0] != "delay");
            words.set_delay("0us".to_owned());
        }
        for layer in layers {
            let File {
                delay,
                jitter,
                loss,
                ..
            } = &layer.file;
            if let Some(text) = delay.as_ref().filter(|_| matrix.is_none()) {
                blamed = (layer, text.span());
                words.set_delay(layer.delay(text)?);
            }
            if let Some(text) = jitter {
                blamed = (layer, text.span());
                if words.part("delay").is_none() {
                    return Err(layer.refuse(text.span(), "jitter needs a delay"));
                }
                words.set_jitter(layer.jitter(text)?);
            }
            if let Some(text) = loss {
                blamed = (layer, text.span());
                words.set_part("loss", layer.loss(text)?);
            }
        }
        let refuse = |what: String| blamed.0.refuse(blamed.1.clone(), what);
        if let Some(matrix) = matrix {
            let each = matrix.ms.iter().map(|ms| {
                let us = (ms * 1000.0).round() as u64;
                words.set_delay(format!("{us}us"));
                words.parse()
            });
            let table: Result<Vec<_>, _> = each.collect();
            return Ok(matrix.into_ground(nodes, table.map_err(refuse)?));
        }
        let default = match words.read().map_err(refuse)? {
            Read::One(impairment) => Ground::Same(impairment),
            Read::Between(least, most) => {
                let each = (0..DELAYS).map(|step| {
                    let us = (least + (most - least) * step / (DELAYS - 1)).as_micros();
                    words.set_delay(format!("{us}us"));
                    words.parse()
                });
                let table: Result<Vec<_>, _> = each.collect();
                Ground::Spread(table.map_err(refuse)?.into())
            }
        };
        let groups = Vec::new();
        Ok(Grounds { default, groups })
    }

    /// The layers that describe links. All of them must be valid, even where a later one overrides them.
    fn said(&self) -> Result<Said, ScenarioError> {
        let mut said = Said::default();
        for (at, layer) in self.layers.iter().enumerate() {
            let File {
                links,
                delay,
                jitter,
                loss,
                matrix,
                ..
            } = &layer.file;
            let mut its_delay = delay.as_ref();
            if let Some(text) = links {
                let mut words = Words::of(text.get_ref());
                words
                    .read()
                    .map_err(|what| layer.refuse(text.span(), what))?;
                said.from = at;
                its_delay = its_delay.or(words.part("delay").map(|_| text));
            }
            delay.as_ref().map(|text| layer.delay(text)).transpose()?;
            jitter.as_ref().map(|text| layer.jitter(text)).transpose()?;
            loss.as_ref().map(|text| layer.loss(text)).transpose()?;
            if let Some(text) = its_delay {
                if matrix.is_some() {
                    let what = "the matrix sets the delays; remove this one";
                    return Err(layer.refuse(text.span(), what));
                }
                said.delay_at = Some(at);
            }
            if matrix.is_some() {
                said.matrix_at = Some(at);
            }
        }
        Ok(said)
    }
}

/// The last layers that set `links`, and that set the delays.
#[derive(Debug, Default)]
struct Said {
    from: usize,
    matrix_at: Option<usize>,
    delay_at: Option<usize>,
}

impl Layer {
    fn matrix(&self) -> Result<Matrix, ScenarioError> {
        let file = self.file.matrix.as_ref().expect("the caller has looked");
        let path = self.source.folder.join(file.get_ref());
        let text = read_file(&path, MAX_MATRIX).map_err(|source| ScenarioError::Unreadable {
            place: Some(self.source.place(&file.span())),
            file: path.clone(),
            source,
        })?;
        Matrix::read(&text).map_err(|(line, what)| ScenarioError::Wrong {
            place: format!("{}, line {line}", path.display()),
            what,
        })
    }

    /// A delay or a range of delays, in netem's words.
    fn delay(&self, text: &Spanned<String>) -> Result<String, ScenarioError> {
        let delay = ends(text.get_ref(), |end| self.us(text, end))?;
        self.check(text, &format!("delay {delay}"))?;
        Ok(delay)
    }

    fn jitter(&self, text: &Spanned<String>) -> Result<String, ScenarioError> {
        let jitter = self.us(text, text.get_ref())?;
        self.check(text, &format!("delay 1ms {jitter}"))?;
        Ok(jitter)
    }

    /// netem's words about loss.
    fn loss(&self, text: &Spanned<String>) -> Result<Vec<String>, ScenarioError> {
        let words = format!("loss {}", text.get_ref());
        self.check(text, &words)?;
        let mut parts = Words::of(&words).0;
        match parts.pop() {
            Some(part) if parts.is_empty() => Ok(part),
            Some(_) | None => {
                let what = format!("`{}` has more than a loss", text.get_ref());
                Err(self.refuse(text.span(), what))
            }
        }
    }

    fn us(&self, text: &Spanned<String>, time: &str) -> Result<String, ScenarioError> {
        let time = duration(time).map_err(|what| self.refuse(text.span(), what))?;
        Ok(format!("{}us", time.as_micros()))
    }

    /// netem's message about a single value, without its position in the line.
    fn check(&self, text: &Spanned<String>, words: &str) -> Result<(), ScenarioError> {
        let read = Words::of(words).read_or(|error| match error.word.as_str() {
            "" => format!("`{}`{}", text.get_ref(), error.fault),
            word => format!("`{}`{}", word.escape_debug(), error.fault),
        });
        read.map(|_| ())
            .map_err(|what| self.refuse(text.span(), what))
    }
}

/// The ends of `10ms..50ms`, or the same value twice.
fn ends<E>(text: &str, end: impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
    match text.split_once("..") {
        Some((from, to)) => Ok(format!("{}..{}", end(from)?, end(to)?)),
        None => end(text),
    }
}

/// netem's options, one by one, so that single ones can be replaced. The delay may be a range, `10ms..50ms`.
#[derive(Debug, Default)]
struct Words(Vec<Vec<String>>);

/// The meaning of netem's words.
enum Read {
    One(Arc<Impairment>),
    /// Each pair of nodes has a delay of its own in this range.
    Between(Duration, Duration),
}

impl Words {
    fn of(text: &str) -> Self {
        let mut parts: Vec<Vec<String>> = Vec::new();
        for word in text.split_whitespace() {
            let word = match word {
                "latency" => "delay",
                "drop" => "loss",
                word => word,
            };
            if PARTS.contains(&word) || parts.is_empty() {
                parts.push(Vec::new());
            }
            let part = parts.last_mut().expect("there is one by now");
            part.push(word.to_owned());
        }
        Self(parts)
    }

    fn part(&mut self, name: &str) -> Option<&mut Vec<String>> {
        self.0.iter_mut().find(|part| part[0] == name)
    }

    fn set_delay(&mut self, delay: String) {
        match self.part("delay") {
            Some(part) if part.len() > 1 => part[1] = delay,
            Some(part) => part.push(delay),
            None => self.0.insert(0, vec!["delay".to_owned(), delay]),
        }
    }

    /// Inserts an option after the delay, or replaces one that is there.
    fn set_jitter(&mut self, jitter: String) {
        let part = self.part("delay").expect("the caller has looked");
        match part.get_mut(2) {
            Some(old) if old.starts_with(|first: char| first.is_ascii_digit()) => *old = jitter,
            Some(_) | None => part.insert(2, jitter),
        }
    }

    fn set_part(&mut self, name: &str, part: Vec<String>) {
        match self.part(name) {
            Some(old) => *old = part,
            None => self.0.push(part),
        }
    }

    fn text(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|part| part.join(" ")).collect();
        parts.join(" ")
    }

    fn parse(&self) -> Result<Arc<Impairment>, String> {
        let read: Result<Impairment, _> = self.text().parse();
        read.map(Arc::new).map_err(|error| error.to_string())
    }

    fn read(&self) -> Result<Read, String> {
        self.read_or(|error| error.to_string())
    }

    /// Both ends of a range are parsed by netem's rules, so that an error is reported in its terms.
    fn read_or(&self, say: impl Fn(ParseError) -> String) -> Result<Read, String> {
        let parse = |words: &Self| words.text().parse::<Impairment>().map_err(&say);
        let mut delays = self.0.iter().filter(|part| part[0] == "delay");
        let delay = delays.next().and_then(|part| part.get(1));
        let Some((from, to)) = delay.and_then(|delay| delay.split_once("..")) else {
            return parse(self).map(|read| Read::One(Arc::new(read)));
        };
        if from.is_empty() || to.is_empty() {
            return Err(format!("`{from}..{to}` lacks one end; write 10ms..50ms"));
        }
        let end = |delay: &str| -> Result<Duration, String> {
            let mut words = Self(self.0.clone());
            words.set_delay(delay.to_owned());
            Ok(parse(&words)?.delay())
        };
        let (least, most) = (end(from)?, end(to)?);
        if least > most {
            return Err("the first delay must be the smaller one".to_owned());
        }
        Ok(Read::Between(least, most))
    }
}

/// One-way delays between sites.
struct Matrix {
    sites: Vec<String>,
    ms: Vec<f64>,
}

impl Matrix {
    /// Parses comma-separated values: the names of the sites in the first row, and in each further row the name of
    /// a site and its delays to all sites, in ms. An error comes with its line.
    fn read(text: &str) -> Result<Self, (usize, String)> {
        let mut rows = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.split('#').next().unwrap_or_default().trim()))
            .filter(|(_, line)| !line.is_empty());
        let Some((first, head)) = rows.next() else {
            return Err((1, "the matrix is empty".to_owned()));
        };
        let sites: Vec<String> = head
            .split(',')
            .skip(1)
            .map(|it| it.trim().to_owned())
            .collect();
        if sites.is_empty() || sites.len() > MAX_SITES {
            return Err((first, format!("a matrix must have 1 to {MAX_SITES} sites")));
        }
        let mut names = BTreeSet::new();
        for site in &sites {
            if !can_be_named(site) {
                return Err((first, format!("`{site}` can't be the name of a site")));
            }
            if !names.insert(site) {
                return Err((first, format!("there are two sites `{site}`")));
            }
        }
        let mut ms = Vec::new();
        let mut left = sites.iter();
        for (line, row) in rows {
            let mut cells = row.split(',').map(str::trim);
            let name = cells.next().unwrap_or_default();
            let Some(site) = left.next() else {
                return Err((
                    line,
                    format!("`{name}` is a row without a column of that name"),
                ));
            };
            if name != site {
                return Err((
                    line,
                    format!(
                        "`{name}` instead of `{site}`: rows must be in the order of the columns"
                    ),
                ));
            }
            let before = ms.len();
            for cell in cells {
                let delay = cell.parse::<f64>().ok();
                let delay = delay.filter(|ms| (0.0..=60_000.0).contains(ms));
                ms.push(delay.ok_or_else(|| (line, format!("`{cell}` is not a delay in ms")))?);
            }
            let count = ms.len() - before;
            if count != sites.len() {
                let what = format!("{count} delays for {} sites", sites.len());
                return Err((line, what));
            }
        }
        if let Some(site) = left.next() {
            let last = text.lines().count().max(1);
            return Err((last, format!("there is no row for `{site}`")));
        }
        Ok(Self { sites, ms })
    }

    /// The nodes are divided evenly among the sites, in order; each site becomes a group.
    fn into_ground(self, nodes: usize, table: Vec<Arc<Impairment>>) -> Grounds {
        let count = self.sites.len();
        let from = |site: usize| nodes * site / count;
        let groups = self.sites.into_iter().enumerate();
        let groups = groups.filter(|(site, _)| from(*site) < from(site + 1));
        Grounds {
            default: Ground::Sites {
                nodes,
                sites: count,
                table: table.into(),
            },
            groups: groups
                .map(|(site, name)| Group {
                    name,
                    places: Places::Range(from(site), from(site + 1)),
                })
                .collect(),
        }
    }
}

/// The default bounds, from the worst loss, the longest delay, the lowest rate and the settings of the scenario.
pub(super) fn usual_bounds(
    nodes: usize,
    terrain: &Terrain,
    steps: &[Step],
    settings: &Settings,
) -> Bounds {
    let (mut loss, mut delay, mut queue) = (0.0_f64, Duration::ZERO, 0.0_f64);
    let mut see = |impairment: &Impairment| {
        // A link that loses everything is not expected to show anything; the others are.
        let lost = impairment.share_lost();
        loss = loss.max(if lost < 0.9 { lost } else { 0.0 });
        delay = delay.max(impairment.most_delay().min(LONGEST_DELAY));
        // Nor is one that no record gets over in time.
        let rate = impairment.bytes_per_s().filter(|rate| *rate >= LEAST_RATE);
        queue = queue.max(rate.map_or(0.0, |rate| nodes as f64 * RECORD / rate));
    };
    terrain.for_each(&mut see);
    for step in steps {
        if let Action::Netem(_, Some(impairment)) = &step.action {
            see(impairment);
        }
    }
    let exchanges = 1.0 - (1.0 - loss) * (1.0 - loss);
    // What takes longer with these settings than with the defaults: until a probe, and until a dial has failed.
    let longer = |time: Duration, usual: Duration| time.saturating_sub(usual).as_secs_f64();
    let usual = Settings::default();
    let probe = longer(settings.probe_interval, usual.probe_interval);
    let dial = longer(settings.dial_timeout, usual.dial_timeout);
    let gone = 8.0 + 60.0 * exchanges + 20.0 * delay.as_secs_f64() + 3.0 * probe + 2.0 * queue;
    let exact = 60.0
        + 120.0 * exchanges
        + 40.0 * delay.as_secs_f64()
        + nodes as f64 / 20.0
        + 6.0 * probe
        + 10.0 * dial
        + 10.0 * queue;
    Bounds {
        gone: Duration::from_secs_f64(gone),
        exact: Duration::from_secs_f64(exact),
    }
}
