use super::*;

#[test]
fn only_canonical_base64url_is_decoded() {
    assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    assert_eq!(from_base64url("-_8").unwrap(), [0xfb, 0xff]);
    for other in ["-_8=", "-_9", "+/8", "-_8\n", "-"] {
        assert_eq!(from_base64url(other), None, "{other:?}");
    }
}

#[test]
fn a_plain_text_has_no_other_character_and_no_other_length() {
    let check = |text: &str, expected: bool| assert_eq!(is_plain(text, "-_", 1..=4), expected, "{text:?}");
    ["a", "Z9-_"].into_iter().for_each(|text| check(text, true));
    ["", "abcde", "a b", "a.b", "é", "a\n", "a\0"].into_iter().for_each(|text| check(text, false));
    assert!(is_plain("", "", ..));
}
