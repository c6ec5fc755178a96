//! The common case, from flags, which are converted to the equivalent TOML.

use clap::Args;

/// A scenario as flags. They override the file; steps are added to the file's steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Flags {
    /// Number of nodes [default: 100]
    #[arg(long, value_name = "COUNT")]
    pub nodes: Option<String>,

    /// How much of each node is real: core (connections are modelled) or whole (QUIC, TLS and the event loop run) [default: core]
    #[arg(long, value_name = "HOW")]
    pub fidelity: Option<String>,

    /// Random seed; the same seed gives the same report, byte for byte [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<String>,

    /// Which nodes each node is told of at first: chain, star, or random K [default: random 2]
    #[arg(long, value_name = "HOW")]
    pub introduction: Option<String>,

    /// Nodes that are not started at first; --start starts them
    #[arg(long, value_name = "WHO")]
    pub absent: Option<String>,

    /// How long the run lasts [default: 60s after the last step or start]
    #[arg(long, value_name = "TIME")]
    pub lasts: Option<String>,

    /// Spread the starts evenly over this time [default: all at once]
    #[arg(long, value_name = "TIME")]
    pub start_over: Option<String>,

    /// Impairment of every link, in the words of tc netem; replaces --delay, --jitter and --loss
    #[arg(long, value_name = "NETEM", conflicts_with_all = ["delay", "jitter", "loss"])]
    pub links: Option<String>,

    /// One-way delay of every link; with .., each pair has its own in that range [default: 10ms..50ms]
    #[arg(long, value_name = "TIME")]
    pub delay: Option<String>,

    /// How much the delay varies from packet to packet
    #[arg(long, value_name = "TIME")]
    pub jitter: Option<String>,

    /// Packet loss of every link, in each direction
    #[arg(long, value_name = "PERCENT")]
    pub loss: Option<String>,

    /// CSV file of one-way delays between sites, in ms; replaces --delay
    #[arg(long, value_name = "FILE", conflicts_with = "delay")]
    pub matrix: Option<String>,

    /// Set each node's clock wrong by up to this time
    #[arg(long, value_name = "TIME")]
    pub clocks: Option<String>,

    /// Number of nodes killed per minute and started again after 10 s; 0 removes the file's churn
    #[arg(long, value_name = "PER MINUTE")]
    pub churn: Option<String>,

    /// A setting for every node; repeatable
    #[arg(short, long = "setting", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// Set a tuned constant of every core, as in docs/tuning.md; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub tuning: Vec<String>,

    /// Add Byzantine nodes, such as sybil:ids=1000,from=20s; repeatable
    #[arg(long, value_name = "ATTACK")]
    pub attack: Vec<String>,

    /// Kill nodes, without a leave message
    #[arg(long, value_name = "WHO@TIME")]
    pub kill: Vec<String>,

    /// Start nodes again
    #[arg(long, value_name = "WHO@TIME")]
    pub start: Vec<String>,

    /// The nodes leave gracefully
    #[arg(long, value_name = "WHO@TIME")]
    pub leave: Vec<String>,

    /// Kill nodes, and start them again 1 s later
    #[arg(long, value_name = "WHO@TIME")]
    pub restart: Vec<String>,

    /// Pause nodes, as with SIGSTOP
    #[arg(long, value_name = "WHO@TIME")]
    pub stop: Vec<String>,

    /// Resume paused nodes
    #[arg(long = "continue", value_name = "WHO@TIME")]
    pub go_on: Vec<String>,

    /// Cut the nodes off from all others
    #[arg(long, value_name = "WHO@TIME")]
    pub partition: Vec<String>,

    /// End the partition
    #[arg(long, value_name = "TIME")]
    pub heal: Vec<String>,
}

/// The scenario that the flags stand for, as a file.
#[must_use]
pub fn toml_of_flags(flags: &Flags) -> String {
    flags.to_toml().0
}

