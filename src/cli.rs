//! The command line and its help text.
//!
//! `area-net -c <CONFIG DIR> [-p <PROFILE>] [-s KEY=VALUE]...` runs a node. Users rely on this form, so it must keep working.
//! A subcommand takes the place of these arguments.

use std::fmt::Write as _;
use std::path::PathBuf;

mod shells;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::admission::command::KeyCommand;
use crate::ask::Question;
use crate::authority::command::AuthorityCommand;
use crate::recording::{RecordArgs, ReplayArgs};
use crate::settings::KEYS;
use crate::sim::command::SimArgs;

pub use shells::{completions, man};

/// The parsed command line.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    name = "area-net",
    version,
    about = ABOUT,
    override_usage = "area-net -c <CONFIG DIR> [-p <PROFILE>] [-s KEY=VALUE]...\n       area-net <COMMAND> [OPTIONS]",
    after_help = after_help(),
)]
pub struct Cli {
    /// What to do instead of running a node.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Folder with the settings: network/default.toml and network/PROFILE.toml
    #[arg(short, long, value_name = "CONFIG DIR", required = true)]
    pub config_dir: Option<PathBuf>,

    /// Profile to run; it also names the folders that the node writes to [default: default]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Override one setting; repeatable, and the last value of a key counts
    #[arg(short, long = "setting", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// The line that runs a node, alone.
#[derive(Debug, Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
struct NodeLine {
    #[arg(short, long, required = true)]
    config_dir: PathBuf,
    #[arg(short, long)]
    profile: Option<String>,
    #[arg(short, long = "setting")]
    settings: Vec<String>,
}

impl Cli {
    /// Parses a command line, the program's name first.
    ///
    /// What describes all commands takes hundreds of kB to make, of which a node would keep a part as long as it runs, and three
    /// megabytes more: memory that was used before must be cleared before quinn gets it for its buffers. So the line that runs a node is
    /// tried alone first.
    ///
    /// # Errors
    /// What is wrong with the line; or what it asks for: a help text, the version.
    pub fn of<I>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator + Clone,
        I::Item: Into<std::ffi::OsString> + Clone,
    {
        match NodeLine::try_parse_from(arguments.clone()) {
            Ok(NodeLine {
                config_dir,
                profile,
                settings,
            }) => Ok(Self {
                command: None,
                config_dir: Some(config_dir),
                profile,
                settings,
            }),
            Err(_) => Self::try_parse_from(arguments),
        }
    }
}

/// What the program can do besides running a node.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Simulate a network in virtual time; see area-net sim -h
    Sim(Box<SimArgs>),

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap takes a comment for a help text")]
    Ask(Question),

    /// Show the network live in this terminal: nodes, links, a matrix, a map and events
    #[cfg(feature = "top")]
    #[command(after_help = TOP)]
    Top {
        /// The running node's profile [default: the only one that runs]
        #[arg(short, long, value_name = "PROFILE")]
        profile: Option<String>,
    },

    /// Print completions for a shell; they complete the labels of nodes too
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the manual page, or write those of all commands into a folder
    #[command(after_help = MAN)]
    Man {
        /// The folder
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },

    /// Close a network: make its key, or an authority that admits members and revokes them
    #[command(subcommand)]
    Network(NetworkCommand),

    /// Write what a running node sees to a file, until Ctrl-C
    Record(RecordArgs),
    /// Show a recording on the page, and answer questions about it
    Replay(ReplayArgs),
}

/// The command line of `area-net network`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[allow(missing_docs, reason = "clap takes a comment for a help text")]
pub enum NetworkCommand {
    #[command(flatten)]
    Key(KeyCommand),
    #[command(flatten)]
    Authority(AuthorityCommand),
}

// Paragraphs are single lines: clap wraps them at the terminal's width.
const ABOUT: &str = "\
Runs a node of a peer-to-peer overlay network over QUIC. The node connects to other nodes by itself and reconnects \
when a connection fails. It knows every other node and every link between nodes, with the direction and the \
round-trip time of the link.";

#[cfg(feature = "top")]
const TOP: &str = "\
Press ? for the keys, and q to quit. NO_COLOR=1 turns colours off.";

const COMPLETIONS: &str = "\
Examples:
  area-net completions bash >~/.local/share/bash-completion/completions/area-net
  area-net completions fish >~/.config/fish/completions/area-net.fish
  area-net completions zsh >\"${fpath[1]}/_area-net\"";

const MAN: &str = "\
Examples:
  area-net man | man -l -
  area-net man ~/.local/share/man/man1";

const LAYERS: &str = "\
Settings are read in layers. Each layer overrides the one above it:
  built-in defaults
  <CONFIG DIR>/network/default.toml    contains and explains every key
  <CONFIG DIR>/network/<PROFILE>.toml  with -p <PROFILE>
  AREA_NET_KEY_FILE                    environment variable; sets network.key
  -s KEY=VALUE                         in the order given

