//! What must hold under attack, as data.

/// A figure and the most that it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar {
    /// The figure's name.
    pub(crate) figure: &'static str,
    /// The most that it may be.
    pub(crate) at_most: f64,
    /// Whether the figure is a matter of behaviour, with a margin, and so is judged in the short form. Shares of a core are not: they
    /// depend on the machine.
    pub(crate) always: bool,
}

/// The names of the figures that every attack is measured by.
pub(crate) mod name {
    pub(crate) const ENDED: &str = "honest nodes that ended";
    pub(crate) const CPU_BASE: &str = "cpu before, victim";
    pub(crate) const CPU_VICTIM: &str = "cpu, victim";
    pub(crate) const CPU_OTHERS: &str = "cpu, others";
    pub(crate) const RSS_BASE: &str = "MiB before, victim";
    pub(crate) const RSS_VICTIM: &str = "MiB, victim";
    pub(crate) const RSS_OTHERS: &str = "MiB, others";
    pub(crate) const FILE: &str = "network.json, MB";
    pub(crate) const LOG: &str = "log, kB";
    pub(crate) const DEATH: &str = "death known by all, s";
    pub(crate) const NEWCOMER: &str = "newcomer shown by all, s";
    pub(crate) const NEWCOMER_WORST: &str = "newcomer shown by all, worst, s";
    pub(crate) const NEWCOMER_AFTER: &str = "newcomer after the attack, s";
    pub(crate) const LINKS_LOST: &str = "honest links lost";
    pub(crate) const FALSE_DOWN: &str = "honest nodes shown as down";
    pub(crate) const RTT_BASE: &str = "rtt before, ms";
    pub(crate) const RTT: &str = "rtt, ms";
    pub(crate) const STRANGERS: &str = "invented nodes shown";
    pub(crate) const STRANGERS_AFTER: &str = "invented nodes shown at the end";
    pub(crate) const DECEIVED: &str = "honest nodes shown at a lied address";
    pub(crate) const FACES: &str = "records shown of one version";
    pub(crate) const FACES_S: &str = "two records shown of one version, s";
    pub(crate) const EPOCH: &str = "honest epochs ahead, days";
    pub(crate) const JOINED: &str = "joined";
    pub(crate) const CLOSED: &str = "closed";
}

/// A bar on behaviour.
pub(crate) const fn must(figure: &'static str, at_most: f64) -> Bar {
    Bar {
        figure,
        at_most,
        always: true,
    }
}

/// A bar on what it costs.
pub(crate) const fn costs(figure: &'static str, at_most: f64) -> Bar {
    Bar {
        figure,
        at_most,
        always: false,
    }
}

/// What holds under every attack. The death of a node is known after a second at the median and 2.5 s at worst without an attacker, and a
/// newcomer after some hundredths of a second: both have room for a busy machine. Round trips on loopback take 0.1 ms; a machine whose
/// cores are all taken delays them by some milliseconds. Nobody may fill a disk with log lines: 200 kB in a run are 10 kB a second.
pub(crate) const EVER: &[Bar] = &[
    must(name::ENDED, 0.0),
    must(name::DEATH, 2.5),
    must(name::NEWCOMER_WORST, 2.0),
    must(name::NEWCOMER_AFTER, 2.0),
    must(name::LINKS_LOST, 0.0),
    must(name::FALSE_DOWN, 0.0),
    costs(name::RTT, 10.0),
    costs(name::LOG, 200.0),
];

/// One hostile member may show this many nodes that nobody runs: 64, and itself under some of the keys with which it came back.
pub(crate) const INVENTED: Bar = must(name::STRANGERS, 80.0);
