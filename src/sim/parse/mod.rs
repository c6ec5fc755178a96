//! Parses a [`Scenario`] from a TOML file, or from flags. Every mistake is found here, before anything
//! runs.
//!
//! Flags are converted to TOML and parsed like a file, so both give the same type with the same
//! meaning. [`words`] and [`steps`] are the part of the language that the lab reads with the same code.
//!
//! ```toml
//! title = "A third of the nodes dies at once"
//! nodes = 300
//! introduction = "random 2"       # chain, star, random K; or [targets]
//! links = "delay 10ms..50ms loss 1%"  # netem's words; with .., each pair has a delay of its own in that range
//! loss = "2%"                     # delay, jitter and loss replace that part of links
//! lasts = "2min"
//!
//! [groups]
//! east = "0..100"                 # the nodes 0 to 99
//!
//! [[link]]                        # other impairments for some directions
//! on = ["east->all"]              # a->b, a-b (both ways), a (all from and to)
//! netem = "delay 150ms"
//!
//! [[step]]
//! at = "60s"
//! kill = "30%"                    # 7, 0..10, east, all, 30%, any 5, hub, down
//!
//! [tuning]
//! "links.parked" = "5s"           # a constant of the core, for all nodes
//! ```

mod attacks;
mod deeds;
mod flags;
mod ground;
mod layer;
pub mod steps;
mod tuning;
pub mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use toml::Spanned;

use super::lines::Terrain;
use super::places::Places;
use super::scenario::{Bounds, Churn, Fidelity, Group, Introduction, Scenario};
use super::world::MAX_PLACES;
use crate::nearest::did_you_mean;
use crate::settings::{self, KEYS, Settings};
pub use flags::{Flags, toml_of_flags};
use layer::{File, Layer};
use steps::End;
pub use tuning::toml_of_tuned;
use words::{Names, Source, read_file};
pub use words::{ScenarioError, duration as words_time};

/// The default delays: each pair has one of its own in this range.
pub const DEFAULT_LINKS: &str = "delay 10ms..50ms";
/// The default length of a run after the last step or start.
const LASTS: Duration = Duration::from_secs(60);
/// The longest run: ten days.
const LONGEST: Duration = Duration::from_secs(864_000);
const DEFAULT_NODES: usize = 100;
/// The default start of churn, and the default time that a node is down.
const CHURN_FROM: Duration = Duration::from_secs(30);
const CHURN_DOWN: Duration = Duration::from_secs(10);
/// The most others that a node is told of.
const MAX_TOLD: usize = 64;
/// The largest scenario file.
const MAX_FILE: u64 = 1 << 20;

/// Reads a scenario from a file with flags that override it, or from flags alone.
///
/// # Errors
/// If anything in it is wrong. Nothing was run.
pub fn read(file: Option<&Path>, flags: &Flags) -> Result<Scenario, ScenarioError> {
    let mut layers = Vec::new();
    if let Some(path) = file {
        let text = read_file(path, MAX_FILE).map_err(|source| ScenarioError::Unreadable {
            place: None,
            file: path.to_owned(),
            source,
        })?;
        layers.push(Layer::new(Source {
            name: path.display().to_string(),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            text,
            flags: None,
        })?);
    }
    let (text, names) = flags.to_toml();
    layers.push(Layer::new(Source {
        name: "the flags".to_owned(),
        folder: PathBuf::new(),
        text,
        flags: Some(names),
    })?);
    let mut files: Vec<PathBuf> = file.map(Path::to_owned).into_iter().collect();
    for layer in &layers {
        let matrix = layer.file.matrix.iter();
        files.extend(matrix.map(|path| layer.source.folder.join(path.get_ref())));
    }
    let scenario = Builder { layers }.build()?;
    Ok(Scenario { files, ..scenario })
}

/// Parses a scenario from a text; `name` is its name in errors.
///
/// # Errors
/// If anything in it is wrong.
pub fn read_text(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let source = Source {
        name: name.to_owned(),
        folder: PathBuf::new(),
        text: text.to_owned(),
        flags: None,
    };
    let layers = vec![Layer::new(source)?];
    Builder { layers }.build()
}

/// Merges the layers.
struct Builder {
    layers: Vec<Layer>,
}

