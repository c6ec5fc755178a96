//! The place in which a worker runs: namespaces of this kernel if it has `sch_netem`, else User-Mode Linux.
//!
//! In this kernel, `unshare` starts the worker in new network, mount and process namespaces. However the worker ends, the kernel
//! then ends all processes that it started and removes everything that it made.
//!
//! User-Mode Linux is a Linux kernel that runs as a program. Its root is this machine's file system, read-only; only the folder
//! of results is writable. Its first process is a shell script that starts the worker. It has only its own network. It runs in a
//! process namespace, so that no process is left when it is ended.
//!
//! The benchmarks `lab` and `netem` share this.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::shared::isolate;

/// The kernel's name in Debian's package `user-mode-linux`.
const UML: &str = "linux.uml";

/// The folder of that package's modules.
const UML_MODULES: &str = "/usr/lib/uml/modules";

/// The memory of a User-Mode Linux, in MiB. Unused memory costs nothing.
const UML_MEMORY_MIB: u64 = 512;

/// The folder in which User-Mode Linux keeps its memory by default. In a container it may be too small.
const SHARED_MEMORY: &str = "/dev/shm";

/// The folders that User-Mode Linux replaces by its own, so that this machine's files there are invisible inside. For a worker in
/// this kernel, that is only the first.
const HIDDEN: [&str; 4] = ["/run", "/proc", "/sys", "/dev"];

/// The arguments of `unshare` for a worker's namespaces, besides that of the network.
const NAMESPACES: [&str; 4] = ["--mount", "--pid", "--fork", "--kill-child"];

/// The working folder of a worker, in memory.
pub(crate) const WORK: &str = "/run/area-net-lab";

/// A place in which a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// New namespaces of this kernel.
    Kernel,
    /// This kernel, with a given interface of this machine.
    Here,
    /// A kernel of its own.
    Uml,
}

impl Place {
    /// Returns a short description.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Here => "this machine",
            Self::Uml => "User-Mode Linux",
        }
    }
}

/// A program to run at a place.
pub(crate) struct Worker<'a> {
    /// Its path and arguments.
    pub(crate) command: &'a [OsString],
    /// The folder to which it can write. Its output goes to the file `console` there.
    pub(crate) out: &'a Path,
    /// Further paths that it must be able to read.
    pub(crate) reads: &'a [&'a Path],
}

/// The capabilities of this machine.
pub(crate) struct Machine {
    /// The arguments of `unshare` for all of a worker's namespaces, or `None` if it can't make them here.
    way: Option<Vec<String>>,
    /// Whether this kernel has `sch_netem`.
    netem: bool,
    /// Why User-Mode Linux can't be used, or `None` if it can.
    no_uml: Option<String>,
    guarded: bool,
}

impl Machine {
    /// Detects the capabilities.
    pub(crate) fn look() -> Self {
        let way = isolate::way(&NAMESPACES);
        let netem = way.as_ref().is_some_and(|way| {
            quiet("unshare")
                .args(way)
                .args([
                    "--", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms",
                ])
                .status()
                .is_ok_and(|status| status.success())
        });
        let uml = quiet(UML)
            .arg("--version")
            .status()
            .is_ok_and(|status| status.success());
        let no_uml = if !uml {
            Some(format!("there is no {UML}"))
        } else if !Path::new(UML_MODULES).is_dir() {
            Some(format!("there is no {UML_MODULES}"))
        } else {
            None
        };
        Self {
            way,
            netem,
            no_uml,
            guarded: isolate::guard_works(),
        }
    }

    /// Returns whether this kernel has `sch_netem`.
    pub(crate) fn has_netem(&self) -> bool {
        self.netem
    }

    /// Returns whether this kernel lets us make namespaces.
    pub(crate) fn has_namespaces(&self) -> bool {
        self.way.is_some()
    }

    /// Returns User-Mode Linux, or why it can't be used.
    pub(crate) fn uml(&self) -> Result<Place, String> {
        match &self.no_uml {
            None => Ok(Place::Uml),
            Some(why) => Err(format!(
                "{why}; apt-get install user-mode-linux kmod iproute2 iputils-ping"
            )),
        }
    }

