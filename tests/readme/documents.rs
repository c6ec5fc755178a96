//! Reads the project's documents: fenced blocks, links, headings, tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the project.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents that people read, by their names in the project.
pub(crate) fn all() -> Vec<String> {
    let mut names = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for entry in fs::read_dir(project().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|end| end == "md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names
}

/// The commands in fenced blocks of a language: lines that end in `\` are joined, comments are dropped.
pub(crate) fn fenced(text: &str, language: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut command = String::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(fence) = line.strip_prefix("```") {
            inside = fence == language;
            continue;
        }
        if !inside || line.starts_with('#') {
            continue;
        }
        let line = line.split("  #").next().unwrap_or(line).trim();
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part.trim(), true),
            None => (line, false),
        };
        if !command.is_empty() {
            command.push(' ');
        }
        command.push_str(part);
        if !goes_on && !command.is_empty() {
            commands.push(std::mem::take(&mut command));
        }
    }
    commands
}

/// The first fenced block of a language, as it stands.
pub(crate) fn block(text: &str, language: &str) -> String {
    let start = format!("```{language}\n");
    let (_, rest) = text.split_once(&start).expect("there is such a block");
    let (block, _) = rest.split_once("\n```").expect("the block ends");
    format!("{block}\n")
}

/// A text without its fenced blocks and without code in backticks: what is left has links.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            for part in line.split('`').step_by(2) {
                prose.push_str(part);
            }
            prose.push('\n');
        }
    }
    prose
}

/// The targets of links and images in a document.
pub(crate) fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split(')').next())
        .map(str::to_owned)
        .collect()
}

/// The anchors of a document's headings, made as GitHub makes them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        }
        let title = line.trim_start_matches('#');
        if inside || title == line || !title.starts_with(' ') {
            continue;
        }
        let slug: String = title
            .trim()
            .chars()
            .filter_map(|letter| match letter {
                ' ' => Some('-'),
                letter if letter.is_alphanumeric() || "-_".contains(letter) => {
                    Some(letter.to_ascii_lowercase())
                }
                _ => None,
            })
            .collect();
        let count = seen.entry(slug.clone()).or_default();
        anchors.push(match *count {
            0 => slug,
            more => format!("{slug}-{more}"),
        });
        *count += 1;
    }
    anchors
}

/// The part of a document below a heading, up to the next one of the same rank or a higher one.
pub(crate) fn section(text: &str, heading: &str) -> String {
    let rank = heading.chars().take_while(|letter| *letter == '#').count();
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let ends = |line: &&str| {
        let hashes = line.chars().take_while(|letter| *letter == '#').count();
        hashes == 0 || hashes > rank
    };
    let section: Vec<&str> = lines.take_while(ends).collect();
    assert!(!section.is_empty(), "there is no section {heading}");
    section.join("\n")
}

/// What stands in backticks in the first column of a section's tables.
pub(crate) fn first_column(section: &str) -> Vec<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

/// The file that a relative link in a document leads to.
pub(crate) fn leads_to(document: &str, target: &str) -> PathBuf {
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    project().join(folder).join(target)
}
