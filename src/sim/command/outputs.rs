//! The files that a simulation writes: checked before the run, and replaced at its end.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{SimArgs, SimError};
use crate::atomic_file::{self, Care};
use crate::sim::Scenario;

/// The most symbolic links in a row that are followed, as in Linux.
const MOST_LINKS: usize = 40;

/// Replaces a file by rename, so that Ctrl-C leaves either the old or the new one, complete. Pipes and devices are written directly.
pub(super) fn write_file(file: &Path, bytes: &[u8]) -> Result<(), SimError> {
    atomic_file::write(file, bytes, Care::default()).map_err(|source| SimError::Unwritable {
        file: file.to_owned(),
        source,
    })
}

/// Checks the output files before the run, so that a long run is not lost to a missing folder, and no input is overwritten.
pub(super) fn check_files(args: &SimArgs, scenario: &Scenario) -> Result<(), SimError> {
    let files = [&args.json, &args.html, &args.seeing.record];
    let [json, html, record] = files.map(Option::as_deref);
    let json = json.filter(|file| !is_stdout(file));
    let refuse = |flag: &str, file: &Path, what: &str| {
        Err(SimError::Flag {
            flag: format!("{flag} {}", file.display()),
            what: what.to_owned(),
        })
    };
    let files = [("--json", json), ("--html", html), ("--record", record)];
    let files = files
        .into_iter()
        .filter_map(|(flag, file)| Some((flag, file?)));
    let files: Vec<(&str, &Path)> = files.collect();
    for (nth, (flag, file)) in files.iter().enumerate() {
        if is_stdout(file) {
            let what = "only --json can write to standard output; give a file name";
            return refuse(flag, file, what);
        }
        let one = |other: &Path| target(other) == target(file) || is_same(other, file);
        if let Some((other, _)) = files[..nth].iter().find(|(_, other)| one(other)) {
            return refuse(flag, file, &format!("{other} writes the same file"));
        }
    }
    for (flag, file) in files {
        if scenario.files.iter().any(|other| is_same(file, other)) {
            return refuse(
                flag,
                file,
                "the scenario was read from this file, which would be overwritten",
            );
        }
        if file.is_dir() {
            return refuse(flag, file, "this is a folder; give a file name");
        }
        if let Err(error) = try_to_write(file) {
            return refuse(flag, file, &format!("can't be written: {error}"));
        }
    }
    Ok(())
}

/// Checks that a file can be created or written, without changing it.
fn try_to_write(file: &Path) -> io::Result<()> {
    match file.metadata() {
        // Opening a pipe would block until somebody reads it.
        Ok(it) if !it.is_file() => Ok(()),
        Ok(_) => fs::OpenOptions::new().append(true).open(file).map(|_| ()),
        Err(_) => {
            let file = target(file);
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&file)?;
            fs::remove_file(file)
        }
    }
}

/// The one name of the file that a name leads to, whether that file exists or not.
fn target(file: &Path) -> PathBuf {
    let mut file = file.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(file) = file.canonicalize() {
            return file;
        }
        let name = file.file_name().map(ToOwned::to_owned);
        let folder = file.parent().filter(|it| *it != Path::new(""));
        let folder = folder.unwrap_or(Path::new(".")).canonicalize();
        let (Ok(folder), Some(name)) = (folder, name) else {
            break;
        };
        file = folder.join(name);
        // A symbolic link to a file that does not exist yet.
        match file.read_link() {
            Ok(link) => file = folder.join(link),
            Err(_) => break,
        }
    }
    file
}

/// Whether two names lead to the same file.
fn is_same(one: &Path, other: &Path) -> bool {
    let of = |file: &Path| file.metadata().map(|it| (it.dev(), it.ino()));
    of(one).is_ok_and(|one| of(other).is_ok_and(|other| one == other))
}

pub(super) fn is_stdout(file: &Path) -> bool {
    file == Path::new("-") || is_same(file, Path::new("/dev/stdout"))
}
