//! What the ways are like: one impairment, a spread of delays, or a matrix of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::lines::{Ground, Terrain};
use super::super::places::Places;
use super::super::scenario::{Action, Bounds, Group, Step};
use super::{Builder, DEFAULT_LINKS, Layer, ScenarioError};
use crate::impair::Impairment;

/// So many delays stand for all that are between two.
const DELAYS: u32 = 64;
/// The most sites of a matrix.
const MAX_SITES: usize = 1000;

/// The ways, and names for the sites of a matrix.
pub(super) struct Grounds {
    pub(super) default: Ground,
    pub(super) groups: Vec<Group>,
}

impl Builder {
    pub(super) fn ground(&self, nodes: usize) -> Result<Grounds, ScenarioError> {
        let links = self.last(|file| file.links.as_ref());
        let (layer, words, at) = match links {
            Some((layer, text)) => (layer, text.get_ref().as_str(), text.span()),
            None => (&self.layers[0], DEFAULT_LINKS, 0..0),
        };
        let read = |words: &str| -> Result<Arc<Impairment>, ScenarioError> {
            let read: Result<Impairment, _> = words.parse();
            read.map(Arc::new)
                .map_err(|error| layer.refuse(at.clone(), error.to_string()))
        };
        if let Some((layer, path)) = self.last(|file| file.matrix.as_ref()) {
            let matrix = Matrix::read(layer, &self.folder.join(path.get_ref()))?;
            let more = if links.is_some() { words } else { "" };
            let table: Result<Vec<_>, _> = matrix
                .ms
                .iter()
                .map(|ms| read(&format!("delay {ms}ms {more}")))
                .collect();
            return Ok(matrix.into_ground(nodes, table?));
        }
        let Some((from, to)) = spread(words) else {
            return Ok(Grounds {
                default: Ground::Same(read(words)?),
                groups: Vec::new(),
            });
        };
        // Both ends are read as netem's words, so that a mistake is told in its terms.
        let (least, most) = (read(&from)?.delay(), read(&to)?.delay());
        if least > most {
            return Err(layer.refuse(at, "the delays run backwards"));
        }
        let (before, behind) = split_spread(words).expect("it was found there");
        let table: Result<Vec<_>, _> = (0..DELAYS)
            .map(|step| {
                let us = (least + (most - least) * step / (DELAYS - 1)).as_micros();
                read(&format!("{before}{us}us{behind}"))
            })
            .collect();
        Ok(Grounds {
            default: Ground::Spread(table?.into()),
            groups: Vec::new(),
        })
    }
}

/// What stands before and behind a delay that is written as `10ms..50ms`.
fn split_spread(words: &str) -> Option<(&str, &str)> {
    let at = words.find("..")?;
    let before = words[..at].rfind(char::is_whitespace)? + 1;
    let behind = words[at..].find(char::is_whitespace);
    let behind = behind.map_or(words.len(), |len| at + len);
    Some((&words[..before], &words[behind..]))
}

/// The words with the one delay, and with the other.
fn spread(words: &str) -> Option<(String, String)> {
    let (before, behind) = split_spread(words)?;
    let delays = &words[before.len()..words.len() - behind.len()];
    let (from, to) = delays.split_once("..")?;
    let whole = |delay: &str| format!("{before}{delay}{behind}");
    Some((whole(from), whole(to)))
}

/// One-way delays between sites.
struct Matrix {
    sites: Vec<String>,
    ms: Vec<f64>,
}

impl Matrix {
    /// Reads a table of comma-separated values: the names of the sites in the first row, and in each further row the name of
    /// one and its delays to all, in ms.
    fn read(layer: &Layer, path: &Path) -> Result<Self, ScenarioError> {
        let text = fs::read_to_string(path).map_err(|source| ScenarioError::Unreadable {
            file: path.to_owned(),
            source,
        })?;
        let wrong = |line: usize, what: String| ScenarioError::Wrong {
            place: format!("{}, line {line}", path.display()),
            what,
        };
        let mut rows = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.split('#').next().unwrap_or_default().trim()))
            .filter(|(_, line)| !line.is_empty());
        let Some((_, head)) = rows.next() else {
            return Err(layer.refuse(0..0, "the matrix is empty"));
        };
        let sites: Vec<String> = head
            .split(',')
            .skip(1)
            .map(|it| it.trim().to_owned())
            .collect();
        if sites.is_empty() || sites.len() > MAX_SITES {
            return Err(wrong(1, format!("a matrix has 1 to {MAX_SITES} sites")));
        }
        let mut ms = Vec::new();
        for ((line, row), site) in rows.by_ref().zip(&sites) {
            let mut cells = row.split(',').map(str::trim);
            let name = cells.next().unwrap_or_default();
            if name != site {
                return Err(wrong(
                    line,
                    format!("`{name}` stands where `{site}` belongs"),
                ));
            }
            let before = ms.len();
            for cell in cells {
                let delay = cell.parse::<f64>().ok();
                let delay = delay.filter(|ms| (0.0..=60_000.0).contains(ms));
                ms.push(delay.ok_or_else(|| wrong(line, format!("`{cell}` is no delay in ms")))?);
            }
            let count = ms.len() - before;
            if count != sites.len() {
                let what = format!("{count} delays, where there are {} sites", sites.len());
                return Err(wrong(line, what));
            }
        }
        if ms.len() != sites.len() * sites.len() || rows.next().is_some() {
            return Err(wrong(1, "there must be a row for each site".to_owned()));
        }
        Ok(Self { sites, ms })
    }

    /// Each site has its share of the nodes, one after the other, and is a group by its name.
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

/// What must hold where the scenario doesn't say: from the worst loss and the longest delay that it has anywhere.
pub(super) fn usual_bounds(nodes: usize, terrain: &Terrain, steps: &[Step]) -> Bounds {
    let (mut loss, mut delay) = (0.0_f64, Duration::ZERO);
    let mut see = |impairment: &Impairment| {
        loss = loss.max(impairment.mean_loss());
        delay = delay.max(impairment.delay());
    };
    terrain.for_each(&mut see);
    for step in steps {
        if let Action::Netem(_, Some(impairment)) = &step.action {
            see(impairment);
        }
    }
    // Where everything is lost, nothing is expected of that link, and all of the others.
    let loss = if loss < 0.9 { loss } else { 0.0 };
    let exchanges = 1.0 - (1.0 - loss) * (1.0 - loss);
    let gone = 8.0 + 60.0 * exchanges + 20.0 * delay.as_secs_f64();
    let exact = 60.0 + 120.0 * exchanges + 40.0 * delay.as_secs_f64() + nodes as f64 / 20.0;
    Bounds {
        gone: Duration::from_secs_f64(gone),
        exact: Duration::from_secs_f64(exact),
    }
}
