//! The private parsers, for tests/fuzz alone.

use std::borrow::Cow;

use super::intake::{self, Message};

/// The method of a message, or none if it is a response; the error's code if it is no message.
pub fn intake(body: &[u8]) -> Result<Option<String>, i64> {
    match intake::parse(body) {
        Ok(Message::Request { method, .. } | Message::Notification { method, .. }) => Ok(Some(method)),
        Ok(Message::Response { .. }) => Ok(None),
        Err(refusal) => Err(refusal.error.code),
    }
}

/// The decoded value of an `Mcp-Name` or `Mcp-Param-…` field.
pub fn header(field: &str) -> Option<String> {
    super::header::decode(field).map(Cow::into_owned)
}
