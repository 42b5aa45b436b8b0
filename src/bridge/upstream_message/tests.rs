use serde_json::json;

use super::*;

fn read(message: &serde_json::Value) -> UpstreamMessage {
    UpstreamMessage::new(message.to_string())
}

#[test]
fn requests_answers_and_notifications_are_told_apart() {
    let request = read(&json!({ "jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {} }));
    assert_eq!((request.request, request.is_initialize(), request.headers().count()), (Some(7), true, 0));
    assert_eq!(read(&json!({ "jsonrpc": "2.0", "id": 7, "result": {} })).request, None);
    assert_eq!(read(&json!({ "jsonrpc": "2.0", "id": "q", "error": {} })).request, None);
    let cancelled = json!({ "method": "notifications/cancelled", "params": { "requestId": 3 } });
    assert_eq!((read(&cancelled).cancels, read(&cancelled).request), (Some(3), None));
    // Params of a client may be anything: the upstream judges them.
    assert_eq!(
        read(&json!({ "id": 1, "method": "tools/call", "params": { "name": 5, "requestId": "x" } })).request,
        Some(1)
    );
}

#[test]
fn headers_repeat_what_the_body_says() {
    let check = |method: &str, params: serde_json::Value, expected: Option<&str>| {
        let mut params = params;
        params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        let message = read(&json!({ "id": 1, "method": method, "params": params }));
        let headers: Vec<_> = message.headers().collect();
        assert_eq!(
            headers[..2],
            [("MCP-Protocol-Version", "2026-07-28".to_owned()), ("Mcp-Method", method.to_owned())]
        );
        assert_eq!(
            headers.get(2).map(|(name, value)| (*name, value.as_str())),
            expected.map(|value| ("Mcp-Name", value))
        );
    };
    check("tools/call", json!({ "name": "plain name" }), Some("plain name"));
    check("prompts/get", json!({ "name": " padded" }), Some("=?base64?IHBhZGRlZA==?="));
    check("resources/read", json!({ "uri": "file:///ä" }), Some("=?base64?ZmlsZTovLy/DpA==?="));
    check("tools/call", json!({ "name": "=?base64?x?=" }), Some("=?base64?PT9iYXNlNjQ/eD89?="));
    check("tools/list", json!({ "name": "x" }), None);
}

/// Arguments that 2026-07-28 repeats in headers: what is absent, null or no scalar has none.
#[test]
fn arguments_are_repeated_in_headers_where_the_tool_wants_that() {
    let schema = json!({ "type": "object", "properties": {
        "text": { "type": "string", "x-mcp-header": "Text" }, "big": { "type": "integer", "x-mcp-header": "Big" },
        "in": { "type": "object", "properties": { "flag": { "type": "boolean", "x-mcp-header": "Flag" } } },
        "gone": { "type": "string", "x-mcp-header": "Gone" }, "null": { "type": "string", "x-mcp-header": "Null" },
    } });
    let arguments = json!({ "text": "grüße\n", "big": 9_007_199_254_740_993_i64, "in": { "flag": true }, "null": null, "other": "x" });
    let params = Members::default().with("arguments", &arguments).unwrap();
    let message =
        UpstreamMessage::new("{}".to_owned()).mirroring((&Mirrored::of_schema(&schema).unwrap(), &params));
    let mut headers: Vec<_> = message.headers().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.sort();
    let expected = [
        "mcp-param-big: 9007199254740993",
        "mcp-param-flag: true",
        "mcp-param-text: =?base64?Z3LDvMOfZQo=?=",
    ];
    assert_eq!(headers, expected);
}
