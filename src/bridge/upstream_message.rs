//! Properties of a message that Streamable HTTP needs: the request that it cancels, the timeout of its exchange, its headers.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::message::OutgoingMessage;
use crate::base::limits;
use crate::mcp::{Members, MethodRow, Mirrored};

impl OutgoingMessage {
    /// The id of the request that it cancels.
    pub(super) fn cancels(&self) -> Option<u64> {
        self.params.read("requestId").ok().flatten().filter(|_| self.method == "notifications/cancelled")
    }

    /// The timeout of its exchange.
    pub(super) fn deadline(&self) -> Duration {
        if self.is_listen() { limits::bridge::LISTEN } else { limits::CALL }
    }

    /// Whether a failure is expected: a subscription stream ends at some time, and `server/discover` probes for support.
    pub(super) fn may_fail(&self) -> bool {
        self.is_listen() || self.method == "server/discover"
    }

    /// Whether it is a request of the bridge itself, of which no client gets the answer.
    pub(super) fn is_ours(&self) -> bool {
        self.may_fail() || self.is_initialize()
    }

    fn is_listen(&self) -> bool {
        self.method == "subscriptions/listen"
    }

    pub(super) fn is_initialize(&self) -> bool {
        self.method == "initialize"
    }

    /// The headers of 2026-07-28 that mirror a message (transports, "Request Metadata"), the version among them. Invalid params of a client
    /// are passed on, for the upstream to judge.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let string = |members: &Members, name: &str| members.read::<String>(name).ok().flatten();
        let meta = self.params.object("_meta").unwrap_or_default();
        let Some(version) = string(&meta, "io.modelcontextprotocol/protocolVersion") else {
            return Vec::new();
        };
        let subject = MethodRow::find(&self.method).and_then(|row| row.subject(&self.params).ok().flatten());
        let arguments = self.params.read("arguments").ok().flatten();
        let value = |each: &Mirrored| Some((each.header.clone(), encode(&each.value(arguments.as_ref()?)?)));
        let ours = [("MCP-Protocol-Version", version), ("Mcp-Method", self.method.clone())];
        let ours = ours.into_iter().chain(subject.map(|subject| ("Mcp-Name", encode(&subject))));
        let ours = ours.map(|(name, value)| (name.to_owned(), value));
        ours.chain(self.mirrored.iter().filter_map(value)).collect()
    }
}

/// A text as a header's value: unchanged, or as `=?base64?…?=` if it would not survive unchanged.
fn encode(text: &str) -> String {
    let is_plain = text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text;
    if is_plain && !text.starts_with("=?base64?") {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

#[cfg(test)]
mod tests;
