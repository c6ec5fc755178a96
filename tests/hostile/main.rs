//! Broken and hostile peers against the real binary. The victim refuses each offender in the promised way, counts the offence and
//! logs it at a bounded rate. Its honest neighbours notice nothing.

#[cfg(test)]
mod door;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
#[path = "../processes/mod.rs"]
mod processes;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod stranger;
