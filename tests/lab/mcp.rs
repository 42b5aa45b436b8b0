//! The private parsers of `mcp`, for tests/fuzz.

use std::borrow::Cow;

use super::intake;

/// The method of a message, or none if it is a response; the error's code if it is no message.
pub fn intake(body: &[u8]) -> Result<Option<String>, i64> {
    match intake::parse(body) {
        Ok(message) => Ok(message.method().map(|(method, _)| method.to_owned())),
        Err(refusal) => Err(refusal.error.code),
    }
}

/// The decoded value of an `Mcp-Name` or `Mcp-Param-…` field.
pub fn header(field: &str) -> Option<String> {
    super::header::decode(field).map(Cow::into_owned)
}
