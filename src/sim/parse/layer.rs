//! A scenario as it is written: in a file, or in flags, which are a layer above it.

use std::collections::BTreeMap;
use std::ops::Range as Span;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::steps::RawStep;
use super::words::{ScenarioError, Source, Wrong, duration, explain};

/// A scenario as written. Every part may be missing. Flags override the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) title: Option<String>,
    pub(super) nodes: Option<Spanned<usize>>,
    pub(super) fidelity: Option<Spanned<String>>,
    pub(super) seed: Option<u64>,
    pub(super) introduction: Option<Spanned<String>>,
    pub(super) targets: Option<BTreeMap<String, Spanned<Vec<Spanned<String>>>>>,
    pub(super) absent: Option<Spanned<String>>,
    pub(super) start_over: Option<Spanned<String>>,
    pub(super) lasts: Option<Spanned<String>>,
    pub(super) links: Option<Spanned<String>>,
    pub(super) delay: Option<Spanned<String>>,
    pub(super) jitter: Option<Spanned<String>>,
    pub(super) loss: Option<Spanned<String>>,
    pub(super) matrix: Option<Spanned<String>>,
    pub(super) clocks: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) settings: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) groups: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) link: Vec<Spanned<RawLink>>,
    #[serde(default)]
    pub(super) step: Vec<Spanned<RawStep>>,
    #[serde(default)]
    pub(super) byzantine: Vec<Spanned<RawAttack>>,
    pub(super) churn: Option<Spanned<RawChurn>>,
    pub(super) bounds: Option<RawBounds>,
    #[serde(default)]
    pub(super) tuning: BTreeMap<String, Spanned<toml::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [[link]]")]
pub(super) struct RawLink {
    pub(super) on: Spanned<Vec<String>>,
    pub(super) netem: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [churn]")]
pub(super) struct RawChurn {
    pub(super) per_min: Spanned<f64>,
    pub(super) down: Option<Spanned<String>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) until: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [bounds]")]
pub(super) struct RawBounds {
    pub(super) gone: Option<Spanned<String>>,
    pub(super) exact: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [[byzantine]]")]
pub(super) struct RawAttack {
    pub(super) attack: Spanned<String>,
    pub(super) nodes: Option<Spanned<usize>>,
    pub(super) ids: Option<Spanned<usize>>,
    pub(super) rate: Option<Spanned<f64>>,
    pub(super) victim: Option<Spanned<usize>>,
    pub(super) addr: Option<Spanned<String>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) until: Option<Spanned<String>>,
}

pub(super) struct Layer {
    pub(super) source: Source,
    pub(super) file: File,
}

impl Layer {
    pub(super) fn new(source: Source) -> Result<Self, ScenarioError> {
        let read = toml::from_str(&source.text);
        let file = read.map_err(|error: toml::de::Error| {
            let at = error.span().unwrap_or(0..0);
            source.refuse(Wrong::new(at, explain(error.message())))
        })?;
        Ok(Self { source, file })
    }

    pub(super) fn refuse(&self, at: Span<usize>, what: impl Into<String>) -> ScenarioError {
        self.source.refuse(Wrong::new(at, what))
    }

    pub(super) fn time(&self, text: &Spanned<String>) -> Result<Duration, ScenarioError> {
        duration(text.get_ref()).map_err(|what| self.refuse(text.span(), what))
    }
}
