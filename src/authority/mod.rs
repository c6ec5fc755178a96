//! The authority of a network: who may be a member, as files and commands.
//!
//! An authority is an Ed25519 key in a folder that is kept offline ([`office`]). It signs a certificate for each member, and one
//! numbered list of revocations. Every member has the authority's public file and a certificate of its own ([`Papers`]); it finds both
//! beside its key. [`follow`] reads the files again when they change. What a certificate says and when it counts is in
//! [`crate::certificate`]; `docs/certificates.md` explains all of it to users.

pub mod command;
mod date;
mod files;
pub mod follow;
mod ledger;
pub mod office;
mod papers;
mod show;

pub use files::{AUTHORITY, FileError, MEMBER, REVOKED};
pub use papers::{Papers, PapersError, Places, admit_command, days_left};
