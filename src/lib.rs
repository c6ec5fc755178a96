//! area-net
pub mod cli;
pub mod export;
pub mod identity;
pub mod log;
pub mod membership;
pub mod memory;
pub mod node;
pub mod record;
pub mod settings;
pub mod snapshot;
pub mod transport;
pub mod wire;