Forms of -s:
  -s network.controller.listen.port=9000  a key and a value, as in TOML
  -s '\"network.controller.d2\" = true'     a quoted key, as in TOML
  -s label=zoe                            a bare string, for a key that takes a string
A bare string is taken as it is, even 123 or true. Quote it as in TOML to keep spaces at its ends. \
Values are not converted: \"9000\" in quotes is a string and not a port number.

All settings, with default and range:
";

const WRITES: &str = "
Files that the node writes, relative to the working directory; without -p, <PROFILE> is \"default\":
  profiles/<PROFILE>/peers.json    addresses of all nodes that are up; usable as a target file
  profiles/<PROFILE>/network.json  the whole graph, as JSON
  profiles/<PROFILE>/peers.d2      the graph, for d2; only with network.controller.d2=true
  profiles/<PROFILE>/state.json    addresses of other nodes, for the next start
  profiles/<PROFILE>/node.sock     socket for the commands, if XDG_RUNTIME_DIR is not set
  profiles/<PROFILE>/node.lock     lock of the profile, with the number of the process (mode 0600)
  profiles/<PROFILE>/web.token     token of the page (mode 0600), if it is served beyond loopback
  certs/<PROFILE>/key.pem          private key (mode 0600), the identity of the node
  certs/<PROFILE>/cert.pem         self-signed certificate
The node creates its key and certificate at the first start and keeps them.

Signals: on SIGINT (Ctrl-C), SIGTERM or SIGHUP the node tells the other nodes that it leaves, and exits with status 0. \
A signal that was ignored when the node started stays ignored, so a node started with nohup outlives its terminal.

Exit status:
  0  the node was asked to stop, or the question was answered
  2  bad input: the command line, a setting or a file; nothing was started
  3  no node is running that could answer
  4  no such node
  5  not reachable, or the condition of area-net wait is false
  1  any other error

Logs go to stderr. log.level sets the level of area-net's own messages; other libraries log from \"warn\" up. \
RUST_LOG overrides both with a list of target=level, for example RUST_LOG=area_net=debug,quinn=info. \
With log.format = \"json\", each line is one JSON object. \
Colours appear only on a terminal, and never if NO_COLOR is set.

Examples:
  area-net -c config
      a node at [::1]:8083 that waits until another node dials it
  area-net -c config -p bob -s network.controller.d2=true
      the profile bob, with the picture in profiles/bob/peers.d2
  area-net -c config -s label=zoe -s network.controller.listen.port=9000 \\
           -s network.controller.target.path=profiles/alice/peers.json
      another node, which joins the network through the nodes that alice knows
  area-net nodes -p bob
      the nodes that the running node bob knows; area-net help lists all questions
";

/// The help after the options. The list of settings comes from the table that also checks them.
fn after_help() -> String {
    let mut text = String::from(LAYERS);
    for key in KEYS {
        let older = key
            .older_name
            .map_or_else(String::new, |older| format!("; older name: {older}"));
        // Quotes of code are for Markdown.
        let about = format!("{} [{}]{older}", key.summary(), key.range()).replace('`', "");
        writeln!(text, "  {} = {}\n      {about}", key.name, key.default)
            .expect("a String takes every write");
    }
    text.push_str(WRITES);
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::ask::Common;

    /// Both ways of parsing agree.
    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let cli = Cli::of(&arguments);
        let whole = Cli::try_parse_from(&arguments);
        assert_eq!(cli.as_ref().ok(), whole.as_ref().ok(), "{line}");
        cli
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
            "area-net -p bob status",
            "area-net -c config status",
            "area-net node",
            "area-net link x",
            "area-net path",
            "area-net path a b c",
            "area-net nodes --at",
            "area-net nodes --watch --at -5m",
            "area-net graph --format png",
            "area-net wait",
            "area-net wait --timeout 1s",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn questions_have_a_profile_of_their_own() {
        let question = |line: &str| match parse(line).unwrap() {
            Cli {
                command: Some(Command::Ask(question)),
                config_dir: None,
                profile: None,
                ..
            } => question,
            other => panic!("{other:?}"),
        };
        let common = Common {
            profile: Some("bob".into()),
            at: Some("-5m".into()),
            ..Common::default()
        };
        let line = "area-net status -p bob --at -5m";
        assert_eq!(question(line), Question::Status(common.clone()));
        let ends = vec!["a".to_owned(), "b".to_owned()];
        let path = Question::Path { ends, common };
        assert_eq!(question("area-net path a b --at=-5m -p bob"), path);
        question("area-net wait --nodes 5 --rtt-max 80ms --agree --timeout 10s");
        question("area-net events --follow --since -1h");
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
