//! The guard of the architecture: the permitted imports, and the modules that may use the system. A change of trust (a
//! dependency, a thread, a place that reads a secret) edits a list in this file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a failing test panics

mod example;
mod requirements;
mod size;
mod source;
mod wire;

use std::collections::BTreeMap;
use std::fs;

use source::{Source, tree, whole_words};

/// The modules of the crate that each module may name besides itself. Downward only; `oauth` and `mcp` never meet, and the
/// doors do not import either.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("sys", &[]),
    ("trust", &["base"]),
    ("http", &["base"]),
    ("seal", &["base"]),
    ("audit", &["base", "seal", "sys"]),
    ("store", &["base", "seal", "sys"]),
    ("oauth", &["audit", "base", "http", "seal", "store"]),
    ("mcp", &["base", "http", "seal"]),
    ("bridge", &["base", "http", "mcp", "sys", "trust"]),
    ("github", &["base", "http", "oauth", "trust"]),
    ("documents", &["base", "http", "oauth", "trust"]),
    ("simulated", &["base", "http", "seal"]),
    ("demo", &["base", "mcp", "github", "oauth"]),
    ("router", &["base", "http"]),
    ("metrics", &["base", "http", "router"]),
    ("app", &["audit", "base", "http", "store", "oauth", "mcp", "router", "metrics"]),
    ("operator", &["audit", "base", "http", "store", "oauth", "bridge"]),
    ("workers", &["base", "http"]),
    ("edge", &["base", "http", "workers", "sys"]),
    ("tiny", &["base", "http", "workers", "sys", "edge"]),
    ("config", &["audit", "base", "http", "store", "oauth", "github", "operator", "bridge", "router"]),
    ("operate", &["audit", "base", "store", "oauth", "operator", "config", "trust", "bridge"]),
    (
        "serve",
        &[
            "audit",
            "base",
            "http",
            "seal",
            "store",
            "oauth",
            "mcp",
            "bridge",
            "github",
            "documents",
            "metrics",
            "app",
            "operator",
            "workers",
            "edge",
            "tiny",
            "trust",
            "config",
            "sys",
        ],
    ),
    (
        "run",
        &[
            "audit",
            "bridge",
            "check",
            "demo",
            "operate",
            "operator",
            "base",
            "mcp",
            "github",
            "http",
            "simulated",
            "workers",
            "edge",
            "config",
            "serve",
            "sys",
        ],
    ),
    ("check", &["base", "http", "store", "oauth", "bridge", "edge", "config", "operate", "serve", "sys"]),
];

