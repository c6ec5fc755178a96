//! The sockets of a real node: who can open them, what happens when they can't be opened, and that a view of the past is what the
//! files said then.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use area_net::events::EventName;
use rustix::process::Signal;
use serde_json::Value;

use crate::processes::{Desk, ports, until};

const ON: &str = "network.controller.web.enabled=true";

fn ask(
    mut stream: impl std::io::Read + std::io::Write,
    path: &str,
    header: &str,
) -> (u16, Vec<u8>) {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: [::1]\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let status = std::str::from_utf8(&answer[9..12])
        .unwrap()
        .parse()
        .unwrap();
    (status, answer.split_off(end + 4))
}

fn ask_file(socket: &Path, path: &str) -> Value {
    let (status, body) = ask(UnixStream::connect(socket).unwrap(), path, "");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_nodes_user_can_open_its_socket_and_it_goes_with_the_node() {
    let desk = Desk::new();
    let addr = ports(1)[0];
    let mut command = desk.command("alice", addr, &[]);
    let mut alice = desk.start_by("alice", addr, command.env_remove("XDG_RUNTIME_DIR"));
    let socket = desk.path("profiles/alice/node.sock");
    until("the socket is there", || socket.exists()).await;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(ask_file(&socket, "/v1/status")["label"], "alice");

    let runtime = desk.path("run");
    fs::create_dir(&runtime).unwrap();
    let addr = ports(1)[0];
    let mut command = desk.command("bob", addr, &[]);
    let bob = desk.start_by("bob", addr, command.env("XDG_RUNTIME_DIR", &runtime));
    let shared = runtime.join("area-net/bob.sock");
    until("the socket is there", || shared.exists()).await;
    assert_eq!(
        (mode(&shared), mode(&runtime.join("area-net"))),
        (0o600, 0o700)
    );
    assert_eq!(ask_file(&shared, "/v1/status")["label"], "bob");
    assert!(!desk.path("profiles/bob/node.sock").exists());

    // A node of another folder with the same profile and user has a socket beside its files.
    let other = Desk::new();
    let addr = ports(1)[0];
    let mut command = other.command("bob", addr, &[]);
    let _second = other.start_by("bob", addr, command.env("XDG_RUNTIME_DIR", &runtime));
    let beside = other.path("profiles/bob/node.sock");
    until("the socket is there", || beside.exists()).await;
    drop(bob);

    alice.signal(Signal::TERM);
    alice.ended().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn what_a_killed_node_left_is_replaced_and_what_another_one_holds_is_not() {
    let desk = Desk::new();
    let socket = desk.path("profiles/alice/node.sock");
    let start = |addr: SocketAddr| {
        let mut command = desk.command("alice", addr, &[]);
        desk.start_by("alice", addr, command.env_remove("XDG_RUNTIME_DIR"))
    };
    let mut first = start(ports(1)[0]);
    until("the socket is there", || socket.exists()).await;
    first.signal(Signal::KILL);
    first.ended().await;
    assert!(socket.exists());
    let mut second = start(ports(1)[0]);
    until("it answers", || UnixStream::connect(&socket).is_ok()).await;
    second.signal(Signal::TERM);
    second.ended().await;

    let _held = UnixListener::bind(&socket).unwrap();
    let third = start(ports(1)[0]);
    until("it says so", || {
        !third.events(EventName::PageUnavailable).is_empty()
    })
    .await;
    let told = third.events(EventName::PageUnavailable)[0].clone();
    assert!(
        told["cause"]
            .as_str()
            .unwrap()
            .contains("belongs to another running node"),
        "{told}"
    );
    until("it goes on", || third.picture().state("alice") == "up").await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_and_the_node_goes_on() {
    let desk = Desk::new();
    let taken = TcpListener::bind("[::1]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let setting = format!("network.controller.web.port={port}");
    let alice = desk.start("alice", ports(1)[0], &[ON, &setting]);
    until("it says so", || {
        !alice.events(EventName::PageUnavailable).is_empty()
    })
    .await;
    let told = alice.events(EventName::PageUnavailable)[0].clone();
    let cause = told["cause"].as_str().unwrap();
    assert!(
        cause.contains(&format!("[::1]:{port}")) && cause.contains("network.controller.web"),
        "{told}"
    );
    until("it goes on", || alice.picture().state("alice") == "up").await;
}

#[tokio::test]
async fn beyond_loopback_the_token_is_needed() {
    let desk = Desk::new();
    let addr = ports(1)[0];
    let settings = [ON, "network.controller.web.addr=0.0.0.0"];
    let alice = desk.start("alice", addr, &settings);
    let served = || !alice.events(EventName::PageServed).is_empty();
    until("the page is served", served).await;
    let file = desk.path("profiles/alice/web.token");
    assert_eq!(mode(&file), 0o600);
    let token = fs::read_to_string(&file).unwrap();
    let get = |path: &str, header: &str| {
        ask(
            TcpStream::connect(("127.0.0.1", addr.port())).unwrap(),
            path,
            header,
        )
        .0
    };
    assert_eq!(get("/v1/status", ""), 401);
    assert_eq!(get("/", ""), 200);
    let header = format!("Authorization: Bearer {}\r\n", token.trim());
    assert_eq!(get("/v1/status", &header), 200);
    drop(alice);
    // The token stays, so that a bookmark keeps working.
    let again = desk.start("alice", ports(1)[0], &settings);
    until("the page is served", || {
        !again.events(EventName::PageServed).is_empty()
    })
    .await;
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
    drop(again);
    fs::write(&file, "short").unwrap();
    let broken = desk.start("alice", ports(1)[0], &settings);
    until("it says so", || {
        !broken.events(EventName::PageUnavailable).is_empty()
    })
    .await;
}

/// Whether the history has a view that is this content of the file, from about the time at which it was written.
fn was_shown(socket: &Path, begins: u64, (written_ms, bytes): &(&u64, &Vec<u8>)) -> bool {
    // The view is some milliseconds older than the file, or more on a busy machine. The time of a file may be one tick behind.
    let times = (0..2000).map(|ago| **written_ms + 20 - ago);
    times.take_while(|at| *at >= begins).any(|at| {
        let stream = UnixStream::connect(socket).unwrap();
        ask(stream, &format!("/v1/graph?at={at}"), "").1 == **bytes
    })
}

#[tokio::test]
async fn a_view_of_the_past_is_what_the_file_said_then() {
    let desk = Desk::new();
    let addrs = ports(3);
    let targets = [
        desk.targets("bob", &addrs[..1]),
        desk.targets("carol", &addrs[..1]),
    ];
    let mut command = desk.command("alice", addrs[0], &[]);
    let alice = desk.start_by("alice", addrs[0], command.env_remove("XDG_RUNTIME_DIR"));
    let socket = desk.path("profiles/alice/node.sock");
    let file = desk.path("profiles/alice/network.json");
    // Each content of the file, and when it was written: the file is replaced, so its time is that of its content.
    let mut seen: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut look = || {
        let Ok(metadata) = fs::metadata(&file) else {
            return;
        };
        let since = metadata
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH);
        let bytes = fs::read(&file).unwrap_or_default();
        if fs::metadata(&file)
            .is_ok_and(|now| now.modified().unwrap() == metadata.modified().unwrap())
        {
            seen.insert(u64::try_from(since.unwrap().as_millis()).unwrap(), bytes);
        }
    };
    let bob = desk.start("bob", addrs[1], &[&targets[0]]);
    let mut carol = desk.start("carol", addrs[2], &[&targets[1]]);
    let all = ["alice", "bob", "carol"];
    until("all are linked", || {
        look();
        alice.picture().is_full_mesh_of(&all)
    })
    .await;
    let ping = ask_file(&socket, "/v1/ping/carol");
    assert!(
        ping["rtt_us"].as_u64().is_some_and(|rtt| rtt < 1_000_000),
        "{ping}"
    );
    assert_eq!(
        (&ping["answered"], &ping["to"]["label"]),
        (&Value::Bool(true), &"carol".into())
    );
    // The path is carol's link, or leads over bob if that is faster at this moment.
    let hops = ping["hops"].as_array().unwrap();
    assert_eq!(ping["asked"], hops.len());
    assert!(hops.iter().all(|hop| hop["now"] == true), "{ping}");
    assert_eq!(hops.last().unwrap()["total_us"], ping["rtt_us"]);
    carol.signal(Signal::KILL);
    carol.ended().await;
    until("carol is gone", || {
        look();
        alice.picture().state("carol") == "unreachable"
    })
    .await;
    drop(bob);
    until("bob is gone", || {
        look();
        alice.picture().state("bob") == "unreachable"
    })
    .await;
    assert!(seen.len() >= 3, "{}", seen.len());
    let begins = ask_file(&socket, "/v1/history")["from_ms"]
        .as_u64()
        .unwrap();
    let then = seen.iter().filter(|seen| was_shown(&socket, begins, seen));
    assert_eq!(then.count(), seen.len());
    let silent = ask_file(&socket, "/v1/ping/carol");
    assert_eq!(
        (&silent["reachable"], &silent["rtt_us"]),
        (&Value::Bool(false), &Value::Null)
    );
    let told = ask_file(&socket, "/v1/node/carol")["told"].clone();
    assert!(
        ["alice", "bob"].contains(&told["by"]["label"].as_str().unwrap()),
        "{told}"
    );
}
