//! The machine as a hostile user of it, or bad luck, makes it: a full disk, few descriptors, closed streams, links that lead
//! elsewhere, two nodes of one profile.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use area_net::events::EventName;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use tokio::time::Instant;

use crate::life::by;
use crate::processes::{Desk, Process, ports, until, until_exact};

/// A user that isn't root.
const STRANGER: u32 = 65_533;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

async fn started(node: &Process) {
    until("it has started", || {
        !node.events(EventName::NodeStarted).is_empty()
    })
    .await;
}

/// Runs a command that fails with status 2, and returns its one line.
#[track_caller]
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

fn says(node: &Process, event: EventName, field: &str, part: &str) -> bool {
    let lines = node.events(event);
    lines
        .iter()
        .any(|line| line[field].as_str().is_some_and(|it| it.contains(part)))
}

async fn stops(node: &mut Process) {
    node.signal(Signal::TERM);
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.log());
}

#[tokio::test]
async fn a_profile_runs_once_and_its_lock_ends_with_it() {
    let desk = Desk::new();
    let addrs = ports(2);
    let mut alice = desk.start("alice", addrs[0], &[]);
    started(&alice).await;
    let lock = desk.path("profiles/alice/node.lock");
    let pid: u32 = fs::read_to_string(&lock).unwrap().trim().parse().unwrap();
    let mode = fs::metadata(&lock).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // At the same port and at another one.
    for addr in &addrs {
        let said = refused(&mut desk.command("alice", *addr, &[]));
        for part in ["alice runs already", &format!("process {pid}"), "node.lock"] {
            assert!(said.contains(part), "{said}");
        }
    }
    // A killed node locks nothing, whatever its file says.
    alice.signal(Signal::KILL);
    alice.ended().await;
    assert!(lock.exists());
    let mut alice = desk.start("alice", addrs[1], &[]);
    started(&alice).await;
    stops(&mut alice).await;
}

#[tokio::test]
async fn a_full_disk_stops_no_node() {
    let desk = Desk::new();
    let addrs = ports(2);
    let dir = desk.path("profiles/alice");
    fs::create_dir_all(&dir).unwrap();
    for name in ["peers.json", "network.json"] {
        symlink("/dev/full", dir.join(name)).unwrap();
    }
    let mut alice = desk.start("alice", addrs[0], &[]);
    until("alice says that she can't write", || {
        says(&alice, EventName::FileNotWritten, "error", "No space left")
    })
    .await;
    let targets = desk.targets("bob", &addrs[..1]);
    let bob = desk.start("bob", addrs[1], &[&targets]);
    until("bob sees her", || bob.picture().state("alice") == "up").await;
    stops(&mut alice).await;
}

/// The command, in a namespace in which these commands of the shell were run first.
fn mounted(mounts: &str, command: &Command) -> Command {
    let script = format!("{mounts}; exec \"$@\"");
    by(&["unshare", "--mount", "sh", "-ec", &script, "sh"], command)
}

#[tokio::test]
async fn a_full_or_read_only_file_system_leaves_nothing_half_written() {
    if !is_root() {
        return;
    }
    let desk = Desk::new();
    let addr = ports(1)[0];
    for folder in ["certs", "profiles"] {
        fs::create_dir(desk.path(folder)).unwrap();
    }
    // The key finds no room. The tmpfs is gone with the namespace, so its content is listed inside.
    let command = desk.command("alice", addr, &[]);
    let fill = "mount -t tmpfs -o size=16k,nr_inodes=16 none certs; mkdir -m 700 certs/alice; \
                head -c 99999 /dev/zero > certs/full || true";
    let script = format!("{fill}; \"$@\" || echo status $?; ls -A certs/alice");
    let said = by(
        &["unshare", "--mount", "sh", "-ec", &script, "sh"],
        &command,
    )
    .output()
    .unwrap();
    let stderr = String::from_utf8(said.stderr).unwrap();
    assert_eq!(
        String::from_utf8(said.stdout).unwrap(),
        "status 2\n",
        "{stderr}"
    );
    assert!(
        stderr.contains("certs/alice/key.pem") && stderr.contains("No space left"),
        "{stderr}"
    );

    // Nothing can be written beside the key, which was made before.
    let mut alice = desk.start("alice", addr, &[]);
    started(&alice).await;
    stops(&mut alice).await;
    let before = fs::read(desk.path("profiles/alice/state.json")).unwrap();
    let mut command = mounted(
        "mount --bind profiles profiles; mount -o remount,ro,bind profiles",
        &desk.command("alice", addr, &[]),
    );
    command.env_remove("XDG_RUNTIME_DIR");
    let mut alice = desk.start_by("alice", addr, &mut command);
    for (event, field) in [
        (EventName::ProfileNotLocked, "error"),
        (EventName::MemoryNotSaved, "error"),
        (EventName::FileNotWritten, "error"),
        (EventName::PageUnavailable, "cause"),
    ] {
        until("alice says so", || says(&alice, event, field, "Read-only")).await;
    }
    stops(&mut alice).await;
    assert_eq!(
        fs::read(desk.path("profiles/alice/state.json")).unwrap(),
        before
    );
}

