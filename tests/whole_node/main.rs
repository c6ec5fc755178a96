//! Whole nodes, with quinn, TLS and their event loop, on the simulator's virtual network in virtual time. A scenario repeats
//! from its seed.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod impaired;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod network;
#[cfg(test)]
mod ping;
#[cfg(test)]
mod view;
