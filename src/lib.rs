//! area-net
pub mod export;
pub mod record;
pub mod settings;
pub mod snapshot;
pub mod wire;
