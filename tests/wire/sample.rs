//! The record of the golden bytes and of the protocol's documentation, and the figures of its first link.

use std::net::SocketAddr;
use std::sync::Arc;

use area_net::certificate::{Certificate, Terms};
use area_net::figures::{FiguresBody, LinkFigures};
use area_net::identity::Identity;
use area_net::record::{
    AddrKind, Body, Direction, LinkState, PublishedAddr, Record, ShortRun, Signer as _,
};
use area_net::revocations::{Revocations, Revoked};
use area_net::wire::{NodeId, ShortId};

pub(crate) const NETWORK: &str = "golden";

pub(crate) fn identity() -> Identity {
    Identity::from_seed(&[1; 32])
}

pub(crate) fn body() -> Body {
    Body {
        id: identity().node_id(),
        label: "zoë".into(),
        run_id: 0x0102_0304_0506_0708,
        epoch: 1_700_000_000_000,
        seq: 7,
        uptime_s: 60,
        addrs: vec![
            PublishedAddr::local(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 8090))),
            PublishedAddr {
                kind: AddrKind::Observed,
                dialable: true,
                addr: SocketAddr::from(([192, 0, 2, 7], 443)),
            },
        ],
        links: vec![
            LinkState {
                peer: ShortId([2; 16]),
                run: ShortRun([4, 5]),
                direction: Direction::Dialer,
                rtt_us: 214,
                rtt_age_s: 3,
                loss: 0,
                suspect: false,
            },
            LinkState {
                peer: ShortId([3; 16]),
                run: ShortRun([255, 0]),
                direction: Direction::Listener,
                rtt_us: 0,
                rtt_age_s: 65535,
                loss: 250,
                suspect: true,
            },
        ],
        leaving: false,
        certificate: None,
    }
}

pub(crate) fn record() -> Arc<Record> {
    Record::sign(body(), NETWORK, &identity())
}

/// A certificate of the authority whose key is 2, for the node of the record.
pub(crate) fn certificate() -> Arc<Certificate> {
    let terms = Terms {
        groups: vec!["berlin".into()],
        not_before: 1_700_000_000,
        not_after: 1_731_536_000,
        serial: 300,
        ..Terms::new(NETWORK, identity().node_id(), "zo*")
    };
    Certificate::issue(terms, &Identity::from_seed(&[2; 32])).unwrap()
}

/// The third list of revocations of that authority.
pub(crate) fn revocations() -> Arc<Revocations> {
    let list = Revoked::new(NETWORK, 3, 1_700_000_000, vec![NodeId([9; 32])]);
    Revocations::issue(list, &Identity::from_seed(&[2; 32])).unwrap()
}

pub(crate) fn figures() -> Arc<LinkFigures> {
    let body = FiguresBody {
        id: identity().node_id().abbreviated(),
        epoch: 1_700_000_000_000,
        seq: 7,
        count: 3,
        every_s: 10,
        rtts: vec![58],
        losses: vec![2],
    };
    LinkFigures::sign(body, NETWORK, &identity())
}
