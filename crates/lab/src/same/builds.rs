//! The two binaries: built from a git revision or the working tree, or given by path.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::shared::{BadInput, binary, project};

/// Returns the folder for all builds and outputs, in the project's target folder.
pub(crate) fn target() -> PathBuf {
    project().join("target/same")
}

/// Returns the binary at that path.
pub(crate) fn named(path: &Path) -> Result<PathBuf> {
    let found = path.canonicalize();
    Ok(found.map_err(|error| BadInput(format!("can't find {}: {error}", path.display())))?)
}

/// Builds the working tree's binary and returns a copy, which a later build does not replace.
pub(crate) fn of_working_tree() -> Result<PathBuf> {
    let built = build(project(), "after")?;
    let copy = target().join("area-net-working-tree");
    put(&built, &copy)?;
    Ok(copy)
}

/// Returns the binary of a revision. It is built in a worktree of its own, unless an earlier comparison left it.
pub(crate) fn of_revision(revision: &str) -> Result<PathBuf> {
    let commit = commit(revision)?;
    let copy = target().join(format!("area-net-{commit}"));
    if copy.is_file() {
        return Ok(copy);
    }
    let worktree = Worktree::new(&commit)?;
    let built = build(&worktree.folder, "before")
        .with_context(|| format!("{revision} ({}) can't be built", &commit[..10]))?;
    put(&built, &copy)?;
    Ok(copy)
}

/// Makes a new, empty folder at that path. It removes the files that an earlier comparison left there.
pub(crate) fn emptied(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let ours = |path: &Path| {
        let end = path.extension().and_then(OsStr::to_str);
        end.is_some_and(|end| ["stdout", "stderr"].contains(&end))
    };
    let looked = || format!("can't look into {}", folder.display());
    for entry in fs::read_dir(folder).with_context(looked)? {
        let path = entry.with_context(looked)?.path();
        if !ours(&path) {
            let what = format!("{} is not from an earlier comparison", path.display());
            return Err(BadInput(format!("{what}; --keep takes a folder of its own")).into());
        }
        fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
    }
    folder.canonicalize().with_context(looked)
}

/// Builds one side in a target folder of its own. In a shared one, cargo would take two checkouts for the same project. It would
/// then skip the second build if its files were older than the first build.
fn build(project: &Path, side: &str) -> Result<PathBuf> {
    // These settings link quickly, unless the caller's environment overrides them: behaviour is compared, not speed.
    let quick = [
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ];
    let quick = quick.map(|(name, value)| {
        let given = std::env::var_os(name);
        (name, given.unwrap_or_else(|| value.into()))
    });
    binary::build(project, Some(&target().join(side)), &quick)
}

/// Copies a file atomically, because an interrupted copy must not pass for the binary of a commit.
fn put(from: &Path, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    fs::copy(from, &part).with_context(|| format!("can't copy {}", from.display()))?;
    fs::rename(&part, to).with_context(|| format!("can't write {}", to.display()))
}

/// Returns the commit that a revision names.
fn commit(revision: &str) -> Result<String> {
    let asked = git()
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{revision}^{{commit}}"))
        .output()
        .context("can't run git; name a binary with --before")?;
    if !asked.status.success() {
        return Err(BadInput(format!("git knows no revision `{revision}`")).into());
    }
    Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

/// A checkout of a commit in the folder for temporary files. Below the project, cargo would take it for a part of the workspace.
/// It is removed however the build ends.
struct Worktree {
    folder: PathBuf,
    _parent: TempDir,
}

impl Worktree {
    fn new(commit: &str) -> Result<Self> {
        let parent = tempfile::Builder::new()
            .prefix("area-net-same-")
            .tempdir()
            .context("no temporary folder")?;
        let worktree = Self {
            folder: parent.path().join("area-net"),
            _parent: parent,
        };
        let added = git()
            .args(["worktree", "add", "--quiet", "--detach"])
            .arg(&worktree.folder)
            .arg(commit)
            .status()
            .context("can't run git")?;
        if !added.success() {
            bail!("git can't make a worktree of {commit}");
        }
        Ok(worktree)
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        // If git can't remove it, the temporary folder's removal does, and git prunes its entry in time.
        let _removed = git()
            .args(["worktree", "remove", "--force"])
            .arg(&self.folder)
            .status();
    }
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(project()).stdin(Stdio::null());
    git
}