/// Words that only some files may contain: the word, the files (path prefixes), and the alternative for the others.
const HOMES: &[(&str, &[&str], &str)] = &[
    ("unsafe", &["src/sys.rs"], "unsafe code is in sys.rs alone"),
    ("unsafe_code", &["src/sys.rs"], "unsafe code is in sys.rs alone"),
    (
        "libc",
        &["src/sys", "src/audit", "src/bridge/", "src/edge/", "src/tiny", "src/store/private", "src/run"],
        "its numbers are for those who talk to the system; its functions are called in sys.rs",
    ),
    ("tiny_http", &["src/tiny"], "tiny_http serves the trusted door only"),
    ("httparse", &["src/edge/"], "heads are parsed in the edge"),
    (
        "ureq",
        &["src/github/", "src/documents/", "src/trust", "src/bridge/http.rs", "src/bridge/upstream"],
        "calls to the outside are made in github, documents and bridge, over connections of trust",
    ),
    ("redb", &["src/store/"], "the table is behind store::Grants"),
    ("redis", &["src/store/place.rs", "src/store/valkey"], "the shared table is behind store::Grants"),
    ("ring::", &["src/seal.rs", "src/edge/tls.rs", "src/trust"], "cryptography is behind seal, and TLS"),
    ("rustls", &["src/edge/tls.rs", "src/trust"], "TLS is behind edge::Tls and trust::Trust"),
    ("subtle", &["src/base/secret.rs"], "compare secrets with Secret::matches"),
    ("sha2", &["src/base/encoding.rs"], "use base::encoding::sha256"),
    ("getrandom", &["src/base/random.rs"], "take a &dyn Random"),
    ("SystemTime", &["src/base/clock.rs"], "take a &dyn Clock"),
    ("Instant::now", &["src/base/clock.rs"], "use base::clock::instant"),
    ("TcpListener", &["src/edge/", "src/tiny", "src/serve", "src/check"], "sockets are the doors'"),
    ("TcpStream", &["src/edge/", "src/tiny"], "sockets are the doors'"),
    ("UnixListener", &["src/edge/", "src/tiny"], "sockets are the doors'"),
    (
        "UnixStream",
        &["src/edge/", "src/tiny", "src/operate.rs", "src/bridge/guardian.rs", "src/bridge/launch.rs"],
        "sockets are the doors', one the operator's command, one between a guardian and its server",
    ),
    ("UdpSocket", &[], "nothing here speaks UDP"),
    (
        "fs",
        &[
            "src/audit.rs",
            "src/store/",
            "src/base/capped.rs",
            "src/bridge/bridges.rs",
            "src/bridge/child_user.rs",
            "src/bridge/guardian.rs",
            "src/bridge/launch.rs",
            "src/bridge/trial.rs",
            "src/config/client_secret.rs",
            "src/config/clients.rs",
            "src/config/sources.rs",
            "src/edge/listener.rs",
            "src/edge/tls.rs",
            "src/metrics.rs",
            "src/tiny",
            "src/trust",
        ],
        "files are store's, or the operator's",
    ),
    (
        "thread::",
        &[
            "src/base/log.rs",
            "src/bridge/",
            "src/edge/",
            "src/workers/",
            "src/tiny",
            "src/serve.rs",
            "src/operate.rs",
            "src/http/exchange.rs",
            "src/store/valkey.rs",
        ],
        "threads belong to doors, workers, serve, bridge, one to the log, one to a health check, one hears what other servers \
         that share the table change; an exchange lets others run",
    ),
    ("catch_unwind", &["src/workers/", "src/base/cancel.rs", "src/store/redb.rs"], "panics end one action"),
    ("env::", &["src/config/mod.rs"], "the environment is read in config"),
    (
        "process::",
        &["src/main.rs", "src/run.rs", "src/config/mod.rs", "src/bridge/", "src/sys.rs"],
        "only main ends the process, only bridge starts others",
    ),
    (
        "stderr",
        &["src/base/log.rs", "src/run.rs", "src/bridge/launch.rs", "src/bridge/stdio.rs"],
        "log through base::log",
    ),
    ("stdout", &["src/audit.rs", "src/run.rs", "src/bridge/launch.rs", "src/bridge/stdio.rs"], "run prints"),
    ("eprintln", &[], "log through base::log"),
    ("println", &[], "only run prints"),
];

/// The places that read a secret's bytes, with their number.
const EXPOSURES: &[(&str, usize)] = &[
    ("src/base/secret.rs", 1),
    ("src/bridge/launch.rs", 1),
    ("src/bridge/program.rs", 1),
    ("src/bridge/program_log.rs", 2),
    ("src/bridge/template.rs", 2),
    ("src/bridge/upstream.rs", 1),
    ("src/github/client.rs", 3),
    ("src/github/mod.rs", 4),
    ("src/oauth/browser.rs", 2),
    ("src/oauth/client.rs", 1),
    ("src/oauth/clients.rs", 1),
    ("src/oauth/configured.rs", 2),
    ("src/oauth/login.rs", 2),
    ("src/oauth/register.rs", 1),
    ("src/oauth/upstream.rs", 2),
    ("src/operate/report.rs", 1), // a service token, printed once
    ("src/seal.rs", 3),
    ("src/simulated.rs", 2),
    ("src/store/key_file.rs", 1),
    ("src/store/schema.rs", 1),
    // The check of the key, and the password for the server.
    ("src/store/valkey.rs", 1),
    ("src/store/valkey/connections.rs", 1),
];