    /// Starts a worker at that place.
    pub(crate) fn start(&self, place: Place, worker: &Worker<'_>) -> Result<Child> {
        let mut words: Vec<OsString> = Vec::new();
        if self.guarded {
            words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        match place {
            Place::Here => words.extend_from_slice(worker.command),
            Place::Kernel => {
                can_see(worker, &HIDDEN[..1])?;
                let way = self
                    .way
                    .as_ref()
                    .context("there is no way to a namespace")?;
                words.push("unshare".into());
                words.extend(way.iter().map(OsString::from));
                let room = "mount -t tmpfs lab /run && mkdir \"$0\" && exec \"$@\"";
                words.extend(["--mount-proc", "--", "sh", "-c", room, WORK].map(OsString::from));
                words.extend_from_slice(worker.command);
            }
            Place::Uml => {
                words.extend(self.boot(worker)?);
            }
        }
        let console =
            File::create(worker.out.join("console")).context("can't write a console's words")?;
        let mut command = Command::new(&words[0]);
        if place == Place::Uml && !roomy(Path::new(SHARED_MEMORY)) {
            command.env("TMPDIR", worker.out.join("boot"));
        }
        command
            .args(&words[1..])
            // The terminal's Ctrl-C must reach only the driver, which then ends the worker.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("can't share a file")?)
            .stderr(console)
            .spawn()
            .with_context(|| format!("can't run {}", words[0].display()))
    }

    /// Returns the command that boots a User-Mode Linux, whose first process starts the worker.
    fn boot(&self, worker: &Worker<'_>) -> Result<Vec<OsString>> {
        can_see(worker, &HIDDEN)?;
        let plain = |letter: char| !letter.is_whitespace() && !",\"".contains(letter);
        if !worker.out.to_string_lossy().chars().all(plain) {
            bail!(
                "{}: a kernel's command line can't have that path",
                worker.out.display()
            );
        }
        let boot = worker.out.join("boot");
        fs::create_dir_all(boot.join("modules/lib")).context("can't make a folder")?;
        symlink(UML_MODULES, boot.join("modules/lib/modules")).context("can't make a link")?;
        let init = boot.join("init");
        fs::write(&init, script(&boot, worker)).context("can't write a script")?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))
            .context("can't make a script runnable")?;
        let mut words: Vec<OsString> = Vec::new();
        // In a process namespace, if one can be made, all processes end with the first.
        if let Some(way) = &self.way {
            words.push("unshare".into());
            words.extend(way.iter().map(OsString::from));
            words.push("--".into());
        }
        let named = |key: &str, path: &Path| {
            let mut word = OsString::from(key);
            word.push(path);
            word
        };
        words.extend([
            UML.into(),
            named("uml_dir=", &boot),
            "umid=lab".into(),
            "rootfstype=hostfs".into(),
            "rootflags=/".into(),
            "ro".into(),
            format!("mem={UML_MEMORY_MIB}M").into(),
            "con=null".into(),
            "con0=fd:0,fd:1".into(),
            "quiet".into(),
            "panic=1".into(),
            named("init=", &init),
        ]);
        Ok(words)
    }
}

/// Returns the script of the first process in User-Mode Linux. Paths are quoted for the shell. It sets no-new-privileges first:
/// if the lab's user is not root, this machine's setuid programs belong to `nobody` inside, and would lose rights, not gain them.
fn script(boot: &Path, worker: &Worker<'_>) -> String {
    let modules = quoted(boot.join("modules").as_os_str());
    let out = quoted(worker.out.as_os_str());
    let command: Vec<String> = worker.command.iter().map(|word| quoted(word)).collect();
    let command = command.join(" ");
    format!(
        "#!/bin/sh\n\
         [ \"$1\" = again ] || exec setpriv --no-new-privs \"$0\" again\n\
         export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sys /sys\n\
         mount -t tmpfs lab /run\n\
         mkdir {WORK}\n\
         mount -t hostfs out {out} -o {out}\n\
         for module in ipv6 veth sch_netem; do modprobe -d {modules} $module; done\n\
         {command} </dev/null\n\
         echo o >/proc/sysrq-trigger\n\
         sleep 5\n\
         poweroff -f\n"
    )
}

/// Returns whether the folder has room for the memory of a few User-Mode Linuxes.
fn roomy(folder: &Path) -> bool {
    let room = rustix::fs::statvfs(folder).map(|about| about.f_bavail * about.f_frsize);
    room.is_ok_and(|bytes| bytes / (1024 * 1024) > 4 * UML_MEMORY_MIB)
}

/// Checks that no path that a worker needs is in a hidden folder.
fn can_see(worker: &Worker<'_>, hidden: &[&str]) -> Result<()> {
    let program = worker.command.first().map(Path::new);
    for path in program.iter().chain(&[worker.out]).chain(worker.reads) {
        if let Some(hidden) = hidden.iter().find(|hidden| path.starts_with(hidden)) {
            bail!(
                "{} can't be seen by a worker, which has a {hidden} of its own",
                path.display()
            );
        }
    }
    Ok(())
}

fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))
}

/// Returns a command whose output is discarded.
fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Ends a worker and all processes that it started. The worker leads a process group, and mostly has a process namespace as well.
pub(crate) fn end(worker: &mut Child) -> Result<()> {
    kill_process_group(Pid::from_child(worker), Signal::KILL).context("can't end a worker")?;
    worker.wait().context("can't reap a worker")?;
    Ok(())
}
