//! The real binary as its users meet it. Profiles on loopback are started, killed, asked to leave and started again, with good
//! files and bad ones.

#[cfg(test)]
mod processes;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{PipeReader, PipeWriter, Write as _};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::{Command, Output};
    use std::time::Duration;

    use area_net::events::EventName;
    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::process::Signal;
    use tokio::time::Instant;

    use crate::processes::{Desk, Process, ports, until, until_exact};

    const FIVE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

    /// The five profiles with the targets that they ship with, at free ports.
    fn start_five(desk: &Desk, addrs: &[SocketAddr]) -> Vec<Process> {
        (0..5)
            .map(|at| start_one_of_five(desk, addrs, at))
            .collect()
    }

    fn start_one_of_five(desk: &Desk, addrs: &[SocketAddr], at: usize) -> Process {
        let targets: [&[usize]; 5] = [&[], &[0, 2], &[4], &[0], &[3]];
        let targets: Vec<SocketAddr> = targets[at].iter().map(|&at| addrs[at]).collect();
        let targets = desk.targets(FIVE[at], &targets);
        desk.start(FIVE[at], addrs[at], &[&targets])
    }

    #[tokio::test]
    async fn five_profiles_know_each_other_and_one_that_is_killed_comes_back() {
        let desk = Desk::new();
        let addrs = ports(5);
        let mut nodes = start_five(&desk, &addrs);
        until_exact(&nodes.iter().collect::<Vec<_>>(), &FIVE).await;
        for node in &nodes {
            let others = addrs.iter().filter(|addr| **addr != node.addr);
            let mut others: Vec<String> = others.map(SocketAddr::to_string).collect();
            others.sort();
            let peers = || {
                let mut peers: Vec<String> =
                    serde_json::from_value(node.file("peers.json").unwrap()).unwrap();
                peers.sort();
                peers
            };
            until("peers.json lists the others", || peers() == others).await;
        }

        let mut alice = nodes.remove(0);
        alice.signal(Signal::KILL);
        alice.ended().await;
        let rest: Vec<&Process> = nodes.iter().collect();
        let took = until_exact(&rest, &FIVE[1..]).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        for node in &rest {
            assert_eq!(node.picture().state("alice"), "unreachable");
        }

        let alice = start_one_of_five(&desk, &addrs, 0);
        let all: Vec<&Process> = [&alice].into_iter().chain(&nodes).collect();
        let took = until_exact(&all, &FIVE).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[tokio::test]
    async fn a_node_that_is_impaired_says_so_and_is_slower_to_one_peer_than_to_the_other() {
        let desk = Desk::new();
        let addrs = ports(3);
        let (bob, carol) = (
            desk.start("bob", addrs[0], &[]),
            desk.start("carol", addrs[1], &[]),
        );
        let words = format!("to {} delay 60ms; to {} loss 0.001%", addrs[0], addrs[1]);
        let targets = desk.targets("alice", &addrs[..2]);
        let mut alice = desk.start(
            "alice",
            addrs[2],
            &[
                &targets,
                &format!("network.controller.impair={words}"),
                "network.controller.probe.interval_ms=200",
                "network.controller.d2=true",
            ],
        );
        until_exact(&[&alice, &bob, &carol], &["alice", "bob", "carol"]).await;
        let [said] = &alice.events(EventName::SendingImpaired)[..] else {
            panic!("{}", alice.log());
        };
        assert_eq!(
            (&said["level"], &said["impair"]),
            (&"WARN".into(), &(*words).into())
        );
        assert_eq!(alice.file("network.json").unwrap()["impaired"], *words);
        assert!(bob.file("network.json").unwrap()["impaired"].is_null());
        let picture = fs::read_to_string(desk.path("profiles/alice/peers.d2")).unwrap();
        let mine = picture.lines().find(|line| line.contains("; me]")).unwrap();
        assert!(mine.contains("\\nimpaired: to [::1]:"), "{mine}");

        // Packets to bob take 60 ms; those from bob, and both ways to and from carol, take no time.
        let rtt_us = |to: &str| {
            let json = alice.file("network.json")?;
            let id = |label: &str| {
                let nodes = json["nodes"].as_array()?;
                let node = nodes.iter().find(|node| node["label"] == label)?;
                Some(node["id"].clone())
            };
            let ends = [id("alice")?, id(to)?];
            let links = json["links"].as_array()?;
            let link = links
                .iter()
                .find(|link| ends.contains(&link["dialer"]) && ends.contains(&link["listener"]));
            link?["rtt_us"].as_u64()
        };
        until("the way to bob is seen to be long", || {
            rtt_us("bob").is_some_and(|rtt| rtt >= 60_000)
                && rtt_us("carol").is_some_and(|rtt| rtt < 60_000)
        })
        .await;

        // The impairment still delivers the delayed packets of a node that leaves.
        alice.signal(Signal::TERM);
        assert_eq!(alice.ended().await.code(), Some(0));
        for other in [&bob, &carol] {
            until("the others show that she left", || {
                other.picture().state("alice") == "left"
            })
            .await;
        }
    }

    /// The same command, run by another one, which replaces itself by it.
    fn by(words: &[&str], command: &Command) -> Command {
        let mut outer = Command::new(words[0]);
        outer
            .args(&words[1..])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(command.get_current_dir().unwrap())
            .env_remove("RUST_LOG");
        outer
    }

    #[tokio::test]
    async fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
        let desk = Desk::new();
        let addrs = ports(2);
        let ignoring = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"];
        let mut command = by(&ignoring, &desk.command("alice", addrs[0], &[]));
        let mut alice = desk.start_by("alice", addrs[0], &mut command);
        until("it has started", || {
            !alice.events(EventName::NodeStarted).is_empty()
        })
        .await;
        for signal in [Signal::HUP, Signal::INT] {
            alice.signal(signal);
        }
        let targets = desk.targets("bob", &addrs[..1]);
        let bob = desk.start("bob", addrs[1], &[&targets]);
        until_exact(&[&alice, &bob], &["alice", "bob"]).await;
        assert_eq!(alice.events(EventName::NodeStopping).len(), 0);
        alice.signal(Signal::TERM);
        assert_eq!(alice.ended().await.code(), Some(0), "{}", alice.log());
    }

    #[tokio::test]
    async fn a_node_that_is_asked_to_stop_says_farewell() {
        let desk = Desk::new();
        let addrs = ports(3);
        let bob = desk.start("bob", addrs[0], &[]);
        let carol = desk.start("carol", addrs[1], &[]);
        let targets = desk.targets("alice", &addrs[..2]);
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            // The tests themselves may run under nohup, or in the background of a script.
            let default = ["env", "--default-signal=HUP,INT,TERM"];
            let mut command = by(&default, &desk.command("alice", addrs[2], &[&targets]));
            let mut alice = desk.start_by("alice", addrs[2], &mut command);
            until_exact(&[&alice, &bob, &carol], &["alice", "bob", "carol"]).await;
            alice.signal(signal);
            let since = Instant::now();
            let status = alice.ended().await;
            let took = since.elapsed();
            assert_eq!(status.code(), Some(0), "{signal:?}: {}", alice.log());
            assert!(took < Duration::from_secs(1), "{signal:?}: {took:?}");
            for other in [&bob, &carol] {
                until("the others show that she left", || {
                    other.picture().state("alice") == "left"
                })
                .await;
            }
            let took = since.elapsed();
            assert!(took < Duration::from_millis(1500), "{signal:?}: {took:?}");
        }
    }

    /// Runs a node that can't start. Its error must be one line that contains all of `said`, and no file may change.
    #[track_caller]
    fn refuses(desk: &Desk, addr: SocketAddr, said: &[&str]) {
        let before = contents(&desk.path(""));
        let mut command = desk.command("alice", addr, &[]);
        let Output { status, stderr, .. } = command.output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for part in said {
            assert!(stderr.contains(part), "no {part:?} in: {stderr}");
        }
        assert_eq!(contents(&desk.path("")), before, "nothing is written");
    }

    fn contents(dir: &Path) -> Vec<(String, Vec<u8>, u32)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            let name = path.display().to_string();
            if path.is_dir() {
                found.push((name, Vec::new(), mode));
                found.extend(contents(&path));
            } else {
                found.push((name, fs::read(&path).unwrap(), mode));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_port_in_use_is_told_with_its_address_and_key() {
        let desk = Desk::new();
        let taken = UdpSocket::bind("[::1]:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let said = [
            &addr.to_string(),
            "network.controller.listen",
            "port",
            "alice",
            "in use",
        ];
        // The profile has no files yet: the desk has only its configuration.
        desk.command("alice", addr, &[]);
        refuses(&desk, addr, &said);
        assert!(!desk.path("certs").exists() && !desk.path("profiles").exists());
    }

    #[test]
    fn files_that_would_overwrite_each_other_are_refused() {
        let desk = Desk::new();
        let addr = ports(1)[0];
        // The profile has no files yet: the desk has only its configuration.
        desk.command("alice", addr, &[]);
        let dir = desk.path("profiles/alice");
        fs::create_dir_all(&dir).unwrap();
        for (name, to) in [("peers.json", "network.json"), ("state.json", "peers.json")] {
            let (link, file) = (dir.join(name), dir.join(to));
            fs::write(&file, "[]").unwrap();
            std::os::unix::fs::symlink(to, &link).unwrap();
            refuses(&desk, addr, &[name, to, "are one file"]);
            fs::remove_file(link).unwrap();
            fs::remove_file(file).unwrap();
        }
        fs::write(dir.join("peers.json"), "[]").unwrap();
        let path = "network.controller.target.path=profiles/alice/peers.json";
        let output = desk.command("alice", addr, &[path]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("are one file"), "{stderr}");
        assert_eq!(fs::read(dir.join("peers.json")).unwrap(), b"[]");
    }

    #[tokio::test]
    async fn files_that_are_links_are_written_through_and_stay_links() {
        let desk = Desk::new();
        let addrs = ports(2);
        let [dir, certs, there] =
            ["profiles/alice", "certs/alice", "there"].map(|name| desk.path(name));
        for folder in [&dir, &certs, &there] {
            fs::create_dir_all(folder).unwrap();
        }
        let names = ["peers.json", "network.json", "state.json", "peers.d2"];
        let links: Vec<_> = names
            .iter()
            .map(|name| (dir.join(name), there.join(name)))
            .chain(["key.pem", "cert.pem"].map(|name| (certs.join(name), there.join(name))))
            .collect();
        for (link, file) in &links {
            std::os::unix::fs::symlink(file, link).unwrap();
        }
        let mut alice = desk.start("alice", addrs[0], &["network.controller.d2=true"]);
        let targets = desk.targets("bob", &addrs[..1]);
        let bob = desk.start("bob", addrs[1], &[&targets]);
        until_exact(&[&alice, &bob], &["alice", "bob"]).await;
        alice.signal(Signal::TERM);
        assert_eq!(alice.ended().await.code(), Some(0), "{}", alice.log());
        for (link, file) in &links {
            assert!(link.is_symlink(), "{}", link.display());
            assert!(!fs::read(file).unwrap().is_empty(), "{}", file.display());
        }
        let mode = fs::metadata(there.join("key.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_node_that_listens_on_loopback_says_why_it_reaches_no_other_machine() {
        let desk = Desk::new();
        let addrs = ports(1);
        // An address for documentation (RFC 5737): no machine has it.
        let targets = desk.targets("alice", &["192.0.2.1:8083".parse().unwrap()]);
        let alice = desk.start("alice", addrs[0], &[&targets]);
        until("alice says so", || {
            let failed = alice.events(EventName::DialFailed);
            failed.iter().any(|line| {
                let says = |key: &str, part| line[key].as_str().is_some_and(|it| it.contains(part));
                says("cause", "no way from ::1") && says("action", "network.controller.listen.addr")
            })
        })
        .await;
    }

    /// Makes a key and a certificate by a short run of the program.
    async fn make_identity(desk: &Desk, profile: &str) {
        let mut node = desk.start(profile, ports(1)[0], &[]);
        until("it has started", || {
            !node.events(EventName::NodeStarted).is_empty()
        })
        .await;
        node.signal(Signal::TERM);
        assert_eq!(node.ended().await.code(), Some(0));
    }

    #[tokio::test]
    async fn a_bad_key_or_certificate_is_named_and_left_alone() {
        let desk = Desk::new();
        make_identity(&desk, "alice").await;
        make_identity(&desk, "bob").await;
        let addr = ports(1)[0];
        let (key, cert) = (
            desk.path("certs/alice/key.pem"),
            desk.path("certs/alice/cert.pem"),
        );
        let (good_key, good_cert) = (fs::read(&key).unwrap(), fs::read(&cert).unwrap());
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );

        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for bad in [&b""[..], b"garbage", &good_key[..40], pem.as_bytes()] {
            fs::write(&key, bad).unwrap();
            refuses(&desk, addr, &["certs/alice/key.pem"]);
        }
        fs::write(&key, &good_key).unwrap();
        for bad in [&b""[..], b"garbage", &good_cert[..40]] {
            fs::write(&cert, bad).unwrap();
            refuses(&desk, addr, &["certs/alice/cert.pem"]);
        }
        fs::copy(desk.path("certs/bob/cert.pem"), &cert).unwrap();
        refuses(
            &desk,
            addr,
            &["certs/alice/cert.pem", "not a certificate of the key"],
        );
        fs::write(&cert, &good_cert).unwrap();

        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        refuses(&desk, addr, &["certs/alice/key.pem", "0644", "chmod 600"]);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&key, Some(1), None).unwrap();
            refuses(&desk, addr, &["certs/alice/key.pem", "user 1", "user 0"]);
            std::os::unix::fs::chown(&key, Some(0), None).unwrap();
        }
        fs::remove_file(&key).unwrap();
        refuses(&desk, addr, &["certs/alice/cert.pem", "no key.pem"]);
        // A folder in the key's place can't be read as one.
        fs::create_dir(&key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o700)).unwrap();
        refuses(&desk, addr, &["certs/alice/key.pem"]);
    }

    #[tokio::test]
    async fn a_certificate_that_is_missing_is_made_anew_for_the_same_key() {
        let desk = Desk::new();
        make_identity(&desk, "alice").await;
        let key = fs::read(desk.path("certs/alice/key.pem")).unwrap();
        fs::remove_file(desk.path("certs/alice/cert.pem")).unwrap();
        make_identity(&desk, "alice").await;
        assert!(desk.path("certs/alice/cert.pem").exists());
        assert_eq!(fs::read(desk.path("certs/alice/key.pem")).unwrap(), key);
    }

    /// A full pipe that nobody reads.
    fn full_pipe() -> (PipeReader, PipeWriter) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        for piece in [4096, 1] {
            while writer.write(&vec![b'.'; piece]).is_ok() {}
        }
        fcntl_setfl(&writer, OFlags::empty()).unwrap();
        (reader, writer)
    }

    #[tokio::test]
    async fn a_node_whose_log_nobody_takes_goes_on() {
        let desk = Desk::new();
        let addrs = ports(2);
        let (reader, writer) = full_pipe();
        let mut command = desk.command("alice", addrs[0], &["log.level=trace"]);
        let mut alice = desk.spawn("alice", addrs[0], command.stderr(writer));
        let targets = desk.targets("bob", &addrs[..1]);
        let bob = desk.start("bob", addrs[1], &[&targets]);
        until_exact(&[&alice, &bob], &["alice", "bob"]).await;
        alice.signal(Signal::TERM);
        assert_eq!(alice.ended().await.code(), Some(0));
        drop(reader);
    }

    #[tokio::test]
    async fn a_folder_that_vanishes_or_is_in_the_way_stops_nobody() {
        let desk = Desk::new();
        let addrs = ports(3);
        // A file stands where the folder should be, so that not even root can write there.
        fs::write(desk.path("profiles"), "in the way").unwrap();
        let mut alice = desk.start("alice", addrs[0], &[]);
        until("alice warns", || {
            let said = alice.events(EventName::FileNotWritten);
            said.iter().any(|line| line["level"] == "WARN")
        })
        .await;
        // Alice goes on: she links with bob, and writes her files as soon as she can.
        fs::remove_file(desk.path("profiles")).unwrap();
        let targets = desk.targets("bob", &addrs[..1]);
        let bob = desk.start("bob", addrs[1], &[&targets]);
        until_exact(&[&alice, &bob], &["alice", "bob"]).await;

        fs::remove_dir_all(desk.path("profiles")).unwrap();
        let carol = desk.start("carol", addrs[2], &[&targets]);
        until_exact(&[&alice, &bob, &carol], &["alice", "bob", "carol"]).await;
        alice.signal(Signal::TERM);
        assert_eq!(alice.ended().await.code(), Some(0));
    }

    #[tokio::test]
    async fn a_broken_state_is_set_aside_and_epochs_grow_over_restarts() {
        let desk = Desk::new();
        let addr = ports(1)[0];
        let epoch = |node: &Process| {
            node.file("state.json")
                .and_then(|state| state["epoch"].as_u64())
        };
        let mut before = 0;
        for _ in 0..3 {
            let mut alice = desk.start("alice", addr, &[]);
            until("the epoch is on disk", || {
                epoch(&alice).is_some_and(|epoch| epoch > before)
            })
            .await;
            before = epoch(&alice).unwrap();
            alice.signal(Signal::KILL);
            alice.ended().await;
        }
        // A clock that went back makes no difference.
        let ahead = before + 3_600_000;
        let state = desk.path("profiles/alice/state.json");
        fs::write(
            &state,
            format!("{{\"format\":1,\"epoch\":{ahead},\"nodes\":[]}}"),
        )
        .unwrap();
        let mut alice = desk.start("alice", addr, &[]);
        until("the epoch is above", || epoch(&alice) == Some(ahead + 1)).await;
        alice.signal(Signal::KILL);
        alice.ended().await;

        fs::write(&state, "{\"format\":1,").unwrap();
        let alice = desk.start("alice", addr, &[]);
        until("it has started", || epoch(&alice).is_some()).await;
        assert_eq!(
            fs::read(state.with_extension("json.broken")).unwrap(),
            b"{\"format\":1,"
        );
        // A thread of its own writes the log.
        until("alice says so once", || {
            alice.events(EventName::MemoryReset).len() == 1
        })
        .await;
    }

    #[tokio::test]
    async fn an_identity_that_runs_twice_is_said_loudly() {
        let desk = Desk::new();
        let addrs = ports(3);
        make_identity(&desk, "alice").await;
        fs::create_dir_all(desk.path("certs/copy")).unwrap();
        for file in ["key.pem", "cert.pem"] {
            fs::copy(
                desk.path("certs/alice").join(file),
                desk.path("certs/copy").join(file),
            )
            .unwrap();
        }
        let bob = desk.start("bob", addrs[0], &[]);
        let targets = desk.targets("alice", &addrs[..1]);
        let alice = desk.start("alice", addrs[1], &[&targets]);
        until_exact(&[&alice, &bob], &["alice", "bob"]).await;
        let copy = desk.start("copy", addrs[2], &[&targets]);
        let says = |node: &Process, event: EventName| {
            let said = node.events(event);
            said.iter().any(|line| line["level"] == "ERROR")
        };
        until("bob says so", || {
            says(&bob, EventName::PeerIdentityDuplicated)
        })
        .await;
        until("the copy says so", || {
            says(&copy, EventName::OwnIdentityDuplicated)
        })
        .await;
        // The node that was there first keeps its links.
        assert!(bob.picture().is_full_mesh_of(&["alice", "bob"]));
        assert_eq!(bob.events(EventName::LinkDown).len(), 0, "{}", bob.log());
    }

    #[tokio::test]
    async fn a_newcomer_can_use_what_another_wrote_as_its_targets() {
        let desk = Desk::new();
        let addrs = ports(3);
        let alice = desk.start("alice", addrs[0], &[]);
        let targets = desk.targets("bob", &addrs[..1]);
        let bob = desk.start("bob", addrs[1], &[&targets]);
        until_exact(&[&alice, &bob], &["alice", "bob"]).await;
        until("alice lists bob", || {
            alice.file("peers.json") == Some(serde_json::json!([addrs[1]]))
        })
        .await;
        let path = "network.controller.target.path=profiles/alice/peers.json";
        let zoe = desk.start("zoe", addrs[2], &[path]);
        until_exact(&[&alice, &bob, &zoe], &["alice", "bob", "zoe"]).await;
    }
}
