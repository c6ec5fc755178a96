//! The folder of an authority: its key, the members that it admitted, and those that it revoked.
//!
//! | file | content |
//! | --- | --- |
//! | `authority.key` | the private key (mode 0600): whoever has it decides who is a member |
//! | `authority.pub` | the public file, for every member |
//! | `members.json` | the members: for renewals, and so that a label is enough to revoke one |
//! | `members/NAME/` | what a member needs beside its key |
//! | `revoked.list` | the newest revocations |
//! | `authority.old.key` | the key before `create --next` |
//!
//! [`Office::change_key`] makes a new key. The folder is used by one person at a time, on a machine that need not be connected to anything.

mod change;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::ledger::Ledger;
pub use super::ledger::Member;
use crate::admission::date::DAY_S;
use crate::admission::files::{
    AUTHORITY, Content, FileError, MEMBER, REVOKED, read_authority, read_revocations,
};
use crate::certificate::{
    Authorities, AuthorityKey, CLOCK_TOLERANCE_S, Certificate, CertificateError, Terms,
};
use crate::identity::{Identity, IdentityError, certified_id};
use crate::record::Signer as _;
use crate::revocations::{MAX_REVOKED, Revocations, RevocationsError, Revoked};
use crate::wire::NodeId;

const KEY: &str = "authority.key";
const OLD_KEY: &str = "authority.old.key";
const MEMBERS: &str = "members";
/// The fewest digits of an id that name a member.
const FEWEST_DIGITS: usize = 6;

/// Why an authority could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A node's key can't be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The terms can't be certified.
    #[error(transparent)]
    Terms(#[from] CertificateError),
    /// The list can't be signed.
    #[error(transparent)]
    Revocations(#[from] RevocationsError),
    /// The request makes no sense.
    #[error("{0}")]
    Wrong(String),
}

/// An authority's folder, opened.
#[derive(Debug)]
pub struct Office {
    dir: PathBuf,
    authorities: Authorities,
    ledger: Ledger,
}

/// The terms of a new certificate.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The labels; `None`: those of the certificate before, or any.
    pub label: Option<String>,
    /// The groups; `None`: those of the certificate before, or none.
    pub groups: Option<Vec<String>>,
    /// For how many days it counts.
    pub days: u64,
}

/// The result of admitting a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The member.
    pub member: Member,
    /// The folder with its files.
    pub folder: PathBuf,
}

impl Office {
    /// Makes the folder, with a new key.
    ///
    /// # Errors
    /// If it exists, or can't be written.
    pub fn create(dir: &Path, network: &str) -> Result<Self, OfficeError> {
        let key = dir.join(KEY);
        if key.exists() {
            return Err(OfficeError::Wrong(format!(
                "{}: there is an authority already, and its key is never overwritten; name another folder, or replace the key with: \
                 area-net network create {} --next",
                key.display(),
                dir.display()
            )));
        }
        let is_name = (1..=crate::certificate::MAX_NETWORK).contains(&network.len())
            && network.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name {
            return Err(OfficeError::Wrong(format!(
                "{network:?} is no name of a network: 1 to 64 printable ASCII characters, no space"
            )));
        }
        make_dir(dir)?;
        Identity::create_key(&key)?;
        let signer = key_of(&key)?;
        let keys = vec![AuthorityKey(signer.node_id().0)];
        let authorities = Authorities::new(network, keys).expect("one key");
        let office = Self {
            dir: dir.to_owned(),
            authorities,
            ledger: Ledger::default(),
        };
        office.write_public()?;
        office.ledger.write(dir)?;
        Ok(office)
    }

