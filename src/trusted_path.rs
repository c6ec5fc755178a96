//! Opens this node's files without following the symbolic links of other users.
//!
//! A node may run in a folder that others can write to, such as one below `/tmp`. A link that another user puts there would lead
//! the node to a file that only the node's user may write. So each part of a path is opened in the folder before it, which stays
//! open, and nothing can be exchanged in between. A link is followed if it belongs to the node's user or to root. So links that the
//! user has made work as everywhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::process::geteuid;

/// The most symbolic links that are followed one after another, as in Linux (path_resolution(7)).
pub const MAX_LINKS: usize = 40;

/// A place for a file: an open folder, and a name in it that is no link.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    name: OsString,
}

/// What happens to a folder of the path that is missing.
#[derive(Debug, Clone, Copy)]
enum Missing {
    /// It is an error.
    Fails,
    /// It is made with these permissions, before the process's mask.
    IsMade(Mode),
}

impl Place {
    /// Finds the place to which a path leads. The file itself may be missing, its folder may not.
    ///
    /// # Errors
    /// When a link on the way belongs to another user, or when the system refuses.
    pub fn of(path: &Path) -> io::Result<Self> {
        let (folder, name) = walk(path, Missing::Fails)?;
        let name = name.ok_or_else(|| invalid("the path has no file name"))?;
        Ok(Self { folder, name })
    }

    /// The place of another name in the same folder.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn beside(&self, name: OsString) -> io::Result<Self> {
        let folder = self.folder.try_clone()?;
        Ok(Self { folder, name })
    }

    /// The open folder.
    pub fn folder(&self) -> impl AsFd + '_ {
        self.folder.as_fd()
    }

    /// The name of the file.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// What is there; `None` if nothing is.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stat(&self) -> io::Result<Option<Stat>> {
        match fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens what is there, or makes it with these permissions if the flags say so. A link is an error, and the call doesn't wait
    /// for the other end of a pipe.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(&self, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(fs::openat(&self.folder, &self.name, flags, mode)?.into())
    }
}

/// Reads a file of at most `most` bytes. A larger file is an error, and so is a pipe or device, which may have no end.
///
/// # Errors
/// When the file is none, is too large or can't be read.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_open(open(path)?, most)
}

/// Opens a file to read it.
///
/// # Errors
/// When it is no file, or can't be opened.
pub fn open(path: &Path) -> io::Result<File> {
    let file = Place::of(path)?.open(OFlags::RDONLY, Mode::empty())?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidData, "it is no file")),
    }
}

/// Reads an open file of at most `most` bytes.
///
/// # Errors
/// When it is too large, or can't be read.
pub fn read_open(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= most => Ok(bytes),
        _ => Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        )),
    }
}

/// Makes a folder and those above it, if they are missing, with these permissions before the process's mask.
///
/// # Errors
/// When a link on the way belongs to another user, or when the system refuses.
pub fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    // The point makes the last name one of a folder.
    walk(&path.join("."), Missing::IsMade(Mode::from_raw_mode(mode))).map(drop)
}

/// Opens the folder of a path, and returns the last name if it is that of a file: one that is no link, nor `.`, `..` or `/`.
fn walk(path: &Path, missing: Missing) -> io::Result<(OwnedFd, Option<OsString>)> {
    let mut folder = start(path)?;
    // The next name is the last.
    let mut names = names_of(path);
    // `Path` drops a point at the end.
    let ends_in_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/.");
    let mut links = 0;
    while let Some(name) = names.pop() {
        let is_last = names.is_empty() && !ends_in_folder;
        if name == ".." {
            folder = open_folder(&folder, &name)?;
            continue;
        }
        match fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                let to = trusted_link(&folder, &name)?;
                links += 1;
                if links > MAX_LINKS {
                    let why = format!("more than {MAX_LINKS} symbolic links lead on from it");
                    return Err(invalid(&why));
                }
                // An absolute link begins anew.
                if to.is_absolute() {
                    folder = start(&to)?;
                }
                names.extend(names_of(&to));
            }
            Ok(_) if is_last => return Ok((folder, Some(name))),
            Err(rustix::io::Errno::NOENT) if is_last => return Ok((folder, Some(name))),
            Ok(_) => folder = open_folder(&folder, &name)?,
            Err(rustix::io::Errno::NOENT) => match missing {
                Missing::Fails => return Err(rustix::io::Errno::NOENT.into()),
                Missing::IsMade(mode) => {
                    match fs::mkdirat(&folder, &name, mode) {
                        // Another program may have made it just now.
                        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    folder = open_folder(&folder, &name)?;
                }
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok((folder, None))
}

/// Opens the folder in which a path begins.
fn start(path: &Path) -> io::Result<OwnedFd> {
    let start = if path.is_absolute() { "/" } else { "." };
    Ok(fs::openat(CWD, start, FOLDER, Mode::empty())?)
}

/// The names in a path, the last one first.
fn names_of(path: &Path) -> Vec<OsString> {
    let names = path.components().rev();
    let names = names.filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// To open a folder, and no link to one. Whoever may only pass through a folder may not read it, so it isn't opened for reading.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(THROUGH);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = THROUGH;
const THROUGH: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn open_folder(folder: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(fs::openat(folder, name, FOLDER, Mode::empty())?)
}

/// Where a link leads that belongs to this user or to root.
fn trusted_link(folder: &OwnedFd, name: &OsStr) -> io::Result<PathBuf> {
    let (owner, to) = owner_and_target(folder, name)?;
    if is_trusted(owner) {
        return Ok(to);
    }
    let name = Path::new(name).display();
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        format!(
            "the symbolic link {name} belongs to user {owner}, and links of other users are not followed"
        ),
    ))
}

/// Both are of one link, even if somebody exchanges it meanwhile.
#[cfg(target_os = "linux")]
fn owner_and_target(folder: &OwnedFd, name: &OsStr) -> io::Result<(u32, PathBuf)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = fs::openat(folder, name, flags, Mode::empty())?;
    let to = fs::readlinkat(&link, "", Vec::new())?;
    let to = PathBuf::from(OsString::from_vec(to.into_bytes()));
    Ok((fs::fstat(&link)?.st_uid, to))
}

