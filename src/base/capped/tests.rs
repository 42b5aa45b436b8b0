use std::collections::BTreeMap;

use super::*;

/// Limit and limit plus one.
#[test]
fn input_over_the_limit_is_an_error() {
    assert_eq!(read_from(&b"abcd"[..], 4).unwrap(), b"abcd");
    assert_eq!(read_from(&b"abcde"[..], 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(read_from(io::repeat(b'a'), 4).unwrap_err().to_string(), "larger than 4 bytes");
}

/// SIGHUP rereads files, and must not wait for the writer of a pipe that has taken the place of one.
#[test]
fn only_a_regular_file_is_read() {
    assert_eq!(read(Path::new("/dev/null")).unwrap_err().to_string(), "it is not a regular file");
}

#[test]
fn a_text_is_utf_8() {
    assert_eq!(text("ä".into()).unwrap(), "ä");
    assert_eq!(text(vec![0xff]).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_file_of_json_is_read_strictly() {
    let file = std::env::temp_dir().join(format!("mcp-capped-test-{}", std::process::id()));
    let check = |text: &str, expected: Result<BTreeMap<String, usize>, &str>| {
        std::fs::write(&file, text).unwrap();
        match (json::<BTreeMap<String, usize>>("MCP_ACCESS", &file), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err(part)) => {
                let (error, start) = (error.to_string(), format!("MCP_ACCESS ({}): ", file.display()));
                assert!(error.starts_with(&start) && error.contains(part), "{error}");
            }
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    };
    check(r#"{"a":1}"#, Ok([("a".to_owned(), 1)].into()));
    check(r#"{"a":1,"a":2}"#, Err("not JSON that can be used: two members have one name"));
    check(r#"{"a":1}{"#, Err("not JSON that can be used"));
    check(r#"{"a":"1"}"#, Err("not JSON that can be used: invalid type"));
    check(&" ".repeat(limits::FILE_BYTES + 1), Err("larger than"));
    std::fs::remove_file(&file).unwrap();
    assert!(json::<usize>("MCP_ACCESS", &file).unwrap_err().to_string().contains("No such file"));
}
