//! The licences of the code of others, in what is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where a package and an image have the licences.
pub(crate) const PLACE: &str = "usr/share/doc/area-net/THIRD-PARTY";

/// The crates in a binary, as `name version`, that say where they panic. Most do.
fn crates_in(binary: &[u8]) -> BTreeSet<String> {
    let sources = b"registry/src/";
    let ends = (sources.len()..=binary.len()).filter(|&end| binary[..end].ends_with(sources));
    // A release leaves the registry's own folder out.
    let folders = ends.flat_map(|end| binary[end..].split(|&byte| byte == b'/').take(2));
    let crates = folders.filter_map(|folder| {
        // Debug information has a folder without what is in it.
        let is_named = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte);
        let end = folder.iter().position(|byte| !is_named(byte));
        let folder = str::from_utf8(&folder[..end.unwrap_or(folder.len())]).ok()?;
        let mut hyphens = folder.match_indices('-').map(|(at, _)| at);
        let is_version = |at: &usize| folder[at + 1..].starts_with(|it: char| it.is_ascii_digit());
        let (name, version) = folder.split_at(hyphens.find(is_version)?);
        (version.matches('.').count() >= 2).then(|| format!("{name} {}", &version[1..]))
    });
    crates.collect()
}

/// The entries of one list, each with the numbers of its texts.
fn entries(list: &str) -> BTreeMap<&str, Vec<&str>> {
    let lines: Vec<&str> = list.lines().collect();
    let entries = lines.windows(3).filter_map(|lines| {
        let numbers = lines[2].strip_prefix("    texts: ")?;
        assert!(lines[1].starts_with("    licence: "), "{lines:?}");
        Some((lines[0], numbers.split(' ').collect()))
    });
    entries.collect()
}

/// Fails unless the licences name each crate that is linked into the binary, with a text.
#[track_caller]
pub(crate) fn are_complete(licences: &str, binary: &Path) {
    let (lists, texts) = licences.split_once("\n---- text 1 ----\n").unwrap();
    let (crates, libraries) = lists.split_once("\nLibraries of the compiler").unwrap();
    let [crates, libraries] = [crates, libraries].map(entries);
    let linked = crates_in(&fs::read(binary).unwrap());
    assert!(linked.len() > 40, "{binary:?} says too little: {linked:?}");
    for one in &linked {
        assert!(crates.contains_key(&one[..]), "{one} is missing: {lists}");
    }
    for (name, numbers) in crates.iter().chain(&libraries) {
        for number in numbers {
            let title = format!("\n---- text {number} ----\n");
            let has = *number == "1" || texts.contains(&title);
            assert!(has, "{name}: text {number} is missing");
        }
    }
    // Code in C, which no path in the binary shows, and what the compiler adds.
    for name in ["ring ", "libmimalloc-sys "] {
        assert!(crates.keys().any(|it| it.starts_with(name)), "{lists}");
    }
    for holder in ["Microsoft Corporation", "the fiat-crypto authors"] {
        assert!(texts.contains(holder), "{holder} is missing");
    }
    assert!(libraries.contains_key("Rust standard library"), "{lists}");
    for path in [env!("CARGO_MANIFEST_DIR"), "registry/src", "/lib/rustlib"] {
        assert!(
            !licences.contains(path),
            "the licences have the path {path}"
        );
    }
}

/// Fails unless a package has them. Unpacks it to a folder.
#[track_caller]
pub(crate) fn are_in(package: &Path, folder: &Path) {
    let unpacked = Command::new("dpkg-deb")
        .arg("-x")
        .args([package, folder])
        .status();
    assert!(unpacked.unwrap().success());
    let licences = fs::read_to_string(folder.join(PLACE)).unwrap();
    are_complete(&licences, &folder.join("usr/bin/area-net"));
    let copyright = folder.join("usr/share/doc/area-net/copyright");
    let copyright = fs::read_to_string(copyright).unwrap();
    assert!(copyright.contains(&format!("/{PLACE}")), "{copyright}");
}
