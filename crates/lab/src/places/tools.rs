//! The programs that the places need.

use std::env;
use std::ffi::OsString;

/// Folders of programs for administrators, which are often not on a user's path.
const SYSTEM: &str = ":/usr/sbin:/sbin";

/// Each program, and its package in Debian.
const TOOLS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
];

/// The path on which programs are searched.
pub(crate) fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(SYSTEM);
    path
}

/// What is missing on this machine, with the packages to install.
pub(crate) fn missing() -> Option<String> {
    let path = path();
    let is_there = |tool: &str| env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let lacks = TOOLS.iter().filter(|(tool, _)| !is_there(tool));
    let (names, packages): (Vec<&str>, Vec<&str>) = lacks.copied().unzip();
    (!names.is_empty()).then(|| {
        format!(
            "there is no {}; on Debian: apt-get install {}",
            names.join(", no "),
            packages.join(" ")
        )
    })
}
