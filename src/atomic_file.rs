//! Writes files by rename: at every instant there is one whole file under the name, the old one or the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The permissions that a new file has before the process's mask, as the system gives them.
const USUAL_MODE: u32 = 0o666;

/// What a file needs beyond being whole.
#[derive(Debug, Clone, Copy)]
pub struct Care {
    /// The permissions of the file, before the process's mask.
    pub mode: u32,
    /// The content is on the disk before the file has its name. It costs some milliseconds, and a power failure can't leave an
    /// empty file.
    pub synced: bool,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            mode: USUAL_MODE,
            synced: false,
        }
    }
}

/// Writes `bytes` to the file `temporary`, which must be in the folder of `path`, and gives it the name `path`. What is left there of an
/// interrupted attempt is overwritten. Blocks: not for the event loop.
///
/// # Errors
/// What the system says; then the old file stands as it was, and the temporary one is removed where that is possible.
pub fn write(path: &Path, temporary: &Path, bytes: &[u8], care: Care) -> io::Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(care.mode)
        .open(temporary);
    let mut file = opened?;
    let written = file.write_all(bytes).and_then(|()| match care.synced {
        true => file.sync_all(),
        false => Ok(()),
    });
    drop(file);
    let put = written.and_then(|()| fs::rename(temporary, path));
    if put.is_err() {
        // On a full disk even half a file is in the way. One that can't be removed is overwritten next time.
        let _gone = fs::remove_file(temporary);
    }
    put
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let [path, temporary] = ["a", ".a.new"].map(|name| folder.path().join(name));
        fs::write(&temporary, "half of what an earlier run wro").unwrap();
        for text in ["one", "two"] {
            write(&path, &temporary, text.as_bytes(), Care::default()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(!temporary.exists());
    }

    #[test]
    fn a_secret_is_never_open_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let [path, temporary] = ["key", "key.new"].map(|name| folder.path().join(name));
        let care = Care {
            mode: 0o600,
            synced: true,
        };
        write(&path, &temporary, b"secret", care).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let [path, temporary] = ["a", ".a.new"].map(|name| folder.path().join(name));
        // No file takes the name of a folder that holds something.
        fs::create_dir_all(path.join("within")).unwrap();
        write(&path, &temporary, b"new", Care::default()).unwrap_err();
        assert!(path.join("within").is_dir());
        assert!(!temporary.exists());
    }
}
