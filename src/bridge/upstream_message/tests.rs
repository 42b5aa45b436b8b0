use serde_json::json;

use super::*;
use crate::bridge::fake::outgoing;

#[test]
fn requests_answers_and_notifications_are_told_apart() {
    let request = outgoing(&json!({ "jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {} }));
    assert_eq!((request.request, request.is_initialize(), request.headers().len()), (Some(7), true, 0));
    assert_eq!(outgoing(&json!({ "jsonrpc": "2.0", "id": 7, "result": {} })).request, None);
    assert_eq!(outgoing(&json!({ "jsonrpc": "2.0", "id": "q", "error": {} })).request, None);
    let cancelled = json!({ "method": "notifications/cancelled", "params": { "requestId": 3 } });
    assert_eq!((outgoing(&cancelled).cancels(), outgoing(&cancelled).request), (Some(3), None));
    // A client may send any params: the upstream judges them.
    assert_eq!(
        outgoing(&json!({ "id": 1, "method": "tools/call", "params": { "name": 5, "requestId": "x" } }))
            .request,
        Some(1)
    );
}

#[test]
fn headers_repeat_what_the_body_says() {
    let check = |method: &str, params: serde_json::Value, expected: Option<&str>| {
        let mut params = params;
        params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        let message = outgoing(&json!({ "id": 1, "method": method, "params": params }));
        let headers = message.headers();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers[..2], [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)]);
        assert_eq!(headers.get(2).copied(), expected.map(|value| ("Mcp-Name", value)));
    };
    check("tools/call", json!({ "name": "plain name" }), Some("plain name"));
    check("prompts/get", json!({ "name": " padded" }), Some("=?base64?IHBhZGRlZA==?="));
    check("resources/read", json!({ "uri": "file:///ä" }), Some("=?base64?ZmlsZTovLy/DpA==?="));
    check("tools/call", json!({ "name": "=?base64?x?=" }), Some("=?base64?PT9iYXNlNjQ/eD89?="));
    check("tools/list", json!({ "name": "x" }), None);
}

/// Arguments that 2026-07-28 mirrors in headers: an absent, null or non-scalar one has none.
#[test]
fn arguments_with_x_mcp_header_are_repeated_in_headers() {
    let schema = json!({ "type": "object", "properties": {
        "text": { "type": "string", "x-mcp-header": "Text" }, "big": { "type": "integer", "x-mcp-header": "Big" },
        "in": { "type": "object", "properties": { "flag": { "type": "boolean", "x-mcp-header": "Flag" } } },
        "gone": { "type": "string", "x-mcp-header": "Gone" }, "null": { "type": "string", "x-mcp-header": "Null" },
    } });
    let arguments = json!({ "text": "grüße\n", "big": 9_007_199_254_740_993_i64, "in": { "flag": true }, "null": null, "other": "x" });
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    let mut message =
        outgoing(&json!({ "method": "tools/call", "params": { "arguments": arguments, "_meta": meta } }));
    message.mirrored = Mirrored::of_schema(&schema).unwrap();
    let headers = message.headers().split_off(2);
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.sort();
    let expected = [
        "mcp-param-big: 9007199254740993",
        "mcp-param-flag: true",
        "mcp-param-text: =?base64?Z3LDvMOfZQo=?=",
    ];
    assert_eq!(headers, expected);
}
