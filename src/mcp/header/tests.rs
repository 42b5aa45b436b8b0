use super::*;

fn check(field: &str, expected: Option<&str>) {
    assert_eq!(decode(field).as_deref(), expected, "{field:?}");
}

/// M12: values are compared after decoding.
#[test]
fn a_value_may_be_encoded() {
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

fn check_argument(argument: &str, fields: &[&str], expected: bool) {
    let mirrored = [Mirrored { header: "mcp-param-a".into(), path: vec!["outer".into(), "inner".into()] }];
    let mut headers = Headers::default();
    for field in fields {
        headers.push("Mcp-Param-A", field);
    }
    let arguments = RawValue::from_string(format!(r#"{{"outer":{{"inner":{argument}}}}}"#)).unwrap();
    let found = check_arguments(&headers, &mirrored, Some(&arguments), Presence::Required).is_ok();
    assert_eq!(found, expected, "{argument} {fields:?}");
}

/// M12: `Mcp-Param-*` must say what the arguments say.
#[test]
fn mirrored_arguments_must_be_the_same() {
    check_argument("\"x\"", &["x"], true);
    check_argument("\"x\"", &["=?base64?eA==?="], true);
    check_argument("42", &["42.0"], true);
    check_argument("true", &["true"], true);
    check_argument("null", &[], true);
    check_argument("\"x\"", &[], false);
    check_argument("\"x\"", &["X"], false);
    check_argument("\"x\"", &["x", "x"], false);
    check_argument("true", &["True"], false);
    check_argument("42", &["43"], false);
    check_argument("9007199254740993", &["9007199254740992"], false);
    check_argument("null", &["x"], false);
    check_argument("[1]", &["1"], false);
}
