//! The annotations of a tool's schema that clients repeat in headers.

use super::*;

fn check(schema: Value, expected: Option<&[(&str, &[&str])]>) {
    let found = Tool::new("t", "", schema.clone()).mirrored();
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
fn annotations_stand_on_primitive_properties_only() {
    let schema = |property: Value| json!({"type": "object", "properties": {"a": property}});
    let region = json!({"type": "string", "x-mcp-header": "Region"});
    check(schema(json!({"type": "string"})), Some(&[]));
    check(schema(region.clone()), Some(&[("mcp-param-region", &["a"])]));
    check(
        schema(json!({"type": "object", "properties": {"b": region}})),
        Some(&[("mcp-param-region", &["a", "b"])]),
    );
    check(schema(json!({"type": "number", "x-mcp-header": "A"})), None);
    check(schema(json!({"type": "string", "x-mcp-header": ""})), None);
    check(schema(json!({"type": "string", "x-mcp-header": "a b"})), None);
    check(schema(json!({"type": "array", "items": region})), None);
    check(json!({"type": "object", "anyOf": [schema(region.clone())]}), None);
    check(
        json!({"type": "object", "properties": {"a": region, "b": {"type": "string", "x-mcp-header": "REGION"}}}),
        None,
    );
}
