//! The command line, and a help text that teaches it.
//!
//! `area-net -c <CONFIG DIR> [-p <PROFILE>] [-s KEY=VALUE]...` runs a node, and keeps doing so as it stands. Subcommands stand
//! beside it: whoever names one gives none of these arguments.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::settings::KEYS;
use crate::sim::command::SimArgs;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    name = "area-net",
    version,
    about = ABOUT,
    override_usage = "area-net -c <CONFIG DIR> [-p <PROFILE>] [-s KEY=VALUE]...\n       area-net sim [SCENARIO] [OPTIONS]",
    after_help = teaching(),
)]
pub struct Cli {
    /// What to do in place of running a node.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The configuration folder; its settings are in network/default.toml and network/PROFILE.toml
    #[arg(short, long, value_name = "CONFIG DIR", required = true)]
    pub config_dir: Option<PathBuf>,

    /// The profile to run; it also names the folders that the node writes to ["default" without]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Override one setting; repeatable, and the last one of a key wins
    #[arg(short, long = "setting", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// What can be done beside running a node.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Simulate a network in virtual time: `area-net sim -h` explains it
    Sim(Box<SimArgs>),
}

// Paragraphs are single lines: clap wraps them at the terminal's width.
const ABOUT: &str = "\
Makes this machine a node of a peer-to-peer overlay over QUIC. The node keeps its connections up, reconnects when they \
go down, and connects to other nodes unasked; and it knows every other node and every link between them, with its \
direction and its round-trip time.";

const LAYERS: &str = "\
Settings are layers, each overriding the one below:
  the built-in defaults
  <CONFIG DIR>/network/default.toml    every key, explained
  <CONFIG DIR>/network/<PROFILE>.toml  with -p <PROFILE>
  -s KEY=VALUE                         in the order given

Three spellings of -s:
  -s network.controller.listen.port=9000  a key and a value of TOML
  -s '\"network.controller.d2\" = true'     the key quoted as in TOML
  -s label=zoe                            bare text, where a text is wanted
Bare text is taken as it stands, also 123 or true; quote it as TOML to keep spaces at its ends. \
Nothing is converted: \"9000\" in quotes is a text, and no port.

Settings, with their defaults:
";

const WRITES: &str = "
What a node writes, relative to the working directory; without -p, <PROFILE> is \"default\":
  profiles/<PROFILE>/peers.json    addresses of all nodes up, as a target file
  profiles/<PROFILE>/network.json  the whole graph, for programs
  profiles/<PROFILE>/peers.d2      the whole graph, for d2 (network.controller.d2)
  profiles/<PROFILE>/state.json    what it remembers from one run to the next
  certs/<PROFILE>/key.pem          its private key (mode 0600): its identity
  certs/<PROFILE>/cert.pem         its self-signed certificate
Key and certificate are made at the first start and kept.

Signals: on SIGINT (Ctrl-C), SIGTERM and SIGHUP the node tells the others that it leaves, and exits with status 0.

Exit status:
  0  the node left because it was asked to
  2  bad input: the command line, a setting, a file; nothing was started
  1  anything else

Logs go to stderr. log.level is for area-net's own messages; everything else speaks up from \"warn\". \
RUST_LOG, if set, replaces both with a list of target=level, such as RUST_LOG=area_net=debug,quinn=info. \
With log.format = \"json\", each message is one JSON object. \
There are colours only on a terminal, and none with NO_COLOR set.

Examples:
  area-net -c config
      a node at [::1]:8083 that waits to be dialed
  area-net -c config -p bob -s network.controller.d2=true
      the profile bob, with the picture in profiles/bob/peers.d2
  area-net -c config -s label=zoe -s network.controller.listen.port=9000 \\
           -s network.controller.target.path=profiles/alice/peers.json
      one more node, which joins those that alice knows
";

/// What the help says after the options. The list of the settings comes from the table that checks them.
fn teaching() -> String {
    let mut text = String::from(LAYERS);
    for key in KEYS {
        let older = key
            .older_name
            .map_or_else(String::new, |name| format!("; older name: {name}"));
        writeln!(
            text,
            "  {} = {}\n      {}{older} ({})",
            key.name,
            key.default,
            key.summary(),
            key.kind
        )
        .expect("a String takes every write");
    }
    text.push_str(WRITES);
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_line_that_users_know_is_understood() {
        Cli::command().debug_assert();
        let cli = parse("area-net -c config -p bob -s label=zoe -s network.controller.d2=true");
        let expected = Cli {
            command: None,
            config_dir: Some("config".into()),
            profile: Some("bob".into()),
            settings: vec!["label=zoe".into(), "network.controller.d2=true".into()],
        };
        assert_eq!(cli.unwrap(), expected);
        let long = parse("area-net --config-dir=config --profile bob --setting label=zoe").unwrap();
        assert_eq!(long.settings, ["label=zoe"]);
        assert_eq!(parse("area-net -c config").unwrap().profile, None);
        for bad in [
            "area-net",
            "area-net -p bob",
            "area-net -c a -c b",
            "area-net -c a b",
            "area-net -c a sim",
            "area-net sim --nodes",
            "area-net sim --delay 1ms --links x",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn the_help_lists_every_setting() {
        let help = Cli::command().render_help().to_string();
        for key in KEYS {
            let line = format!("  {} = {}\n", key.name, key.default);
            assert!(help.contains(&line), "{line}");
        }
    }
}
