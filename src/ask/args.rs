//! The command lines of questions.

use clap::{Args, Subcommand, ValueEnum};

/// A question to a running node.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Question {
    /// Show the network at a glance: how many nodes and links, since when, what is wrong
    #[command(after_help = EXIT)]
    Status(Common),
    /// List the nodes: state, distance, number of links, address
    #[command(after_help = EXIT)]
    Nodes {
        /// Print the labels alone, one a line; of any node that is running, if several are
        #[arg(long, conflicts_with_all = ["json", "watch", "at"])]
        labels: bool,
        #[command(flatten)]
        #[allow(missing_docs, reason = "clap takes a comment for a help text")]
        common: Common,
    },
    /// List the links: who dialed whom, round-trip time, loss
    #[command(after_help = EXIT)]
    Links(Common),
    /// Show one node: why it is up or down, its links, the path to it, the last events
    #[command(after_help = NODE)]
    Node {
        /// Which node: a label, the beginning of an id (4 digits or more), or an address (IP:PORT, IP or :PORT)
        #[arg(value_name = "X")]
        x: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "clap takes a comment for a help text")]
        common: Common,
    },
    /// Show one link: who dialed, round-trip time and loss, and their history
    #[command(after_help = EXIT)]
    Link {
        /// One end: a label, the beginning of an id, or an address
        #[arg(value_name = "X")]
        x: String,
        /// The other end
        #[arg(value_name = "Y")]
        y: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "clap takes a comment for a help text")]
        common: Common,
    },
    /// Show the fastest path between two nodes, hop by hop
    #[command(after_help = PATH)]
    Path {
        /// The nodes: A B is from A to B, and B alone from the node that answers
        #[arg(value_name = "[A] B", required = true, num_args = 1..=2)]
        ends: Vec<String>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "clap takes a comment for a help text")]
        common: Common,
    },
    /// Measure the round-trip time to a node now, along the fastest path
    #[command(after_help = PING)]
    Ping(PingArgs),
    /// Explain the network: what falls apart without which node or link, detours, who slows links down
    #[command(after_help = EXIT)]
    Explain(Common),
    /// List the events of the node's history
    #[command(after_help = EVENTS)]
    Events(EventArgs),
    /// Print the whole graph in a format for other programs
    #[command(after_help = GRAPH)]
    Graph(GraphArgs),
    /// Wait until the network is as described
    #[command(after_help = WAIT)]
    Wait(WaitArgs),
}

/// The options of most questions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Common {
    /// Profile of the node to ask [default: the only one that runs]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Print the answer as the JSON document of the API
    #[arg(long)]
    pub json: bool,

    /// Ask about an earlier time, in UTC: -5m, 12:34:56, 2026-11-30T12:34:56Z, or Unix seconds or ms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub at: Option<String>,

    /// Show the answer again when it changes, at most once a second, until Ctrl-C
    #[arg(long, conflicts_with = "at")]
    pub watch: bool,
}

/// `area-net ping`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PingArgs {
    /// Which node: a label, the beginning of an id, or an address
    #[arg(value_name = "X")]
    pub x: String,

    /// Profile of the node to ask [default: the only one that runs]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Print the documents of the API, one a line
    #[arg(long)]
    pub json: bool,

    /// How often to measure, once a second; every two seconds over more than eight links
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1)]
    pub count: u32,
}

/// `area-net events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct EventArgs {
    /// Profile of the node to ask [default: the only one that runs]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Print JSON: one document, or one event a line with --follow
    #[arg(long)]
    pub json: bool,

    /// Go on with new events as they happen, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,

    /// Only events from this time on: -5m, 12:34:56, or as --at of other commands
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,

    /// Only events of this name, as in the log: "link down"
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Only events about this node
    #[arg(long, value_name = "X")]
    pub about: Option<String>,
}

/// `area-net graph`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct GraphArgs {
    /// Profile of the node to ask [default: the only one that runs]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// The format
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    pub format: GraphFormat,

    /// The graph of an earlier time; see area-net nodes -h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub at: Option<String>,
}

/// Formats of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// The content of network.json
    Json,
    /// A diagram for d2
    D2,
    /// For Graphviz
    Dot,
    /// For yEd, networkx and others
    Graphml,
    /// For Gephi
    Gexf,
    /// NetJSON NetworkGraph
    Netjson,
    /// A diagram for Markdown pages
    Mermaid,
    /// The first lines of a recording
    Stream,
}

/// `area-net wait`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group = clap::ArgGroup::new("condition").required(true).multiple(true).args(["nodes", "rtt_max", "agree"]))]
pub struct WaitArgs {
    /// Profile of the node to ask [default: the only one that runs]
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// At least this many nodes are up, with the node that answers
    #[arg(long, value_name = "COUNT")]
    pub nodes: Option<usize>,

    /// Every link has a round-trip time, and none is longer than this: 80ms, 1s
    #[arg(long, value_name = "TIME")]
    pub rtt_max: Option<String>,

    /// The neighbours see the same network. If the node can't tell: all nodes of this network that run here do
    #[arg(long)]
    pub agree: bool,

    /// How long to wait: 10s, 1m30s
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub timeout: String,
}

const EXIT: &str = "\
Exit status: 0 answered; 1 an error; 2 bad input, or several nodes run and none was chosen; 3 no node is running; \
4 no such node; 5 not reachable, no such link, or the condition is false.

All times are in UTC, as in the log.";

const NODE: &str = "\
Examples:
  area-net node alice            the only running node is asked
  area-net node 3fa9 -p bob      a node by its id, as bob sees it
  area-net node :8090 --at -5m   as it was five minutes ago

Exit status: 4 no such node; the others as of area-net status.";

const PATH: &str = "\
Examples:
  area-net path alice            from the node that answers to alice
  area-net path carol alice      between two others
  area-net path carol alice --json | jq .rtt_us

The path has the least sum of round-trip times. A link without a measurement counts as the slowest one.

Exit status: 4 no such node; 5 no path leads there; the others as of area-net status.";

const PING: &str = "\
Examples:
  area-net ping alice
  area-net ping alice -n 10 -p bob

The node sends an echo to each node on the path with the least sum of round-trip times, and each of them passes the others' on. So \
the time to the node is measured end to end, and that of each link is the difference between two nodes. Where no answer came, the line \
shows what the nodes told, and when.

With -n, a table at the end shows how many echoes each node answered.

Exit status: 4 no such node; 5 no path leads there, or the node answered no echo; the others as of area-net status.";

const EVENTS: &str = "\
Examples:
  area-net events --since -10m
  area-net events --name \"node unreachable\"
  area-net events --about alice --follow

Names and fields are those of the log. Times are in UTC.

Exit status: as of area-net status.";

const GRAPH: &str = "\
Examples:
  area-net graph --format dot | dot -Tsvg >network.svg
  area-net graph --at 12:30 >network.json

Exit status: as of area-net status.";

const WAIT: &str = "\
Examples:
  area-net wait --nodes 5 --timeout 10s
  area-net wait -p bob --nodes 5 --rtt-max 80ms --agree && echo ready

It also waits for the node to start. All conditions must hold at once.

Exit status: 0 all conditions hold; 5 they did not within the time; 3 no node ran at any time; the others as of area-net \
status.";
