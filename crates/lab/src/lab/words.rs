//! Old words of scenarios, and the words that replace them.

use area_net::sim::parse::words;

/// Keys that scenarios used before they adopted the simulator's language, each with its replacement.
const OLD: [(&str, &str); 16] = [
    ("at_s", "at = \"20s\""),
    ("every_s", "every = \"8s\""),
    ("lasts_s", "lasts = \"60s\""),
    ("clock_s", "clock = \"1h\" or \"-1h\""),
    ("all_know_all_within_s", "all_know_all_within = \"1s\""),
    (
        "down_everywhere_within_s",
        "down_everywhere_within = \"2.5s\"",
    ),
    ("unreachable_within_s", "unreachable_within = \"5s\""),
    ("known_again_within_s", "known_again_within = \"2s\""),
    ("exact_within_s", "exact_within = \"2s\""),
    (
        "link_down_nodes_up_within_s",
        "link_down_nodes_up_within = \"3s\"",
    ),
    ("rtt_shown_within_s", "rtt_shown_within = \"3s\""),
    ("new_address_within_s", "new_address_within = \"5s\""),
    (
        "rtt_beside_ping_us",
        "rtt_beside_ping = { least = \"10us\", over_ping = \"20us\" }",
    ),
    ("percent", "share = \"1%\""),
    ("plus_ms", "plus = \"0.3ms\""),
    (
        "loss_shown_within_points",
        "loss_shown_within = \"3%\", in percentage points",
    ),
];

/// Translates serde's message for people. For a retired key, the message names the replacement.
pub(crate) fn explain(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `");
    let word = unknown.and_then(|rest| rest.split('`').next());
    let old = OLD.iter().find(|(old, _)| Some(*old) == word);
    match old {
        Some((old, now)) => format!("`{old}` is written in another way now: {now}"),
        None => words::explain(message),
    }
}
