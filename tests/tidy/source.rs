//! Rust files in the form that the rules check: comments, the contents of literals and test-only items blanked out, every line
//! in its place.

use std::fs;
use std::path::Path;

/// One file of the tree.
#[derive(Clone, Default)]
pub(crate) struct Source {
    /// Its path from the root of the repository, with forward slashes.
    pub(crate) path: String,
    /// The file's text.
    pub(crate) text: String,
    /// The part that is compiled into the product. Empty for a file that only tests use.
    pub(crate) code: String,
    /// Product lines: neither blank nor comment nor test.
    pub(crate) product_lines: usize,
}

impl Source {
    /// The module at the crate's root to which this file belongs: `src/oauth/token.rs` is part of `oauth`.
    pub(crate) fn root_module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The occurrences of `word` in the code as a whole word, perhaps a path like `thread::`: line numbers from 1.
    pub(crate) fn lines_with(&self, word: &str) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        lines
            .flat_map(|(index, line)| std::iter::repeat_n(index + 1, whole_words(line, word).count()))
            .collect()
    }
}

/// The end offsets (bytes) of each occurrence of `word` in `text` that is not part of a longer word.
pub(crate) fn whole_words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).filter_map(move |(start, _)| {
        let end = start + word.len();
        let glued_before =
            text[..start].chars().next_back().is_some_and(is_word) && word.starts_with(is_word);
        let glued_after = text[end..].chars().next().is_some_and(is_word) && word.ends_with(is_word);
        (!glued_before && !glued_after).then_some(end)
    })
}

/// Every Rust file under `folder`, in the order of their paths.
pub(crate) fn tree(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with(".venv") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                let code = without_literals(&text);
                found.push(Source { path, text, code, ..Source::default() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let test_only: Vec<String> = found.iter().flat_map(test_modules).collect();
    for file in &mut found {
        let is_test =
            file.path.starts_with("tests/") || test_only.iter().any(|module| is_in(&file.path, module));
        file.code = if is_test { String::new() } else { without_tests(&file.code) };
        let marked = if is_test { String::new() } else { without_tests(&blanked(&file.text, '"')) };
        file.product_lines = marked.lines().filter(|line| !line.trim().is_empty()).count();
    }
    found
}

/// The modules that `file` declares in files of their own and for tests only, as paths without `.rs`.
fn test_modules(file: &Source) -> Vec<String> {
    let stem = file.path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"].iter().find_map(|root| stem.strip_suffix(root)).unwrap_or(stem);
    let behind_mark = file.code.split("#[cfg(test)]").skip(1);
    let declared = behind_mark.filter_map(|code| {
        let (item, _) = code.split_once([';', '{'])?;
        let (_, name) = item.trim().rsplit_once("mod ")?;
        code.trim_start().starts_with(&format!("{};", item.trim())).then(|| format!("{folder}/{name}"))
    });
    declared.collect()
}

/// The module that a file is, with the paths of the files that may declare it: `oauth/mod.rs`, or `oauth.rs` for a file in `oauth/`.
/// `None` for the root of a crate.
fn declaration(path: &str) -> Option<(&str, [String; 4])> {
    let stem = path.trim_end_matches(".rs");
    let (folder, name) = stem.strip_suffix("/mod").unwrap_or(stem).rsplit_once('/')?;
    let declaring = ["/mod.rs", ".rs", "/lib.rs", "/main.rs"].map(|root| format!("{folder}{root}"));
    (name != "lib" && name != "main").then_some((name, declaring))
}

/// Whether a path is the module's own file or below it.
fn is_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// `text` with comments and the contents of literals as blanks.
pub(crate) fn without_literals(text: &str) -> String {
    blanked(text, ' ')
}

/// `text` with comments as blanks and literals as `filler`.
fn blanked(text: &str, filler: char) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest, '"'),
            'r' | 'b' if !after_word && prefixed_literal(rest).is_some() => prefixed_literal(rest).unwrap(),
            '\'' if is_char_literal(rest) => quoted(rest, '\''),
            c => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        let with = if c == '/' { ' ' } else { filler };
        out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { with }));
        rest = &rest[length..];
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if text[..at].ends_with("*/") && at > 3 {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}

/// The length of a literal from its opening to its closing `quote`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `b"…"`, `b'…'`, `r"…"`, `br#"…"#` and their like.
fn prefixed_literal(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('b').unwrap_or(text);
    let prefix = text.len() - rest.len();
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.chars().take_while(|c| *c == '#').count();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(text.len() - body.len() + body.find(&end)? + end.len());
    }
    let quote = rest.chars().next().filter(|c| prefix > 0 && matches!(c, '"' | '\''))?;
    Some(prefix + quoted(rest, quote))
}

/// Distinguishes `'a'` and `'
/// '` from the lifetime `'a`.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// `code` without the items that follow `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        out.push_str(&rest[..start]);
        let item = &rest[start..];
        let mut depth = 0_usize;
        let end = item[MARK.len()..].char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        let length = end.map_or(item.len(), |(at, _)| MARK.len() + at + 1);
        out.extend(item[..length].chars().filter(|c| *c == '\n'));
        rest = &item[length..];
    }
    out + rest
}

#[test]
fn literals_and_comments_are_blanked() {
    let check = |text, expected: &str| {
        let squeezed = without_literals(text).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, expected, "{text}");
    };
    check("a // unsafe\nb", "a b");
    check("a /* x /* unsafe */ y */ b", "a b");
    check(r#"f("unsafe \" unsafe", 1)"#, "f( , 1)");
    check("f(r#\"unsafe \" \"#, b\"x\", b'\\'', '\"') g", "f( , , , ) g");
    check("fn f<'a>(x: &'a str) -> char { '}' }", "fn f<'a>(x: &'a str) -> char { }");
}

#[test]
fn items_for_tests_are_dropped_and_lines_stay() {
    let code = without_tests("a\n#[cfg(test)]\nmod tests {\n { }\n}\nb\n#[cfg(test)]\nmod more;\nc");
    assert_eq!(code, "a\n\n\n\n\nb\n\n\nc");
}

#[test]
fn only_whole_words_are_matched() {
    let check = |text, word, count| assert_eq!(whole_words(text, word).count(), count, "{text} {word}");
    check("unsafe { unsafe_code } not_unsafe", "unsafe", 1);
    check("std::thread::spawn(my_thread::x)", "thread::", 1);
    check("secret.expose() Secret::expose re_expose", "expose", 2);
}

/// A test in a file that no module declares would never run.
#[test]
fn every_file_is_declared() {
    let files = ["src", "tests/blackbox", "tests/support", "tests/tidy"].map(tree).concat();
    let code =
        |path: &String| files.iter().find(|file| file.path == *path).map(|file| without_literals(&file.text));
    let mut faults = Vec::new();
    for (name, declaring) in files.iter().filter_map(|file| declaration(&file.path)) {
        let declares = |code: String| whole_words(&code, &format!("mod {name};")).next().is_some();
        if !declaring.iter().filter_map(code).any(declares) && declaring[0] != "tests/mod.rs" {
            faults.push(format!("no file declares module `{name}`: {}", declaring[0]));
        }
    }
    super::none(&faults);
}
