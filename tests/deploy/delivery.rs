//! The unit, the package, the manifests and the image's recipe.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::licences;

/// The greatest exposure by which systemd may rate the unit, from 0 to 10. Services that nobody has confined have 9.
const EXPOSURE: f64 = 1.5;

/// How long the package's life may take. It takes five seconds on a machine that is otherwise idle.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn delivered(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/deploy")
        .join(name)
}

/// Runs a command; `None` if there is no such program.
pub(crate) fn run(command: &mut Command) -> Option<Output> {
    command.stdin(Stdio::null()).output().ok()
}

#[track_caller]
pub(crate) fn text(output: &Output) -> String {
    let all = [&output.stdout[..], b"\n", &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn systemd_rates_the_unit_as_confined() {
    let mut command = Command::new("systemd-analyze");
    command
        .args(["security", "--offline=true", "--no-pager"])
        .arg(delivered("area-net.service"));
    let Some(output) = run(&mut command) else {
        return;
    };
    let said = text(&output);
    let rated = said.split("Overall exposure level for").nth(1);
    let rated = rated.and_then(|it| it.split(':').nth(1)?.split_whitespace().next());
    let exposure: f64 = rated.and_then(|it| it.parse().ok()).expect(&said);
    assert!(exposure < EXPOSURE, "{said}");
}

/// Makes the package of the binary under test, without its tables for debuggers: packing them would take half a minute.
fn package(folder: &Path) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_area-net"));
    let temp = tempfile::tempdir().unwrap();
    let lean = temp.path().join("area-net");
    let mut strip = Command::new("strip");
    strip.args(["--strip-debug", "-o"]).arg(&lean).arg(built);
    let is_lean = run(&mut strip).is_some_and(|output| output.status.success());
    package_of(if is_lean { &lean } else { built }, folder)
}

fn package_of(binary: &Path, folder: &Path) -> Option<PathBuf> {
    Command::new("dpkg-deb").arg("--version").output().ok()?;
    let output = Command::new("bash")
        .arg(delivered("deb.sh"))
        .arg(binary)
        .arg(folder)
        // A package doesn't depend on who makes it.
        .env("TZ", "Pacific/Kiritimati")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let path = String::from_utf8(output.stdout).unwrap();
    Some(PathBuf::from(path.trim()))
}

#[test]
fn the_package_is_complete_and_the_same_twice() {
    let temp = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| temp.path().join(name));
    let both = std::thread::scope(|scope| {
        let second = scope.spawn(|| package(&two));
        (package(&one), second.join().expect("it makes a package"))
    });
    let (Some(first), Some(second)) = both else {
        return;
    };
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    let list = Command::new("dpkg-deb").arg("-c").arg(&first).output();
    let list = text(&list.unwrap());
    for (mode, path) in [
        ("-rwxr-xr-x", "./usr/bin/area-net"),
        ("-rw-r--r--", "./usr/lib/systemd/system/area-net.service"),
        ("-rw-r--r--", "./etc/area-net/network/default.toml"),
        ("-rw-r--r--", "./etc/area-net/network/node.toml"),
        ("-rw-r--r--", "./usr/share/man/man1/area-net.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/area-net-status.1.gz"),
        (
            "-rw-r--r--",
            "./usr/share/bash-completion/completions/area-net",
        ),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_area-net"),
        (
            "-rw-r--r--",
            "./usr/share/fish/vendor_completions.d/area-net.fish",
        ),
        ("-rw-r--r--", "./usr/share/doc/area-net/README.md"),
        ("-rw-r--r--", "./usr/share/doc/area-net/copyright"),
        ("-rw-r--r--", "./usr/share/doc/area-net/THIRD-PARTY"),
        ("-rw-r--r--", "./usr/share/doc/area-net/changelog.Debian.gz"),
    ] {
        let is_there = |line: &str| line.starts_with(mode) && line.ends_with(path);
        assert!(list.lines().any(is_there), "{path} is missing: {list}");
    }
    let files = list.lines().filter(|line| !line.is_empty());
    let of_others: Vec<&str> = files.filter(|line| !line.contains(" root/root ")).collect();
    assert!(of_others.is_empty(), "{of_others:?}");
    licences::are_in(&first, &temp.path().join("root"));
}

/// Needs a binary as it is released, whose path is in `AREA_NET_STATIC`: lintian would read a debug build for a minute.
#[test]
fn lintian_has_nothing_to_say_against_the_package() {
    let Some(binary) = std::env::var_os("AREA_NET_STATIC") else {
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    let Some(package) = package_of(binary.as_ref(), temp.path()) else {
        return;
    };
    let mut command = Command::new("lintian");
    command.args(["--fail-on", "error,warning"]).arg(&package);
    let Some(output) = run(&mut command) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output));
}

/// The folder of the unified hierarchy of control groups.
fn control_groups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let line = mounts.lines().find(|line| line.contains(" cgroup2 "))?;
    Some(PathBuf::from(line.split(' ').nth(1)?))
}

/// A control group for one systemd.
struct Group(PathBuf);

impl Group {
    fn create() -> Option<Self> {
        let name = format!("area-net-test-{}", std::process::id());
        let path = control_groups()?.join(name);
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The first process of a namespace ends after all others. The kernel may still be clearing up after the last of them.
        for _ in 0..1000 {
            if remove(&self.0).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

fn remove(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.path().is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[test]
fn the_package_lives_under_systemd() {
    let has = |path: &str| Path::new(path).exists();
    let can = rustix::process::geteuid().is_root()
        && has("/lib/systemd/systemd")
        && has("/usr/bin/deb-systemd-helper");
    if !can {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let (Some(package), Some(group)) = (package(temp.path()), Group::create()) else {
        return;
    };
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy");
    fs::copy(scripts.join("life.sh"), temp.path().join("life.sh")).unwrap();
    let enter = "echo $$ > \"$0/cgroup.procs\"; exec \"$@\"";
    let limit = PATIENCE.as_secs().to_string();
    let output = Command::new("timeout")
        .args(["--signal=KILL", &limit, "sh", "-c", enter])
        .arg(&group.0)
        .args(["unshare", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["--net", "--uts", "--ipc", "--cgroup", "bash"])
        .arg(scripts.join("boot.sh"))
        .arg(temp.path())
        .arg("life.sh")
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(temp.path().join(name)).unwrap_or_default();
    let parts = ["out", "node.log", "other.log", "console"]
        .map(read)
        .join("\n---\n");
    let said = format!("{package:?}\n{}\n{parts}", text(&output));
    assert_eq!(read("status"), "0\n", "{said}");
    assert!(read("out").contains("\ncomplete\n"), "{said}");
}

#[test]
fn the_manifests_are_valid() {
    let Some(tools) = std::env::var_os("AREA_NET_PARSERS") else {
        return;
    };
    let validate = Path::new(&tools).join("bin/kubernetes-validate");
    let output = Command::new(validate)
        .arg("--strict")
        .arg(delivered("kubernetes.yaml"))
        .output()
        .expect("the folder of parsers has kubernetes-validate");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn the_image_copies_files_that_exist() {
    let recipe = fs::read_to_string(delivered("Containerfile")).unwrap();
    let sources = recipe
        .split_whitespace()
        .filter(|it| it.starts_with("config/"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for source in sources {
        let path = source.trim_end_matches(':');
        assert!(root.join(path).exists(), "{path}");
    }
}
