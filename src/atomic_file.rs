//! Writes files by rename: at every instant there is one whole file under the name, the old one or the new one.
//!
//! A symbolic link is followed, and the file that it leads to is replaced; a link of another user is an error
//! ([`trusted_path`](crate::trusted_path)). Some files can't be replaced: one that is mounted by
//! itself, as into a container, and one in a folder that can't be written to. They are overwritten in place, and then a reader
//! may find half of the new content.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fcntl_setfl, renameat, unlinkat};

use crate::trusted_path::{MAX_LINKS, Place, is_trusted, may_be_planted};

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

/// Writes `bytes` to a hidden file beside the file, `.<name>.new`, and gives it the name `path`. What is left there of an interrupted
/// attempt is removed. Blocks: not for the event loop.
///
/// # Errors
/// What the system says; then the old file stands as it was, unless it had to be overwritten, and the hidden one is removed where
/// that is possible.
pub fn write(path: &Path, bytes: &[u8], care: Care) -> io::Result<()> {
    let place = Place::of(path)?;
    let there = place.stat()?;
    let kind = there.map(|it| FileType::from_raw_mode(it.st_mode));
    match (kind, there) {
        (Some(FileType::CharacterDevice), _) => return open(&place)?.write_all(bytes),
        (Some(FileType::Fifo), Some(it)) if is_trusted(it.st_uid) => {
            return write_to_pipe(&place, bytes);
        }
        _ => {}
    }
    match replace(&place, bytes, care) {
        Err(error) if kind == Some(FileType::RegularFile) && is_irreplaceable(&error) => {
            // What made the replacement fail says more than that the file can't be opened either.
            let file = open(&place).map_err(|_| error)?;
            if may_be_planted(&place, &file) {
                let why = "it has another name elsewhere, and its folder belongs to another user";
                return Err(io::Error::new(ErrorKind::PermissionDenied, why));
            }
            overwrite(file, bytes, care)
        }
        written => written,
    }
}

fn open(place: &Place) -> io::Result<File> {
    place.open(OFlags::WRONLY, Mode::empty())
}

/// Somebody who reads it gets the whole content. Without a reader it is an error, since nobody knows how long to wait for one.
fn write_to_pipe(place: &Place, bytes: &[u8]) -> io::Result<()> {
    let mut pipe = open(place)?;
    fcntl_setfl(&pipe, OFlags::empty())?;
    pipe.write_all(bytes)
}

fn replace(place: &Place, bytes: &[u8], care: Care) -> io::Result<()> {
    let temporary = beside(place)?;
    // The mode applies to a new file only, and the name must not lead elsewhere.
    match unlinkat(place.folder(), temporary.name(), AtFlags::empty()) {
        Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let mut file = temporary.open(new, Mode::from_raw_mode(care.mode))?;
    let written = file
        .write_all(bytes)
        .and_then(|()| sync(&file, care))
        .and_then(|()| {
            let (from, to) = (temporary.name(), place.name());
            renameat(place.folder(), from, place.folder(), to).map_err(io::Error::from)
        });
    if written.is_err() {
        // On a full disk even half a file is in the way. One that can't be removed is removed next time.
        let _gone = unlinkat(place.folder(), temporary.name(), AtFlags::empty());
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

/// Whether a path leads to a device or a pipe.
#[must_use]
pub fn is_device_at(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| is_device(it.file_type()))
}

/// Such a file stays: who links a file to /dev/null wants nothing to be kept.
fn is_device(kind: fs::FileType) -> bool {
    kind.is_char_device() || kind.is_fifo()
}

/// The hidden file in which the new content of a file is prepared.
fn beside(place: &Place) -> io::Result<Place> {
    let mut hidden = OsString::from(".");
    hidden.push(place.name());
    hidden.push(".new");
    place.beside(hidden)
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

/// Where the file at a path is written: in this folder, or as this device.
#[must_use]
pub fn written_at(path: &Path) -> PathBuf {
    let Ok(path) = followed(path) else {
        return path.to_owned();
    };
    match fs::metadata(&path) {
        Ok(it) if is_device(it.file_type()) => path,
        _ => path.parent().unwrap_or(Path::new("")).to_owned(),
    }
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
    use std::fs::OpenOptions;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

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
    fn what_another_user_put_there_leads_nowhere() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let [shared, mine] = ["shared", "mine"].map(|name| temp.path().join(name));
        fs::create_dir(&shared).unwrap();
        fs::write(&mine, "mine").unwrap();
        // Both links of the kinds that the file and its preparation have.
        for name in ["a", ".a.new"] {
            symlink(&mine, shared.join(name)).unwrap();
            lchown(shared.join(name), Some(65_533), None).unwrap();
        }
        let error = write(&shared.join("a"), b"new", Care::default()).unwrap_err();
        assert!(error.to_string().contains("belongs to user"), "{error}");
        fs::remove_file(shared.join("a")).unwrap();
        write(&shared.join("a"), b"new", Care::default()).unwrap();
        assert_eq!(names(&shared), ["a"]);
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");

        // A second name of a file, in a folder of another user.
        lchown(&shared, Some(65_533), None).unwrap();
        fs::hard_link(&mine, shared.join("b")).unwrap();
        let place = Place::of(&shared.join("b")).unwrap();
        assert!(may_be_planted(&place, &open(&place).unwrap()));
        lchown(&shared, Some(0), None).unwrap();
        assert!(!may_be_planted(&place, &open(&place).unwrap()));
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_one_with_a_reader_gets_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        write(&path, b"new", Care::default()).unwrap_err();
        let long = vec![b'.'; 1 << 20];
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(&path).unwrap());
            // The thread may not have opened it yet.
            while write(&path, &long, Care::default()).is_err() {
                std::thread::yield_now();
            }
            assert_eq!(reader.join().unwrap(), long);
        });
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
