//! Tests of the grammar, the model and the socket through their public interfaces.

mod grammar;
mod model;
mod socket;