#[tokio::test]
async fn files_that_no_node_wrote_are_refused_or_set_aside_at_once() {
    let desk = Desk::new();
    let addr = ports(1)[0];
    let mut alice = desk.start("alice", addr, &[]);
    started(&alice).await;
    stops(&mut alice).await;
    let [key, cert, state, config] = [
        "certs/alice/key.pem",
        "certs/alice/cert.pem",
        "profiles/alice/state.json",
        "config/network/alice.toml",
    ]
    .map(|name| desk.path(name));
    // A terabyte of zeros, which takes no room.
    for (file, said) in [
        (&cert, "cert.pem"),
        (&key, "key.pem"),
        (&config, "alice.toml"),
    ] {
        let good = fs::read(file).unwrap();
        let huge = fs::OpenOptions::new().write(true).open(file).unwrap();
        huge.set_len(1 << 40).unwrap();
        let said_all = refused(&mut desk.command("alice", addr, &[]));
        assert!(
            said_all.contains(said) && said_all.contains("more than"),
            "{said_all}"
        );
        huge.set_len(0).unwrap();
        fs::write(file, good).unwrap();
    }
    // A pipe gives nothing, and nobody waits for it.
    let good = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    mknodat(CWD, &key, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let said = refused(&mut desk.command("alice", addr, &[]));
    assert!(said.contains("it is no file"), "{said}");
    fs::remove_file(&key).unwrap();
    fs::write(&key, good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // Anybody could replace the key.
    let folder = key.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let said = refused(&mut desk.command("alice", addr, &[]));
    assert!(
        said.contains("0777") && said.contains("chmod o-w"),
        "{said}"
    );
    fs::set_permissions(folder, fs::Permissions::from_mode(0o1777)).unwrap();

    let huge = fs::OpenOptions::new().write(true).open(&state).unwrap();
    huge.set_len(1 << 40).unwrap();
    let mut alice = desk.start("alice", addr, &[]);
    until("alice says so", || {
        says(&alice, EventName::MemoryReset, "cause", "more than")
    })
    .await;
    stops(&mut alice).await;
    // A state that is a pipe keeps nothing, and doesn't delay the end.
    fs::remove_file(&state).unwrap();
    mknodat(CWD, &state, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut alice = desk.start("alice", addr, &[]);
    until("alice says so", || {
        !alice.events(EventName::MemoryNotSaved).is_empty()
    })
    .await;
    stops(&mut alice).await;
}

#[tokio::test]
async fn links_of_other_users_lead_nowhere() {
    if !is_root() {
        return;
    }
    let desk = Desk::new();
    let addr = ports(1)[0];
    let dir = desk.path("profiles/alice");
    fs::create_dir_all(&dir).unwrap();
    let planted = |link: &Path, to: &Path| {
        symlink(to, link).unwrap();
        lchown(link, Some(STRANGER), None).unwrap();
    };
    let mine = |name: &str| desk.path(&format!("mine-{name}"));
    let names = [
        "peers.json",
        "state.json.broken",
        ".network.json.new",
        "node.lock",
    ];
    for name in names {
        fs::write(mine(name), "mine").unwrap();
        planted(&dir.join(name), &mine(name));
    }
    // To be set aside.
    fs::write(dir.join("state.json"), "{").unwrap();
    let mut alice = desk.start("alice", addr, &[]);
    let words = format!("belongs to user {STRANGER}");
    for (event, field) in [
        (EventName::FileNotWritten, "error"),
        (EventName::ProfileNotLocked, "error"),
    ] {
        until("alice says so", || says(&alice, event, field, &words)).await;
    }
    until("the graph is there", || {
        alice.file("network.json").is_some()
    })
    .await;
    stops(&mut alice).await;
    for name in names {
        assert_eq!(fs::read_to_string(mine(name)).unwrap(), "mine", "{name}");
    }

    // The folder of all profiles is such a link.
    let folder = desk.path("folder");
    fs::create_dir_all(folder.join("alice")).unwrap();
    fs::write(folder.join("alice/state.json"), "{").unwrap();
    fs::rename(desk.path("profiles"), desk.path("old")).unwrap();
    planted(&desk.path("profiles"), &folder);
    let mut alice = desk.start("alice", addr, &[]);
    until("alice says so", || {
        says(&alice, EventName::MemoryNotSaved, "error", &words)
    })
    .await;
    stops(&mut alice).await;
    let left: Vec<_> = fs::read_dir(folder.join("alice")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn few_descriptors_are_enough_and_questions_take_none_away() {
    let desk = Desk::new();
    let addrs = ports(3);
    let limited = |profile: &str, addr: SocketAddr, settings: &[&str]| {
        let mut command = desk.command(profile, addr, settings);
        command.env_remove("XDG_RUNTIME_DIR");
        let mut command = by(&["prlimit", "--nofile=32:32"], &command);
        desk.start_by(profile, addr, command.env_remove("XDG_RUNTIME_DIR"))
    };
    let mut alice = limited("alice", addrs[0], &[]);
    let targets = desk.targets("bob", &addrs[..1]);
    let bob = limited("bob", addrs[1], &[&targets]);
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;
    // More connections than alice has descriptors.
    let socket = desk.path("profiles/alice/node.sock");
    let held: Vec<UnixStream> = (0..40)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let targets = desk.targets("carol", &addrs[..1]);
    let carol = desk.start("carol", addrs[2], &[&targets]);
    let all = ["alice", "bob", "carol"];
    until("the others see all", || {
        [&bob, &carol]
            .iter()
            .all(|it| it.picture().is_full_mesh_of(&all))
    })
    .await;
    drop(held);
    until_exact(&[&alice, &bob, &carol], &all).await;
    stops(&mut alice).await;
}

#[tokio::test]
async fn too_few_descriptors_or_too_little_memory_are_no_panic_and_harm_no_file() {
    let desk = Desk::new();
    let addr = ports(1)[0];
    let mut alice = desk.start("alice", addr, &[]);
    started(&alice).await;
    stops(&mut alice).await;
    let run = |limit: &str| {
        // How little memory is too little depends on the build: some of these nodes run until they are asked to stop.
        let words = ["timeout", "2", "prlimit", limit];
        let output = by(&words, &desk.command("alice", addr, &[]))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{limit}: {said}");
        (output.status.code(), said)
    };
    for few in ["--nofile=7:7", "--nofile=23:23"] {
        let (status, said) = run(few);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("ulimit -n"), "{said}");
    }
    for bytes in [20_000_000, 40_000_000, 60_000_000] {
        run(&format!("--as={bytes}"));
        assert!(alice.file("state.json").is_some(), "the file is whole");
    }
}

#[tokio::test]
async fn a_name_server_that_hangs_does_not_delay_the_end() {
    if !is_root() {
        return;
    }
    let desk = Desk::new();
    let addr = ports(1)[0];
    fs::write(desk.path("targets.json"), r#"["seed.example:8083"]"#).unwrap();
    fs::write(desk.path("resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
    // The kernel drops what goes to an address on loopback that it doesn't have.
    let network = "ip link set lo up; ip route add 192.0.2.0/24 dev lo; \
                   mount --bind resolv.conf /etc/resolv.conf; exec \"$@\"";
    let command = desk.command(
        "alice",
        addr,
        &["network.controller.target.path=targets.json"],
    );
    let mut command = by(
        &["unshare", "--mount", "--net", "sh", "-ec", network, "sh"],
        &command,
    );
    let mut alice = desk.start_by("alice", addr, &mut command);
    started(&alice).await;
    let pid = || fs::read_to_string(desk.path("profiles/alice/node.lock")).unwrap();
    until("it asks", || {
        let names = threads(pid().trim(), "Pid");
        names.iter().any(|(name, _)| name == "resolve")
    })
    .await;
    let since = Instant::now();
    stops(&mut alice).await;
    let took = since.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn closed_streams_are_nobodys_files() {
    let desk = Desk::new();
    let addrs = ports(3);
    let closing = ["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];
    let mut alice = {
        let mut command = by(
            &closing,
            &desk.command("alice", addrs[0], &["log.level=trace"]),
        );
        desk.spawn("alice", addrs[0], &mut command)
    };
    let targets = desk.targets("bob", &addrs[..1]);
    // A pipe that nobody reads any more.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = desk.command("bob", addrs[1], &[&targets, "log.level=trace"]);
    let mut bob = desk.spawn("bob", addrs[1], command.stderr(writer));
    until_exact(&[&alice, &bob], &["alice", "bob"]).await;
    for node in [&mut alice, &mut bob] {
        node.signal(Signal::TERM);
        assert_eq!(node.ended().await.code(), Some(0));
    }
    // An error is still told by the status.
    let command = desk.command("alice", addrs[2], &["label=1", "no.such.key=1"]);
    let status = by(&closing, &command).status().unwrap();
    assert_eq!(status.code(), Some(2));
    // Nobody reads the answer of a command.
    let output = Command::new("sh")
        .args(["-c", "\"$0\" sim -h | true; \"$0\" sim -h >&-"])
        .arg(env!("CARGO_BIN_EXE_area-net"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn a_label_writes_nothing_into_the_logs_of_others() {
    let desk = Desk::new();
    let addrs = ports(2);
    let label = r#"label="\u001b[2J\nWARN \u009b2J\u202eeve""#;
    let _eve = desk.start("eve", addrs[0], &[label]);
    let targets = desk.targets("bob", &addrs[..1]);
    let settings = [&*targets, "log.format=text", "log.level=trace"];
    let bob = desk.start("bob", addrs[1], &settings);
    until("bob names eve", || bob.log().contains("node up")).await;
    let log = bob.log();
    let plain = |it: char| !it.is_control() && it != '\u{202e}';
    for line in log.lines() {
        assert!(line.chars().all(plain), "{line:?}");
        let time = line.get(..12).is_some_and(|it| it.as_bytes()[8] == b'.');
        assert!(time, "no line begins within another: {line:?}");
    }
}

const QUESTION: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What the kernel says of each thread of a process, by thread.
fn threads(pid: &str, field: &str) -> Vec<(String, String)> {
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_matches([':', '\t', ' ']).to_owned())
        };
        Some((value("Name")?, value(field)?))
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.filter_map(|task| of(task.ok()?)).collect()
}

#[tokio::test]
async fn the_sandbox_holds_all_threads_and_keeps_the_node_in_its_folders() {
    let desk = Desk::new();
    let addrs = ports(2);
    let elsewhere = tempfile::tempdir().unwrap();
    for (addr, sandbox) in addrs.iter().zip([true, false]) {
        let profile = format!("alice-{sandbox}");
        let setting = format!("network.controller.sandbox={sandbox}");
        let mut command = desk.command(&profile, *addr, &[&setting]);
        let mut alice = desk.start_by(&profile, *addr, command.env_remove("XDG_RUNTIME_DIR"));
        started(&alice).await;
        until("its first files are written", || {
            alice.file("peers.json").is_some()
        })
        .await;
        let dir = desk.path(&format!("profiles/{profile}"));
        let told = || alice.events(EventName::Sandboxed);
        if sandbox {
            until("alice says so", || !told().is_empty()).await;
            if told()[0]["sandbox"] == "none" {
                return;
            }
        }
        // It answers, by threads that it starts later.
        let mut socket = UnixStream::connect(dir.join("node.sock")).unwrap();
        std::io::Write::write_all(&mut socket, QUESTION).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("process_resident_memory_bytes"), "{answer}");
        let pid = fs::read_to_string(dir.join("node.lock")).unwrap();
        let all = threads(pid.trim(), "NoNewPrivs");
        for name in ["area-net", "log", "export", "web"] {
            assert!(all.iter().any(|(thread, _)| thread == name), "{all:?}");
        }
        let restricted = if sandbox { "1" } else { "0" };
        assert!(all.iter().all(|(_, it)| it == restricted), "{all:?}");

        // A folder that is removed is made again. A link that is new leads out of the sandbox.
        let there = elsewhere.path().join(&profile);
        let is_gone = || fs::remove_dir_all(&dir).is_ok();
        until("the folder is gone", is_gone).await;
        fs::create_dir_all(&dir).unwrap();
        // By rename: the node may have made both again.
        symlink(&there, dir.join("link")).unwrap();
        fs::rename(dir.join("link"), dir.join("peers.json")).unwrap();
        let ends = format!("bob-{sandbox}");
        let targets = desk.targets(&ends, std::slice::from_ref(addr));
        let bob_addr = ports(1)[0];
        let _bob = desk.start(&ends, bob_addr, &[&targets]);
        until("the graph is there again", || {
            alice.picture().state(&ends) == "up"
        })
        .await;
        if sandbox {
            until("alice says so", || {
                says(
                    &alice,
                    EventName::FileNotWritten,
                    "error",
                    "Permission denied",
                )
            })
            .await;
            assert!(!there.exists());
        } else {
            until("the list is there", || there.exists()).await;
        }
        stops(&mut alice).await;
    }
}
