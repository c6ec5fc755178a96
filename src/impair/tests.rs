//! The grammar and the model, each as its user meets it.

mod grammar;
mod model;
