//! The ratchet: the maximum of product lines of each module, the names that several types still share, and the files of a
//! module that still import each other in a circle. All three lists only shrink. Raising a number takes a line in
//! ARCHITECTURE.md with the reason.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, tree, whole_words};
use super::{none, word};

/// Each ring's modules, with the maximum of product lines of each.
const RINGS: &[(&str, &[(&str, usize)])] = &[
    ("ring 0, values", &[("base", 2100), ("http", 826)]),
    ("ring 1, strangers", &[("edge", 1717), ("workers", 168), ("tiny", 223), ("app", 592), ("router", 150)]),
    (
        "ring 2, who is in",
        &[
            ("seal", 158),
            ("audit", 242),
            ("store", 1731),
            ("oauth", 4398),
            ("github", 589),
            ("documents", 420),
            ("trust", 90),
        ],
    ),
    ("the bridge", &[("bridge", 4704)]),
    ("ring 3, MCP", &[("mcp", 4653)]),
    (
        "ring 4, shell",
        &[
            ("config", 1376),
            ("check", 482),
            ("serve", 777),
            ("run", 250),
            ("main", 3),
            ("lib", 33),
            ("operate", 302),
            ("operator", 343),
            ("metrics", 134),
            ("sys", 132),
            ("demo", 151),
            ("simulated", 325),
        ],
    ),
];

/// Names that more than one type has. Every other name is unique in the crate, apart from `Error`.
const SHARED_NAMES: &[&str] = &[
    "Client",
    "Endpoint",
    "ErrorAnswer",
    "Exchange",
    "Full",
    "Operation",
    "Parts",
    "Program",
    "Refusal",
    "RequestId",
    "Running",
    "Settings",
    "Shared",
    "State",
    "TokenAnswer",
    "Writer",
];

/// Files of one module that import each other in a circle, by their paths below `src` without `.rs`.
const CIRCLES: &[&[&str]] = &[];

/// Product lines by module.
fn sizes(files: &[Source]) -> BTreeMap<&str, usize> {
    let mut sizes = BTreeMap::new();
    for file in files {
        *sizes.entry(file.root_module()).or_default() += file.product_lines;
    }
    sizes
}

/// `make audit` prints the output of this test.
#[test]
fn modules_keep_to_their_size() {
    let files = tree("src");
    let sizes = sizes(&files);
    let mut faults = Vec::new();
    let mut total = 0;
    for (ring, modules) in RINGS {
        let mut sum = 0;
        let mut line = String::new();
        for (module, ceiling) in *modules {
            let lines = sizes.get(module).copied().unwrap_or_default();
            sum += lines;
            line += &format!("  {module} {lines}");
            if lines > *ceiling {
                faults.push(format!("src/{module}: {lines} product lines; its ceiling is {ceiling}"));
            }
            if lines + 20 < *ceiling {
                faults.push(format!(
                    "src/{module}: {lines} product lines; lower its ceiling of {ceiling} in RINGS"
                ));
            }
        }
        println!("{sum:>6}  {ring}: {}", line.trim());
        total += sum;
    }
    println!(
        "{total:>6}  product lines in {} files",
        files.iter().filter(|file| file.product_lines > 0).count()
    );
    let known: BTreeSet<&str> =
        RINGS.iter().flat_map(|(_, modules)| modules.iter().map(|(name, _)| *name)).collect();
    faults.extend(
        sizes
            .iter()
            .filter(|(name, lines)| **lines > 0 && !known.contains(*name))
            .map(|(name, _)| format!("src/{name} is in no ring of RINGS")),
    );
    none(&faults);
}

/// The types that a file declares.
fn types(file: &Source) -> Vec<String> {
    let declared = ["struct ", "enum ", "trait ", "union "]
        .into_iter()
        .flat_map(|keyword| whole_words(&file.code, keyword));
    declared.map(|end| word(&file.code[end..])).filter(|name| name != "Error").collect()
}

#[test]
fn type_names_are_unique() {
    let files = tree("src");
    let mut homes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for file in &files {
        for name in types(file) {
            homes.entry(name).or_default().push(&file.path);
        }
    }
    println!(
        "{:>6}  types, {} names shared",
        homes.values().map(Vec::len).sum::<usize>(),
        SHARED_NAMES.len()
    );
    let mut faults = Vec::new();
    for (name, paths) in &homes {
        let listed = SHARED_NAMES.contains(&name.as_str());
        if paths.len() > 1 && !listed {
            faults.push(format!("`{name}` is the name of {} types: {}", paths.len(), paths.join(", ")));
        }
        if paths.len() == 1 && listed {
            faults.push(format!("`{name}` is the name of one type now: take it off SHARED_NAMES"));
        }
    }
    faults.extend(
        SHARED_NAMES
            .iter()
            .filter(|name| !homes.contains_key(**name))
            .map(|name| format!("`{name}` is no type any more: take it off SHARED_NAMES")),
    );
    none(&faults);
}

