use super::super::intake;
use super::*;

fn check(version_header: Option<&str>, method: &str, params: &str, expected: Era) {
    check_in(None, version_header, (method, params), expected);
}

fn check_in(
    session: Option<&str>,
    version_header: Option<&str>,
    (method, params): (&str, &str),
    expected: Era,
) {
    let mut headers = Headers::default();
    if let Some(version) = version_header {
        headers.push("MCP-Protocol-Version", version);
    }
    if let Some(session) = session {
        headers.push("Mcp-Session-Id", session);
    }
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let message = intake::parse(body.as_bytes()).unwrap();
    assert_eq!(classify(&message, &headers), expected, "{version_header:?} {body}");
}

#[test]
fn the_body_determines_the_era_before_the_header() {
    let meta = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    let unknown = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"v999.0.0"}}"#;
    check(None, "tools/list", "{}", Era::Legacy);
    check(Some("2025-11-25"), "tools/list", "{}", Era::Legacy);
    check(Some("2025-11-25"), "tools/list", meta, Era::Modern);
    check(None, "tools/list", unknown, Era::Modern);
    check(None, "initialize", meta, Era::Modern);
    check(Some("2026-07-28"), "initialize", "{}", Era::Legacy);
    check(Some("2026-07-28"), "tools/list", "{}", Era::Modern);
    check(Some(" 2026-07-28 "), "tools/list", r#"{"_meta":7}"#, Era::Modern);
    check(None, "tools/list", r#"{"_meta":{"progressToken":1}}"#, Era::Legacy);
    check(Some("2026-07-28"), "tools/list", r#"{"_meta":["2026-07-28"]}"#, Era::Modern);
    check(None, "tools/list", r#"{"_meta":["2026-07-28"]}"#, Era::Legacy);
}

#[test]
fn in_a_session_only_the_body_determines_the_era() {
    let meta = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    for version in [None, Some("2025-11-25"), Some("2026-07-28")] {
        check_in(Some("any"), version, ("tools/list", r#"{"_meta":{"progressToken":1}}"#), Era::Legacy);
        check_in(Some("any"), version, ("tools/list", meta), Era::Modern);
    }
}
