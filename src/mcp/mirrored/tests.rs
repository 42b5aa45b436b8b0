use serde_json::json;

use super::*;

fn check_schema(schema: Value, expected: Option<&[(&str, &[&str])]>) {
    let found = Mirrored::of_schema(&schema);
    let expected = expected.map(|all| {
        let mirrored = |(header, path): &(&str, &[&str])| Mirrored {
            header: (*header).to_owned(),
            path: path.iter().map(|name| (*name).to_owned()).collect(),
        };
        all.iter().map(mirrored).collect::<Vec<_>>()
    });
    assert_eq!(found, expected, "{schema}");
}

#[test]
fn x_mcp_header_is_accepted_on_primitive_properties_only() {
    let schema = |property: Value| json!({"type": "object", "properties": {"a": property}});
    let region = json!({"type": "string", "x-mcp-header": "Region"});
    check_schema(schema(json!({"type": "string"})), Some(&[]));
    check_schema(schema(region.clone()), Some(&[("mcp-param-region", &["a"])]));
    check_schema(
        schema(json!({"type": "object", "properties": {"b": region}})),
        Some(&[("mcp-param-region", &["a", "b"])]),
    );
    check_schema(schema(json!({"type": "number", "x-mcp-header": "A"})), None);
    check_schema(schema(json!({"type": "string", "x-mcp-header": ""})), None);
    check_schema(schema(json!({"type": "string", "x-mcp-header": "a b"})), None);
    check_schema(schema(json!({"type": "array", "items": region})), None);
    check_schema(json!({"type": "object", "anyOf": [schema(region.clone())]}), None);
    check_schema(
        json!({"type": "object", "properties": {"a": region, "b": {"type": "string", "x-mcp-header": "REGION"}}}),
        None,
    );
}

/// Each mirrored argument keeps its path: the size of a list must not be multiplied by the number of its arguments.
#[test]
fn mirrored_arguments_are_bounded() {
    let schema = |outer: usize, arguments: usize| {
        let property =
            |number| (format!("{number}"), json!({"type": "string", "x-mcp-header": format!("{number}")}));
        let properties: serde_json::Map<_, _> = (0..arguments).map(property).collect();
        json!({"properties": {"x".repeat(outer): {"type": "object", "properties": properties}}})
    };
    let found = |outer, arguments| Mirrored::of_schema(&schema(outer, arguments)).map(|found| found.len());
    let path = limits::bridge::MIRRORED_PATH_BYTES;
    assert_eq!(found(path - 1, 1), Some(1));
    assert_eq!(found(path, 1), None);
    assert_eq!(found(1, limits::HEADERS), Some(limits::HEADERS));
    assert_eq!(found(1, limits::HEADERS + 1), None);
    assert_eq!(found(1_000_000, 100_000), None);
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

/// M12: `Mcp-Param-*` must equal the arguments.
#[test]
fn mirrored_headers_must_match_the_arguments() {
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
    check_argument("1e999", &["1e999"], false);
}
