//! How types are read from JSON.

use super::source::{tree, whole_words};

/// The lines of types that serde reads by a tag among their members. It reads those from arrays too, which `json::read` cannot
/// prevent: serde buffers the value before it knows the type.
fn read_by_tag(code: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut attributes = String::new();
    for (index, line) in code.lines().enumerate() {
        let is_open = attributes.matches('[').count() > attributes.matches(']').count();
        if is_open || line.trim().is_empty() || line.trim_start().starts_with("#[") {
            attributes.push_str(line);
            continue;
        }
        let has = |word| whole_words(&attributes, word).next().is_some();
        if has("Deserialize") && has("tag =") {
            found.push(index + 1);
        }
        attributes.clear();
    }
    found
}

#[test]
fn no_type_is_read_by_a_tag_among_its_members() {
    let mut faults = Vec::new();
    for file in tree("src") {
        let lines = read_by_tag(&file.code).into_iter();
        faults.extend(lines.map(|line| format!("{}:{line}: read the tag first, then a struct", file.path)));
    }
    super::none(&faults);
}

#[test]
fn types_that_are_read_by_a_tag_are_found() {
    let check = |code: &str, expected: &[usize]| assert_eq!(read_by_tag(code), expected, "{code}");
    check("#[derive(Serialize)]\n#[serde(tag = \"kind\")]\nenum A {}\n", &[]);
    check("#[derive(Deserialize)]\nstruct A {\n    tag: u8,\n}\n", &[]);
    check("#[derive(Deserialize)]\nstruct A;\n#[serde(tag = \"kind\")]\nenum B {}\n", &[]);
    check("#[derive(Deserialize)]\n#[serde(tag = \"kind\")]\nenum A {}\n", &[3]);
    check(
        "#[derive(\n    Deserialize,\n)]\n\n#[serde(\n    default,\n    tag = \"kind\",\n)]\nenum A {}\n",
        &[9],
    );
}
