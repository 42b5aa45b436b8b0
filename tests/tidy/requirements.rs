//! docs/requirements.md against the code: everything that it names must exist.

use std::collections::BTreeMap;

use crate::none;
use crate::source::{Source, tree, whole_words};

const DOCUMENT: &str = "docs/requirements.md";

/// The sections of requirements: an id is one of these letters and a number.
const SECTIONS: &str = "OCTDIMHBGPSLA";

/// One line of the table.
struct Row<'a> {
    line: usize,
    id: &'a str,
    met: &'a str,
    shown: &'a str,
}

/// The lines of the tables in `text`, without their heads.
fn rows(text: &str) -> Vec<Row<'_>> {
    let lines =
        text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, line.strip_prefix("| ")?)));
    let cells = lines.map(|(line, rest)| (line, rest.trim_end_matches('|').split(" | ").collect::<Vec<_>>()));
    cells
        .filter_map(|(line, cells)| match cells.as_slice() {
            [id, _, met, shown] if is_id(id) => Some(Row { line, id, met, shown: shown.trim() }),
            _ => None,
        })
        .collect()
}

fn is_id(word: &str) -> bool {
    let mut letters = word.chars();
    let number = |rest: &str| (1..=2).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit());
    letters.next().is_some_and(|first| SECTIONS.contains(first)) && number(letters.as_str())
}

/// The `path::function` names of a cell, the path from the root of the repository.
fn names(cell: &str) -> impl Iterator<Item = (String, &str)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| name.split_once("::")).map(|(path, function)| {
        let below_src = !path.starts_with("tests/");
        (if below_src { format!("src/{path}") } else { path.to_owned() }, function)
    })
}

/// The functions of a file by their names: whether each is a test, and the comment above it.
fn functions(file: &Source) -> BTreeMap<&str, (bool, String)> {
    let mut found = BTreeMap::new();
    let (mut comment, mut is_test) = (String::new(), false);
    for line in file.text.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment += text;
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            if let Some(end) = whole_words(line, "fn ").next() {
                let rest = line.get(end..).unwrap_or_default();
                let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                found.insert(name, (is_test, std::mem::take(&mut comment)));
            }
            comment.clear();
            is_test = false;
        }
    }
    found
}

/// The mistakes in the document `text`, given the files.
fn faults(text: &str, files: &[Source]) -> Vec<String> {
    let rows = rows(text);
    let functions: BTreeMap<&str, _> =
        files.iter().map(|file| (file.path.as_str(), functions(file))).collect();
    let mut faults = Vec::new();
    for row in &rows {
        let mut fault = |what: String| faults.push(format!("{DOCUMENT}:{}: {}: {what}", row.line, row.id));
        // Whether it is a test, if it exists.
        let is_test = |(path, name): &(String, &str)| {
            functions.get(path.as_str()).and_then(|names| names.get(name)).map(|(is_test, _)| *is_test)
        };
        for met in names(row.met).filter(|name| is_test(name).is_none()) {
            fault(format!("there is no function {} in {}", met.1, met.0));
        }
        for shown in names(row.shown).filter(|name| is_test(name) != Some(true)) {
            fault(format!("there is no test {} in {}", shown.1, shown.0));
        }
        let (met, shown) = (names(row.met).count(), names(row.shown).count());
        let says_why = ["later: ", "not offered: "].iter().any(|why| row.met.contains(why));
        if (met == 0) != (shown == 0) || (met == 0 && !says_why) {
            fault("names a function and a test, or says `later: why`".to_owned());
        }
        if rows.iter().any(|other| other.id == row.id && other.line < row.line) {
            fault("stands here twice".to_owned());
        }
    }
    for (path, names) in &functions {
        for (name, (_, comment)) in names.iter().filter(|(_, (is_test, _))| *is_test) {
            let words = comment.split(|c: char| !c.is_alphanumeric()).filter(|word| is_id(word));
            let unknown = words.filter(|word| !rows.iter().any(|row| row.id == *word));
            faults.extend(
                unknown.map(|id| format!("{path}: {name} shows {id}, of which {DOCUMENT} does not know")),
            );
        }
    }
    faults
}