#[cfg(not(target_os = "linux"))]
fn owner_and_target(folder: &OwnedFd, name: &OsStr) -> io::Result<(u32, PathBuf)> {
    let to = fs::readlinkat(folder, name, Vec::new())?;
    let to = PathBuf::from(OsString::from_vec(to.into_bytes()));
    Ok((
        fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid,
        to,
    ))
}

/// Whether a user may lead this node to other files: the node's own user, and root.
#[must_use]
pub fn is_trusted(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// Whether a file has names elsewhere that another user may have given it: a hard link in a folder of that user's.
#[must_use]
pub fn may_be_planted(place: &Place, file: &File) -> bool {
    let Ok(folder) = fs::fstat(place.folder()) else {
        return true;
    };
    !is_trusted(folder.st_uid) && file.metadata().is_ok_and(|file| file.nlink() > 1)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    use super::*;

    /// A user that isn't this one, nor root.
    const STRANGER: u32 = 65_533;

    fn found(path: &Path) -> io::Result<PathBuf> {
        let file = Place::of(path)?.open(OFlags::RDONLY, Mode::empty())?;
        std::fs::read_link(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&file)
        ))
    }

    #[test]
    fn links_of_this_user_lead_on_wherever_they_stand() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/file"), "").unwrap();
        symlink("b", at("a/link")).unwrap();
        symlink(at("a"), at("absolute")).unwrap();
        symlink("link/../b/./file", at("a/last")).unwrap();
        let real = at("a/b/file").canonicalize().unwrap();
        for path in ["a/b/file", "a/link/file", "absolute/link/../last"] {
            assert_eq!(found(&at(path)).unwrap(), real, "{path}");
        }
        symlink("round", at("round")).unwrap();
        let error = found(&at("round")).unwrap_err();
        assert!(error.to_string().contains("symbolic links"), "{error}");
        assert_eq!(
            found(&at("no/file")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        found(&at("a/b/file/x")).unwrap_err();
        Place::of(Path::new("..")).unwrap_err();
    }

    #[test]
    fn a_link_of_another_user_is_followed_nowhere() {
        if !geteuid().is_root() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir(at("mine")).unwrap();
        std::fs::write(at("mine/file"), "").unwrap();
        for (link, to) in [
            ("folder", "mine"),
            ("file", "mine/file"),
            ("none", "mine/new"),
        ] {
            symlink(to, at(link)).unwrap();
            lchown(at(link), Some(STRANGER), None).unwrap();
        }
        for path in ["folder/file", "file", "none"] {
            let error = Place::of(&at(path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let words = format!("belongs to user {STRANGER}");
            assert!(error.to_string().contains(&words), "{error}");
        }
        create_folder(&at("folder/new"), 0o777).unwrap_err();
        assert!(!at("mine/new").exists());
    }

    #[test]
    fn folders_are_made_with_their_mode_and_those_that_are_there_stay() {
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("a/b/c");
        for _ in 0..2 {
            create_folder(&deep, 0o700).unwrap();
        }
        for folder in [deep.as_path(), deep.parent().unwrap()] {
            let mode = std::fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        create_folder(Path::new(""), 0o700).unwrap();
        std::fs::write(temp.path().join("file"), "").unwrap();
        create_folder(&temp.path().join("file"), 0o700).unwrap_err();
    }

    #[test]
    fn only_files_within_the_bound_are_read() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"1234");
        assert_eq!(read(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(
            read(Path::new("/dev/zero"), 3).unwrap_err().to_string(),
            "it is no file"
        );
        read(temp.path(), 3).unwrap_err();
        // A pipe without a writer would make us wait.
        let pipe = temp.path().join("pipe");
        fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(read(&pipe, 3).unwrap_err().to_string(), "it is no file");
    }
}