/// The places that start threads, with their number.
const SPAWNS: &[(&str, usize)] = &[
    ("src/base/log.rs", 1),
    ("src/bridge/guardian.rs", 2),
    ("src/bridge/http.rs", 1),
    ("src/bridge/launch.rs", 1),
    ("src/bridge/passed_call.rs", 1),
    ("src/bridge/stdio.rs", 1),
    ("src/edge/accept.rs", 2),
    ("src/edge/mod.rs", 2),
    ("src/operate.rs", 1),
    ("src/serve.rs", 1),
    ("src/store/valkey.rs", 1),
    ("src/workers/mod.rs", 2),
    ("src/tiny/mod.rs", 3),
];

/// The crates in Cargo.toml. ARCHITECTURE.md has the reason for each; deps.txt has the whole tree.
const DEPENDENCIES: &[&str] = &[
    "base64",
    "crossbeam-channel",
    "getrandom",
    "httparse",
    "idna_adapter",
    "libc",
    "percent-encoding",
    "redb",
    "redis",
    "ring",
    "rustls",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "tiny_http",
    "ureq",
    "webpki-root-certs",
];

const MOST_LINES: usize = 450;
const MOST_LINES_OF_UNSAFE: usize = 200;

/// Fails with every fault, one per line.
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn imports_go_downward_only() {
    let mut faults = Vec::new();
    for file in tree("src") {
        let module = file.root_module();
        if module == "main" || module == "lib" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!(
                "{}:1: module `{module}` has no place in LAYERS (tests/tidy/main.rs)",
                file.path
            ));
            continue;
        };
        for (line, import) in imports(&file) {
            if import != module
                && !allowed.contains(&import.as_str())
                && LAYERS.iter().any(|(name, _)| *name == import)
            {
                faults.push(format!(
                    "{}:{line}: `{module}` may not use `{import}`: imports go downward",
                    file.path
                ));
            }
        }
    }
    none(&faults);
}

/// The modules of the crate's root that `file` names, with the lines.
fn imports(file: &Source) -> Vec<(usize, String)> {
    let depth = file.path.matches('/').count() - usize::from(file.path.ends_with("/mod.rs"));
    let up = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", "mcp_oauth_server::", up.as_str()] {
        for end in whole_words(&file.code, root) {
            let line = file.code[..end].matches('\n').count() + 1;
            let names = match file.code[end..].strip_prefix('{') {
                Some(group) => first_names(group),
                None => vec![word(&file.code[end..])],
            };
            found.extend(names.into_iter().filter(|name| !name.is_empty()).map(|name| (line, name)));
        }
    }
    found
}

