//! The oldest Rust that the manifests promise.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A version of Rust: its numbers, those that are left out as 0.
fn version(text: &str) -> [u64; 3] {
    let mut numbers = text.split('.').map(|part| part.parse().expect(text));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

/// A dependency that says so needs a newer Rust than the manifests promise, or they promise less than they could.
#[test]
fn the_oldest_rust_is_that_of_the_newest_dependency() {
    // Crates of other machines need not be here: nothing but this build may have fetched any.
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.expect("rustc names its host");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let rust = |package: &Value| package["rust_version"].as_str().map(version);
    let is_ours = |package: &&Value| package["source"].is_null();
    let ours: Vec<&Value> = packages.iter().filter(is_ours).collect();
    assert!(ours.len() >= 3, "{ours:?}");
    let promised = rust(ours[0]).expect("the manifests have a rust-version");
    for package in &ours {
        assert_eq!(rust(package), Some(promised), "{}", package["name"]);
    }
    let others = packages.iter().filter(|package| !is_ours(package));
    let newest = others.max_by_key(|package| rust(package)).unwrap();
    assert_eq!(
        rust(newest),
        Some(promised),
        "{} needs this version of Rust, and Cargo.toml promises {promised:?}",
        newest["name"]
    );
}

#[test]
fn the_documents_and_ci_name_the_same_oldest_rust() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let promised = env!("CARGO_PKG_RUST_VERSION");
    for (file, words) in [
        (
            "README.md",
            format!("(https://rustup.rs) {promised} or newer"),
        ),
        (
            "docs/contributing.md",
            format!("(https://rustup.rs) {promised} or newer"),
        ),
        (
            "docs/contributing.md",
            format!("rustup toolchain install {promised} --profile minimal"),
        ),
    ] {
        assert!(read(file).contains(&words), "{file} lacks {words:?}");
    }
}
