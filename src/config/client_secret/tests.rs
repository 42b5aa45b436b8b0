//! Reading the file of a secret.

use super::*;

/// G9: one secret, or two while it is changed.
#[test]
fn a_secret_file_has_one_line_or_two() {
    let file = std::env::temp_dir().join(format!("mcp-oauth-server-secrets-{}", std::process::id()));
    let check = |text: &str, expected: Option<(&str, Option<&str>)>| {
        std::fs::write(&file, text).unwrap();
        let read = ClientSecret::File(file.clone()).read_two().ok();
        let read = read.map(|(one, other)| (one.expose().clone(), other.map(|other| other.expose().clone())));
        let expected = expected.map(|(one, other)| (one.to_owned(), other.map(str::to_owned)));
        assert_eq!(read, expected, "{text:?}");
    };
    check("one\n", Some(("one", None)));
    check(" one \r\n\n two\n", Some(("one", Some("two"))));
    check("one\ntwo\nthree", None);
    check("\n \n", None);
    std::fs::write(&file, "one\ntwo").unwrap();
    assert!(ClientSecret::File(file.clone()).read().is_err());
    std::fs::remove_file(&file).unwrap();
}

/// G9: what an editor or a clipboard adds is said at the start, not by GitHub as a wrong secret.
#[test]
fn a_secret_is_printable_ascii_or_says_why_not() {
    let file = std::env::temp_dir().join(format!("mcp-oauth-server-ascii-{}", std::process::id()));
    for (bytes, words) in [
        (&b"\xef\xbb\xbfhush-hush\n"[..], "byte order mark"),
        (b"\xff\xfeh\0u\0s\0h\0", "UTF-16"),
        (b"hush\xe2\x80\x8bhush", "not printable ASCII"),
        (b"hush\x00hush", "not printable ASCII"),
        (b"hush\x1b[0m", "not printable ASCII"),
        (b"hush\xe9", "not printable ASCII"),
        (b"hush hush", "a space in it"),
        (b"good\nhush\xc2\xa0hush", "not printable ASCII"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = ClientSecret::File(file.clone()).read_two().unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("mcp-oauth-server-ascii-"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(parse("\u{feff}hush").is_err() && parse("hush").is_ok());
}