/// The first names of the paths in `a::b, c::{d, e}, f}`.
fn first_names(group: &str) -> Vec<String> {
    let mut names = vec![word(group)];
    let mut depth = 0_usize;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn groups_of_imports_are_read_too() {
    let check = |code: &str, expected: &[&str]| {
        let file = Source { path: "src/a/b.rs".to_owned(), code: code.to_owned(), ..Source::default() };
        let mut names: Vec<String> = imports(&file).into_iter().map(|(_, name)| name).collect();
        names.sort();
        assert_eq!(names, expected, "{code}");
    };
    check("use crate::http::{Request, Response};", &["http"]);
    check("use crate::{\n    base::{a, b},\n    http,\n};", &["base", "http"]);
    check("let x = crate::seal::open(y); my_crate::z();", &["seal"]);
    check("use super::c; use super::super::oauth::x;", &["oauth"]);
}

#[test]
fn the_outside_world_is_touched_only_in_its_homes() {
    let mut faults = Vec::new();
    for file in tree("src") {
        for (what, homes, instead) in HOMES {
            if homes.iter().any(|home| file.path.starts_with(home)) {
                continue;
            }
            let lines = file.lines_with(what).into_iter();
            faults.extend(lines.map(|line| format!("{}:{line}: `{what}`: {instead}", file.path)));
        }
    }
    none(&faults);
}

/// Compares the number of occurrences of `word` in each file with a list of this file.
fn pinned(list: &str, word: &str, expected: &[(&str, usize)]) {
    let files = tree("src");
    let found: BTreeMap<&str, usize> = files
        .iter()
        .map(|file| (file.path.as_str(), file.lines_with(word).len()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let mut faults = Vec::new();
    for (path, count) in &found {
        if !expected.contains(&(path, *count)) {
            faults.push(format!("{path}: `{word}` stands here {count} times; if that is right, {list} must say (\"{path}\", {count})"));
        }
    }
    for (path, count) in expected.iter().filter(|(path, _)| !found.contains_key(path)) {
        faults.push(format!("{path}: no `{word}` here any more; take ({path:?}, {count}) off {list}"));
    }
    none(&faults);
}

/// G9, L1: every place that reads a secret is listed.
#[test]
fn secrets_are_read_at_pinned_places() {
    pinned("EXPOSURES", "expose", EXPOSURES);
}

#[test]
fn threads_are_started_at_pinned_places() {
    pinned("SPAWNS", "spawn", SPAWNS);
}

#[test]
fn dependencies_are_pinned() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let lines = section.lines().filter(|line| !line.starts_with('#'));
    let mut names: Vec<&str> =
        lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, DEPENDENCIES, "a dependency is a decision: Cargo.toml and DEPENDENCIES must agree");
    for kind in ["build-dependencies", "dependencies.", "target."] {
        assert!(!manifest.contains(&format!("\n[{kind}")), "Cargo.toml: [{kind}…] is not used here");
    }
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let mut faults = Vec::new();
    for file in tree("src").iter().chain(&tree("tests")) {
        let lines = file.text.lines().count();
        let most = if file.path == "src/sys.rs" { MOST_LINES_OF_UNSAFE } else { MOST_LINES };
        if lines > most {
            faults
                .push(format!("{}:{most}: {lines} lines; above {most} there are two nouns in it", file.path));
        }
        if !file.text.starts_with("//! ") && !file.path.ends_with("/tests.rs") {
            faults.push(format!("{}:1: begins without `//!` and what the file owns", file.path));
        }
    }
    none(&faults);
}

#[test]
fn no_todo_ignored_test_or_sleep_is_left() {
    let words = [
        (concat!("TO", "DO"), "finish it or open an issue"),
        (concat!("FIX", "ME"), "finish it or open an issue"),
        (concat!("#[ig", "nore"), "a test that does not run is no test"),
        (concat!("thread::sl", "eep"), "wait on a channel, a condition or a CancelToken"),
    ];
    let mut faults = Vec::new();
    for file in tree("src").iter().chain(&tree("tests")) {
        for (index, line) in file.text.lines().enumerate() {
            let found = words.iter().filter(|(word, _)| whole_words(line, word).next().is_some());
            faults.extend(found.map(|(word, why)| format!("{}:{}: `{word}`: {why}", file.path, index + 1)));
        }
    }
    none(&faults);
}

#[test]
fn every_module_is_used_by_another() {
    let files = tree("src");
    let library = files.iter().find(|file| file.path == "src/lib.rs").unwrap();
    let mut faults = Vec::new();
    for (index, line) in library.code.lines().enumerate() {
        let Some(module) = line.trim_start_matches("pub ").strip_prefix("mod ").map(word) else { continue };
        let mut others =
            files.iter().filter(|file| file.root_module() != module && file.path != library.path);
        if !["run", "internals"].contains(&&*module)
            && !others.any(|file| imports(file).iter().any(|(_, name)| *name == module))
        {
            faults.push(format!("src/lib.rs:{}: nothing uses module `{module}`", index + 1));
        }
    }
    none(&faults);
}
