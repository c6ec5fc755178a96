//! The direction of imports: "modules know each other only downwards" (the map in `src/lib.rs`), so no circle of imports exists.
//!
//! The test reads the sources of every crate, collects each path that begins with `crate`, `super`, `self` or the name of a
//! child module, and follows re-exports to the module that defines the item. Each folder gives one graph: its modules, and an
//! edge wherever one of them (or a module inside it) names another one (or a module inside that). A parent may name its
//! children, and a child may name what its parent's own file defines: neither is an edge. Code under `#[cfg(test)]` does not
//! count. A glob import (`use super::*`) counts as naming the module, not each of its re-exports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use scan::Scan;

#[path = "architecture/scan.rs"]
mod scan;

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (name, source) in crates(root) {
        for (folder, graph) in graphs(&read(&source)) {
            let place = format!("{name}: {}", shown(&folder));
            let circles = circles(&graph).into_iter();
            found.extend(circles.map(|path| format!("{place}: {path}")));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The root package and the members of the workspace, each by its folder's name and the folder of its sources.
fn crates(root: &Path) -> Vec<(String, PathBuf)> {
    let mut crates = vec![("area-net".to_owned(), root.join("src"))];
    let members = fs::read_dir(root.join("crates")).into_iter().flatten();
    for member in members {
        let member = member.expect("the folder can be listed");
        let name = member.file_name().into_string().expect("a name in UTF-8");
        crates.push((name, member.path().join("src")));
    }
    crates.sort();
    crates
}

/// A module's path below the crate's root.
type Module = Vec<String>;
/// The modules of one folder. Each maps the modules that it names to the place of the first such import.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

fn shown(module: &[String]) -> String {
    if module.is_empty() {
        "crate".to_owned()
    } else {
        module.join("::")
    }
}

/// The sources below a folder, by module. Programs (`main.rs`, `bin`) are skipped: they see their library from outside.
fn read(source: &Path) -> BTreeMap<Module, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(source.to_owned(), Module::new())];
    while let Some((folder, module)) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be listed") {
            let path = entry.expect("the folder can be listed").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let stem = stem.expect("a name in UTF-8").to_owned();
            let root = module.is_empty();
            if path.is_dir() {
                if !(root && stem == "bin") {
                    folders.push((path, [&module[..], &[stem]].concat()));
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source in UTF-8");
                match (root, stem.as_str()) {
                    (true, "main") => {}
                    (true, "lib") | (false, "mod") => drop(files.insert(module.clone(), text)),
                    _ => drop(files.insert([&module[..], &[stem]].concat(), text)),
                }
            }
        }
    }
    files
}

/// One graph for each folder in which a module names another one.
fn graphs(files: &BTreeMap<Module, String>) -> BTreeMap<Module, Graph> {
    let mut scans = BTreeMap::new();
    let mut for_tests = BTreeSet::new();
    for (module, text) in files {
        let scan = Scan::of(module, text);
        for_tests.extend(scan.test_modules.iter().cloned());
        scans.insert(module.clone(), scan);
    }
    scans.retain(|module, _| !(1..=module.len()).any(|end| for_tests.contains(&module[..end])));
    let mut graphs: BTreeMap<Module, Graph> = BTreeMap::new();
    for (from, scan) in &scans {
        for (path, line) in &scan.paths {
            for to in modules_on(&scans, from, path) {
                let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if let (Some(user), Some(used)) = (from.get(common), to.get(common)) {
                    let graph = graphs.entry(from[..common].to_vec()).or_default();
                    let uses = graph.entry(user.clone()).or_default();
                    let place = format!("{} line {line}", shown(from));
                    uses.entry(used.clone()).or_insert(place);
                }
            }
        }
    }
    graphs
}

/// Resolves a path: the module that it names, then each module to which a re-export leads.
fn modules_on(scans: &BTreeMap<Module, Scan>, from: &Module, path: &[String]) -> Vec<Module> {
    let mut found = Vec::new();
    let Some(mut path) = absolute(scans, from, path) else {
        return found;
    };
    // Re-exports may form a loop; no real chain of them is this long.
    for _ in 0..8 {
        let depth = (0..=path.len())
            .rev()
            .find(|depth| scans.contains_key(&path[..*depth]));
        let (module, rest) = path.split_at(depth.unwrap_or_default());
        found.push(module.to_vec());
        let Some((name, rest)) = rest.split_first() else {
            break;
        };
        let imports = scans.get(module).map(|scan| &scan.imports);
        let Some(import) = imports.and_then(|imports| imports.get(name)) else {
            break;
        };
        let Some(next) = absolute(scans, &module.to_vec(), import) else {
            break;
        };
        path = [&next[..], rest].concat();
    }
    found
}

