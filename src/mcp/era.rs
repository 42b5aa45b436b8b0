//! The era of a message, decided here, once; no other file decides it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::header;
use super::intake::Message;
use crate::http::Headers;

/// The versions of the legacy era, latest first. 2024-11-05 had another transport, but some of its clients use Streamable HTTP.
pub(crate) const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The version of the modern era.
pub(crate) const MODERN_VERSION: &str = "2026-07-28";

/// The two protocols over Streamable HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, sessions, a stream by GET.
    Legacy,
    /// 2026-07-28: every request describes itself.
    Modern,
}

/// The era of a POST. `_meta` with a protocol version is modern, for every method. `initialize` without it is legacy, even with a
/// modern version header, which some clients send from the start. Otherwise a modern version header makes it modern, unless the
/// request names a session: some clients send their own version instead of the negotiated one, and must get the 404 for a session
/// that has ended, to begin another.
pub(super) fn classify(message: &Message, headers: &Headers) -> Era {
    let Some((method, params)) = message.method() else { return of_headers(headers) };
    // A `_meta` that is no object names no version; the check of the era refuses it.
    if let Ok(Some(VersionMeta { version: Some(_) })) = params.read("_meta") {
        return Era::Modern;
    }
    if method == "initialize" { Era::Legacy } else { of_headers(headers) }
}

/// The member of `_meta` that only modern requests have.
#[derive(Deserialize)]
struct VersionMeta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
}

/// The era by the headers alone. Also decides the status for a body that is no message.
pub(super) fn of_headers(headers: &Headers) -> Era {
    let is_modern = header::versions(headers).any(|value| value == MODERN_VERSION);
    let names_a_session = headers.all("mcp-session-id").next().is_some();
    if is_modern && !names_a_session { Era::Modern } else { Era::Legacy }
}

#[cfg(test)]
mod tests;
