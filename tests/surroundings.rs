//! The real binary on machines whose interfaces and addresses come and go: hosts in network namespaces, on one switch.
//!
//! The tests need root. Without it they say so, and pass.

#[cfg(test)]
#[expect(dead_code, reason = "these tests need no free ports on loopback")]
mod processes;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::SocketAddr;
    use std::process::Command;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use crate::processes::{Desk, Process, until};
    use area_net::events::EventName;
    use rustix::process::Signal;

    /// Hosts on one switch. Their namespaces go when this is dropped.
    struct Lan {
        prefix: String,
        hosts: Vec<&'static str>,
    }

    /// Runs `ip`; returns what it wrote to stderr if it failed.
    fn ip(arguments: &str) -> Result<(), String> {
        let ran = Command::new("ip")
            .args(arguments.split_whitespace())
            .output();
        let output = ran.map_err(|error| format!("can't run ip: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        output.status.success().then_some(()).ok_or(said)
    }

    impl Lan {
        /// A switch with these hosts, whose `eth0` has no address but link-local ones. `None`: that can't be made here.
        fn of(test: &str, hosts: &[&'static str]) -> Option<Self> {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let mut lan = Self {
                prefix: format!("antest{}x{count}", std::process::id()),
                hosts: Vec::new(),
            };
            if let Err(why) = lan.add("sw") {
                writeln!(
                std::io::stderr(),
                "SKIPPED {test}: it needs root and the program `ip` for network namespaces ({why})"
            )
            .ok();
                return None;
            }
            lan.on("sw", "link add br0 type bridge");
            lan.on("sw", "link set br0 up");
            for host in hosts {
                lan.add(host).unwrap();
                lan.plug(host);
            }
            Some(lan)
        }

        fn name(&self, host: &str) -> String {
            format!("{}{host}", self.prefix)
        }

        fn add(&mut self, host: &'static str) -> Result<(), String> {
            let name = self.name(host);
            ip(&format!("netns add {name}"))?;
            self.hosts.push(host);
            // Link-local addresses work at once.
            let no_dad = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad";
            let set = Command::new("ip")
                .args(["netns", "exec", &name, "sh", "-c", no_dad])
                .status();
            assert!(set.unwrap().success());
            self.on(host, "link set lo up");
            Ok(())
        }

        /// Runs `ip` on a host.
        #[track_caller]
        fn on(&self, host: &str, arguments: &str) {
            let ran = ip(&format!("-n {} {arguments}", self.name(host)));
            ran.unwrap_or_else(|why| panic!("{host}: ip {arguments}: {why}"));
        }

        /// Connects a host to the switch.
        fn plug(&self, host: &str) {
            let to = self.name(host);
            let link = format!("link add p-{host} type veth peer name eth0 netns {to}");
            self.on("sw", &link);
            self.on("sw", &format!("link set p-{host} master br0 up"));
            self.on(host, "link set eth0 up");
        }

        /// Starts a node on a host. `addr` has the address and port to listen on.
        fn start(
            &self,
            desk: &Desk,
            host: &str,
            label: &str,
            addr: &str,
            more: &[&str],
        ) -> Process {
            let addr: SocketAddr = addr.parse().unwrap();
            let listen = format!("network.controller.listen.addr={}", addr.ip());
            let settings = [&[listen.as_str()], more].concat();
            let inner = desk.command(label, addr, &settings);
            let mut command = Command::new("ip");
            command
                .args(["netns", "exec", &self.name(host)])
                .arg(inner.get_program())
                .args(inner.get_args())
                .env_remove("RUST_LOG")
                .current_dir(inner.get_current_dir().unwrap())
                .stderr(std::fs::File::create(desk.path(&format!("{label}.log"))).unwrap());
            desk.spawn(label, addr, &mut command)
        }
    }

    impl Drop for Lan {
        fn drop(&mut self) {
            for host in &self.hosts {
                ip(&format!("netns del {}", self.name(host))).ok();
            }
        }
    }

    /// The addresses of a node in another node's picture, or its own.
    fn addrs_of(viewer: &Process, label: &str) -> Vec<String> {
        let picture = viewer.file("network.json");
        let nodes = picture.as_ref().and_then(|json| json["nodes"].as_array());
        let mut nodes = nodes.into_iter().flatten();
        let node = nodes.find(|node| node["label"] == label);
        let addrs = node.and_then(|node| node["addresses"].as_array());
        let addrs = addrs.into_iter().flatten();
        addrs
            .map(|addr| addr.as_str().unwrap().to_owned())
            .collect()
    }

    fn shows(viewer: &Process, label: &str, addr: &str) -> bool {
        addrs_of(viewer, label).iter().any(|one| one == addr)
    }

    fn know(nodes: &[&Process], labels: &[&str]) -> bool {
        let knows = |node: &&Process| {
            let picture = node.picture();
            labels.iter().all(|label| picture.state(label) == "up")
        };
        nodes.iter().all(knows)
    }

    /// Waits until all of these nodes know all of these labels.
    async fn until_known(what: &str, nodes: &[&Process], labels: &[&str]) -> Duration {
        until(what, || know(nodes, labels)).await
    }

    const LAN: &str = "network.controller.discovery=lan";

    #[tokio::test]
    async fn a_node_publishes_the_addresses_of_its_interfaces_and_follows_them() {
        let test = "a_node_publishes_the_addresses_of_its_interfaces_and_follows_them";
        let Some(lan) = Lan::of(test, &["a"]) else {
            return;
        };
        lan.on("a", "addr add fd00:77::1/64 dev eth0 nodad");
        lan.on("a", "addr add 10.77.0.1/24 dev eth0");
        let desk = Desk::new();
        let advertise = "network.controller.advertise=['203.0.113.7:9000']";
        let alice = lan.start(&desk, "a", "alice", "[::]:8083", &[advertise]);
        let expected = ["203.0.113.7:9000", "[fd00:77::1]:8083", "10.77.0.1:8083"];
        until("nobody dialed, and all addresses are shown", || {
            addrs_of(&alice, "alice") == expected
        })
        .await;
        lan.on("a", "addr add fd00:77::9/64 dev eth0 nodad");
        until("a new address is shown", || {
            shows(&alice, "alice", "[fd00:77::9]:8083")
        })
        .await;
        lan.on("a", "addr del 10.77.0.1/24 dev eth0");
        until("a lost address is not shown", || {
            !shows(&alice, "alice", "10.77.0.1:8083")
        })
        .await;
        let changes = alice.events(EventName::OwnAddressesChanged);
        assert_eq!(changes[0]["new"], "[fd00:77::9]:8083", "{}", alice.log());
        assert_eq!(changes[1]["lost"], "10.77.0.1:8083", "{}", alice.log());
    }

    #[tokio::test]
    async fn a_node_waits_for_the_address_that_it_listens_on() {
        let Some(lan) = Lan::of("a_node_waits_for_the_address_that_it_listens_on", &["a"]) else {
            return;
        };
        let desk = Desk::new();
        let mut bob = lan.start(&desk, "a", "bob", "[fd00:77::8]:8083", &[]);
        until("bob waits", || {
            !bob.events(EventName::WaitingForAddress).is_empty()
        })
        .await;
        let said = bob.events(EventName::WaitingForAddress);
        assert_eq!(said[0]["listen"], "[fd00:77::8]:8083");
        let interfaces = said[0]["interfaces"].as_str().unwrap();
        assert!(interfaces.contains("lo 127.0.0.1"), "{interfaces}");
        assert!(!desk.path("certs").exists());
        bob.signal(Signal::TERM);
        assert!(bob.ended().await.success());

        let alice = lan.start(&desk, "a", "alice", "[fd00:77::7]:8083", &[]);
        until("alice waits", || {
            !alice.events(EventName::WaitingForAddress).is_empty()
        })
        .await;
        lan.on("a", "addr add fd00:77::7/64 dev eth0 nodad");
        until("the address is there", || {
            !alice.events(EventName::NodeStarted).is_empty()
        })
        .await;
        assert_eq!(alice.events(EventName::WaitingForAddress).len(), 1);
    }

    #[tokio::test]
    async fn a_listener_that_moves_is_never_shown_down() {
        let test = "a_listener_that_moves_is_never_shown_down";
        let Some(lan) = Lan::of(test, &["a", "b", "c"]) else {
            return;
        };
        for (host, last) in [("a", 1), ("b", 2), ("c", 3)] {
            let add = format!("addr add fd00:77::{last}/64 dev eth0 nodad");
            lan.on(host, &add);
        }
        let desk = Desk::new();
        let carol = lan.start(&desk, "c", "carol", "[::]:8083", &[]);
        let target = desk.targets("others", &["[fd00:77::3]:8083".parse().unwrap()]);
        let alice = lan.start(&desk, "a", "alice", "[::]:8083", &[&target]);
        let bob = lan.start(&desk, "b", "bob", "[::]:8083", &[&target]);
        let (all, labels) = ([&alice, &bob, &carol], ["alice", "bob", "carol"]);
        until_known("all know all", &all, &labels).await;
        // Carol dialed nobody, so her connections are bound to the address that goes.
        lan.on("c", "addr add fd00:77::33/64 dev eth0 nodad");
        lan.on("c", "addr del fd00:77::3/64 dev eth0");
        until("all show where carol is", || {
            all.iter().all(|node| {
                shows(node, "carol", "[fd00:77::33]:8083")
                    && !shows(node, "carol", "[fd00:77::3]:8083")
            })
        })
        .await;
        until("carol replaced both links", || {
            carol.events(EventName::LinkReplaced).len() >= 2
        })
        .await;
        assert!(know(&all, &labels));
        for node in all {
            for never in [
                EventName::LinkDown,
                EventName::NodeUnreachable,
                EventName::CutOff,
            ] {
                assert!(node.events(never).is_empty(), "{never}: {}", node.log());
            }
        }
    }

    #[tokio::test]
    async fn link_local_addresses_work_with_the_name_of_an_interface() {
        let test = "link_local_addresses_work_with_the_name_of_an_interface";
        let Some(lan) = Lan::of(test, &["a", "b"]) else {
            return;
        };
        lan.on("a", "addr add fe80::a/64 dev eth0 nodad");
        lan.on("b", "addr add fe80::b/64 dev eth0 nodad");
        let desk = Desk::new();
        let alice = lan.start(&desk, "a", "alice", "[::]:8083", &[]);
        let file = desk.path("named.json");
        std::fs::write(file, r#"["[fe80::a%eth0]:8083"]"#).unwrap();
        let named = "network.controller.target.path=named.json";
        let mut bob = lan.start(&desk, "b", "bob", "[::]:8083", &[named]);
        until_known("they know each other", &[&alice, &bob], &["alice", "bob"]).await;
        until("alice's targets name the interface", || {
            let peers = alice.file("peers.json");
            let peers = peers.as_ref().and_then(|json| json.as_array()).cloned();
            let mut peers = peers.into_iter().flatten();
            peers.any(|one| one.as_str().unwrap().contains('%'))
        })
        .await;
        // Bob forgets everything but his key: alice must dial him.
        bob.signal(Signal::KILL);
        bob.ended().await;
        std::fs::remove_file(desk.path("profiles/bob/state.json")).ok();
        let bob = lan.start(&desk, "b", "bob", "[::]:8083", &[]);
        until_known("alice dialed bob", &[&alice, &bob], &["alice", "bob"]).await;
    }

    #[tokio::test]
    async fn nodes_on_one_lan_find_each_other() {
        let test = "nodes_on_one_lan_find_each_other";
        let Some(lan) = Lan::of(test, &["a", "b", "c"]) else {
            return;
        };
        for (host, last) in [("a", 1), ("b", 2), ("c", 3)] {
            lan.on(host, &format!("addr add 10.77.0.{last}/24 dev eth0"));
        }
        for (host, last) in [("a", 1), ("c", 3)] {
            let add = format!("addr add fd00:77::{last}/64 dev eth0 nodad");
            lan.on(host, &add);
        }
        let desk = Desk::new();
        let started = |host, label, addr: &str| lan.start(&desk, host, label, addr, &[LAN]);
        // Everywhere, IPv4 alone, one address, and a second node on one machine.
        let alice = started("a", "alice", "[::]:8083");
        let bob = started("b", "bob", "0.0.0.0:8083");
        let carol = started("c", "carol", "[fd00:77::3]:8083");
        let dave = started("a", "dave", "[::]:8084");
        // A node of another network hears them too, and stays alone.
        let other = "network.name=other";
        let eve = lan.start(&desk, "b", "eve", "[::]:8085", &[LAN, other]);
        let all = [&alice, &bob, &carol, &dave];
        for node in [&alice, &bob, &carol, &dave, &eve] {
            until("it has started", || {
                !node.events(EventName::NodeStarted).is_empty()
            })
            .await;
        }
        let took = until_known("all know all", &all, &["alice", "bob", "carol", "dave"]).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert_eq!(eve.picture().nodes.len(), 1);
        assert!(eve.events(EventName::NodeFound).is_empty());
    }

    #[tokio::test]
    async fn an_interface_that_comes_later_has_beacons_too() {
        let test = "an_interface_that_comes_later_has_beacons_too";
        let Some(lan) = Lan::of(test, &["a", "b"]) else {
            return;
        };
        lan.on("b", "link del eth0");
        let desk = Desk::new();
        let alice = lan.start(&desk, "a", "alice", "[::]:8083", &[LAN]);
        let bob = lan.start(&desk, "b", "bob", "[::]:8083", &[LAN]);
        for node in [&alice, &bob] {
            until("it has started", || {
                !node.events(EventName::NodeStarted).is_empty()
            })
            .await;
        }
        lan.plug("b");
        until_known("they know each other", &[&alice, &bob], &["alice", "bob"]).await;
    }
}
