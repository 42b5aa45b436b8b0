use super::*;

/// Limit and limit plus one.
#[test]
fn what_is_too_large_is_an_error_and_no_part_of_it_is_used() {
    assert_eq!(read_from(&b"abcd"[..], 4).unwrap(), b"abcd");
    assert_eq!(read_from(&b"abcde"[..], 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(read_from(io::repeat(b'a'), 4).unwrap_err().to_string(), "larger than 4 bytes");
}

#[test]
fn a_text_is_utf_8() {
    assert_eq!(text("ä".into()).unwrap(), "ä");
    assert_eq!(text(vec![0xff]).unwrap_err().kind(), io::ErrorKind::InvalidData);
}
