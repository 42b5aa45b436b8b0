//! Headers that repeat members of the body (2026-07-28, transports, "Request Metadata"): both must be equal.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::jsonrpc::Error;
use crate::http::Headers;

/// The value of `MCP-Protocol-Version`. Some clients send it twice, which proxies join by a comma: one value, if all are equal.
pub(super) fn version(headers: &Headers) -> Result<Option<&str>, Error> {
    let mut values = versions(headers);
    let first = values.next();
    if values.all(|value| Some(value) == first) { Ok(first) } else { Err(mismatch("MCP-Protocol-Version")) }
}

/// Whether the version is sent more than once, always with one value.
pub(super) fn repeats_version(headers: &Headers) -> bool {
    versions(headers).count() > 1 && version(headers).is_ok()
}

pub(super) fn versions(headers: &Headers) -> impl Iterator<Item = &str> {
    headers.all("mcp-protocol-version").flat_map(|value| value.split(',')).map(str::trim)
}

/// `Required`: the header must be present. `Optional`: it is checked if present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

/// Checks that `Mcp-Method` is the method, letter for letter.
pub(super) fn check_method(headers: &Headers, method: &str, presence: Presence) -> Result<(), Error> {
    let is_right = |value: &str| value.trim_matches([' ', '\t']) == method;
    check(headers, ("mcp-method", "Mcp-Method"), presence, is_right)
}

/// Checks that `Mcp-Name`, decoded, is the name or URI.
pub(super) fn check_name(headers: &Headers, name: &str, presence: Presence) -> Result<(), Error> {
    let is_right = |value: &str| decode(value).as_deref() == Some(name);
    check(headers, ("mcp-name", "Mcp-Name"), presence, is_right)
}

fn check(
    headers: &Headers,
    (name, shown): (&'static str, &str),
    presence: Presence,
    is_right: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let may_lack = presence == Presence::Optional && headers.all(name).next().is_none();
    let is_right = may_lack || headers.one(name).ok().flatten().is_some_and(is_right);
    if is_right { Ok(()) } else { Err(mismatch(shown)) }
}

/// The error for a header that differs from the body.
pub(super) fn mismatch(header: &str) -> Error {
    Error::new(Error::HEADER_MISMATCH, format!("{header} is missing or differs from the body"))
}

/// The value of a header that may be `=?base64?…?=`; `None` if it is malformed.
pub(super) fn decode(field: &str) -> Option<Cow<'_, str>> {
    let field = field.trim_matches([' ', '\t']);
    if !field.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
        return None;
    }
    match field.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(field)),
    }
}

#[cfg(test)]
mod tests;