    /// Opens the folder.
    ///
    /// # Errors
    /// If there is none, or a file can't be used.
    pub fn open(dir: &Path) -> Result<Self, OfficeError> {
        let public = dir.join(AUTHORITY);
        let authorities = match read_authority(&public) {
            Err(error) if error.is_missing() => {
                return Err(OfficeError::Wrong(format!(
                    "{}: is no folder of an authority (it has no {AUTHORITY}); make one with: area-net network create {}",
                    dir.display(),
                    dir.display()
                )));
            }
            read => read?,
        };
        let ledger = Ledger::read(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            authorities,
            ledger,
        })
    }

    /// The folder's authorities: the present key first.
    #[must_use]
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The members, in the order in which they were admitted.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.ledger.members
    }

    /// Makes a key for a new member, and admits it.
    ///
    /// # Errors
    /// If there is such a member, or a file can't be written.
    pub fn admit_new(
        &mut self,
        label: &str,
        wish: &Wish,
        now_s: u64,
    ) -> Result<Admitted, OfficeError> {
        if !is_folder(label) {
            return Err(OfficeError::Wrong(format!(
                "{label:?} can't name a folder: use letters, digits, '-', '_' and '.'"
            )));
        }
        let folder = self.dir.join(MEMBERS).join(label);
        if folder.exists() {
            return Err(OfficeError::Wrong(format!(
                "{}: there is such a member already; a new certificate for it: area-net network admit {} {label}",
                folder.display(),
                self.dir.display()
            )));
        }
        make_dir(&self.dir.join(MEMBERS))?;
        let identity = Identity::load_or_create(&folder)?;
        let wish = Wish {
            label: Some(wish.label.clone().unwrap_or_else(|| label.to_owned())),
            ..wish.clone()
        };
        self.certify(&identity.node_id(), label.to_owned(), &wish, now_s)
    }

    /// Admits a node that has a key, or renews its certificate.
    ///
    /// # Errors
    /// If the node was revoked, or a file can't be written.
    pub fn admit(&mut self, id: &NodeId, wish: &Wish, now_s: u64) -> Result<Admitted, OfficeError> {
        let known = self
            .ledger
            .members
            .iter()
            .find(|one| one.id == id.to_string());
        let folder = match known {
            Some(member) => member.folder.clone(),
            None => self.free_folder(id, wish.label.as_deref()),
        };
        self.certify(id, folder, wish, now_s)
    }

    /// A folder for a member whose label may be that of another one.
    fn free_folder(&self, id: &NodeId, label: Option<&str>) -> String {
        let is_taken = |name: &str| {
            let mut members = self.ledger.members.iter();
            members.any(|one| one.folder == name) || self.dir.join(MEMBERS).join(name).exists()
        };
        match label {
            Some(label) if is_folder(label) && !is_taken(label) => label.to_owned(),
            Some(_) | None => id.short(),
        }
    }

    fn certify(
        &mut self,
        id: &NodeId,
        folder: String,
        wish: &Wish,
        now_s: u64,
    ) -> Result<Admitted, OfficeError> {
        let hex = id.to_string();
        let at = self.ledger.members.iter().position(|one| one.id == hex);
        let before = at.map(|at| &self.ledger.members[at]);
        if let Some(member) = before.filter(|member| member.revoked) {
            return Err(OfficeError::Wrong(format!(
                "the node {hex} ({}) was revoked, and stays so: whoever has its key is a stranger. Give the machine a new key \
                 (move key.pem and cert.pem away) and admit that one",
                member.label
            )));
        }
        let label = wish.label.clone();
        let label = label.or_else(|| before.map(|member| member.label.clone()));
        let groups = wish.groups.clone();
        let groups = groups.or_else(|| before.map(|member| member.groups.clone()));
        let member = Member {
            id: hex,
            label: label.unwrap_or_else(|| "*".to_owned()),
            groups: ordered(groups.unwrap_or_default()),
            folder,
            not_after: now_s.saturating_add(wish.days.saturating_mul(DAY_S)),
            revoked: false,
        };
        let signer = key_of(&self.dir.join(KEY))?;
        let terms = Terms {
            groups: member
                .groups
                .iter()
                .map(|group| group.as_str().into())
                .collect(),
            not_before: now_s,
            not_after: member.not_after,
            serial: self.ledger.serial + 1,
            ..Terms::new(self.authorities.network(), *id, &member.label)
        };
        let certificate = Certificate::issue(terms, &signer)?;
        let place = self.dir.join(MEMBERS).join(&member.folder);
        make_dir(&place)?;
        Content::Certificate(certificate).write(&place.join(MEMBER))?;
        Content::Authority(self.authorities.clone()).write(&place.join(AUTHORITY))?;
        self.ledger.serial += 1;
        match at {
            Some(at) => self.ledger.members[at] = member.clone(),
            None => self.ledger.members.push(member.clone()),
        }
        self.ledger.write(&self.dir)?;
        Ok(Admitted {
            member,
            folder: place,
        })
    }

    /// Renews the certificates of all members that were not revoked.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn renew_all(&mut self, wish: &Wish, now_s: u64) -> Result<Vec<Admitted>, OfficeError> {
        let members = self.ledger.members.iter().filter(|one| !one.revoked);
        let ids: Vec<NodeId> = members
            .filter_map(|one| NodeId::from_hex(&one.id).ok())
            .collect();
        ids.iter().map(|id| self.admit(id, wish, now_s)).collect()
    }

    /// Revokes these members, and signs the next list. Without any it signs the list anew, with the present key. Members whose
    /// certificates have ended for every clock are left out of the list.
    ///
    /// # Errors
    /// If the list is full, or a file can't be written.
    pub fn revoke(&mut self, ids: &[NodeId], now_s: u64) -> Result<u64, OfficeError> {
        let path = self.dir.join(REVOKED);
        let before = match read_revocations(&path) {
            Err(error) if error.is_missing() => None,
            read => Some(read?),
        };
        if let Some(before) = &before {
            let keys = self.authorities.keys();
            before
                .verify(self.authorities.network(), keys)
                .map_err(|error| FileError::bad(&path, error.to_string()))?;
        }
        let mut all: Vec<NodeId> = before
            .as_ref()
            .map(|before| before.list().ids.clone())
            .unwrap_or_default();
        all.extend(ids);
        let has_ended = |id: &NodeId| {
            let hex = id.to_string();
            let mut members = self.ledger.members.iter();
            let member = members.find(|one| one.id == hex && !ids.contains(id));
            member.is_some_and(|one| one.not_after.saturating_add(2 * CLOCK_TOLERANCE_S) < now_s)
        };
        all.retain(|id| !has_ended(id));
        all.sort_unstable();
        all.dedup();
        if all.len() > MAX_REVOKED {
            return Err(OfficeError::Wrong(format!(
                "{} nodes would be revoked, and a list has at most {MAX_REVOKED}: change the authority's key instead (area-net network \
                 create {} --next), and renew the certificates of those who stay",
                all.len(),
                self.dir.display()
            )));
        }
        let number = before.map_or(0, |before| before.number()) + 1;
        let list = Revoked::new(self.authorities.network(), number, now_s, all);
        let signer = key_of(&self.dir.join(KEY))?;
        Content::Revocations(Revocations::issue(list, &signer)?).write(&path)?;
        for member in &mut self.ledger.members {
            member.revoked |= ids.iter().any(|id| id.to_string() == member.id);
        }
        self.ledger.write(&self.dir)?;
        Ok(number)
    }

    /// The node that a person means: by a whole id, by the beginning of a member's id, by a member's label or folder, or by a file or
    /// folder with the node's certificate `cert.pem`.
    ///
    /// # Errors
    /// If nobody is meant, or more than one.
    pub fn find(&self, who: &str) -> Result<NodeId, OfficeError> {
        if let Ok(id) = NodeId::from_hex(who) {
            return Ok(id);
        }
        let is_digits =
            who.len() >= FEWEST_DIGITS && who.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_meant = |member: &&Member| {
            member.label == who
                || member.folder == who
                || (is_digits && member.id.starts_with(&who.to_ascii_lowercase()))
        };
        let mut found: Vec<&Member> = self.ledger.members.iter().filter(is_meant).collect();
        // A machine whose key was revoked may have the same label with its new key.
        if found.len() > 1 && found.iter().any(|one| !one.revoked) {
            found.retain(|one| !one.revoked);
        }
        match found.as_slice() {
            [one] => {
                return NodeId::from_hex(&one.id).map_err(|_| {
                    OfficeError::Wrong(format!("members.json: {:?} is no node id", one.id))
                });
            }
            [] => {}
            [..] => {
                let ids: Vec<&str> = found.iter().map(|one| one.id.as_str()).collect();
                return Err(OfficeError::Wrong(format!(
                    "{who} is the name of {} members; give an id: {}",
                    found.len(),
                    ids.join(", ")
                )));
            }
        }
        let path = Path::new(who);
        if path.exists() {
            return id_in(path);
        }
        Err(OfficeError::Wrong(format!(
            "{who:?} is no node id (64 hexadecimal digits), no member of {}, and no folder with a cert.pem; the id of a node is in its log \
             and in `area-net status`, and `area-net network show certs/PROFILE` prints it",
            self.dir.display()
        )))
    }

    fn write_public(&self) -> Result<(), OfficeError> {
        let content = Content::Authority(self.authorities.clone());
        Ok(content.write(&self.dir.join(AUTHORITY))?)
    }
}