/// The place of a file in the tree of modules: `src/oauth/token.rs` and `src/oauth/token/mod.rs` are `oauth/token`.
fn place(file: &Source) -> &str {
    let inside = file.path.strip_prefix("src/").unwrap_or(&file.path);
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    inside.strip_suffix("/mod").unwrap_or(inside)
}

/// The other files of the same root module that `file` names, besides those below it.
fn neighbors(file: &Source, places: &BTreeSet<&str>) -> BTreeSet<String> {
    let own = place(file);
    let mut found = BTreeSet::new();
    let starts = ["crate::", "super::"]
        .into_iter()
        .flat_map(|start| whole_words(&file.code, start).map(move |end| (start, end)));
    for (start, end) in starts {
        // The second `super::` of a path is read with the first.
        if start == "super::" && file.code[..end - start.len()].ends_with("super::") {
            continue;
        }
        let rest: String =
            file.code[end..].split(';').next().unwrap_or_default().split_whitespace().collect();
        let ups = rest.matches("super::").count().min(rest.len() - rest.trim_start_matches("super::").len());
        let base =
            if start == "crate::" { Some("") } else { own.rsplitn(ups + 2, '/').nth(ups + 1).or(Some("")) };
        let rest = rest.trim_start_matches("super::");
        let (path, group) = match rest.split_once('{') {
            Some((path, group)) if path.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':') => {
                (path, group)
            }
            _ => (rest, ""),
        };
        let first: Vec<&str> = path.split("::").take_while(|part| !part.is_empty()).collect();
        let ends: Vec<&str> =
            if group.is_empty() { vec![""] } else { group.split([',', '{', '}']).collect() };
        for last in ends {
            let parts = first
                .iter()
                .copied()
                .chain(last.split("::"))
                .map(|part| part.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_'));
            let mut at = base.unwrap_or_default().to_owned();
            for part in parts {
                let part: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let next = if at.is_empty() { part } else { format!("{at}/{part}") };
                if !places.contains(next.as_str()) {
                    break;
                }
                at = next;
            }
            let same_module = at.split('/').next() == own.split('/').next();
            if same_module
                && at != own
                && !own.starts_with(&format!("{at}/"))
                && !at.starts_with(&format!("{own}/"))
                && places.contains(at.as_str())
            {
                found.insert(at);
            }
        }
    }
    found
}

#[test]
fn files_of_a_module_do_not_import_each_other_in_a_circle() {
    let files = tree("src");
    let places: BTreeSet<&str> = files.iter().filter(|file| file.product_lines > 0).map(place).collect();
    let imports: BTreeMap<&str, BTreeSet<String>> = files
        .iter()
        .filter(|file| file.product_lines > 0)
        .map(|file| (place(file), neighbors(file, &places)))
        .collect();
    let reached = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = imports[from].iter().map(String::as_str).collect();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(imports.get(at).into_iter().flatten().map(String::as_str));
            }
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> = imports.keys().map(|at| (*at, reached(at))).collect();
    let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (at, seen) in &reach {
        let circle: Vec<&str> = seen
            .iter()
            .copied()
            .filter(|other| reach.get(other).is_some_and(|back| back.contains(at)))
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    println!("{:>6}  circles of files", circles.len());
    let mut faults: Vec<String> = circles
        .iter()
        .filter(|circle| !CIRCLES.contains(&circle.as_slice()))
        .map(|circle| format!("a circle of imports: {}", circle.join(", ")))
        .collect();
    faults.extend(
        CIRCLES
            .iter()
            .filter(|known| !circles.iter().any(|circle| circle == *known))
            .map(|known| format!("no circle any more, take it off CIRCLES: {}", known.join(", "))),
    );
    none(&faults);
}

#[test]
fn imports_between_files_are_read() {
    let check = |path: &str, code: &str, expected: &[&str]| {
        let file = Source { path: path.to_owned(), code: code.to_owned(), ..Source::default() };
        let places = BTreeSet::from(["a", "a/b", "a/c", "a/d", "a/d/e", "z"]);
        let found: Vec<String> = neighbors(&file, &places).into_iter().collect();
        assert_eq!(found, expected, "{code}");
    };
    check("src/a/b.rs", "use super::c::X;", &["a/c"]);
    check("src/a/b.rs", "use super::{c, d::{e, F}};", &["a/c", "a/d"]);
    check("src/a/b.rs", "use crate::a::c; use crate::z::Y;", &["a/c"]);
    check("src/a/d/e.rs", "let x = super::super::c::f();", &["a/c"]);
    check("src/a/mod.rs", "mod b; use b::X;", &[]);
}
