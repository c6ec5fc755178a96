//! The page of a node, and what serves it.

pub mod page;