/// The summary table of the document: for each section the number of requirements, the number of met ones, and the
/// unmet ones, with the reason.
fn summary(text: &str) -> String {
    let mut table = "| section | asked | met | not met |\n| --- | --- | --- | --- |\n".to_owned();
    let (mut all, mut all_met) = (0, 0);
    for section in text.split("\n## ").skip(1) {
        let (title, rows) = (section.lines().next().unwrap_or_default(), rows(section));
        let mut open: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in &rows {
            let Some((_, why)) =
                ["later: ", "not offered: "].iter().find_map(|mark| row.met.split_once(mark))
            else {
                continue;
            };
            match open.iter_mut().find(|(reason, _)| *reason == why) {
                Some((_, ids)) => ids.push(row.id),
                None => open.push((why, vec![row.id])),
            }
        }
        let met = rows.len() - open.iter().map(|(_, ids)| ids.len()).sum::<usize>();
        (all, all_met) = (all + rows.len(), all_met + met);
        let reasons: Vec<String> =
            open.iter().map(|(why, ids)| format!("{}: {why}", ids.join(", "))).collect();
        table += &format!("| {title} | {} | {met} | {} |\n", rows.len(), reasons.join("; "));
    }
    table + &format!("| all | {all} | {all_met} | |\n")
}

#[test]
fn the_summary_of_the_requirements_is_correct() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/requirements.md");
    let text = std::fs::read_to_string(path).unwrap();
    let expected = summary(&text);
    assert!(text.contains(&expected), "the head of {DOCUMENT} must have this table:\n\n{expected}");
    let sample = "# x\n\n## One\n\n| id |\n| O1 | it | `a.rs::f` | `a.rs::t` |\n| O2 | it | later: no time |  |\n\
                  | O3 | it | `a.rs::f`; later: no time | `a.rs::t` |\n\n## Two\n\n| T1 | it | not offered: not needed |  |\n";
    let rows = "| One | 3 | 1 | O2, O3: no time |\n| Two | 1 | 0 | T1: not needed |\n| all | 4 | 1 | |\n";
    assert!(summary(sample).ends_with(rows), "{}", summary(sample));
}

#[test]
fn requirements_name_existing_functions_and_tests() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/requirements.md");
    let text = std::fs::read_to_string(path).unwrap();
    let files: Vec<Source> = tree("src").into_iter().chain(tree("tests")).collect();
    assert!(rows(&text).len() > 90, "the tables are not read");
    none(&faults(&text, &files));
}

#[test]
fn a_requirement_without_its_code_or_test_is_found() {
    let check = |row: &str, expected: Option<&str>| {
        let code = "/// O1: x\n#[test]\nfn shows() {}\nfn meets() {}\n/// O9\nfn no_test() {}\n";
        let file = Source { path: "src/a.rs".to_owned(), text: code.to_owned(), ..Source::default() };
        let found = faults(&format!("| id | x | y | z |\n| --- | --- | --- | --- |\n{row}\n"), &[file]);
        match expected {
            None => assert_eq!(found, [""; 0], "{row}"),
            Some(words) => assert!(found.iter().any(|fault| fault.contains(words)), "{row}: {found:?}"),
        }
    };
    check("| O1 | it | `a.rs::meets` | `a.rs::shows` |", None);
    check("| O1 | it | `a.rs::meets`; later: more | `a.rs::shows` |", None);
    check("| O1 | it | later: all of it |  |", None);
    check("| O1 | it | `a.rs::gone` | `a.rs::shows` |", Some("no function gone in src/a.rs"));
    check("| O1 | it | `a.rs::meets` | `b.rs::shows` |", Some("no test shows in src/b.rs"));
    check("| O1 | it | `a.rs::meets` | `a.rs::no_test` |", Some("no test no_test"));
    check("| O1 | it | `a.rs::meets` |  |", Some("names a function and a test"));
    check("| O1 | it |  |  |", Some("says `later: why`"));
    check("| O2 | it | `a.rs::meets` | `a.rs::shows` |", Some("shows shows O1"));
    check("| O1 | it | later: x |  |\n| O1 | it | later: x |  |", Some("twice"));
}
