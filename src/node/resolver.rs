//! Finds out which addresses stand behind DNS names, and behind link-local addresses that name an interface.
//!
//! What a name stands for may change at any time, so an answer is used until there is a newer one. A name that can't be resolved
//! keeps its last addresses: a name server that is down must not take known addresses away. It is tried again, at
//! growing intervals and when the interfaces change.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::{errand, story};
use crate::settings::HostPort;
use crate::transport::interfaces::Interfaces;
use crate::wire::canonical;

/// The most addresses that are used of a name. Half as many would leave out nodes of a large cluster, of which one is enough;
/// twice as many let one name fill a queue of dials.
const MAX_BEHIND: usize = 64;
/// The most names that are being resolved at once. Each occupies a thread until the system's resolver answers.
const AT_ONCE: usize = 4;
/// How long the system's resolver may take. Its own default is two attempts of 5 s for each server.
const PATIENCE: Duration = Duration::from_secs(10);
/// The least time between two lookups of a name. Half as long asks a name server twice as often while many addresses of one
/// name are dialed; twice as long leaves a node with old addresses for as long.
const LEAST: Duration = Duration::from_secs(1);
/// The longest pause after failures: as for names that are refreshed.
const LONGEST: Duration = REFRESH;
/// The time between two lookups of a name that stands for this node itself. Half as long doubles the queries, twice as long
/// publishes an old address for as long.
pub(super) const REFRESH: Duration = Duration::from_secs(60);

/// What is to be resolved, and the place where the user wrote it.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) at: HostPort,
    pub(super) place: String,
}

/// When a name that was resolved is resolved again, besides a change of the interfaces.
#[derive(Debug)]
pub(super) enum Again {
    /// At regular intervals.
    Every(Duration),
    /// When one of its addresses is dialed.
    WhenDrawn(mpsc::Receiver<SocketAddr>),
}

/// Resolves the names from now on, as long as somebody holds the receiver of their addresses. Without names, these never change.
pub(super) fn follow(
    wanted: Vec<Wanted>,
    again: Again,
    interfaces: watch::Receiver<Arc<Interfaces>>,
) -> watch::Receiver<Vec<SocketAddr>> {
    let (sender, receiver) = watch::channel(Vec::new());
    if wanted.is_empty() {
        return receiver;
    }
    let now = Instant::now();
    let names = wanted.into_iter().map(|wanted| Name {
        wanted,
        addrs: Vec::new(),
        due: Some(now),
        asked: None,
        failures: 0,
        fault: None,
    });
    let resolver = Resolver {
        names: names.collect(),
        again,
        interfaces,
        answers: JoinSet::new(),
    };
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = sender.closed() => {}
            () = resolver.run(&sender) => {}
        }
    });
    receiver
}

struct Name {
    wanted: Wanted,
    /// The addresses of the last answer.
    addrs: Vec<SocketAddr>,
    /// When it is resolved next; `None` for when it is drawn.
    due: Option<Instant>,
    /// When the last lookup began.
    asked: Option<Instant>,
    /// How many lookups failed in a row.
    failures: u32,
    /// Why the last lookup failed, as logged.
    fault: Option<String>,
}

type Answer = Result<Vec<SocketAddr>, String>;

struct Resolver {
    names: Vec<Name>,
    again: Again,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    /// The lookups under way, each with the place of its name.
    answers: JoinSet<(usize, Answer)>,
}

impl Resolver {
    async fn run(mut self, sender: &watch::Sender<Vec<SocketAddr>>) {
        loop {
            self.ask(Instant::now());
            let next = self.next_due();
            let sleep = sleep_until(next.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                Some(Ok((place, answer))) = self.answers.join_next() => {
                    self.note(place, answer);
                    self.publish(sender);
                }
                Some(addr) = drawn(&mut self.again) => self.refresh(|name| name.addrs.contains(&addr)),
                Ok(()) = self.interfaces.changed() => self.refresh(|_| true),
                () = sleep, if next.is_some() => {}
                // Nothing can change any more.
                else => return,
            }
        }
    }

