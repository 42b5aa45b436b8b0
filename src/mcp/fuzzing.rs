//! The private parsers, for tests/fuzz alone.

use std::borrow::Cow;

use super::intake::{self, Message};

/// The method of a message, or none if it is a response; the error's code if it is no message.
pub fn intake(body: &[u8]) -> Result<Option<String>, i64> {
    match intake::parse(body) {
        Ok(Message::Request { method, .. } | Message::Notification { method, .. }) => {
            Ok(Some(method.into_owned()))
        }
        Ok(Message::Response { .. }) => Ok(None),
        Err(refusal) => Err(refusal.error.code),
    }
}

/// What an `Mcp-Name` or `Mcp-Param-…` field says.
pub fn header(field: &str) -> Option<String> {
    super::header::decode(field).map(Cow::into_owned)
}
