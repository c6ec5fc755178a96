//! `area-net top`: the network live in a terminal.
//!
//! ```text
//!  node ── stream ──► reader ──┐
//!  terminal ── keys ──► keys ──┼─ messages ─► screen ─► App ─► View ─► draw ─► terminal
//!  signals ── asked to stop ───┘
//! ```
//!
//! - `reader` follows the node's stream on a thread of its own, and waits for a node that is gone.
//! - `past` keeps the stream within a bound, and gives the view at any time in it.
//! - `view` and `rows` turn a view into table rows.
//! - `app` holds the state of the screen and handles keys; `draw` draws it. Neither touches a terminal or a clock.
//! - `screen` has the terminal, and gives it back however the program ends.
//!
//! Labels are hostile text: [`ask`](crate::ask) makes them harmless before they are put into a cell.

mod app;
mod draw;
mod past;
mod reader;
mod rows;
mod screen;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::io::{self, IsTerminal as _};

use crate::ask::AskError;
use crate::ask::follow::Source;

/// Why `top` ended, other than by its user's wish.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The output is no terminal.
    #[error(
        "top needs a terminal, and stdout is none; area-net nodes, links and events write to files and pipes"
    )]
    NoTerminal,
    /// No node answers.
    #[error(transparent)]
    NoNode(#[from] AskError),
    /// The stream contradicts itself.
    #[error("what the node tells can't be shown")]
    BadStream(#[from] crate::chronicle::BadFrame),
    /// The terminal fails.
    #[error("the terminal can't be used")]
    Terminal(#[source] io::Error),
}

impl TopError {
    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::NoTerminal => 2,
            Self::NoNode(error) => error.status(),
            Self::BadStream(_) | Self::Terminal(_) => 1,
        }
    }
}

/// Shows the network as the node of a profile sees it, until the user quits.
///
/// # Errors
/// When there is no terminal or no node, or the terminal fails.
pub fn run(profile: Option<&str>) -> Result<(), TopError> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(TopError::NoTerminal);
    }
    let source = Source::find(profile)?;
    screen::show(source)
}