impl Builder {
    /// The last layer that has a value, and that value.
    fn last<'a, T>(
        &'a self,
        get: impl Fn(&'a File) -> Option<&'a T>,
    ) -> Option<(&'a Layer, &'a T)> {
        let mut from_last = self.layers.iter().rev();
        from_last.find_map(|layer| Some((layer, get(&layer.file)?)))
    }

    /// The value of the last layer; those of earlier layers must be valid as well.
    fn time<'a>(
        &'a self,
        get: impl Fn(&'a File) -> Option<&'a Spanned<String>>,
    ) -> Result<Option<Duration>, ScenarioError> {
        let mut last = None;
        for layer in &self.layers {
            last = match get(&layer.file) {
                Some(text) => Some(layer.time(text)?),
                None => last,
            };
        }
        Ok(last)
    }

    fn build(self) -> Result<Scenario, ScenarioError> {
        let nodes = self.nodes()?;
        let seed = self
            .last(|file| file.seed.as_ref())
            .map_or(1, |(_, seed)| *seed);
        let ground = self.ground(nodes)?;
        let mut groups = ground.groups;
        self.groups(nodes, &mut groups)?;
        let names = Names {
            nodes,
            groups: &groups,
        };
        let mut terrain = Terrain {
            default: ground.default,
            ..Terrain::default()
        };
        let fidelity = self.fidelity()?;
        let lasts = self.lasts()?;
        let mut steps = Vec::new();
        for layer in &self.layers {
            for link in &layer.file.link {
                let wrong = |wrong| layer.source.refuse(wrong);
                let link = link.get_ref();
                let impairment = steps::netem(&link.netem).map_err(wrong)?;
                for way in names.ways(&link.on).map_err(wrong)? {
                    terrain.ways.push((way, impairment.clone()));
                }
            }
            let lie = layer.file.step.iter().find_map(|step| step.get_ref().lie());
            let attack = layer.file.byzantine.first().map(Spanned::span);
            if let Some(attack) = attack.filter(|_| fidelity == Fidelity::Whole) {
                let what = "attacks need fidelity core: whole nodes can't be Byzantine";
                return Err(layer.refuse(attack, what.to_owned()));
            }
            if let Some(lie) = lie.filter(|_| fidelity == Fidelity::Whole) {
                let what = "lie needs fidelity core: whole nodes can't be Byzantine";
                return Err(layer.refuse(lie, what.to_owned()));
            }
            let end = End {
                at: lasts.unwrap_or(LONGEST),
                said: self.ended_by(layer),
            };
            let read = deeds::add_steps(&names, &layer.file.step, &end, &mut steps);
            read.map_err(|wrong| layer.source.refuse(wrong))?;
        }
        steps.sort_by_key(|step| step.at);
        let over = steps.last().map_or(Duration::ZERO, |step| step.at);
        let started = self.time(|file| file.start_over.as_ref())?;
        let all = over.max(started.unwrap_or_default()) + LASTS;
        let lasts = lasts.unwrap_or(all.min(LONGEST));
        let introduction = self.introduction(&names, seed)?;
        let absent = self.absent(&names)?;
        let churn = self.churn(lasts)?;
        let settings = self.settings()?;
        let bounds = self.bounds(nodes, &terrain, &steps, &settings)?;
        let tuned = self.tuned()?;
        let byzantine = self.attacks(nodes, lasts)?;
        Ok(Scenario {
            title: self.title(nodes),
            fidelity,
            seed,
            nodes,
            byzantine,
            introduction,
            absent,
            start_over: self.start_over(lasts)?,
            lasts,
            terrain,
            steps,
            churn,
            settings,
            tuning: Arc::new(tuned.all),
            tuned: tuned.set,
            clocks: self.time(|file| file.clocks.as_ref())?.unwrap_or_default(),
            bounds,
            groups,
            files: Vec::new(),
        })
    }

    fn title(&self, nodes: usize) -> String {
        let title = self.last(|file| file.title.as_ref());
        title.map_or_else(|| format!("{nodes} nodes"), |(_, title)| title.clone())
    }

    fn fidelity(&self) -> Result<Fidelity, ScenarioError> {
        let Some((layer, text)) = self.last(|file| file.fidelity.as_ref()) else {
            return Ok(Fidelity::default());
        };
        let all = [Fidelity::Core, Fidelity::Whole];
        let word = text.get_ref().as_str();
        all.into_iter().find(|it| it.word() == word).ok_or_else(|| {
            let hint = did_you_mean(word, all.map(Fidelity::word));
            let what = format!("fidelity is core or whole, not `{word}`{hint}");
            layer.refuse(text.span(), what)
        })
    }

