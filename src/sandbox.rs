//! The sandbox that a node gives itself after its start (landlock(7)), so that a bug in it harms little.
//!
//! From then on the node can't start programs, and can't signal others. It can write only below the folders that it is given, and it
//! can't read the homes of users. The kernel applies that to a thread and to those that it starts, so the thread of the log, which
//! is older, joins by itself. An older kernel enforces a part of it or nothing. That is no error: the node runs as well without.
//!
//! Names are resolved with the libraries of the system, which read what they like. So folders at the root of the file system stay
//! readable, except for those that have other users' files.

use std::path::PathBuf;

/// How much the kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All of it.
    Full,
    /// What this kernel knows.
    Partial,
    /// Nothing: the kernel has no landlock.
    None,
}

impl Level {
    /// The word for the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// Restricts this thread, and those that it starts from now on. Only files below `writable` can be written afterwards. Paths that don't
/// exist are left out.
///
/// # Errors
/// When the kernel refuses; then nothing is restricted.
#[cfg(target_os = "linux")]
pub fn enter(writable: &[PathBuf]) -> Result<Level, landlock::RulesetError> {
    linux::enter(writable)
}

/// Restricts nothing: this system has no such sandbox.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn enter(_: &[PathBuf]) -> Result<Level, std::convert::Infallible> {
    Ok(Level::None)
}

/// Restricts this thread as [`enter`] has restricted another. Returns false as long as none is restricted.
pub fn join() -> bool {
    #[cfg(target_os = "linux")]
    let joined = linux::join();
    #[cfg(not(target_os = "linux"))]
    let joined = true;
    joined
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::fs::FileTypeExt as _;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};

    use landlock::{
        ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset,
        RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
        Scope,
    };

    use super::Level;

    /// The newest version of the kernel's interface whose rights are restricted. A later one would restrict what nobody has tried here.
    const KNOWN: ABI = ABI::V6;

    /// Folders at the root in which users have files of their own. Nothing that a node needs is there, unless it runs there.
    const OF_USERS: [&str; 7] = ["boot", "home", "lost+found", "media", "root", "srv", "tmp"];

    /// Whether there are rules in force.
    static ENTERED: AtomicBool = AtomicBool::new(false);

    /// These rules, until the thread that is older has joined. It is one thread.
    static RULES: Mutex<Option<RulesetCreated>> = Mutex::new(None);

    pub(super) fn enter(writable: &[PathBuf]) -> Result<Level, RulesetError> {
        let rules = rules(writable)?;
        let copy = rules.try_clone().ok();
        let RestrictionStatus { ruleset, .. } = rules.restrict_self()?;
        *RULES.lock().unwrap_or_else(PoisonError::into_inner) = copy;
        ENTERED.store(true, Ordering::Release);
        Ok(match ruleset {
            RulesetStatus::FullyEnforced => Level::Full,
            RulesetStatus::PartiallyEnforced => Level::Partial,
            RulesetStatus::NotEnforced => Level::None,
        })
    }

    pub(super) fn join() -> bool {
        if !ENTERED.load(Ordering::Acquire) {
            return false;
        }
        let rules = RULES.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The same call has succeeded on another thread.
        let _restricted = rules.map(RulesetCreated::restrict_self);
        true
    }

    fn rules(writable: &[PathBuf]) -> Result<RulesetCreated, RulesetError> {
        let all = AccessFs::from_all(KNOWN);
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let forbidden =
            AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
        let write = all & !forbidden;
        let mut rules = Ruleset::default()
            .handle_access(all)?
            .scope(Scope::Signal)?
            .create()?;
        for path in readable() {
            rules = allow(rules, &path, read)?;
        }
        for path in writable {
            rules = allow(rules, path, write)?;
        }
        Ok(rules)
    }

    fn readable() -> Vec<PathBuf> {
        let entries = fs::read_dir("/").into_iter().flatten().flatten();
        let entries = entries.filter(|entry| !OF_USERS.iter().any(|it| entry.file_name() == *it));
        entries.map(|entry| entry.path()).collect()
    }

    fn allow(
        rules: RulesetCreated,
        path: &Path,
        access: BitFlags<AccessFs>,
    ) -> Result<RulesetCreated, RulesetError> {
        let Ok(fd) = PathFd::new(path) else {
            return Ok(rules);
        };
        // Rights of folders mean nothing for a file.
        let access = match fs::metadata(path) {
            Ok(it) if it.is_dir() => access,
            Ok(it) if it.file_type().is_char_device() || it.file_type().is_fifo() => {
                access & (AccessFs::ReadFile | AccessFs::WriteFile)
            }
            _ => access & AccessFs::from_file(KNOWN),
        };
        rules.add_rule(PathBeneath::new(fd, access))
    }
}
