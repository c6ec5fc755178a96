//! A placeholder: starts nothing, and leaves at once.

use crate::settings::Settings;

/// Why a node could not run.
#[derive(Debug, thiserror::Error)]
#[error("the node could not run")]
pub struct NodeError {
    bad_input: bool,
}

impl NodeError {
    /// Whether what the user gave us is at fault.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        self.bad_input
    }
}

/// Runs a node until it is asked to leave.
///
/// # Errors
/// When the node can't start, or can't go on.
#[expect(clippy::unused_async, reason = "the real one waits")]
pub async fn run(_settings: Settings) -> Result<(), NodeError> {
    Ok(())
}
