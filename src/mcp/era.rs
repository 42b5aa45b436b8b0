//! The era of a message: decided here, once. Nothing else asks for it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::header;
use super::intake::Message;
use crate::base::json;
use crate::http::Headers;

/// The versions of the legacy era, latest first. 2024-11-05 had another transport, but some of its clients come over Streamable
/// HTTP.
pub(super) const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The version of the modern era.
pub(super) const MODERN_VERSION: &str = "2026-07-28";

/// The two ways of speaking MCP over Streamable HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, sessions, a stream by GET.
    Legacy,
    /// 2026-07-28: every request describes itself.
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

/// The era by the headers alone: also decides the status for a body that is no message.
pub(super) fn of_headers(headers: &Headers) -> Era {
    let is_modern = header::versions(headers).any(|value| value == MODERN_VERSION);
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
mod tests;
