//! Generates `docs/tuning.md` from the tables of the core. The test compares the file with the generated text;
//! `UPDATE=1 cargo test --lib sim::parse::tuning` rewrites the file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::membership::{Constant, Tuning};

const INTRO: &str = "\
# Tuned constants

This page lists the constants of the core that were tuned, for people who change them or want to know what they are
good for. They are no settings: a node always runs with the defaults. A simulation can vary them, with
`--tuning NAME=VALUE` or with a table in its scenario ([the simulator](simulator.md#tuned-constants)):

```toml
[tuning]
\"links.parked\" = \"5s\"
\"pace.small\" = 64
```

Times are written as in the rest of a scenario (`50ms`, `10s`, `1min`). Figures are simulated, of
2026-11-29, with that constant alone changed. Few runs were made for each, so a small difference may be chance:

- `links` and `own_record`: 80 cores in the named scenario of `config/sim`, means of seeds 1 to 3. \"Gone\" is the median
  time until nobody shows a killed node as up. The differences of 0.1 s among them may be chance.
- `gossip` and `view`: seed 1 of two runs. A is `sim --nodes 600 --lasts 8s`; B is `sim --nodes 200 --loss 1%
  --kill 30%@20s --partition 50%@40s --heal 52s --lasts 68s`.
- `pace`: `third-dies` with 300 cores, seeds 1 and 2, for 120 s. With the defaults, a dead node is gone from all views after
  3.4 s in the median in both, and views are exact 1.8 and 1.7 s after the start. Differences of 0.2 s in the former, and
  of 5 % of the messages, may be chance.
- `overlay` and `coordinator`: one run each, in the scenario and at the size in parentheses. A difference of less than a
  second in when views stay exact may be chance.

- `figures`, `meet` and `echo`: what follows from the code, not measured.

What names no scenario follows from the code.
";

/// The name of each owner, and what it is about.
const OWNERS: [(&str, &str); 10] = [
    ("links", "Links, and whether they are alive."),
    ("gossip", "How records spread between neighbours."),
    (
        "overlay",
        "Which nodes a node links with, and how it dials them.",
    ),
    ("own_record", "When a node publishes its own record."),
    (
        "figures",
        "When a node tells what it measures on its links, and how old figures of others may be.",
    ),
    (
        "meet",
        "How two nodes behind NATs meet, and how little others can make of that.",
    ),
    (
        "echo",
        "How echoes measure paths when somebody asks for that, and how little others can make of them.",
    ),
    (
        "pace",
        "What depends on the size of the network, or is shared by several owners.",
    ),
    ("view", "The records of all nodes."),
    (
        "coordinator",
        "What the core does when it ran late, and when it leaves.",
    ),
];

const GENERATED: &str = "
---

This page is generated from `crates/core/src/membership`, where each owner has a `tuning.rs`. Change it there, then run
`UPDATE=1 cargo test --lib sim::parse::tuning`.
";

#[test]
fn tuning_md_is_what_the_core_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tuning.md");
    let text = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/tuning.md is not what the core says; run UPDATE=1 cargo test --lib sim::parse::tuning"
    );
}

fn page() -> String {
    let all = Tuning::all();
    let mut text = String::from(INTRO);
    let mut written = 0;
    for (owner, about) in OWNERS {
        let prefix = format!("{owner}.");
        let own: Vec<&Constant> = all
            .iter()
            .filter(|constant| constant.name.starts_with(&prefix))
            .collect();
        written += own.len();
        if own.is_empty() {
            continue;
        }
        write!(text, "\n## {owner}\n\n{about}\n\n").unwrap();
        text += "| Constant | Default | Range | Meaning |\n| --- | --- | --- | --- |\n";
        for constant in own {
            let words: Vec<&str> = constant.doc.split_whitespace().collect();
            writeln!(
                text,
                "| `{}` | {} | {} to {} | {} |",
                constant.name,
                constant.default,
                constant.least,
                constant.most,
                words.join(" ").replace('|', "\\|")
            )
            .unwrap();
        }
    }
    assert_eq!(written, all.len(), "an owner is missing on the page");
    text + GENERATED
}
