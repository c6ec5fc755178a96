//! The image's recipe, run as a container runtime runs it, and the manifests' probes, asked of real nodes.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::delivery::{delivered, run, text};
use crate::licences;
use crate::ports::free_ports;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[expect(
    clippy::disallowed_methods,
    reason = "a probe has so many seconds of real time"
)]
fn now() -> Instant {
    Instant::now()
}

/// The user of the image.
const USER: u32 = 65532;

/// The last stage of the recipe: its instructions, each with the rest of its line.
fn last_stage() -> Vec<(String, String)> {
    let recipe = fs::read_to_string(delivered("Containerfile")).unwrap();
    let (_, stage) = recipe.rsplit_once("\nFROM scratch\n").unwrap();
    let lines = stage.lines().filter(|line| !line.starts_with('#'));
    let parts = lines.filter_map(|line| line.split_once(' '));
    parts
        .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
        .collect()
}

/// What an instruction of the last stage says.
#[track_caller]
fn says(word: &str) -> String {
    let stage = last_stage();
    let found = stage.iter().find(|(one, _)| one == word);
    found.expect(word).1.clone()
}

/// A command in the form of a JSON array.
#[track_caller]
fn command(array: &str) -> Vec<String> {
    serde_json::from_str(array).expect(array)
}

/// The licences for a binary with musl, of this machine's kind.
fn licences_of_a_static_binary() -> String {
    let output = Command::new("bash")
        .arg(delivered("licences.sh"))
        .arg(format!("{}-unknown-linux-musl", std::env::consts::ARCH))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What the first stage would have built, in a folder `image`.
fn built(folder: &Path, binary: &Path) {
    let built = folder.join("image");
    fs::create_dir_all(built.join("etc/area-net/network")).unwrap();
    fs::create_dir(built.join("data")).unwrap();
    let documents = built.join("usr/share/doc/area-net");
    fs::create_dir_all(&documents).unwrap();
    let licence = Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE");
    fs::copy(licence, documents.join("LICENSE")).unwrap();
    fs::write(built.join(licences::PLACE), licences_of_a_static_binary()).unwrap();
    fs::copy(binary, built.join("area-net")).unwrap();
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/network/default.toml");
    fs::copy(settings, built.join("etc/area-net/network/default.toml")).unwrap();
}

/// Runs buildah, with everything that it keeps in a folder.
fn buildah(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = run(Command::new("buildah")
        .arg("--root")
        .arg(folder.join("store"))
        .arg("--runroot")
        .arg(folder.join("run"))
        .args(["--storage-driver", "vfs"])
        .args(arguments))?;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// Lets buildah build the last stage, and checks what the image says of itself. `None` without buildah. The first stage needs an image of
/// a registry, so its results are in the context.
fn root_by_buildah(folder: &Path) -> Option<PathBuf> {
    let stage = last_stage().into_iter().map(|(word, rest)| {
        let rest = rest.replace("--from=build ", "");
        format!("{word} {rest}\n")
    });
    let recipe = folder.join("Containerfile");
    fs::write(
        &recipe,
        format!("FROM scratch\n{}", stage.collect::<String>()),
    )
    .unwrap();
    let (recipe, context) = (recipe.to_str().unwrap(), folder.to_str().unwrap());
    let build = ["build", "--isolation", "chroot", "--format", "docker"];
    let build = [
        &build[..],
        &["--tag", "area-net", "--file", recipe, context],
    ]
    .concat();
    buildah(folder, &build)?;
    let said = buildah(folder, &["inspect", "--type", "image", "area-net"])?;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let config = &said["Docker"]["config"];
    assert_eq!(config["User"], says("USER"), "{config}");
    assert_eq!(config["WorkingDir"], "/data", "{config}");
    assert_eq!(
        config["Healthcheck"]["Test"],
        json!(["CMD", "/area-net", "status"])
    );
    assert_eq!(config["Entrypoint"], json!(command(&says("ENTRYPOINT"))));
    assert_eq!(config["Cmd"], json!(command(&says("CMD"))));
    assert_eq!(config["ExposedPorts"], json!({"8083/udp": {}}));
    let container = buildah(folder, &["from", "area-net"])?;
    buildah(folder, &["mount", &container]).map(PathBuf::from)
}

/// Makes the image's root by hand, as the last stage says.
fn root_by_hand(folder: &Path) -> PathBuf {
    let (built, root) = (folder.join("image"), folder.join("root"));
    fs::create_dir(&root).unwrap();
    for (word, rest) in last_stage() {
        if word != "COPY" {
            continue;
        }
        let words: Vec<&str> = rest.split(' ').collect();
        let [options @ .., from, to] = &words[..] else {
            panic!("COPY {rest}")
        };
        assert!(options.contains(&"--from=build"), "COPY {rest}");
        let (from, to) = (from.strip_prefix("/image/").unwrap(), &to[1..]);
        let copied = Command::new("cp")
            .arg("-r")
            .arg(built.join(from))
            .arg(root.join(to))
            .status();
        assert!(copied.unwrap().success());
        if options.contains(&"--chown=65532:65532") {
            chown(root.join(to), Some(USER), Some(USER)).unwrap();
        }
    }
    root
}

/// Needs root, and a static binary, whose path is in `AREA_NET_STATIC`.
#[test]
fn the_image_runs_without_rights_and_its_health_check_tells_the_truth() {
    let Some(binary) = std::env::var_os("AREA_NET_STATIC").map(PathBuf::from) else {
        return;
    };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let bytes = fs::read(&binary).unwrap();
    let has = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    assert!(
        !has(b"/lib/ld-") && !has(b"/lib64/ld-"),
        "{binary:?} is static"
    );
    for path in [env!("CARGO_MANIFEST_DIR"), "/.cargo/registry"] {
        assert!(!has(path.as_bytes()), "{binary:?} has the path {path}");
    }

    let temp = tempfile::tempdir().unwrap();
    built(temp.path(), &binary);
    let root = root_by_buildah(temp.path()).unwrap_or_else(|| root_by_hand(temp.path()));
    let said = fs::read_to_string(root.join(licences::PLACE)).unwrap();
    licences::are_complete(&said, &root.join("area-net"));
    assert!(said.contains("\nmusl\n"), "musl is linked too");
    // A runtime mounts /proc.
    fs::create_dir_all(root.join("proc")).unwrap();
    assert_eq!(fs::metadata(root.join("data")).unwrap().uid(), USER);
    assert_eq!(says("USER"), format!("{USER}:{USER}"));
    assert_eq!(says("WORKDIR"), "/data");
    assert_eq!(says("STOPSIGNAL"), "SIGTERM");
    let health = says("HEALTHCHECK");
    let health = command(health.split_once(" CMD ").unwrap().1);
    let entry = [command(&says("ENTRYPOINT")), command(&says("CMD"))].concat();
    let output = run(Command::new("timeout")
        .args(["--signal=KILL", "60", "unshare", "--mount", "--pid"])
        .args(["--fork", "--kill-child", "--net", "--uts", "--ipc", "bash"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/image.sh"))
        .arg(&root)
        .args(&health)
        .arg("--")
        .args(&entry));
    let output = output.unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for line in [
        "health before: 3",
        "health running: 0",
        "health hung: 1",
        "Uid:\t65532\t65532\t65532\t65532",
        "CapEff:\t0000000000000000",
        "ended: 0",
        "certs",
        "profiles",
    ] {
        assert!(
            said.lines().any(|it| it == line),
            "no line {line:?}: {said}"
        );
    }
}

/// A value of the manifests that is a literal block, without its indentation.
fn literal(manifests: &str, key: &str) -> String {
    let (_, rest) = manifests.split_once(&format!("\n  {key}: |\n")).unwrap();
    let lines = rest.lines().map_while(|line| line.strip_prefix("    "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The command of a probe, and the seconds after which it has failed.
fn probe(manifests: &str, name: &str) -> (Vec<String>, u64) {
    let (_, rest) = manifests.split_once(&format!("{name}:\n")).unwrap();
    let (_, array) = rest.split_once("exec: {command: ").unwrap();
    let seconds = rest.split_once("timeoutSeconds: ").unwrap().1;
    let seconds = seconds.lines().next().unwrap().parse().unwrap();
    (command(array.split_once("}\n").unwrap().0), seconds)
}

/// A container of the manifests: its settings and arguments, in a folder of its own instead of /data.
struct Pod {
    data: PathBuf,
    node: Option<Child>,
}

impl Pod {
    /// Runs a command of the image there.
    fn command(&self, words: &[String]) -> Command {
        assert_eq!(words[0], "/area-net");
        let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
        command
            .args(&words[1..])
            .current_dir(&self.data)
            .env_clear();
        command
    }

    /// Whether a probe holds now. One that takes longer than it may has failed.
    fn passes(&self, (words, seconds): &(Vec<String>, u64)) -> bool {
        let began = now();
        let output = run(&mut self.command(words)).unwrap();
        output.status.success() && began.elapsed() < Duration::from_secs(*seconds)
    }

    #[track_caller]
    fn until_passes(&self, probe: &(Vec<String>, u64)) {
        let began = now();
        while !self.passes(probe) {
            assert!(began.elapsed() < PATIENCE, "{probe:?} never holds");
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(node) = &mut self.node {
            node.kill().ok();
            node.wait().ok();
        }
    }
}

#[test]
fn the_manifests_probes_tell_the_truth() {
    let manifests = fs::read_to_string(delivered("kubernetes.yaml")).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let key = temp.path().join("network.key");
    // As the manifests say that the secret is made.
    let made = "#   area-net network key network.key\n";
    assert!(
        manifests.contains(made) && manifests.contains("value: /run/secrets/area-net/network.key")
    );
    let output = run(Command::new(env!("CARGO_BIN_EXE_area-net"))
        .args(["network", "key"])
        .arg(&key));
    assert!(output.unwrap().status.success());
    let ports: [u16; 2] = free_ports(2).try_into().unwrap();

    // The headless service's name stands for all pods.
    let targets = literal(&manifests, "targets.json");
    assert_eq!(targets, "[\"area-net:8083\"]\n");
    let settings = literal(&manifests, "default.toml");
    let pods = ports.map(|port| {
        let folder = temp.path().join(port.to_string());
        let pod = Pod {
            data: folder.join("data"),
            node: None,
        };
        fs::create_dir_all(folder.join("etc/network")).unwrap();
        fs::create_dir_all(&pod.data).unwrap();
        let at = folder.join("etc/network");
        let settings = settings.replace("/etc/area-net/network", at.to_str().unwrap());
        fs::write(at.join("default.toml"), settings).unwrap();
        let targets = format!("[\"[::1]:{}\", \"[::1]:{}\"]", ports[0], ports[1]);
        fs::write(at.join("targets.json"), targets).unwrap();
        pod
    });
    let [mut one, mut two] = pods;
    let args = manifests.split_once("          args: ").unwrap().1;
    let args = command(args.lines().next().unwrap());
    let start = |pod: &mut Pod, name: &str, port: u16| {
        let etc = pod.data.with_file_name("etc");
        let words = ["/area-net", "-c", etc.to_str().unwrap()].map(str::to_owned);
        let args = args.iter().map(|word| word.replace("$(POD_NAME)", name));
        let words: Vec<String> = words.into_iter().chain(args).collect();
        let mut command = pod.command(&words);
        command
            .env("AREA_NET_KEY_FILE", &key)
            .args(["-s", &format!("network.controller.listen.port={port}")])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        pod.node = Some(command.spawn().unwrap());
    };

    let [startup, liveness, readiness] =
        ["startupProbe", "livenessProbe", "readinessProbe"].map(|name| probe(&manifests, name));
    assert!(!one.passes(&startup) && !one.passes(&liveness));
    start(&mut one, "area-net-0", ports[0]);
    one.until_passes(&startup);
    assert!(one.passes(&liveness));
    assert!(!one.passes(&readiness), "it has met nobody");
    start(&mut two, "area-net-1", ports[1]);
    one.until_passes(&readiness);
    two.until_passes(&readiness);
    // One that hangs is found.
    let pid = two.node.as_ref().unwrap().id();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert!(!two.passes(&liveness));
    assert!(one.passes(&liveness));
    kill_process(pid, Signal::CONT).unwrap();
    two.until_passes(&liveness);
}

#[test]
fn the_manifests_run_the_version_that_is_built() {
    let manifests = fs::read_to_string(delivered("kubernetes.yaml")).unwrap();
    let image = format!("image: area-net:{}\n", env!("CARGO_PKG_VERSION"));
    assert!(manifests.contains(&image), "kubernetes.yaml lacks {image}");
}

#[test]
fn no_key_of_this_machine_gets_into_an_image() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join(".dockerignore")).unwrap();
    for line in ["/.git", "/target", "/certs", "/profiles", "**/*.key"] {
        assert!(ignored.lines().any(|it| it == line), "{line}");
    }
}