    /// When the next lookup begins; `None` while there is no room for one.
    fn next_due(&self) -> Option<Instant> {
        let due = self.names.iter().filter_map(|name| name.due);
        due.min().filter(|_| self.answers.len() < AT_ONCE)
    }

    /// Begins the lookups that are due.
    fn ask(&mut self, now: Instant) {
        for (place, name) in self.names.iter_mut().enumerate() {
            if self.answers.len() >= AT_ONCE {
                return;
            }
            if name.due.is_none_or(|due| due > now) {
                continue;
            }
            (name.due, name.asked) = (None, Some(now));
            let at = name.wanted.at.clone();
            let interfaces = Arc::clone(&self.interfaces.borrow());
            self.answers
                .spawn(async move { (place, resolve(&at, &interfaces).await) });
        }
    }

    /// Resolves these names again soon.
    fn refresh(&mut self, which: impl Fn(&Name) -> bool) {
        let now = Instant::now();
        for name in self.names.iter_mut().filter(|name| which(name)) {
            let soonest = name.asked.map_or(now, |asked| now.max(asked + LEAST));
            name.due = Some(name.due.map_or(soonest, |due| due.min(soonest)));
        }
    }

    fn note(&mut self, place: usize, answer: Answer) {
        let now = Instant::now();
        let name = &mut self.names[place];
        let pause = match answer {
            Ok(addrs) => {
                if name.fault.take().is_some() {
                    story::name_resolved(&name.wanted.at, &name.wanted.place, addrs.len());
                }
                name.failures = 0;
                name.addrs = addrs;
                match self.again {
                    Again::Every(pause) => Some(pause),
                    Again::WhenDrawn(_) => None,
                }
            }
            Err(fault) => {
                let first = name.fault.as_ref() != Some(&fault);
                story::name_unresolved(&name.wanted.at, &name.wanted.place, &fault, first);
                name.fault = Some(fault);
                let pause = LEAST.saturating_mul(1 << name.failures.min(10));
                name.failures = name.failures.saturating_add(1);
                Some(pause.min(LONGEST))
            }
        };
        let later = pause.map(|pause| now + pause);
        // It may have been drawn while the lookup was under way.
        name.due = match (name.due, later) {
            (Some(due), Some(later)) => Some(due.min(later)),
            (due, later) => due.or(later),
        };
    }

    fn publish(&self, sender: &watch::Sender<Vec<SocketAddr>>) {
        let mut seen = BTreeSet::new();
        let all = self.names.iter().flat_map(|name| &name.addrs).copied();
        let all: Vec<SocketAddr> = all.filter(|addr| seen.insert(*addr)).collect();
        sender.send_if_modified(|before| {
            let changed = *before != all;
            *before = all;
            changed
        });
    }
}

async fn drawn(again: &mut Again) -> Option<SocketAddr> {
    match again {
        Again::Every(_) => None,
        Again::WhenDrawn(drawn) => drawn.recv().await,
    }
}

/// Finds out what this stands for at present.
async fn resolve(at: &HostPort, interfaces: &Interfaces) -> Answer {
    match at {
        HostPort::Addr(addr) => Ok(vec![*addr]),
        HostPort::Scoped {
            ip,
            interface,
            port,
        } => match interfaces.index_of(interface) {
            Some(scope) => Ok(vec![SocketAddrV6::new(*ip, *port, 0, scope).into()]),
            None => Err(format!("no interface {interface} is up")),
        },
        HostPort::Name { name, port } => {
            let (name, port) = (name.clone(), *port);
            let lookup = errand::run("resolve", move || (name.as_str(), port).to_socket_addrs());
            match timeout(PATIENCE, lookup).await {
                Ok(Ok(Ok(found))) => usable(found),
                Ok(Ok(Err(error)) | Err(error)) => Err(error.to_string()),
                Err(_) => Err("the name server didn't answer".to_owned()),
            }
        }
    }
}

