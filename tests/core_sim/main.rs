//! The core in the library's simulator: many cores in one process, with virtual time, faults, and one random seed for everything.
//! Invariants are checked at every step; see `check`. A test that fails names its seed.

#[cfg(test)]
mod check;
#[cfg(test)]
mod contests;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod gossip;
#[cfg(test)]
mod grafts;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod guess;
#[cfg(test)]
mod history;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod meet;
#[cfg(test)]
mod members;
#[cfg(test)]
mod net;
#[cfg(test)]
mod outvoted;
#[cfg(test)]
mod path;
#[cfg(test)]
mod repeat;
#[cfg(test)]
mod ringside;
#[cfg(test)]
mod room;
#[cfg(test)]
mod silence;
