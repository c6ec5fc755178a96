//! area-net
pub mod record;
pub mod settings;
pub mod snapshot;
pub mod wire;
