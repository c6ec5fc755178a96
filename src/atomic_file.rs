//! Writes files by rename: at every instant there is one whole file under the name, the old one or the new one.
//!
//! A symbolic link is followed, and the file that it leads to is replaced. Some files can't be replaced: one that is mounted by
//! itself, as into a container, and one in a folder that can't be written to. They are overwritten in place, and then a reader
//! may find half of the new content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The permissions that a new file has before the process's mask, as the system gives them.
const USUAL_MODE: u32 = 0o666;
/// The most symbolic links that are followed one after another, as in Linux (path_resolution(7)).
const MAX_LINKS: usize = 40;

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

/// Writes `bytes` to a hidden file beside the file, `.<name>.new`, and gives it the name `path`. What is left there of an interrupted
/// attempt is removed. Blocks: not for the event loop.
///
/// # Errors
/// What the system says; then the old file stands as it was, unless it had to be overwritten, and the hidden one is removed where
/// that is possible.
pub fn write(path: &Path, bytes: &[u8], care: Care) -> io::Result<()> {
    let path = followed(path)?;
    let there = fs::metadata(&path).ok();
    if there.as_ref().is_some_and(|it| is_device(it.file_type())) {
        return OpenOptions::new().write(true).open(&path)?.write_all(bytes);
    }
    match replace(&path, bytes, care) {
        Err(error) if there.is_some_and(|it| it.is_file()) && is_irreplaceable(&error) => {
            // What made the replacement fail says more than that the file can't be opened either.
            let file = OpenOptions::new().write(true).open(&path);
            overwrite(file.map_err(|_| error)?, bytes, care)
        }
        written => written,
    }
}

fn replace(path: &Path, bytes: &[u8], care: Care) -> io::Result<()> {
    let temporary = beside(path)?;
    // The mode applies to a new file only, and the name must not lead elsewhere.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(care.mode)
        .open(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| sync(&file, care))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // On a full disk even half a file is in the way. One that can't be removed is removed next time.
        let _gone = fs::remove_file(&temporary);
    }
    written
}

/// Overwrites from the beginning, and cuts off what remains of the old content. So the file is never empty.
fn overwrite(mut file: File, bytes: &[u8], care: Care) -> io::Result<()> {
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    sync(&file, care)
}

fn sync(file: &File, care: Care) -> io::Result<()> {
    match care.synced {
        true => file.sync_all(),
        false => Ok(()),
    }
}

/// Whether an existing file can't be replaced, though perhaps overwritten: it is a mount point (rename(2): EBUSY), or its folder
/// can't be written to.
fn is_irreplaceable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::PermissionDenied
    )
}

/// Such a file stays: who links a file to /dev/null wants nothing to be kept.
fn is_device(kind: fs::FileType) -> bool {
    kind.is_char_device() || kind.is_fifo()
}

/// The hidden file in which the new content of a file is prepared.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path has no file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    Ok(path.with_file_name(hidden))
}

/// The file that a path leads to, whether it exists or not.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..=MAX_LINKS {
        match fs::read_link(&path) {
            // A relative link is relative to its folder.
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            // It is no link, or there is nothing.
            Err(_) => return Ok(path),
        }
    }
    let why = format!("more than {MAX_LINKS} symbolic links lead on from it");
    Err(io::Error::new(ErrorKind::InvalidInput, why))
}

/// What makes a file one, under all its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Same {
    /// An existing file: its device and its number there.
    Inode(u64, u64),
    /// A file that doesn't exist yet: its path without links.
    Path(PathBuf),
}

/// Returns the positions of two paths that lead to one file, by links of any kind or by mounts. Devices and pipes don't count: more
/// than one file may lead to /dev/null.
#[must_use]
pub fn two_that_are_one(paths: &[PathBuf]) -> Option<(usize, usize)> {
    let same: Vec<Option<Same>> = paths.iter().map(|path| identity(path)).collect();
    (0..paths.len()).find_map(|second| {
        let first = same[..second]
            .iter()
            .position(|first| first.is_some() && *first == same[second])?;
        Some((first, second))
    })
}

fn identity(path: &Path) -> Option<Same> {
    let path = followed(path).ok()?;
    match fs::metadata(&path) {
        Ok(it) if is_device(it.file_type()) => None,
        Ok(it) => Some(Same::Inode(it.dev(), it.ino())),
        Err(_) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            let here = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            let folder = here.canonicalize().unwrap_or_else(|_| here.to_owned());
            Some(Same::Path(folder.join(path.file_name()?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const SECRET: Care = Care {
        mode: 0o600,
        synced: true,
    };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(
            folder.path().join(".a.new"),
            "half of what an earlier run wro",
        )
        .unwrap();
        for text in ["one", "two"] {
            write(&path, text.as_bytes(), Care::default()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_secret_is_never_open_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let [path, left] = ["key", ".key.new"].map(|name| folder.path().join(name));
        // What somebody left there has its own permissions.
        fs::write(&left, "").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o666)).unwrap();
        write(&path, b"secret", SECRET).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        // No file takes the name of a folder that holds something.
        fs::create_dir_all(path.join("within")).unwrap();
        write(&path, b"new", Care::default()).unwrap_err();
        assert!(path.join("within").is_dir());
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_symbolic_link_stays_and_what_it_leads_to_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let [here, there] = ["here", "there"].map(|name| temp.path().join(name));
        fs::create_dir(&here).unwrap();
        fs::create_dir(&there).unwrap();
        // By way of a second link; the file doesn't exist at first.
        symlink("../there/second", here.join("a")).unwrap();
        symlink("b", there.join("second")).unwrap();
        for text in ["one", "two"] {
            write(&here.join("a"), text.as_bytes(), SECRET).unwrap();
            assert_eq!(fs::read_to_string(there.join("b")).unwrap(), text);
        }
        assert!(here.join("a").is_symlink() && there.join("second").is_symlink());
        assert_eq!(
            (names(&here), names(&there)),
            (vec!["a".into()], vec!["b".into(), "second".into()])
        );

        symlink("round", here.join("round")).unwrap();
        let error = write(&here.join("round"), b"", SECRET).unwrap_err();
        assert!(error.to_string().contains("symbolic links"), "{error}");
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        symlink("/dev/null", &path).unwrap();
        write(&path, b"new", Care::default()).unwrap();
        assert!(is_device(fs::metadata("/dev/null").unwrap().file_type()));
        assert!(path.is_symlink());
    }

    #[test]
    fn a_shorter_content_leaves_nothing_of_a_longer_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "longer than the other").unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        overwrite(file, b"short", SECRET).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
    }

    #[test]
    fn names_of_one_file_are_found() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        let found = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
            two_that_are_one(&paths)
        };
        assert_eq!(found(&["a", "b", "nowhere/a"]), None, "none of them exists");
        assert_eq!(found(&["a", "b", "b"]), Some((1, 2)));
        symlink(path("b"), path("link")).unwrap();
        assert_eq!(found(&["a", "link", "b"]), Some((1, 2)), "before b exists");
        fs::write(path("b"), "").unwrap();
        fs::write(path("a"), "").unwrap();
        assert_eq!(found(&["a", "link", "b"]), Some((1, 2)), "and after");
        fs::hard_link(path("a"), path("hard")).unwrap();
        assert_eq!(found(&["a", "b", "hard"]), Some((0, 2)));
        for name in ["null", "nothing"] {
            symlink("/dev/null", path(name)).unwrap();
        }
        assert_eq!(found(&["null", "nothing", "a"]), None);
    }
}
