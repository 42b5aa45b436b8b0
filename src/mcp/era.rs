//! Which era a message belongs to. Decided here, once; nobody else asks.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::intake::Message;
use super::{header, modern};
use crate::base::json;
use crate::http::Headers;

/// The two ways of speaking MCP over Streamable HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, sessions, a stream by GET.
    Legacy,
    /// 2026-07-28: every request says all about itself.
    Modern,
}

/// The era of a POST. `_meta` with a protocol version is modern, whatever it asks for. `initialize` without is legacy,
/// even under a modern version header, which some clients send at once. Else a modern version header makes it modern, unless
/// the request names a session: some clients send their own version whatever was agreed on, and if the session is over
/// they must be told that, to begin another.
pub(super) fn classify(message: &Message<'_>, headers: &Headers) -> Era {
    let (method, params) = message.call().unwrap_or_default();
    if params.is_some_and(names_a_version) {
        return Era::Modern;
    }
    if method == "initialize" { Era::Legacy } else { of_headers(headers) }
}

/// The era as far as the headers alone say: also whose statuses a sender understands whose body is no message.
pub(super) fn of_headers(headers: &Headers) -> Era {
    let is_modern = header::versions(headers).any(|value| value == modern::VERSION);
    let names_a_session = headers.all("mcp-session-id").next().is_some();
    if is_modern && !names_a_session { Era::Modern } else { Era::Legacy }
}

fn names_a_version(params: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
        protocol_version: Option<&'a RawValue>,
    }
    // A `_meta` that is no object names nothing; its era's own check refuses it.
    let meta = json::read(params.get()).ok().and_then(|params: Params<'_>| params.meta);
    let meta = meta.and_then(|meta| json::read::<Meta<'_>>(meta.get()).ok());
    meta.is_some_and(|meta| meta.protocol_version.is_some())
}

#[cfg(test)]
mod tests {
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
    fn the_body_decides_and_then_the_header() {
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
    fn in_a_session_the_body_decides_alone() {
        let meta = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        for version in [None, Some("2025-11-25"), Some("2026-07-28")] {
            check_in(Some("any"), version, ("tools/list", r#"{"_meta":{"progressToken":1}}"#), Era::Legacy);
            check_in(Some("any"), version, ("tools/list", meta), Era::Modern);
        }
    }
}
