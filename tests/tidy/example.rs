//! The shortest server, which the README and the crate's documentation show.

use std::fs;

#[test]
fn readme_and_library_documentation_show_the_example() {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello_tool.rs")).unwrap();
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let library = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    let documentation: Vec<&str> = library.lines().filter_map(|line| line.strip_prefix("//!")).collect();
    let documentation: String =
        documentation.iter().map(|line| format!("{}\n", line.trim_start_matches(' '))).collect();
    let (_, code) = example.split_once("\n\n").unwrap();
    assert!(readme.contains(code), "README.md must show examples/hello_tool.rs");
    let flat: String = code.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    assert!(documentation.contains(&flat), "src/lib.rs must show examples/hello_tool.rs");
    assert!(example.lines().count() <= 30, "it is the shortest server there is");
}
