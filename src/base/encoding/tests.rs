use super::*;

#[test]
fn only_canonical_base64url_is_decoded() {
    assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    assert_eq!(from_base64url("-_8").unwrap(), [0xfb, 0xff]);
    for other in ["-_8=", "-_9", "+/8", "-_8\n", "-"] {
        assert_eq!(from_base64url(other), None, "{other:?}");
    }
}
