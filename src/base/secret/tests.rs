use super::*;

/// L1: a secret that is formatted by mistake, for a log or a panic, is not shown.
#[test]
fn a_secret_prints_as_stars() {
    assert_eq!(format!("{:?}", Secret::new("gho_abc")), "***");
}

/// T2: compared as bytes, in constant time.
#[test]
fn secrets_match_byte_for_byte() {
    let secret = Secret::new(String::from("abc"));
    assert!(secret.matches(b"abc"));
    assert!(!secret.matches(b"abd"));
    assert!(!secret.matches(b"abcd"));
}
