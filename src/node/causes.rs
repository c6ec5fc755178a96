//! Why a dial failed, in words, and what its user can do about it.

use std::net::{IpAddr, SocketAddr};

use crate::membership::{DialError, Obstacle};
use crate::wire::CloseCode;

/// What the node does if its user can do nothing.
const RETRYING: &str = "retrying";

/// The cause and the action of a failed dial to `addr`, by a node whose socket is bound to `listen`.
pub(super) fn explain(listen: SocketAddr, addr: SocketAddr, why: &DialError) -> (String, String) {
    let silent = matches!(why, DialError::Timeout | DialError::Blocked(_));
    if let Some((cause, action)) = by_own_address(listen.ip(), addr).filter(|_| silent) {
        return (cause, format!("{RETRYING}; {action}"));
    }
    let port = addr.port();
    let by = |by: &Option<IpAddr>| by.map_or(String::new(), |by| format!(" (ICMP from {by})"));
    let (cause, action) = match why {
        DialError::Timeout => ("no answer".to_owned(), String::new()),
        DialError::Unreachable => ("nothing listens on this port".to_owned(), String::new()),
        DialError::OtherKey => ("another node answered".to_owned(), String::new()),
        DialError::Myself => ("this node itself answered".to_owned(), String::new()),
        DialError::Refused(Some(CloseCode::NotAllowed), _) => (
            "refused: this node may not be a member there".to_owned(),
            "see the other node's log (join refused) for what would admit this one".to_owned(),
        ),
        DialError::Refused(Some(code), _) => (format!("refused ({code:?})"), String::new()),
        DialError::Refused(None, _) => ("refused".to_owned(), String::new()),
        DialError::Failed(why) => (why.clone(), String::new()),
        DialError::Blocked(Obstacle::ProhibitedHere) => (
            "a firewall of this machine forbids sending there (operation not permitted)".to_owned(),
            format!("allow UDP from port {} to port {port} in it", listen.port()),
        ),
        DialError::Blocked(Obstacle::Prohibited(from)) => (
            format!("a firewall on the way forbids it{}", by(from)),
            format!("allow UDP to port {port} there"),
        ),
        DialError::Blocked(Obstacle::NoWay(from)) => (
            format!("a router finds no host with that address{}", by(from)),
            "check the address".to_owned(),
        ),
        DialError::Blocked(Obstacle::NoRoute) => {
            let family = family(addr.ip());
            (
                format!("this machine has no route to that {family} address"),
                format!("give it an {family} route to there, or name an address that it can reach"),
            )
        }
        DialError::Blocked(Obstacle::Source | Obstacle::Family) => (
            format!("{} can't be the source of packets to there", listen.ip()),
            "set network.controller.listen.addr to \"::\"".to_owned(),
        ),
    };
    if action.is_empty() {
        (cause, RETRYING.to_owned())
    } else {
        (cause, format!("{RETRYING}; {action}"))
    }
}

/// The reason why nothing that is sent from `listen` can reach `addr`, if the two addresses alone show it, and what to set.
fn by_own_address(listen: IpAddr, addr: SocketAddr) -> Option<(String, String)> {
    let (from, to) = (listen.to_canonical(), addr.ip().to_canonical());
    let (set, all) = ("set network.controller.listen.addr to", "\"::\"");
    if from.is_loopback() && !to.is_loopback() {
        let cause = format!("no way from {from}, on which this node listens, to another machine");
        return Some((
            cause,
            format!("{set} {all}, or to an address of that network"),
        ));
    }
    // A socket bound to `::` sends over IPv4 too.
    let is_dual = listen.is_ipv6() && listen.is_unspecified();
    (from.is_ipv4() != to.is_ipv4() && !is_dual).then(|| {
        let (own, other) = (family(from), family(to));
        let cause =
            format!("this node listens on the {own} address {from}, and can't dial {other}");
        (cause, format!("{set} {all} for both"))
    })
}

fn family(ip: IpAddr) -> &'static str {
    match ip.to_canonical() {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(listen: &str, addr: &str, why: &DialError) -> String {
        let (cause, action) = explain(listen.parse().unwrap(), addr.parse().unwrap(), why);
        assert!(action.starts_with(RETRYING), "{action}");
        format!("{cause} / {action}")
    }

    #[track_caller]
    fn says(told: &str, parts: &[&str]) {
        for part in parts {
            assert!(told.contains(part), "no {part:?} in: {told}");
        }
    }

    #[test]
    fn an_own_address_that_reaches_nobody_is_named_with_the_setting() {
        let set = "network.controller.listen.addr to \"::\"";
        for why in [
            DialError::Timeout,
            DialError::Blocked(Obstacle::Source),
            DialError::Blocked(Obstacle::NoRoute),
        ] {
            for (listen, addr, said) in [
                ("[::1]:8083", "[fd00::2]:8083", "no way from ::1"),
                ("[::1]:8083", "192.168.1.5:8083", "no way from ::1"),
                ("127.0.0.1:8083", "10.0.0.2:8083", "no way from 127.0.0.1"),
                ("0.0.0.0:8083", "[fd00::2]:8083", "can't dial IPv6"),
                ("[fd00::1]:8083", "10.0.0.2:8083", "can't dial IPv4"),
                ("127.0.0.1:8083", "[::1]:8090", "can't dial IPv6"),
            ] {
                says(&told(listen, addr, &why), &[said, set]);
            }
        }
    }

    #[test]
    fn silence_has_no_other_reason_than_the_one_that_the_system_gives() {
        let plain = |listen: &str, addr: &str| {
            let told = told(listen, addr, &DialError::Timeout);
            assert_eq!(told, "no answer / retrying", "{listen} {addr}");
        };
        plain("[::1]:8083", "[::1]:8090");
        plain("[::]:8083", "10.0.0.2:8090");
        plain("[::]:8083", "[fd00::2]:8090");
        plain("10.0.0.1:8083", "[::ffff:10.0.0.2]:8090");
        let by = Some("10.0.0.254".parse().unwrap());
        let blocked = |why| told("[::]:8083", "10.0.0.2:8090", &DialError::Blocked(why));
        says(
            &blocked(Obstacle::ProhibitedHere),
            &[
                "firewall of this machine",
                "allow UDP from port 8083 to port 8090",
            ],
        );
        says(
            &blocked(Obstacle::Prohibited(by)),
            &[
                "firewall on the way",
                "ICMP from 10.0.0.254",
                "allow UDP to port 8090 there",
            ],
        );
        says(
            &blocked(Obstacle::NoWay(by)),
            &["no host", "ICMP from 10.0.0.254"],
        );
        says(
            &blocked(Obstacle::NoRoute),
            &["no route to that IPv4 address"],
        );
    }

    #[test]
    fn an_answer_is_told_whatever_the_addresses() {
        let full = DialError::Refused(None, Vec::new());
        assert_eq!(told("[::1]:1", "10.0.0.2:1", &full), "refused / retrying");
    }
}
