//! The common case, from flags: they are written down as the TOML that says the same.

use clap::Args;

/// What a scenario says, as flags. They hold before what the file says; steps come on top of its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Flags {
    /// How many nodes [default: 100]
    #[arg(long, value_name = "COUNT")]
    pub nodes: Option<String>,

    /// How much of each node is real: core, with connections that are modelled; or whole, down to the datagrams [default: core]
    #[arg(long, value_name = "HOW")]
    pub fidelity: Option<String>,

    /// What all chance follows from; the same seed gives the same report, to the byte [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<String>,

    /// Whom each node is told of: chain, star, or random K [default: random 2]
    #[arg(long, value_name = "HOW")]
    pub introduction: Option<String>,

    /// How long the run lasts [default: 60s after the last step or start]
    #[arg(long, value_name = "TIME")]
    pub lasts: Option<String>,

    /// Spread the starts over this time [default: all at once]
    #[arg(long, value_name = "TIME")]
    pub start_over: Option<String>,

    /// What every link does, in the words of tc netem; in place of --delay, --jitter and --loss
    #[arg(long, value_name = "NETEM", conflicts_with_all = ["delay", "jitter", "loss"])]
    pub links: Option<String>,

    /// One-way delay of every link; with .., each pair has its own [default: 10ms..50ms]
    #[arg(long, value_name = "TIME")]
    pub delay: Option<String>,

    /// How much the delay varies from packet to packet
    #[arg(long, value_name = "TIME")]
    pub jitter: Option<String>,

    /// Loss of every link, each way
    #[arg(long, value_name = "PERCENT")]
    pub loss: Option<String>,

    /// A CSV file of one-way delays between sites, in ms; in place of --delay
    #[arg(long, value_name = "FILE", conflicts_with = "delay")]
    pub matrix: Option<String>,

    /// Clocks are wrong by up to so much
    #[arg(long, value_name = "TIME")]
    pub clocks: Option<String>,

    /// So many nodes are killed in a minute, and started again after 10 s; 0: none, whatever the file says
    #[arg(long, value_name = "PER MINUTE")]
    pub churn: Option<String>,

    /// A setting for every node; repeatable
    #[arg(short, long = "setting", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// A tuned constant of every core, as in docs/tuning.md; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub tuning: Vec<String>,

    /// They end without a word
    #[arg(long, value_name = "WHO@TIME")]
    pub kill: Vec<String>,

    /// They are started again
    #[arg(long, value_name = "WHO@TIME")]
    pub start: Vec<String>,

    /// They say farewell
    #[arg(long, value_name = "WHO@TIME")]
    pub leave: Vec<String>,

    /// They are killed, and started again 1 s later
    #[arg(long, value_name = "WHO@TIME")]
    pub restart: Vec<String>,

    /// They stand still
    #[arg(long, value_name = "WHO@TIME")]
    pub stop: Vec<String>,

    /// They go on
    #[arg(long = "continue", value_name = "WHO@TIME")]
    pub go_on: Vec<String>,

    /// They and the others don't reach each other any more
    #[arg(long, value_name = "WHO@TIME")]
    pub partition: Vec<String>,

    /// Everybody reaches everybody again
    #[arg(long, value_name = "TIME")]
    pub heal: Vec<String>,
}

/// The scenario that the flags make, as a file.
#[must_use]
pub fn toml_of_flags(flags: &Flags) -> String {
    flags.to_toml().0
}

impl Flags {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The command line's words that say the same.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let once = [
            ("--nodes", &self.nodes),
            ("--fidelity", &self.fidelity),
            ("--seed", &self.seed),
            ("--introduction", &self.introduction),
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

    /// The text, and for each of its lines the flag that it comes from.
    pub(super) fn to_toml(&self) -> (String, Vec<String>) {
        let mut lines = Lines::default();
        lines.number("nodes", "--nodes", self.nodes.as_ref());
        lines.text("fidelity", "--fidelity", self.fidelity.as_ref());
        lines.number("seed", "--seed", self.seed.as_ref());
        lines.text("introduction", "--introduction", self.introduction.as_ref());
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
            // With the @ of the other flags or without it.
            let at = value.strip_prefix('@').unwrap_or(value);
            lines.step_at(&format!("--heal {value}"), at, "heal = true");
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
            // What is none is refused, as a text.
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

/// A text, as TOML writes it.
fn quoted(text: &str) -> String {
    // JSON's escapes are among those of TOML.
    serde_json::Value::from(text.replace(['\n', '\r'], " ")).to_string()
}