/// The addresses of an answer that can be dialed, in its order.
fn usable(found: impl Iterator<Item = SocketAddr>) -> Answer {
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for addr in found {
        let ip = canonical(addr.ip());
        let no_host =
            ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if !no_host && !addrs.contains(&addr) && addrs.len() < MAX_BEHIND {
            addrs.push(addr);
        }
    }
    if addrs.is_empty() {
        return Err("the name has no address that can be dialed".to_owned());
    }
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Wanted {
        Wanted {
            at: text.parse().unwrap(),
            place: "a test".to_owned(),
        }
    }

    fn interfaces() -> (
        watch::Sender<Arc<Interfaces>>,
        watch::Receiver<Arc<Interfaces>>,
    ) {
        watch::channel(Arc::default())
    }

    #[tokio::test]
    async fn a_name_stands_for_its_addresses_and_an_interface_for_its_index() {
        let (sender, receiver) = interfaces();
        let again = Again::Every(REFRESH);
        let list = ["[2001:db8::7]:9", "localhost:9"].map(wanted).to_vec();
        let mut found = follow(list, again, receiver);
        found
            .wait_for(|found| found.len() >= 2)
            .await
            .expect("both are resolved");
        let all = found.borrow().clone();
        assert_eq!(all[0], "[2001:db8::7]:9".parse().unwrap());
        assert!(
            all[1..].iter().all(|addr| addr.ip().is_loopback()),
            "{all:?}"
        );

        let real = Interfaces::read().unwrap();
        let lo = real.iter().find(|one| one.is_loopback).unwrap();
        let scoped: HostPort = format!("[fe80::1%{}]:9", lo.name).parse().unwrap();
        assert!(resolve(&scoped, &Interfaces::default()).await.is_err());
        let expected = format!("[fe80::1%{}]:9", lo.index).parse().unwrap();
        assert_eq!(resolve(&scoped, &real).await, Ok(vec![expected]));
        drop(sender);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interface_that_comes_late_is_noticed_at_once() {
        let (sender, receiver) = interfaces();
        let real = Interfaces::read().unwrap();
        let name = real
            .iter()
            .find(|one| one.is_loopback)
            .unwrap()
            .name
            .clone();
        let list = vec![wanted(&format!("[fe80::1%{name}]:9"))];
        let (_draws, drawn) = mpsc::channel(1);
        let mut found = follow(list, Again::WhenDrawn(drawn), receiver);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(found.borrow().is_empty());
        let since = Instant::now();
        sender.send_replace(Arc::new(real));
        found.changed().await.unwrap();
        assert_eq!(found.borrow().len(), 1);
        assert!(since.elapsed() <= LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_keeps_the_last_addresses_and_is_tried_again() {
        let (_sender, receiver) = interfaces();
        let mut resolver = Resolver {
            names: vec![Name {
                wanted: wanted("seed.example:9"),
                addrs: Vec::new(),
                due: None,
                asked: None,
                failures: 0,
                fault: None,
            }],
            again: Again::Every(REFRESH),
            interfaces: receiver,
            answers: JoinSet::new(),
        };
        let addr: SocketAddr = "192.0.2.7:9".parse().unwrap();
        resolver.note(0, Ok(vec![addr]));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            resolver.names[0].due = None;
            resolver.note(0, Err("no answer".to_owned()));
            let due = resolver.names[0].due.unwrap();
            pauses.push(due.duration_since(Instant::now()).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(resolver.names[0].addrs, [addr]);
    }

    #[test]
    fn an_answer_is_bounded_and_names_hosts_only() {
        let addr = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let bad = ["0.0.0.0:9", "[::]:9", "224.0.0.1:9", "255.255.255.255:9"].map(addr);
        assert!(usable(bad.into_iter()).is_err());
        let twice = [addr("192.0.2.7:9"); 2];
        assert_eq!(usable(twice.into_iter()), Ok(vec![twice[0]]));
        let many = (0..200).map(|last| SocketAddr::from(([192, 0, 2, last], 9)));
        assert_eq!(usable(many).unwrap().len(), MAX_BEHIND);
    }
}