    fn nodes(&self) -> Result<usize, ScenarioError> {
        let Some((layer, nodes)) = self.last(|file| file.nodes.as_ref()) else {
            return Ok(DEFAULT_NODES);
        };
        let count = *nodes.get_ref();
        if (2..=MAX_PLACES).contains(&count) {
            Ok(count)
        } else {
            let what = format!("nodes must be from 2 to {MAX_PLACES}, not {count}");
            Err(layer.refuse(nodes.span(), what))
        }
    }

    fn groups(&self, nodes: usize, groups: &mut Vec<Group>) -> Result<(), ScenarioError> {
        for layer in &self.layers {
            let added = words::add_groups(nodes, &layer.file.groups, groups);
            added.map_err(|wrong| layer.source.refuse(wrong))?;
        }
        Ok(())
    }

    /// The value of the last layer, in either of its two forms.
    fn introduction(&self, names: &Names<'_>, seed: u64) -> Result<Introduction, ScenarioError> {
        let mut last = Introduction::Random(2);
        for layer in &self.layers {
            match (&layer.file.introduction, &layer.file.targets) {
                (None, None) => {}
                (Some(text), None) => last = introduction_of(layer, text)?,
                (None, Some(targets)) => {
                    last = targets_of(layer, targets, names, seed).map(Introduction::Targets)?;
                }
                (Some(text), Some(_)) => {
                    let what = "introduction and [targets] exclude each other; remove one of them";
                    return Err(layer.refuse(text.span(), what));
                }
            }
        }
        Ok(last)
    }

    /// Each key is taken from the last layer that has it; a rate of zero means no churn.
    fn churn(&self, lasts: Duration) -> Result<Option<Churn>, ScenarioError> {
        let mut last = None;
        for layer in &self.layers {
            let Some(churn) = &layer.file.churn else {
                continue;
            };
            let per_min = &churn.get_ref().per_min;
            if !(0.0..=60_000.0).contains(per_min.get_ref()) {
                let what = "per_min must be from 0 to 60000";
                return Err(layer.refuse(per_min.span(), what));
            }
            last = Some((layer, per_min));
        }
        let down = self.time(|file| file.churn.as_ref()?.get_ref().down.as_ref())?;
        let from = self.time(|file| file.churn.as_ref()?.get_ref().from.as_ref())?;
        let until = self.time(|file| file.churn.as_ref()?.get_ref().until.as_ref())?;
        let (from, until) = (
            from.unwrap_or(CHURN_FROM),
            until.unwrap_or(lasts).min(lasts),
        );
        match last.filter(|(_, per_min)| *per_min.get_ref() > 0.0) {
            None => Ok(None),
            Some((layer, per_min)) if from >= until => {
                let what = format!("churn from {from:?} until {until:?} never happens");
                Err(layer.refuse(per_min.span(), what))
            }
            Some((_, per_min)) => Ok(Some(Churn {
                per_min: *per_min.get_ref(),
                down: down.unwrap_or(CHURN_DOWN),
                from,
                until,
            })),
        }
    }

    fn bounds(
        &self,
        nodes: usize,
        terrain: &Terrain,
        steps: &[super::scenario::Step],
        settings: &Settings,
    ) -> Result<Bounds, ScenarioError> {
        let usual = ground::usual_bounds(nodes, terrain, steps, settings);
        let gone = self.time(|file| file.bounds.as_ref()?.gone.as_ref())?;
        let exact = self.time(|file| file.bounds.as_ref()?.exact.as_ref())?;
        Ok(Bounds {
            gone: gone.unwrap_or(usual.gone),
            exact: exact.unwrap_or(usual.exact),
        })
    }

    fn lasts(&self) -> Result<Option<Duration>, ScenarioError> {
        let lasts = self.time(|file| file.lasts.as_ref())?;
        let what = match lasts {
            Some(lasts) if lasts.is_zero() => "a run must last longer than 0s",
            Some(lasts) if lasts > LONGEST => "a run can last at most ten days",
            Some(_) | None => return Ok(lasts),
        };
        let (layer, text) = self.last(|file| file.lasts.as_ref()).expect("it is there");
        Err(layer.refuse(text.span(), what))
    }