/// The id of a node, from its certificate `cert.pem` or the folder that it is in.
///
/// # Errors
/// If there is none.
pub fn id_in(path: &Path) -> Result<NodeId, OfficeError> {
    let path = if path.is_dir() {
        path.join("cert.pem")
    } else {
        path.to_owned()
    };
    let certificate = CertificateDer::from_pem_file(&path).map_err(|error| match error {
        rustls_pki_types::pem::Error::Io(source) => FileError::Io {
            path: path.clone(),
            doing: "can't read the node's certificate (the node makes it at its first start)",
            source,
        },
        other => FileError::bad(&path, format!("is no certificate of a node: {other}")),
    })?;
    let id = certified_id(&certificate);
    id.ok_or_else(|| FileError::bad(&path, "is no certificate of a node: no Ed25519 key").into())
}

/// The signer of an authority's key. A damaged key is restored, never replaced.
fn key_of(path: &Path) -> Result<Identity, OfficeError> {
    Identity::of_key(path).map_err(|error| match error {
        IdentityError::Corrupt { path, why } => {
            FileError::bad(&path, format!("{why}; restore the key from its backup")).into()
        }
        other => OfficeError::Identity(other),
    })
}

fn make_dir(dir: &Path) -> Result<(), FileError> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    made.map_err(|source| FileError::Io {
        path: dir.to_owned(),
        doing: "can't make the folder",
        source,
    })
}

fn ordered(mut groups: Vec<String>) -> Vec<String> {
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Whether a label can name a folder and a profile.
fn is_folder(label: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !label.is_empty() && label.len() <= 64 && !label.starts_with('.') && label.bytes().all(is_plain)
}

#[cfg(test)]
mod tests;