/// Converts a path to one from the crate's root. `None`: the path leads into another crate.
fn absolute(scans: &BTreeMap<Module, Scan>, from: &Module, path: &[String]) -> Option<Module> {
    let mut base = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (base, rest) = (Module::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {}
        name => {
            base.push(name.to_owned());
            return scans.contains_key(&base).then(|| [from, path].concat());
        }
    }
    while rest.first().is_some_and(|segment| segment == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// Circles in the graph, each with the places of its imports. A module that is on one reported circle starts no other.
fn circles(graph: &Graph) -> Vec<String> {
    let mut reported = BTreeSet::new();
    let mut circles = Vec::new();
    for start in graph.keys() {
        if !reported.contains(start.as_str())
            && let Some(path) = circle_through(graph, start)
        {
            let steps = path
                .windows(2)
                .map(|pair| format!("{} → {} ({})", pair[0], pair[1], graph[pair[0]][pair[1]]));
            circles.push(steps.collect::<Vec<_>>().join(", "));
            reported.extend(path);
        }
    }
    circles
}

/// The shortest path from a module back to itself; both ends are that module.
fn circle_through<'a>(graph: &'a Graph, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for used in graph.get(at).into_iter().flat_map(BTreeMap::keys) {
            if used == start {
                let mut path = vec![start, at];
                while let Some(before) = came_from.get(path[path.len() - 1]) {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            if !came_from.contains_key(used.as_str()) {
                came_from.insert(used, at);
                next.push_back(used);
            }
        }
    }
    None
}

/// A crate of one text for each module.
fn files(texts: &[(&str, &str)]) -> BTreeMap<Module, String> {
    let module = |path: &str| -> Module {
        let names = path.split("::").filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    let texts = texts.iter();
    texts
        .map(|(path, text)| (module(path), (*text).to_owned()))
        .collect()
}

/// The circles of a crate, each with its folder.
fn circles_of(texts: &[(&str, &str)]) -> Vec<String> {
    let graphs = graphs(&files(texts));
    let found = graphs.iter().flat_map(|(folder, graph)| {
        let circles = circles(graph).into_iter();
        circles.map(|path| format!("{}: {path}", shown(folder)))
    });
    found.collect()
}

#[test]
fn a_circle_is_reported_with_its_path() {
    let found = circles_of(&[
        ("", "mod a; mod b; mod c;"),
        ("a", "use crate::b::{self, Thing as Other};"),
        ("b", "\nfn f() { let x = crate::c::go(); }"),
        ("c", "mod deep;"),
        ("c::deep", "use super::super::a;"),
    ]);
    assert_eq!(
        found,
        ["crate: a → b (a line 1), b → c (b line 2), c → a (c::deep line 1)"]
    );
}

#[test]
fn a_circle_behind_a_re_export_is_found() {
    let found = circles_of(&[
        ("", "mod a;"),
        (
            "a",
            "mod x; mod y; use x::Thing; pub(crate) use self::y::Other;",
        ),
        ("a::x", "use super::Other;"),
        ("a::y", "use super::{Thing};"),
    ]);
    assert_eq!(found, ["a: x → y (a::x line 1), y → x (a::y line 1)"]);
}

#[test]
fn parents_children_tests_comments_and_strings_make_no_circle() {
    let found = circles_of(&[
        ("", "mod a; mod b; use a::A;"),
        (
            "a",
            "use crate::b::B; #[cfg(test)] mod example; mod inner; use inner::I; struct Own;",
        ),
        (
            "a::inner",
            "use super::Own; fn f<'a>(x: &'a str) -> char { '\"' }",
        ),
        ("a::example", "use crate::b; use super::inner::I;"),
        (
            "b",
            "/* /* crate::a */ crate::a */ // crate::a\n\
             const TEXT: &str = \"crate::a\"; const RAW: &str = r#\"\"crate::a\"#;\n\
             #[cfg(test)] #[allow(unused)] pub(crate) use crate::a::{A, Own};\n\
             struct S { #[cfg(test)] field: crate::a::A, other: u8 }\n\
             #[cfg(test)]\nmod tests { use super::*; use crate::a; }",
        ),
    ]);
    assert_eq!(found, Vec::<String>::new());
}
