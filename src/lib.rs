//! area-net
pub mod identity;
pub mod membership;
pub mod record;
pub mod settings;
pub mod snapshot;
pub mod transport;
pub mod wire;
