//! Where a scenario is played: in namespaces of this kernel, where it has `sch_netem`, else in User-Mode Linux.
//!
//! In this kernel, a worker is this program, started again by `unshare` in new network, mount and process namespaces: when it
//! ends, however it does, the kernel ends all that it started and removes all that it made.
//!
//! User-Mode Linux is a Linux kernel that is a program. It gets this machine's own files as its root, read-only; only the
//! folder of results can be written. Its first process is a shell script that starts the worker. It has no network but its
//! own, and runs in a process namespace, so that nothing of it is left when it is ended.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cluster::guard_works;
use crate::isolate;
use crate::run::Job;
use crate::scenario::{Scenario, Topology};

/// The kernel's name in Debian's package `user-mode-linux`.
const UML: &str = "linux.uml";

/// Where that package has its modules.
const UML_MODULES: &str = "/usr/lib/uml/modules";

/// Memory of a User-Mode Linux, in MiB; what isn't used costs nothing.
const UML_MEMORY_MIB: u64 = 512;

/// Where User-Mode Linux keeps its memory, unless told otherwise. In a container it may be too small.
const SHARED_MEMORY: &str = "/dev/shm";

/// Folders that User-Mode Linux has of its own, and a worker in this kernel the first: what this machine has there can't be seen
/// from inside.
const HIDDEN: [&str; 4] = ["/run", "/proc", "/sys", "/dev"];

/// What a worker's namespaces are, besides the network's.
const NAMESPACES: [&str; 4] = ["--mount", "--pid", "--fork", "--kill-child"];

/// Where a worker works, in memory.
pub(crate) const WORK: &str = "/run/area-net-lab";

/// A place to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// New namespaces of this kernel.
    Kernel,
    /// This kernel, and an interface of this machine that was named.
    Here,
    /// A kernel of its own.
    Uml,
}

impl Place {
    /// In a word or two.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Here => "this machine",
            Self::Uml => "User-Mode Linux",
        }
    }
}

/// What this machine can do.
pub(crate) struct Machine {
    /// How to a new network namespace with the rest; none where no way is open.
    way: Option<Vec<String>>,
    /// This kernel has `sch_netem`.
    netem: bool,
    /// Why there is no User-Mode Linux, if there is none.
    no_uml: Option<String>,
    guarded: bool,
}

