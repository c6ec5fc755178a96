//! The configuration folder and the profiles in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::DEFAULT_PROFILE;
use super::error::SettingsError;
use super::layer::Layer;
use super::shown::shown;
use crate::nearest::edits;

/// An error about an unknown profile lists all profiles up to this number, and only the closest ones above it.
const FEW: usize = 12;

/// The longest profile name, in bytes. The name is the default label of the node, so it must fit a record.
const MAX_NAME: usize = crate::record::MAX_LABEL;

/// The layers in the folder: `default.toml`, then the profile's file.
pub(super) fn layers(config_dir: &Path, profile: &str) -> Result<Vec<Layer>, SettingsError> {
    check_name(profile)?;
    check_folder("config folder", config_dir)?;
    let folder = config_dir.join("network");
    check_folder("settings folder", &folder)?;
    let default = folder.join("default.toml");
    let mut layers = vec![Layer::from_file("default settings file", &default)?];
    if profile != DEFAULT_PROFILE {
        let file = folder.join(format!("{profile}.toml"));
        layers.push(match Layer::from_file("profile's settings file", &file) {
            Err(SettingsError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Err(unknown(profile, folder));
            }
            other => other?,
        });
    }
    Ok(layers)
}

/// A profile's name is part of paths, so it must not lead to another folder.
fn check_name(profile: &str) -> Result<(), SettingsError> {
    let why = if profile.is_empty() {
        "is empty"
    } else if profile.starts_with('.') {
        "begins with a dot"
    } else if profile.contains(['/', '\\']) {
        "contains a slash or a backslash"
    } else if profile.contains("..") {
        "contains `..`"
    } else if profile.contains(char::is_control) {
        "contains a control character"
    } else if profile.len() > MAX_NAME {
        "is longer than 128 bytes"
    } else {
        return Ok(());
    };
    Err(SettingsError::BadProfileName {
        name: profile.to_owned(),
        why,
    })
}

fn check_folder(what: &'static str, path: &Path) -> Result<(), SettingsError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(SettingsError::NotAFolder {
            what,
            path: path.to_owned(),
        }),
        Err(source) => Err(SettingsError::Unreadable {
            what,
            path: path.to_owned(),
            source,
        }),
    }
}

fn unknown(name: &str, folder: PathBuf) -> SettingsError {
    let mut present = profiles(&folder);
    // The closest first, then by name; the sort is stable.
    present.sort();
    present.sort_by_key(|profile| edits(name, profile));
    let quoted = |names: &[String]| {
        let names: Vec<_> = names
            .iter()
            .map(|name| format!("`{}`", shown(name)))
            .collect();
        names.join(", ")
    };
    let hint = match present.len() {
        0 => "; the folder contains no profiles".to_owned(),
        1..=FEW => format!("; available, closest name first: {}", quoted(&present)),
        many => format!("; the closest of {many} names: {}", quoted(&present[..3])),
    };
    SettingsError::UnknownProfile {
        name: name.to_owned(),
        folder,
        hint,
    }
}

/// The names of the profiles in the folder. Empty if the folder can't be listed, since they are only a hint in an error.
fn profiles(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .filter(|name| name == DEFAULT_PROFILE || check_name(name).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_no_profile() {
        for bad in ["", ".", "..", ".git", "a/b", "../a", "a..b", "a\\b", "a\nb"] {
            let error = check_name(bad).unwrap_err().to_string();
            assert!(error.contains("invalid profile name"), "{error}");
        }
        check_name(&"x".repeat(MAX_NAME + 1)).unwrap_err();
        for good in ["alice", "default", "zoë", "a.b", "node 1", "-"] {
            check_name(good).unwrap();
        }
    }

    #[test]
    fn an_unknown_profile_is_answered_with_the_nearest() {
        let dir = tempfile::tempdir().unwrap();
        let hint = || unknown("alcie", dir.path().to_owned()).to_string();
        assert!(hint().contains("contains no profiles"), "{}", hint());
        for name in ["bob.toml", "alice.toml", "default.toml", "notes.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(
            hint().ends_with("first: `alice`, `bob`, `default`"),
            "{}",
            hint()
        );
        for index in 0..20 {
            fs::write(dir.path().join(format!("node{index:02}.toml")), "").unwrap();
        }
        assert!(
            hint().contains("the closest of 23 names: `alice`"),
            "{}",
            hint()
        );
    }
}