    /// Where else the end is set, if a layer has something after it.
    fn ended_by(&self, layer: &Layer) -> String {
        let over = self.last(|file| file.lasts.as_ref());
        let other = over.filter(|(other, _)| !std::ptr::eq(*other, layer));
        other.map_or_else(String::new, |(other, text)| {
            format!(" ({})", other.source.place(&text.span()))
        })
    }

    fn start_over(&self, lasts: Duration) -> Result<Duration, ScenarioError> {
        let over = self.time(|file| file.start_over.as_ref())?;
        let over = over.unwrap_or_default();
        match self.last(|file| file.start_over.as_ref()) {
            Some((layer, text)) if over > lasts => {
                let what = format!("starts over {over:?}, but the run ends at {lasts:?}");
                Err(layer.refuse(text.span(), what))
            }
            Some(_) | None => Ok(over),
        }
    }

    fn absent(&self, names: &Names<'_>) -> Result<Option<Places>, ScenarioError> {
        let Some((layer, text)) = self.last(|file| file.absent.as_ref()) else {
            return Ok(None);
        };
        let places = names.places(text.get_ref());
        let places = places.map_err(|what| layer.refuse(text.span(), what))?;
        Ok(Some(places))
    }

    fn settings(&self) -> Result<Settings, ScenarioError> {
        let (mut all, mut last) = (Vec::new(), None);
        for layer in &self.layers {
            for text in &layer.file.settings {
                let place = layer.source.place(&text.span());
                let read = settings::Layer::from_argument(text.get_ref());
                let read = read.map_err(|source| ScenarioError::Setting {
                    place: place.clone(),
                    source: Box::new(source),
                })?;
                if let Some(key) = read.keys().find(|key| !key.simulated) {
                    let meant = KEYS.iter().filter(|key| key.simulated);
                    let meant: Vec<_> = meant.map(|key| format!("`{}`", key.name)).collect();
                    let what = format!(
                        "`{}` has no effect on a simulated node; it accepts {}",
                        key.name,
                        meant.join(", ")
                    );
                    return Err(layer.refuse(text.span(), what));
                }
                all.push(read);
                last = Some(place);
            }
        }
        // Whether the settings contradict each other shows when all are there.
        Settings::of_layers(all).map_err(|source| ScenarioError::Setting {
            place: last.unwrap_or_else(|| "the settings".to_owned()),
            source: Box::new(source),
        })
    }
}

fn introduction_of(layer: &Layer, text: &Spanned<String>) -> Result<Introduction, ScenarioError> {
    let words: Vec<&str> = text.get_ref().split_whitespace().collect();
    match words[..] {
        ["chain"] => Ok(Introduction::Chain),
        ["star"] => Ok(Introduction::Star),
        ["random", count] => match count.parse() {
            Ok(count @ 1..=32) => Ok(Introduction::Random(count)),
            Ok(_) | Err(_) => Err(layer.refuse(text.span(), "random needs a number from 1 to 32")),
        },
        _ => {
            let hint = did_you_mean(text.get_ref(), ["chain", "star", "random 2"]);
            let what = format!("unknown introduction `{}`{hint}", text.get_ref());
            Err(layer.refuse(text.span(), what))
        }
    }
}

/// The targets of each node; of a range or group, a random node.
fn targets_of(
    layer: &Layer,
    targets: &BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
    names: &Names<'_>,
    seed: u64,
) -> Result<Vec<Vec<usize>>, ScenarioError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut told = vec![Vec::new(); names.nodes];
    for (who, list) in targets {
        let places = names.places(who);
        let places = places.map_err(|what| layer.refuse(list.span(), what))?;
        for place in (0..names.nodes).filter(|place| places.contains(*place)) {
            for target in list.get_ref() {
                let target_places = names.places(target.get_ref());
                let among = target_places.map_err(|what| layer.refuse(target.span(), what))?;
                let (from, to) = match among {
                    Places::All => (0, names.nodes),
                    Places::Range(from, to) => (from, to),
                };
                if told[place].len() == MAX_TOLD {
                    let what = format!("a node can be told of at most {MAX_TOLD} others");
                    return Err(layer.refuse(target.span(), what));
                }
                told[place].push(rng.random_range(from..to));
            }
        }
    }
    Ok(told)
}
