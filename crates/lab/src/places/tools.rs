//! The programs that the places need.

use std::process::Command;

/// What is missing on this machine, with the packages to install.
pub(crate) fn missing() -> Option<String> {
    let tools = [
        ("ip", "iproute2"),
        ("nft", "nftables"),
        ("conntrack", "conntrack"),
        ("nsenter", "util-linux"),
    ];
    let lacks = tools.iter().filter(|(tool, _)| !runs(tool));
    let (names, packages): (Vec<&str>, Vec<&str>) = lacks.copied().unzip();
    (!names.is_empty()).then(|| {
        format!(
            "there is no {}; on Debian: apt-get install {}",
            names.join(", no "),
            packages.join(" ")
        )
    })
}

/// Whether the program is there. Each of these prints its version.
fn runs(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|folder| folder.join(tool).is_file());
    found && Command::new(tool).arg("--version").output().is_ok()
}
