//! The lock of a profile: two nodes must not share an identity and a folder of files.
//!
//! The lock is the kernel's (flock(2)), so it ends with the process, however that ends, and a file that a killed node has left locks
//! nothing. The file contains the number of the process, for people. It stays: whoever removed it could remove the one that
//! another node has just locked.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::trusted_path::{self, Place};

/// The name of the file, beside the node's files.
const LOCK_FILE: &str = "node.lock";

/// How often a lock is taken anew because somebody has just removed or replaced the file. Nobody does that twice by chance.
const ATTEMPTS: usize = 3;

/// The most that is read of the file. A number has ten digits.
const PID_BYTES: u64 = 16;

/// The lock of a profile, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// Why a profile is not locked.
#[derive(Debug)]
pub(super) enum NotLocked {
    /// Another process holds the lock.
    Held {
        /// The process.
        holder: String,
    },
    /// The system refuses. A node whose disk is full or read-only runs all the same.
    System(io::Error),
}

/// The lock file of the profile with this folder.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(LOCK_FILE)
}

impl Lock {
    /// Locks the profile with this folder, which is made if it is missing.
    pub(super) fn take(dir: &Path) -> Result<Self, NotLocked> {
        trusted_path::create_folder(dir, 0o777).map_err(NotLocked::System)?;
        for _ in 0..ATTEMPTS {
            let place = Place::of(&path(dir)).map_err(NotLocked::System)?;
            let mut file = open(&place, OFlags::CREATE).map_err(NotLocked::System)?;
            lock(&mut file)?;
            let is = |there: rustix::fs::Stat, file: &File| {
                let file = file.metadata();
                file.is_ok_and(|it| (it.dev(), it.ino()) == (there.st_dev, there.st_ino))
            };
            if matches!(place.stat(), Ok(Some(there)) if is(there, &file)) {
                return Ok(Self { file });
            }
        }
        Err(NotLocked::System(io::Error::other(
            "somebody keeps replacing it",
        )))
    }

    /// Writes the number of this process into the file. A start that fails changes no file, so this comes once nothing can fail.
    pub(super) fn sign(&mut self) {
        // On a full disk the lock holds without a number.
        let _for_people = self.file.set_len(0).and_then(|()| {
            let pid = std::process::id();
            self.file.write_all(format!("{pid}\n").as_bytes())
        });
    }

    /// The process that holds the lock, if one does. Nothing is written.
    pub(super) fn holder(dir: &Path) -> Option<String> {
        let place = Place::of(&path(dir)).ok()?;
        let mut file = open(&place, OFlags::empty()).ok()?;
        match lock(&mut file) {
            Err(NotLocked::Held { holder }) => Some(holder),
            Ok(()) | Err(NotLocked::System(_)) => None,
        }
    }
}

/// Others may not open it: whoever can open it can lock it.
fn open(place: &Place, flags: OFlags) -> io::Result<File> {
    place.open(OFlags::RDWR | flags, Mode::RUSR | Mode::WUSR)
}

fn lock(file: &mut File) -> Result<(), NotLocked> {
    match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let _unknown = file.take(PID_BYTES).read_to_string(&mut text);
            let holder = match text.trim().parse::<u32>() {
                Ok(pid) => format!("process {pid}"),
                Err(_) => "another process".to_owned(),
            };
            Err(NotLocked::Held { holder })
        }
        Err(error) => Err(NotLocked::System(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn is_held(dir: &Path) -> bool {
        let own = format!("process {}", std::process::id());
        let again = matches!(Lock::take(dir), Err(NotLocked::Held { holder }) if holder == own);
        assert_eq!(again, Lock::holder(dir) == Some(own));
        again
    }

    #[test]
    fn a_profile_is_locked_once_and_free_again_with_its_node() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("profiles/alice");
        assert_eq!(Lock::holder(&dir), None);
        assert!(!dir.exists());
        let signed = || {
            let mut lock = Lock::take(&dir).unwrap();
            lock.sign();
            lock
        };
        let lock = signed();
        assert!(is_held(&dir));
        let mode = fs::metadata(path(&dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(lock);
        assert_eq!(Lock::holder(&dir), None);
        // What a killed node has left says nothing.
        fs::write(path(&dir), "1\n").unwrap();
        let lock = signed();
        assert!(is_held(&dir));
        // A file that is removed takes its lock with it.
        fs::remove_file(path(&dir)).unwrap();
        let second = signed();
        assert!(is_held(&dir));
        drop((lock, second));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_no_other_node() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("profiles"), "in the way").unwrap();
        let dir = temp.path().join("profiles/alice");
        assert!(matches!(Lock::take(&dir), Err(NotLocked::System(_))));
        assert_eq!(Lock::holder(&dir), None);
    }
}
