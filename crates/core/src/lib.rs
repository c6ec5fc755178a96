//! The core of area-net: what a node knows, decides and sends, without I/O.
//!
//! - [`membership`]: the core itself. Inputs go in, actions come out, and the time is an argument.
//! - [`record`]: the record that each node signs about itself; [`figures`]: what it measures on its links.
//! - [`certificate`]: who may be a member of a closed network; [`revocations`]: who may be no longer.
//! - [`wire`]: messages, datagrams, close codes, limits; [`id`]: the id of a node.
//! - [`snapshot`]: the picture of the overlay, as data.
//! - [`bucket`]: a token bucket, the one rate limiter; [`window`]: how many bytes of a stream may be under way.
//!
//! Nothing here may depend on a runtime, a transport, a socket, a clock or a source of entropy: `.ci/run` reads the dependency tree, and
//! clippy knows the names of the clocks. So the core runs in the node and in the simulator alike, and replays to the byte.
//! `docs/architecture.md` has the map of all the code, `docs/protocol.md` the protocol.

pub mod bucket;
pub mod certificate;
pub mod figures;
pub mod id;
pub mod membership;
pub mod record;
pub mod revocations;
pub mod snapshot;
pub mod window;
pub mod wire;