impl Flags {
    /// Whether no flag is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The equivalent words of the command line.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let once = [
            ("--nodes", &self.nodes),
            ("--fidelity", &self.fidelity),
            ("--seed", &self.seed),
            ("--introduction", &self.introduction),
            ("--absent", &self.absent),
            ("--lasts", &self.lasts),
            ("--start-over", &self.start_over),
            ("--links", &self.links),
            ("--delay", &self.delay),
            ("--jitter", &self.jitter),
            ("--loss", &self.loss),
            ("--matrix", &self.matrix),
            ("--clocks", &self.clocks),
            ("--churn", &self.churn),
        ];
        let often = [
            ("-s", &self.settings),
            ("--tuning", &self.tuning),
            ("--attack", &self.attack),
            ("--kill", &self.kill),
            ("--start", &self.start),
            ("--leave", &self.leave),
            ("--restart", &self.restart),
            ("--stop", &self.stop),
            ("--continue", &self.go_on),
            ("--partition", &self.partition),
            ("--heal", &self.heal),
        ];
        let once = once
            .into_iter()
            .flat_map(|(flag, value)| value.iter().map(move |it| (flag, it)));
        let often = often
            .into_iter()
            .flat_map(|(flag, all)| all.iter().map(move |it| (flag, it)));
        let words = |(flag, value): (&str, &String)| [flag.to_owned(), value.clone()];
        once.chain(often).flat_map(words).collect()
    }

    /// The TOML text, and for each of its lines the flag that it comes from.
    pub(super) fn to_toml(&self) -> (String, Vec<String>) {
        let mut lines = Lines::default();
        lines.number("nodes", "--nodes", self.nodes.as_ref());
        lines.text("fidelity", "--fidelity", self.fidelity.as_ref());
        lines.number("seed", "--seed", self.seed.as_ref());
        lines.text("introduction", "--introduction", self.introduction.as_ref());
        lines.text("absent", "--absent", self.absent.as_ref());
        lines.text("lasts", "--lasts", self.lasts.as_ref());
        lines.text("start_over", "--start-over", self.start_over.as_ref());
        lines.text("links", "--links", self.links.as_ref());
        lines.text("delay", "--delay", self.delay.as_ref());
        lines.text("jitter", "--jitter", self.jitter.as_ref());
        lines.text("loss", "--loss", self.loss.as_ref());
        lines.text("matrix", "--matrix", self.matrix.as_ref());
        lines.text("clocks", "--clocks", self.clocks.as_ref());
        if !self.settings.is_empty() {
            lines.push("settings = [", "-s");
            for setting in &self.settings {
                lines.push(&format!("  {},", quoted(setting)), &format!("-s {setting}"));
            }
            lines.push("]", "-s");
        }
        for (word, flag, values) in [
            ("kill", "--kill", &self.kill),
            ("start", "--start", &self.start),
            ("leave", "--leave", &self.leave),
            ("restart", "--restart", &self.restart),
            ("stop", "--stop", &self.stop),
            ("continue", "--continue", &self.go_on),
        ] {
            for value in values {
                lines.step(flag, value, |who| format!("{word} = {}", quoted(who)));
            }
        }
        for value in &self.partition {
            let parts = |who: &str| format!("partition = [{}]", quoted(who));
            lines.step("--partition", value, parts);
        }
        for value in &self.heal {
            // With or without the @ of the other flags.
            let at = value.strip_prefix('@').unwrap_or(value);
            lines.step_at(&format!("--heal {value}"), at, "heal = true");
        }
        for attack in &self.attack {
            lines.attack(attack);
        }
        if let Some(churn) = &self.churn {
            let flag = format!("--churn {churn}");
            lines.push("", &flag);
            lines.push("[churn]", &flag);
            let number = churn.parse::<f64>().ok().filter(|it| it.is_finite());
            let number = number.map_or_else(|| quoted(churn), |number| format!("{number:?}"));
            lines.push(&format!("per_min = {number}"), &flag);
        }
        lines.tuning(&self.tuning);
        (lines.text, lines.flags)
    }
}

#[derive(Default)]
struct Lines {
    text: String,
    flags: Vec<String>,
}

impl Lines {
    fn push(&mut self, line: &str, flag: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.flags.push(flag.to_owned());
    }

    fn text(&mut self, key: &str, flag: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.push(
                &format!("{key} = {}", quoted(value)),
                &format!("{flag} {value}"),
            );
        }
    }

    fn number(&mut self, key: &str, flag: &str, value: Option<&String>) {
        if let Some(value) = value {
            // Anything but a number is passed on as a string, and rejected by the parser.
            let number = value.parse::<u64>();
            let number = number.map_or_else(|_| quoted(value), |number| number.to_string());
            self.push(&format!("{key} = {number}"), &format!("{flag} {value}"));
        }
    }

    fn tuning(&mut self, values: &[String]) {
        if !values.is_empty() {
            self.push("", "--tuning");
            self.push("[tuning]", "--tuning");
        }
        for written in values {
            let (name, value) = written.split_once('=').unwrap_or((written, ""));
            let value = value.trim();
            let number = value.parse::<f64>().ok().filter(|it| it.is_finite());
            let value = match (value.parse::<i64>(), number) {
                (Ok(whole), _) => whole.to_string(),
                (Err(_), Some(number)) => format!("{number:?}"),
                (Err(_), None) => quoted(value),
            };
            let line = format!("{} = {value}", quoted(name.trim()));
            self.push(&line, &format!("--tuning {written}"));
        }
    }

    /// `sybil:ids=1000,from=20s`.
    fn attack(&mut self, value: &str) {
        let flag = format!("--attack {value}");
        let (word, rest) = value.split_once(':').unwrap_or((value, ""));
        self.push("", &flag);
        self.push("[[byzantine]]", &flag);
        self.push(&format!("attack = {}", quoted(word)), &flag);
        for pair in rest.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = value.parse::<f64>().ok().filter(|it| it.is_finite());
            let value = match (key, value.parse::<u64>(), number) {
                ("rate", _, Some(number)) => format!("{number:?}"),
                (_, Ok(whole), _) => whole.to_string(),
                (_, Err(_), _) => quoted(value),
            };
            self.push(&format!("{} = {value}", quoted(key)), &flag);
        }
    }

    fn step(&mut self, flag: &str, value: &str, line: impl Fn(&str) -> String) {
        let (who, at) = value.rsplit_once('@').unwrap_or((value, ""));
        self.step_at(&format!("{flag} {value}"), at, &line(who));
    }

    fn step_at(&mut self, flag: &str, at: &str, line: &str) {
        self.push("", flag);
        self.push("[[step]]", flag);
        self.push(&format!("at = {}", quoted(at)), flag);
        self.push(line, flag);
    }
}

/// A string in TOML's syntax.
fn quoted(text: &str) -> String {
    // JSON's escapes are a subset of TOML's.
    serde_json::Value::from(text.replace(['\n', '\r'], " ")).to_string()
}
