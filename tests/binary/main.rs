//! The real binary as its users meet it. Profiles on loopback are started, killed, asked to leave and started again, with good
//! files and bad ones.

#[cfg(test)]
mod authority_key;
#[cfg(test)]
mod files;
#[cfg(test)]
mod life;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod machines;
mod members;
#[cfg(test)]
mod network_key;
#[cfg(test)]
#[path = "../processes/mod.rs"]
mod processes;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod service;
#[cfg(test)]
mod web;
