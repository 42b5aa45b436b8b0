use super::*;

fn check(field: &str, expected: Option<&str>) {
    assert_eq!(decode(field).as_deref(), expected, "{field:?}");
}

/// M12: values are compared after decoding.
#[test]
fn a_base64_encoded_header_value_is_decoded() {
    check("us-west1", Some("us-west1"));
    check("  us-west1\t", Some("us-west1"));
    check("=?base64?SGVsbG8sIOS4lueVjA==?=", Some("Hello, 世界"));
    check("=?base64?IHBhZGRlZCA=?=", Some(" padded "));
    check("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", Some("=?base64?literal?="));
    check("=?BASE64?eA==?=", Some("=?BASE64?eA==?="));
    check("=?base64?e?=", None);
    check("=?base64?/w==?=", None);
    check("ä", None);
}
