//! area-net
pub mod cli;
pub mod log;
pub mod node;
pub mod record;
pub mod settings;
pub mod snapshot;
pub mod wire;
