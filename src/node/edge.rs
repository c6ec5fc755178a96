//! What a node hears of the machine around it: its own addresses, and the addresses behind names.
//!
//! Two tasks follow them, and report over one bounded channel. The event loop turns the reports into inputs for the core.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::listen::local_addrs;
use super::resolver::{self, Again, REFRESH, Wanted};
use super::story;
use crate::settings::{Settings, leads_to};
use crate::transport::interfaces::Interfaces;

/// The most reports that wait for the event loop. The tasks wait while it is full; half as many would not hold a report of each.
const REPORTS: usize = 8;
/// The most dials that wait for the resolver. A dial that finds no room is one of many to the same name.
const DRAWS: usize = 64;

/// A report to the event loop.
#[derive(Debug)]
pub enum News {
    /// The addresses at which this node can be dialed.
    OwnAddrs {
        /// Those in the settings, resolved.
        advertised: Vec<SocketAddr>,
        /// Those of the interfaces.
        local: Vec<SocketAddr>,
    },
    /// This machine no longer has these addresses.
    Lost(BTreeSet<IpAddr>),
    /// The addresses behind the targets that are names.
    Targets(Vec<SocketAddr>),
}

/// The event loop's end.
#[derive(Debug)]
pub struct Edge {
    /// Reports, in the order in which things happened.
    pub news: mpsc::Receiver<News>,
    /// Receives the addresses that are dialed, if any of them may stand behind a name.
    pub draws: Option<mpsc::Sender<SocketAddr>>,
}

/// Starts the tasks of a node that listens at `bound`. They end with the node. Must be called within tokio's runtime.
pub(super) fn start(
    settings: &Settings,
    bound: SocketAddr,
    interfaces: &watch::Receiver<Arc<Interfaces>>,
) -> Edge {
    let (sender, news) = mpsc::channel(REPORTS);
    let advertised = settings.advertise.iter().map(|at| Wanted {
        at: at.clone(),
        place: "network.controller.advertise".to_owned(),
    });
    let again = Again::Every(REFRESH);
    let advertised = resolver::follow(advertised.collect(), again, interfaces.clone());
    let own = Own {
        bound,
        interfaces: interfaces.clone(),
        advertised,
    };
    tokio::spawn(own.follow(sender.clone()));
    let draws = (!settings.named_targets.is_empty()).then(|| {
        let (draws, drawn) = mpsc::channel(DRAWS);
        let wanted = settings.named_targets.iter().map(|target| Wanted {
            at: target.at.clone(),
            place: format!("{}, entry {}", settings.target_path, target.entry),
        });
        let again = Again::WhenDrawn(drawn);
        let found = resolver::follow(wanted.collect(), again, interfaces.clone());
        let targets = follow_targets(bound, found, interfaces.clone(), sender);
        tokio::spawn(targets);
        draws
    });
    Edge { news, draws }
}

/// This node's own addresses.
struct Own {
    bound: SocketAddr,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    advertised: watch::Receiver<Vec<SocketAddr>>,
}

impl Own {
    async fn follow(mut self, sender: mpsc::Sender<News>) {
        let mut before: Option<(Vec<SocketAddr>, Vec<SocketAddr>)> = None;
        let mut had = self.interfaces.borrow().addrs();
        loop {
            let now = Arc::clone(&self.interfaces.borrow_and_update());
            let mut local = local_addrs(self.bound, &now);
            let mut advertised = self.advertised.borrow_and_update().clone();
            if !self.bound.ip().is_loopback() {
                advertised.retain(|addr| !addr.ip().is_loopback());
            }
            local.retain(|addr| !advertised.contains(addr));
            let has = now.addrs();
            let lost: BTreeSet<IpAddr> = had.difference(&has).copied().collect();
            had = has;
            let addrs = (advertised, local);
            if before.as_ref() != Some(&addrs) {
                if let Some(before) = &before {
                    story::own_addrs(&before.1, &addrs.1);
                }
                before = Some(addrs.clone());
                let (advertised, local) = addrs;
                // The new addresses come first: redials must not tell of the old ones.
                let news = News::OwnAddrs { advertised, local };
                if sender.send(news).await.is_err() {
                    return;
                }
            }
            if !lost.is_empty() && sender.send(News::Lost(lost)).await.is_err() {
                return;
            }
            tokio::select! {
                biased;
                () = sender.closed() => return,
                Ok(()) = self.interfaces.changed() => {}
                Ok(()) = self.advertised.changed() => {}
            }
        }
    }
}

/// Reports the addresses behind the targets that are names, without those of this node itself.
async fn follow_targets(
    bound: SocketAddr,
    mut found: watch::Receiver<Vec<SocketAddr>>,
    interfaces: watch::Receiver<Arc<Interfaces>>,
    sender: mpsc::Sender<News>,
) {
    loop {
        tokio::select! {
            biased;
            () = sender.closed() => return,
            Ok(()) = found.changed() => {}
        }
        let mut targets = found.borrow_and_update().clone();
        let own = interfaces.borrow().addrs();
        targets.retain(|addr| !is_own(bound, &own, *addr));
        if sender.send(News::Targets(targets)).await.is_err() {
            return;
        }
    }
}

/// Whether a node that listens at `bound` on a machine with these addresses would dial itself.
fn is_own(bound: SocketAddr, own: &BTreeSet<IpAddr>, addr: SocketAddr) -> bool {
    let at_own_port = addr.port() == bound.port();
    leads_to(bound, addr)
        || at_own_port && bound.ip().is_unspecified() && own.contains(&addr.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_to_this_node_too_is_dialed_elsewhere_only() {
        let addr = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let own = BTreeSet::from(["192.0.2.7".parse().unwrap(), "fd00::7".parse().unwrap()]);
        let everywhere = addr("[::]:8083");
        assert!(is_own(everywhere, &own, addr("192.0.2.7:8083")));
        assert!(is_own(everywhere, &own, addr("[::ffff:192.0.2.7]:8083")));
        assert!(!is_own(everywhere, &own, addr("192.0.2.7:8084")));
        assert!(!is_own(everywhere, &own, addr("192.0.2.8:8083")));
        let one = addr("[fd00::7]:8083");
        assert!(is_own(one, &own, one));
        assert!(!is_own(one, &own, addr("192.0.2.7:8083")));
    }

    #[tokio::test]
    async fn own_addresses_are_reported_at_the_start() {
        let (_sender, interfaces) = watch::channel(Arc::new(Interfaces::read().unwrap()));
        let settings = Settings {
            advertise: vec!["203.0.113.7:9000".parse().unwrap()],
            ..Settings::default()
        };
        let bound = "[::1]:8083".parse().unwrap();
        let mut edge = start(&settings, bound, &interfaces);
        assert!(edge.draws.is_none());
        loop {
            let Some(News::OwnAddrs { advertised, local }) = edge.news.recv().await else {
                panic!("own addresses come first, and none is lost");
            };
            assert_eq!(local, [bound]);
            if !advertised.is_empty() {
                assert_eq!(advertised, ["203.0.113.7:9000".parse().unwrap()]);
                return;
            }
        }
    }
}
