use super::*;

fn check(field: &str, expected: Option<&str>) {
    assert_eq!(decode(field).ok().as_deref(), expected, "{field:?}");
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

fn check_argument(argument: &str, fields: &[&str], expected: Result<(), Mismatch>) {
    let mirrored = [Mirrored { header: "mcp-param-a".into(), path: vec!["outer".into(), "inner".into()] }];
    let mut headers = Headers::default();
    for field in fields {
        headers.push("Mcp-Param-A", field);
    }
    let arguments = RawValue::from_string(format!(r#"{{"outer":{{"inner":{argument}}}}}"#)).unwrap();
    let found = check_mirrored(&headers, &mirrored, Some(&arguments), Presence::Required);
    assert_eq!(found, expected, "{argument} {fields:?}");
}

/// M12: `Mcp-Param-*` must say what the arguments say.
#[test]
fn mirrored_arguments_must_be_the_same() {
    check_argument("\"x\"", &["x"], Ok(()));
    check_argument("\"x\"", &["=?base64?eA==?="], Ok(()));
    check_argument("42", &["42.0"], Ok(()));
    check_argument("true", &["true"], Ok(()));
    check_argument("null", &[], Ok(()));
    check_argument("\"x\"", &[], Err(Mismatch));
    check_argument("\"x\"", &["X"], Err(Mismatch));
    check_argument("\"x\"", &["x", "x"], Err(Mismatch));
    check_argument("true", &["True"], Err(Mismatch));
    check_argument("42", &["43"], Err(Mismatch));
    check_argument("9007199254740993", &["9007199254740992"], Err(Mismatch));
    check_argument("null", &["x"], Err(Mismatch));
    check_argument("[1]", &["1"], Err(Mismatch));
}
