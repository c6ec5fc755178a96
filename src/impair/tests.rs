//! The grammar, the model and the socket, each as its user meets it.

mod grammar;
mod model;
mod socket;
