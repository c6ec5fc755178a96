//! The page, embedded in the binary: its files for the web server, and the page as one document that contains a recording.
//!
//! The modules are written so that they can be joined by a few rules, which the tests check: an import is one line that names what
//! it takes from a file beside it, nothing has a default export, and no two modules import each other. Browsers don't load modules
//! from `file://`, neither by path nor from one inline module to another. So the document contains one classic script, in which each
//! module is a function that returns what it exports.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// What the page may do, as the header of its answers: load its own files, and ask the node that served it.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// The value of the `content-type` header.
    pub content_type: &'static str,
    /// The file.
    pub bytes: &'static [u8],
}

const INDEX: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
const ICON: &str = include_str!("page/icon.svg");

/// Names and texts of the modules, each after those that it imports.
macro_rules! modules {
    ($($name:literal,)*) => {
        const MODULES: &[(&str, &str)] = &[$(($name, include_str!(concat!("page/", $name))),)*];
    };
}

modules! {
    "text.js",
    "dom.js",
    "scale.js",
    "stream.js",
    "story.js",
    "timeline.js",
    "source.js",
    "graph.js",
    "layout.js",
    "scene.js",
    "theme.js",
    "paint.js",
    "map.js",
    "events.js",
    "insights.js",
    "findings.js",
    "panels.js",
    "tables.js",
    "furniture.js",
    "matrix.js",
    "timebar.js",
    "export.js",
    "menu.js",
    "address.js",
    "choice.js",
    "main.js",
}

/// Returns the file of the page that is called `name`. The page itself is `index.html`; it asks for the others as `/page/NAME`.
#[must_use]
pub fn asset(name: &str) -> Option<Asset> {
    let (content_type, text) = match name {
        "index.html" => ("text/html; charset=utf-8", INDEX),
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => {
            let (_, text) = MODULES.iter().find(|(module, _)| *module == name)?;
            ("text/javascript; charset=utf-8", *text)
        }
    };
    Some(Asset {
        content_type,
        bytes: text.as_bytes(),
    })
}

/// Renders one HTML document that contains the page and a recording, packed with gzip or not. It needs no server.
#[must_use]
pub fn standalone(recording: &[u8]) -> String {
    let script = bundle();
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        base64(digest(&SHA256, script.as_bytes()).as_ref()),
        base64(digest(&SHA256, STYLE.as_bytes()).as_ref()),
    );
    let mut head = String::new();
    let mut body = String::new();
    let mut in_head = true;
    for line in INDEX.lines() {
        // The files beside the page are inside of this document, or, as the icon, left out.
        let loads = line.contains("\"/page/");
        if line == "<meta charset=\"utf-8\">" {
            // First of all: a policy holds for what follows it.
            let _ = write!(
                head,
                "{line}\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"
            );
        } else if line == "</head>" {
            let _ = write!(head, "<style>{STYLE}</style>\n{line}\n");
            in_head = false;
        } else if line != "</body>" && line != "</html>" && !loads {
            let part = if in_head { &mut head } else { &mut body };
            part.push_str(line);
            part.push('\n');
        }
    }
    // A script of an unknown type is data: nothing in it runs, and base64 contains no tag.
    format!(
        "{head}{body}<script type=\"application/octet-stream\" id=\"recording\">{}</script>\n<script>{script}</script>\n</body>\n</html>\n",
        base64(recording),
    )
}

/// Joins the modules into one classic script.
fn bundle() -> String {
    let mut script = String::from("'use strict';\n");
    for (name, text) in MODULES {
        let mut exports = Vec::new();
        let _ = writeln!(script, "const {} = (() => {{", variable(name));
        for line in text.lines() {
            if let Some((names, from)) = import(line) {
                let _ = writeln!(script, "const {{ {names} }} = {};", variable(from));
            } else if let Some(exported) = line.strip_prefix("export ") {
                exports.push(declared(exported));
                let _ = writeln!(script, "{exported}");
            } else {
                let _ = writeln!(script, "{line}");
            }
        }
        let _ = writeln!(script, "return {{ {} }};\n}})();", exports.join(", "));
    }
    script
}

/// Splits `import { a, b } from './x.js';` into its names and the file.
fn import(line: &str) -> Option<(&str, &str)> {
    let (names, from) = line
        .strip_prefix("import { ")?
        .strip_suffix("';")?
        .split_once(" } from './")?;
    Some((names, from))
}

/// The name that a declaration declares.
fn declared(declaration: &str) -> &str {
    let name = declaration
        .trim_start_matches("async ")
        .trim_start_matches("function ")
        .trim_start_matches("class ")
        .trim_start_matches("const ");
    let end = name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    &name[..end.unwrap_or(name.len())]
}

fn variable(file: &str) -> String {
    format!("${}", file.trim_end_matches(".js"))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_usize, |group, index| {
            group << 8 | usize::from(chunk.get(index).copied().unwrap_or(0))
        });
        for index in 0..4 {
            let letter = LETTERS[group >> (18 - 6 * index) & 63];
            text.push(if index <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_the_page_asks_for_is_there() {
        let asked: Vec<_> = INDEX
            .split("\"/page/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(asked, ["icon.svg", "style.css", "main.js"]);
        for name in asked {
            assert!(asset(name).is_some(), "{name}");
        }
        assert_eq!(asset("../page.rs"), None);
    }

    #[test]
    fn each_module_imports_only_modules_before_it_by_the_rules_of_the_bundle() {
        let mut seen = Vec::new();
        for (name, text) in MODULES {
            for line in text.lines() {
                if let Some((names, from)) = import(line) {
                    let (_, exporter) = MODULES.iter().find(|(module, _)| module == &from).unwrap();
                    assert!(
                        seen.contains(&from),
                        "{name} imports {from}, which comes later"
                    );
                    for taken in names.split(", ") {
                        let exports = |line: &str| {
                            line.strip_prefix("export ")
                                .is_some_and(|rest| declared(rest) == taken)
                        };
                        assert!(
                            exporter.lines().any(exports),
                            "{from} has no {taken}, which {name} takes"
                        );
                    }
                } else {
                    assert!(!line.starts_with("import"), "{name}: {line}");
                    let odd = line.starts_with("export default") || line.starts_with("export {");
                    assert!(!odd, "{name}: {line}");
                }
            }
            seen.push(*name);
        }
    }

    #[test]
    fn nothing_of_the_page_writes_markup_or_loads_from_elsewhere() {
        for (name, text) in MODULES {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "https://",
            ] {
                assert!(!text.contains(word), "{name} has {word}");
            }
            // The name of SVG's namespace is the one address in it, and nothing is loaded from there.
            for rest in text.split("http://").skip(1) {
                assert!(rest.starts_with("www.w3.org/2000/svg"), "{name}");
            }
        }
        for text in [INDEX, STYLE] {
            assert!(
                !text.contains("http://")
                    && !text.contains("https://")
                    && !text.contains("@import")
            );
        }
        assert!(
            !INDEX.contains("<style") && !INDEX.contains(" style=") && !INDEX.contains(" onclick=")
        );
    }

    #[test]
    fn a_document_with_a_recording_contains_all_and_ends_no_element_early() {
        let page = standalone(b"{\"label\":\"</script><b>\"}\n");
        assert_eq!(page.matches("</script>").count(), 2);
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(!page.contains("/page/"));
        assert!(page.contains("eyJsYWJlbCI6Ijwvc2NyaXB0PjxiPiJ9Cg=="));
        assert!(page.find("Content-Security-Policy").unwrap() < page.find("<style>").unwrap());
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in examples {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
