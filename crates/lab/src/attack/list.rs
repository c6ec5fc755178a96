//! The table of attacks, with what must hold under each.

use std::net::{IpAddr, Ipv4Addr};

use super::bars::{Bar, INVENTED, costs, must, name};
use super::harness::LOOPBACK;
use super::{Attack, doors, floods, invented, liars, sinks};

/// Hosts besides loopback, which the lab gives its namespace's loopback interface: the attacker's, the honest nodes', and a third one.
pub(super) const HOSTS: [IpAddr; 3] = [REMOTE, HERE, ELSEWHERE];
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 66, 0, 1));
/// Where the honest nodes are, in attacks that come from another host, and in a soak.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 66, 0, 2));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 66, 0, 3));

/// What invented nodes may cost.
const SYBIL: &[Bar] = &[
    INVENTED,
    costs(name::FILE, 0.2),
    costs(name::LOG, 50.0),
    costs(name::RSS_OTHERS, 12.0),
];

/// What a flood may cost.
const FLOOD: &[Bar] = &[costs(name::CPU_VICTIM, 0.1), costs(name::RSS_VICTIM, 12.0)];

/// All attacks, in the order of the table in `docs/attacks.md`.
pub(super) static ATTACKS: &[Attack] = &[
    Attack::new(
        "none",
        "Nobody attacks: what the figures are without",
        invented::nothing,
    ),
    Attack::new(
        "sybil-10k",
        "Signs 10,000 ids that nobody runs, listed by each other",
        invented::sybil_10k,
    )
    .short()
    .bars(SYBIL),
    Attack::new(
        "sybil-40k",
        "Signs 40,000 such ids, more than a view holds",
        invented::sybil_40k,
    )
    .bars(SYBIL),
    Attack::new(
        "sybil-split",
        "Signs 10,000 such ids, and brings each honest node another part of them",
        invented::sybil_split,
    )
    .bars(&[
        // Each of four honest neighbours may bring 64.
        must(name::STRANGERS, 300.0),
        costs(name::FILE, 0.2),
        costs(name::RSS_OTHERS, 12.0),
    ]),
    Attack::new(
        "sybil-many",
        "Joins with 60 keys, and signs 200 ids for each",
        invented::sybil_many,
    )
    // 64 for each member, and the member itself.
    .bars(&[must(name::STRANGERS, 3900.0)]),
    Attack::new(
        "flood-slow",
        "Sends as many new records as a neighbour may",
        floods::flood_slow,
    )
    .bars(FLOOD),
    Attack::new(
        "flood-1",
        "Floods new records in full messages",
        floods::flood_1,
    )
    .short()
    .bars(FLOOD),
    Attack::new(
        "flood-11",
        "Floods new records from eleven members",
        floods::flood_11,
    )
    .bars(FLOOD),
    Attack::new(
        "evict",
        "Sends records of the largest size until others must go",
        floods::evict,
    )
    .short()
    .bars(&[costs(name::CPU_OTHERS, 0.1), costs(name::RSS_VICTIM, 120.0)]),
    Attack::new(
        "rounds",
        "Asks for anti-entropy rounds and for all records without end",
        liars::rounds,
    )
    .bars(&[costs(name::CPU_VICTIM, 0.03)]),
    Attack::new(
        "suspect",
        "Says \"suspect\" of its links, and takes it back, all the time",
        liars::suspect,
    )
    .short(),
    Attack::new(
        "undead",
        "Goes on listing its link to an honest node that has died",
        liars::undead,
    ),
    Attack::new(
        "joins",
        "Joins with 10,000 new keys, as fast as it can",
        doors::joins,
    )
    .newcomers(&[LOOPBACK, LOOPBACK, LOOPBACK])
    .bars(&[costs(name::CPU_VICTIM, 0.2)]),
    Attack::new(
        "flap",
        "Makes links with eight keys and drops them, 2,000 times",
        doors::flap,
    )
    .bars(&[costs(name::CPU_OTHERS, 0.01)]),
    Attack::new(
        "hold",
        "Holds 128 handshakes without a Hello, from the nodes' own host",
        doors::hold,
    )
    .short(),
    Attack::new(
        "hold-remote",
        "Holds 128 handshakes without a Hello, from another host",
        doors::hold,
    )
    .at(REMOTE, HERE)
    .newcomers(&[REMOTE, ELSEWHERE])
    .bars(&[
        must("newcomer at 10.66.0.1, s", 2.0),
        must("newcomer at 10.66.0.3, s", 1.0),
    ]),
    Attack::new(
        "address",
        "Publishes the addresses of others under 300 ids",
        sinks::address,
    )
    .at(REMOTE, HERE)
    .newcomers(&[ELSEWHERE])
    .bars(&[
        must(sinks::GLOBAL, 2.0),
        must(sinks::PRIVILEGED, 0.0),
        must(sinks::PRIVATE, 0.0),
        must(sinks::LINK_LOCAL, 0.0),
        must(sinks::LOOPBACK, 0.0),
    ]),
    Attack::new(
        "observe",
        "Says that it sees honest nodes where they are not",
        liars::observe,
    )
    .at(REMOTE, HERE)
    .newcomers(&[ELSEWHERE])
    .bars(&[must(name::DECEIVED, 0.0)]),
    Attack::new(
        "figures",
        "Signs figures of 10 s and 100 % loss, and answers probes with lies",
        liars::figures,
    ),
    Attack::new(
        "epoch",
        "Signs records at the end of all epochs",
        liars::epoch,
    )
    .bars(&[must(name::EPOCH, 1.0)]),
    Attack::new(
        "replay",
        "Sends the old records of others again and again",
        liars::replay,
    )
    .bars(&[costs(name::CPU_VICTIM, 0.1)]),
    Attack::new(
        "mute",
        "Is linked with all, prunes, names what nobody has, and brings nothing",
        liars::mute,
    )
    .bars(&[costs(name::CPU_VICTIM, 0.1)]),
    Attack::new(
        "eclipse",
        "Wants all slots of the victim, with 400 keys",
        doors::eclipse,
    )
    .short(),
    Attack::new(
        "twoface",
        "Signs two records under each version, and shows each half another one",
        liars::twoface,
    )
    .bars(&[must(name::FACES, 1.0)]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn attacks_have_names_of_their_own_and_one_bar_a_figure() {
        let names: BTreeSet<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), ATTACKS.len());
        for attack in ATTACKS {
            let bars = attack.all_bars();
            let figures: BTreeSet<&str> = bars.iter().map(|bar| bar.figure).collect();
            assert_eq!(figures.len(), bars.len(), "{}", attack.name);
        }
        assert!(ATTACKS.iter().any(|attack| attack.short));
    }
}
