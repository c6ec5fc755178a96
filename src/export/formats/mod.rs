//! The network in formats that other programs read.
//!
//! | format | for |
//! | --- | --- |
//! | json | programs: exactly `network.json` |
//! | d2 | [d2](https://d2lang.com): exactly `peers.d2` |
//! | dot | [Graphviz](https://graphviz.org) |
//! | graphml | yEd, Cytoscape, networkx, igraph |
//! | gexf | Gephi, version 1.3 |
//! | netjson | [NetJSON](https://netjson.org)'s NetworkGraph: netjsongraph.js, OpenWISP |
//! | mermaid | Markdown that draws [Mermaid](https://mermaid.js.org), as on GitHub |
//!
//! The data formats (json, graphml, gexf, netjson) contain the whole view under the names of `network.json`, and labels as they are.
//! XML has no way to write most control characters, so these become U+FFFD there. The pictures (d2, dot, mermaid) show the text of
//! `peers.d2`, without characters that deceive. Each format takes time linear in the size of the network, except that d2 and mermaid
//! draw a part of a large one.

use std::fmt;
use std::str::FromStr;

use super::{d2, json};
use crate::nearest::did_you_mean;
use crate::settings::Shows;
use crate::snapshot::Snapshot;

mod dot;
mod mermaid;
mod netjson;
mod xml;

/// The most characters of a mistyped name that an error repeats. At half, long names can't be recognised; at double, an error is
/// longer than a line.
const MAX_SHOWN_NAME: usize = 40;

/// A format of the whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `network.json`.
    Json,
    /// `peers.d2`, of which a large network shows a part.
    D2,
    /// Graphviz.
    Dot,
    /// GraphML 1.0.
    GraphMl,
    /// GEXF 1.3.
    Gexf,
    /// NetJSON, an object of the type NetworkGraph.
    NetJson,
    /// A Mermaid flowchart, of which a large network shows a part.
    Mermaid,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = &[
        Self::Json,
        Self::D2,
        Self::Dot,
        Self::GraphMl,
        Self::Gexf,
        Self::NetJson,
        Self::Mermaid,
    ];

    /// The name, as in `--format` and in `?format=`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::D2 => "d2",
            Self::Dot => "dot",
            Self::GraphMl => "graphml",
            Self::Gexf => "gexf",
            Self::NetJson => "netjson",
            Self::Mermaid => "mermaid",
        }
    }

    /// The media type, for HTTP's `Content-Type`. Formats without one are plain text, so that a browser shows them.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::NetJson => "application/json",
            Self::D2 => "text/plain; charset=utf-8",
            Self::Dot => "text/vnd.graphviz; charset=utf-8",
            Self::GraphMl => "application/graphml+xml",
            Self::Gexf => "application/gexf+xml",
            Self::Mermaid => "text/vnd.mermaid; charset=utf-8",
        }
    }

    /// Renders the snapshot. Equal snapshots give equal bytes.
    #[must_use]
    pub fn render(self, snapshot: &Snapshot) -> Vec<u8> {
        match self {
            Self::Json => json::network(snapshot),
            Self::D2 => d2::picture(snapshot, Shows::Auto),
            Self::Dot => dot::render(snapshot),
            Self::GraphMl => xml::graphml(snapshot),
            Self::Gexf => xml::gexf(snapshot),
            Self::NetJson => netjson::render(snapshot),
            Self::Mermaid => mermaid::render(snapshot),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no name of a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no format is called {given:?}; known: {}{}", names().join(", "), did_you_mean(given, names()))]
pub struct UnknownFormat {
    /// The beginning of the text.
    given: String,
}

fn names() -> Vec<&'static str> {
    Format::ALL.iter().map(|format| format.name()).collect()
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let mut all = Self::ALL.iter();
        let known = all.find(|format| text.eq_ignore_ascii_case(format.name()));
        known.copied().ok_or_else(|| UnknownFormat {
            given: text.chars().take(MAX_SHOWN_NAME).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
