//! The authority of a network, as a folder and as commands: `area-net network`.
//!
//! An authority is an Ed25519 key in a folder that is kept offline ([`office`]). It signs a certificate for each member, and one
//! numbered list of revocations. What a member does with them is in [`crate::admission`], and when a certificate counts in
//! [`crate::certificate`]. `docs/certificates.md` explains all of it to users.

pub mod command;
mod ledger;
pub mod office;
mod show;

pub(crate) use ledger::Ledger;