impl Machine {
    /// Looks.
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
            guarded: guard_works(),
        }
    }

    /// Whether this kernel has `sch_netem`.
    pub(crate) fn has_netem(&self) -> bool {
        self.netem
    }

    /// Where to play the scenario, or why it can't be played.
    pub(crate) fn place(&self, scenario: &Scenario, wish: Wish) -> Result<Place, String> {
        let uml = || match &self.no_uml {
            None => Ok(Place::Uml),
            Some(why) => Err(format!(
                "{why}; apt-get install user-mode-linux kmod iproute2 iputils-ping"
            )),
        };
        if wish == Wish::Uml {
            return uml();
        }
        if scenario.needs_own_clock() {
            return match wish {
                Wish::Kernel => Err("this kernel's clock is not the lab's to set".into()),
                Wish::Any | Wish::Interface | Wish::Uml => uml(),
            };
        }
        if wish == Wish::Interface && scenario.topology == Topology::Loopback {
            return Ok(Place::Here);
        }
        let able = self.way.is_some() && (self.netem || !scenario.needs_netem());
        match (able, wish) {
            (true, _) => Ok(Place::Kernel),
            (false, Wish::Kernel) => {
                Err("this kernel has no sch_netem, or gives no namespaces".into())
            }
            (false, Wish::Any | Wish::Interface | Wish::Uml) => uml(),
        }
    }

    /// Starts a worker for that job at that place.
    pub(crate) fn start(&self, place: Place, job: &Job, lab: &Path) -> Result<Child> {
        let file = job.out.join("job.json");
        let text = serde_json::to_string(job).context("a job is JSON")?;
        fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
        let mut words: Vec<OsString> = Vec::new();
        if self.guarded {
            words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        match place {
            Place::Here => words.extend([lab.into(), "--worker".into(), file.into()]),
            Place::Kernel => {
                can_see(job, lab, &HIDDEN[..1])?;
                let way = self
                    .way
                    .as_ref()
                    .context("there is no way to a namespace")?;
                words.push("unshare".into());
                words.extend(way.iter().map(OsString::from));
                let room = "mount -t tmpfs lab /run && mkdir \"$0\" && exec \"$@\"";
                words.extend(["--mount-proc", "--", "sh", "-c", room, WORK].map(OsString::from));
                words.extend([lab.into(), "--worker".into(), file.into()]);
            }
            Place::Uml => {
                words.extend(self.uml(job, lab, &file)?);
            }
        }
        let console =
            File::create(job.out.join("console")).context("can't write a console's words")?;
        let mut command = Command::new(&words[0]);
        if place == Place::Uml && !roomy(Path::new(SHARED_MEMORY)) {
            command.env("TMPDIR", job.out.join("boot"));
        }
        command
            .args(&words[1..])
            // The terminal's Ctrl-C is for the driver, who ends the worker.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("can't share a file")?)
            .stderr(console)
            .spawn()
            .with_context(|| format!("can't run {}", words[0].display()))
    }

    /// The command that boots a User-Mode Linux, whose first process plays the job.
    fn uml(&self, job: &Job, lab: &Path, file: &Path) -> Result<Vec<OsString>> {
        can_see(job, lab, &HIDDEN)?;
        let plain = |letter: char| !letter.is_whitespace() && !",\"".contains(letter);
        if !job.out.to_string_lossy().chars().all(plain) {
            bail!(
                "{}: a kernel's command line can't have that path; --keep names another",
                job.out.display()
            );
        }
        let boot = job.out.join("boot");
        fs::create_dir_all(boot.join("modules/lib")).context("can't make a folder")?;
        symlink(UML_MODULES, boot.join("modules/lib/modules")).context("can't make a link")?;
        let init = boot.join("init");
        fs::write(&init, script(&boot, &job.out, lab, file)).context("can't write a script")?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))
            .context("can't make a script runnable")?;
        let mut words: Vec<OsString> = Vec::new();
        // Where a process namespace can be had, everything in it ends with it.
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

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// What this kernel can do, here; else in User-Mode Linux.
    Any,
    /// This kernel or nowhere.
    Kernel,
    /// User-Mode Linux for everything.
    Uml,
    /// An interface of this machine for loopback scenarios.
    Interface,
}

/// The first process in User-Mode Linux. Paths are quoted for the shell. It gives up new privileges first: where the lab's user is not
/// root, this machine's setuid programs belong to nobody in there, and would lose their rights instead of gaining some.
fn script(boot: &Path, out: &Path, lab: &Path, file: &Path) -> String {
    let modules = quoted(&boot.join("modules"));
    let (out, lab, file) = (quoted(out), quoted(lab), quoted(file));
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
         {lab} --worker {file} </dev/null\n\
         echo o >/proc/sysrq-trigger\n\
         sleep 5\n\
         poweroff -f\n"
    )
}

/// Whether the memory of a few User-Mode Linuxes fits in there.
fn roomy(folder: &Path) -> bool {
    let room = rustix::fs::statvfs(folder).map(|about| about.f_bavail * about.f_frsize);
    room.is_ok_and(|bytes| bytes / (1024 * 1024) > 4 * UML_MEMORY_MIB)
}

/// Whether a worker will see all that it needs.
fn can_see(job: &Job, lab: &Path, hidden: &[&str]) -> Result<()> {
    for path in [lab, &job.binary, &job.out, &job.file] {
        if let Some(hidden) = hidden.iter().find(|hidden| path.starts_with(hidden)) {
            bail!(
                "{} can't be seen by a worker, which has a {hidden} of its own",
                path.display()
            );
        }
    }
    Ok(())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

/// A command without a voice.
fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The folder as the kernel knows it.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("there is no {}", path.display()))
}
