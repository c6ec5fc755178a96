//! Finds the paths, imports and test modules of one source file. The scanner works on tokens, since a full Rust parser would be
//! a dependency for this test alone.

use std::collections::BTreeMap;

use super::Module;

/// The references of one file to other modules.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Paths that may lead to other modules, with their lines.
    pub(crate) paths: Vec<(Vec<String>, usize)>,
    /// Names that `use` brings into the module, and the paths behind them.
    pub(crate) imports: BTreeMap<String, Vec<String>>,
    /// Modules that are compiled for tests alone.
    pub(crate) test_modules: Vec<Module>,
}

impl Scan {
    pub(crate) fn of(module: &Module, text: &str) -> Self {
        let tokens = tokens(text);
        let mut scan = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let word = tokens[at].0.as_str();
            if is_test_attribute(&tokens[at..]) {
                let item = after_attributes(&tokens, at);
                let end = end_of_item(&tokens, item);
                if let Some(name) = module_in_a_file(&tokens[item..end]) {
                    scan.test_modules.push([&module[..], &[name]].concat());
                }
                at = end;
            } else if word == "use" {
                at = scan.import(&tokens, at + 1, &[]);
            } else if is_name(word) && (at == 0 || tokens[at - 1].0 != "::") {
                let mut path = vec![word.to_owned()];
                let line = tokens[at].1;
                while let [(colons, _), (name, _), ..] = &tokens[at + 1..]
                    && colons == "::"
                    && is_name(name)
                {
                    path.push(name.clone());
                    at += 2;
                }
                if path.len() > 1 {
                    scan.paths.push((path, line));
                }
                at += 1;
            } else {
                at += 1;
            }
        }
        scan
    }

    /// Reads one `use` tree that follows `prefix`. Returns the index after it.
    fn import(&mut self, tokens: &[(String, usize)], mut at: usize, prefix: &[String]) -> usize {
        let mut path = prefix.to_vec();
        let mut name = None;
        let line = tokens[at].1;
        while let Some((word, _)) = tokens.get(at) {
            match word.as_str() {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while tokens[at].0 != "}" {
                        at = self.import(tokens, at, &path);
                        at += usize::from(tokens[at].0 == ",");
                    }
                    return at + 1;
                }
                "as" => {
                    name = Some(tokens[at + 1].0.clone());
                    at += 2;
                }
                "self" if !path.is_empty() => at += 1,
                "*" => {
                    name = Some("*".to_owned());
                    at += 1;
                }
                word if is_name(word) => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            self.imports.insert(name, path.clone());
        }
        self.paths.push((path, line));
        at
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn is_test_attribute(tokens: &[(String, usize)]) -> bool {
    let words = tokens.iter().map(|(word, _)| word.as_str()).take(6);
    let words: Vec<_> = words.collect();
    matches!(words[..], ["#", "[", "cfg", "(", "test", ")"])
        || matches!(words[..], ["#", "[", "cfg", "(", "all", "("]
            if tokens.get(6).is_some_and(|(word, _)| word == "test"))
}

/// The index of the item whose first attribute is at `at`.
fn after_attributes(tokens: &[(String, usize)], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|(word, _)| word == "#") {
        at = end_of_brackets(tokens, at + 1);
    }
    at
}

/// The index after the bracket that closes the one at `at`.
fn end_of_brackets(tokens: &[(String, usize)], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some((word, _)) = tokens.get(at) {
        at += 1;
        match word.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The index after the item, statement, field or variant at `begin`.
fn end_of_item(tokens: &[(String, usize)], begin: usize) -> usize {
    const FIELDS_END: &str = ",";
    let first = tokens.get(begin).map_or("", |(word, _)| word.as_str());
    let is_import = tokens[begin..]
        .iter()
        .map(|(word, _)| word.as_str())
        .find(|word| !matches!(*word, "pub" | "(" | "crate" | "super" | ")"))
        == Some("use");
    let is_item = matches!(
        first,
        "pub"
            | "fn"
            | "mod"
            | "impl"
            | "struct"
            | "enum"
            | "use"
            | "const"
            | "static"
            | "type"
            | "trait"
            | "async"
            | "let"
            | "macro_rules"
    );
    let mut at = begin;
    while let Some((word, _)) = tokens.get(at) {
        match word.as_str() {
            "{" => {
                at = end_of_brackets(tokens, at);
                if !is_import {
                    return at;
                }
            }
            "(" | "[" => at = end_of_brackets(tokens, at),
            ";" => return at + 1,
            FIELDS_END if !is_item => return at + 1,
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// The module's name, if the item is `mod name;`.
fn module_in_a_file(item: &[(String, usize)]) -> Option<String> {
    let at = item.iter().position(|(word, _)| word == "mod")?;
    let (end, _) = item.get(at + 2)?;
    (end == ";").then(|| item[at + 1].0.clone())
}

/// Names, `::` and other single characters, with their lines. Comments, strings, characters and quote marks are skipped.
fn tokens(text: &str) -> Vec<(String, usize)> {
    let text: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let begin = at;
        let rest = &text[at..];
        if rest.starts_with(&['/', '/']) {
            at += rest.iter().take_while(|letter| **letter != '\n').count();
        } else if rest.starts_with(&['/', '*']) {
            at += comment(rest);
        } else if let Some(length) = raw_string(rest) {
            at += length;
        } else if rest[0] == '"' {
            at += quoted(rest, '"');
        } else if rest[0] == '\'' {
            at += character_or_lifetime(rest);
        } else if rest[0].is_alphanumeric() || rest[0] == '_' {
            let in_a_name = |letter: &&char| letter.is_alphanumeric() || **letter == '_';
            at += rest.iter().take_while(in_a_name).count();
            tokens.push((text[begin..at].iter().collect(), line));
        } else if rest.starts_with(&[':', ':']) {
            at += 2;
            tokens.push(("::".to_owned(), line));
        } else {
            at += 1;
            if !rest[0].is_whitespace() {
                tokens.push((rest[0].to_string(), line));
            }
        }
        line += text[begin..at]
            .iter()
            .filter(|letter| **letter == '\n')
            .count();
    }
    tokens
}

/// The length of a block comment, nested ones included.
fn comment(text: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with(&['/', '*']) {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with(&['*', '/']) {
            (at, depth) = (at + 2, depth - 1);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the raw string (`r"…"`, `br#"…"#`) at the start of `text`, if there is one.
fn raw_string(text: &[char]) -> Option<usize> {
    let prefix = usize::from(text[0] == 'b');
    if text.get(prefix) != Some(&'r') {
        return None;
    }
    let hashes = text[prefix + 1..]
        .iter()
        .take_while(|letter| **letter == '#')
        .count();
    let begin = prefix + 1 + hashes;
    if text.get(begin) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(vec!['#'; hashes]).collect();
    let inside = text[begin + 1..]
        .windows(end.len())
        .position(|some| some == end);
    Some(inside.map_or(text.len(), |inside| begin + 1 + inside + end.len()))
}

/// The length of a string or character literal, quotes included.
fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

fn character_or_lifetime(text: &[char]) -> usize {
    match text {
        [_, '\\', ..] | [_, _, '\'', ..] => quoted(text, '\''),
        _ => 1,
    }
}
