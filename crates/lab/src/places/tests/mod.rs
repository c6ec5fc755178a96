//! Tests of the places without a kernel: files, the plan, rules and the judge.

mod files;
mod plan;
mod verdicts;

use std::path::Path;

use super::parse;
use crate::places::scenario::Scenario;

/// A public network, and two homes behind NATs of one kind. Each test appends its own steps and promises.
const HEAD: &str = r#"
title = "a try"
lasts = "60s"

[[net]]
name = "internet"
v4 = "198.51.100.0/24"
v6 = "2001:db8::/64"

[[net]]
name = "home"
v4 = "192.168.1.0/24"
count = 2

[[router]]
name = "gate"
inside = "home"
outside = "internet"
kind = "full-cone"
map = ["9000:h:8083"]

[[host]]
name = "pub"
on = "internet"

[[host]]
name = "h"
on = "home"
targets = ["pub"]
"#;

fn read(rest: &str) -> Result<Scenario, String> {
    let text = format!("{HEAD}{rest}");
    parse::scenario(Path::new("try.toml"), &text).map_err(|error| error.to_string())
}

fn good(rest: &str) -> Scenario {
    read(rest).expect("a sound scenario")
}

fn bad(rest: &str) -> String {
    read(rest).expect_err("a mistake")
}
