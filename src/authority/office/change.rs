//! A new key for the authority: begun while members trust the old one, and finished when none needs it.

use std::fs;
use std::path::Path;

use super::{KEY, MEMBERS, Member, OLD_KEY, Office, OfficeError, key_of};
use crate::admission::files::{
    AUTHORITY, Content, FileError, MEMBER, REVOKED, read_certificate, read_revocations,
};
use crate::certificate::{Authorities, AuthorityKey, MAX_AUTHORITIES};
use crate::identity::Identity;
use crate::record::Signer as _;

impl Office {
    /// A new key signs from now on. The old one stays beside it, and in the public file, until all members have certificates of the
    /// new one. `lost`: the old key is gone, and only its public part is left.
    ///
    /// # Errors
    /// If there are too many keys, if the old key is missing and not said to be lost, or if a file can't be written.
    pub fn change_key(&mut self, lost: bool) -> Result<(), OfficeError> {
        let (key, old) = (self.dir.join(KEY), self.dir.join(OLD_KEY));
        let dir = self.dir.display();
        if self.authorities.keys().len() >= MAX_AUTHORITIES || old.exists() {
            return Err(OfficeError::Wrong(format!(
                "{dir}: the last change of the key is not over. Once all members have certificates of the present key, end it with: \
                 area-net network create {dir} --finish"
            )));
        }
        if key.exists() == lost {
            return Err(OfficeError::Wrong(if lost {
                format!(
                    "{}: the key is there, so it is not lost; leave --lost out",
                    key.display()
                )
            } else {
                format!(
                    "{}: there is no such file; restore the key from its backup. If it is lost: area-net network create {dir} --next --lost",
                    key.display()
                )
            }));
        }
        let io = |doing| {
            let path = key.clone();
            move |source| FileError::Io {
                path,
                doing,
                source,
            }
        };
        // At every instant there is a key that signs: a second name first, then the new key under the first one.
        if !lost {
            fs::hard_link(&key, &old).map_err(io("can't keep the old key"))?;
        }
        let next = self.dir.join("authority.next.key");
        Identity::create_key(&next)?;
        let signer = key_of(&next)?;
        let mut keys = vec![AuthorityKey(signer.node_id().0)];
        keys.extend(self.authorities.keys());
        let network = self.authorities.network().to_string();
        self.authorities = Authorities::new(&network, keys).expect("there was room for one more");
        fs::rename(&next, &key).map_err(io("can't take the new key"))?;
        self.write_public()
    }

    /// The old keys end: the public files name the present key alone, which has signed everything.
    ///
    /// # Errors
    /// If there is no old key, if the new key has not admitted a member again, or if a file can't be written.
    pub fn finish_change(&mut self, now_s: u64) -> Result<(), OfficeError> {
        let old = self.dir.join(OLD_KEY);
        let dir = self.dir.display();
        if self.authorities.keys().len() == 1 && !old.exists() {
            return Err(OfficeError::Wrong(format!(
                "{dir}: there is no old key; a change begins with: area-net network create {dir} --next"
            )));
        }
        let present = self.authorities.keys()[0];
        let members = self.ledger.members.iter();
        let left: Vec<&str> = members
            .filter(|one| !one.revoked && one.not_after > now_s && !self.is_by(one, present))
            .map(|one| one.label.as_str())
            .collect();
        if !left.is_empty() {
            return Err(OfficeError::Wrong(format!(
                "{dir}: these members have no certificate of the new key, and would be cut off: {}. First: area-net network admit {dir} \
                 --renew; or revoke them",
                left.join(", ")
            )));
        }
        if self.dir.join(REVOKED).exists() {
            let list = read_revocations(&self.dir.join(REVOKED))?;
            if list.verify(self.authorities.network(), &[present]).is_err() {
                self.revoke(&[], now_s)?;
            }
        }
        let network = self.authorities.network().to_string();
        self.authorities = Authorities::new(&network, vec![present]).expect("one key");
        self.write_public()?;
        for member in &self.ledger.members {
            let folder = self.dir.join(MEMBERS).join(&member.folder);
            if folder.is_dir() {
                Content::Authority(self.authorities.clone()).write(&folder.join(AUTHORITY))?;
            }
        }
        remove(&old)
    }

    /// Whether that key signed a member's certificate in this folder.
    fn is_by(&self, member: &Member, key: AuthorityKey) -> bool {
        let folder = self.dir.join(MEMBERS).join(&member.folder);
        read_certificate(&folder.join(MEMBER))
            .is_ok_and(|certificate| certificate.signer(&[key]).is_some())
    }
}

/// Removes a file that may be missing.
fn remove(path: &Path) -> Result<(), OfficeError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(FileError::Io {
            path: path.to_owned(),
            doing: "can't remove the old key",
            source,
        }
        .into()),
        _ => Ok(()),
    }
}
