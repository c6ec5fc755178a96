//! Checks what the pages in `docs/` say about files, fields and flags against the program.

use std::collections::BTreeSet;
use std::process::Command;

use area_net::sim::parse::read_text;
use serde_json::Value;

use crate::documents::{
    all, anchors, block, first_column, leads_to, links, project, section, text,
};

#[test]
fn links_between_documents_lead_somewhere() {
    for document in all() {
        let content = text(&document);
        for link in links(&content) {
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => leads_to("", &document),
                file => leads_to(&document, file),
            };
            let exists = target.exists();
            assert!(exists, "{document} links to {link}, which does not exist");
            if !anchor.is_empty() {
                let page = std::fs::read_to_string(&target).unwrap();
                assert!(
                    anchors(&page).iter().any(|it| it == anchor),
                    "{document} links to {link}, and that page has no such heading"
                );
            }
        }
    }
}

#[test]
fn paths_in_the_documents_exist() {
    const FOLDERS: [&str; 6] = ["src/", "tests/", "crates/", "config/", "docs/", "benches/"];
    for document in all() {
        let content = text(&document);
        for path in content.split('`').skip(1).step_by(2) {
            let of_project = FOLDERS.iter().any(|folder| path.starts_with(folder));
            // A path with a placeholder, or a command.
            let literal = !path.contains(['<', ' ', '\n', '*']);
            if of_project && literal {
                assert!(
                    project().join(path).exists(),
                    "{document} names `{path}`, which does not exist"
                );
            }
        }
    }
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let readme = links(&text("README.md"));
    for page in all() {
        let linked = readme.contains(&page);
        assert!(
            linked || page == "README.md",
            "README.md doesn't link to {page}"
        );
    }
}

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_area-net"));
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_settings_in_the_readme_exist() {
    let help = help(&["-h"]);
    let keys = first_column(&section(&text("README.md"), "## Settings"));
    assert!(!keys.is_empty());
    for key in keys {
        assert!(
            help.contains(&format!("\n  {key} = ")),
            "`area-net -h` has no setting {key}"
        );
    }
}

#[test]
fn the_flags_of_simulations_are_documented() {
    let help = help(&["sim", "-h"]);
    let options = help.lines().map(str::trim_start);
    let options = options.filter(|line| line.starts_with('-'));
    let flags: BTreeSet<&str> = options
        .filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")))
        .collect();
    let page = section(&text("docs/simulator.md"), "## Flags");
    let column = first_column(&page);
    let documented: BTreeSet<&str> = column
        .iter()
        .filter_map(|cell| match cell.split(' ').next() {
            Some("-s") => Some("--setting"),
            flag => flag.filter(|flag| flag.starts_with("--")),
        })
        .chain(["--help"])
        .collect();
    assert_eq!(documented, flags);
}

#[test]
fn the_scenario_in_the_simulators_page_can_be_read() {
    let scenario = block(&text("docs/simulator.md"), "toml");
    read_text("docs/simulator.md", &scenario).unwrap();
}

#[test]
fn the_events_of_the_log_are_documented() {
    let source = text("src/events.rs");
    let page = section(&text("docs/files.md"), "### Events");
    let mut fields = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once("Fields: ") {
            fields = rest.split('`').skip(1).step_by(2).collect();
        }
        let Some((_, name)) = line.split_once(" = \"") else {
            continue;
        };
        let Some(name) = name.strip_suffix("\",") else {
            continue;
        };
        let row = page
            .lines()
            .find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/files.md lacks the event `{name}`"));
        for field in std::mem::take(&mut fields) {
            assert!(
                row.contains(&format!("`{field}`")),
                "docs/files.md lacks the field `{field}` of `{name}`"
            );
        }
    }
}

/// Checks that a table lists exactly the fields of a JSON document; fields of entries are written `nodes[].id`.
pub(crate) fn fields_are_documented(document: &str, heading: &str, json: &Value) {
    let page = section(&text(document), heading);
    // The tables of sections below this one are about other things.
    let page = page.split("\n### ").next().unwrap_or_default();
    let documented: BTreeSet<String> = first_column(page)
        .into_iter()
        .map(|field| field.replace("addresses[]", "addresses"))
        .collect();
    let mut fields = BTreeSet::new();
    for (name, value) in json.as_object().expect("an object") {
        let entries = value.as_array().and_then(|all| all.first());
        match entries.and_then(Value::as_object) {
            Some(entry) => fields.extend(entry.keys().map(|key| format!("{name}[].{key}"))),
            None => {
                fields.insert(name.clone());
            }
        }
    }
    assert_eq!(documented, fields, "{document}, {heading}");
}

/// Checks that the page about the simulator lists every field of a report.
pub(crate) fn report_is_documented(report: &Value) {
    let page = section(&text("docs/simulator.md"), "## The report");
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut values = vec![report];
    while let Some(value) = values.pop() {
        match value {
            Value::Object(fields) => {
                names.extend(fields.keys().map(String::as_str));
                values.extend(fields.values());
            }
            Value::Array(all) => values.extend(all),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for name in names {
        let marks = [format!("`{name}`"), format!("`{name}[]`")];
        assert!(
            marks.iter().any(|mark| page.contains(mark)),
            "docs/simulator.md doesn't document `{name}` of the report"
        );
    }
}
