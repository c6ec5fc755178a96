//! The files of scenarios: the shipped ones, those of the user, and what can be wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use area_net::nearest::did_you_mean;
use area_net::sim::parse::words::Wrong;
use serde::de::DeserializeOwned;

/// An error that keeps a scenario from running.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadScenario {
    /// The file can't be read.
    #[error("can't read {}: {source}", file.display())]
    Unreadable {
        /// The file's path.
        file: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// No shipped scenario has that name, and no file has that path.
    #[error(
        "there is no scenario `{name}`{hint}; --list shows them, and a path names a file of your own"
    )]
    Unknown {
        /// The name from the command line.
        name: String,
        /// A suggestion: the nearest valid name.
        hint: String,
    },
    /// The file contains a mistake.
    #[error("{}, line {line}: {what}", file.display())]
    Wrong {
        /// The file's path.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// A description of the mistake.
        what: String,
    },
}

/// Reads a file.
pub(crate) fn read(file: &Path) -> Result<String, BadScenario> {
    fs::read_to_string(file).map_err(|source| BadScenario::Unreadable {
        file: file.to_owned(),
        source,
    })
}

/// Builds a scenario from `text`, the contents of the file at `path`. `build` gets the scenario's name and the file as serde
/// reads it. `explain` turns serde's message into words for people.
pub(crate) fn parse<F: DeserializeOwned, S>(
    path: &Path,
    text: &str,
    explain: impl Fn(&str) -> String,
    build: impl FnOnce(&str, F) -> Result<S, Wrong>,
) -> Result<S, BadScenario> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let file: Result<F, Wrong> = toml::from_str(text)
        .map_err(|error| Wrong::new(error.span().unwrap_or(0..0), explain(error.message())));
    let built = file.and_then(|file| build(&name, file));
    built.map_err(|wrong| BadScenario::Wrong {
        file: path.to_owned(),
        line: wrong.line(text),
        what: wrong.what,
    })
}

/// The scenario files in a folder, sorted by name.
pub(crate) fn shipped(folder: &Path) -> Result<Vec<PathBuf>, BadScenario> {
    let unreadable = |source| BadScenario::Unreadable {
        file: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The files of the scenarios that the command line names, each by a shipped name or by a path; or all shipped ones.
pub(crate) fn named(folder: &Path, names: &[String]) -> Result<Vec<PathBuf>, BadScenario> {
    match names {
        [] => shipped(folder),
        names => names.iter().map(|name| find(folder, name)).collect(),
    }
}

/// Finds the file of a scenario from the command line.
pub(crate) fn find(folder: &Path, name: &str) -> Result<PathBuf, BadScenario> {
    let files = shipped(folder)?;
    let stem = |path: &PathBuf| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if let Some(path) = files.iter().find(|path| stem(path) == name) {
        return Ok(path.clone());
    }
    let path = PathBuf::from(name);
    if path.is_file() {
        return Ok(path);
    }
    let names: Vec<String> = files.iter().map(stem).collect();
    Err(BadScenario::Unknown {
        name: name.to_owned(),
        hint: did_you_mean(name, names.iter().map(String::as_str)),
    })
}
