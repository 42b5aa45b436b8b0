//! A message to an upstream, and what Streamable HTTP has to know of it: its id, and what headers repeat.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::message;
use crate::base::limits;
use crate::mcp::{Members, Mirrored};

/// Requests whose answers say nothing. They are sent in their order, as notifications are.
const SETTINGS: [&str; 3] = ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

pub(super) struct UpstreamMessage {
    pub(super) text: String,
    /// Empty for an answer.
    pub(super) method: String,
    /// The id, if it is a request whose answer is waited for.
    pub(super) request: Option<u64>,
    /// The request that it cancels.
    pub(super) cancels: Option<u64>,
    /// The version in its `_meta` (2026-07-28).
    version: Option<String>,
    /// The tool, prompt or resource that it names.
    subject: Option<String>,
    /// The headers that repeat arguments.
    mirrored: Vec<(String, String)>,
}

impl UpstreamMessage {
    /// Reads a message that was written here. Params of a client that are not as they should be are the upstream's to judge.
    pub(super) fn new(text: String) -> UpstreamMessage {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct SentMessage {
            id: serde_json::Value,
            method: String,
            params: Members,
        }
        let SentMessage { id, method, params } = serde_json::from_str(&text).unwrap_or_default();
        let string = |members: &Members, name: &str| members.read::<String>(name).ok().flatten();
        let subject = match method.as_str() {
            "tools/call" | "prompts/get" => string(&params, "name"),
            "resources/read" => string(&params, "uri"),
            _ => None,
        };
        let meta = params.object("_meta").unwrap_or_default();
        UpstreamMessage {
            request: id.as_u64().filter(|_| !method.is_empty() && !SETTINGS.contains(&method.as_str())),
            cancels: params.read("requestId").ok().flatten().filter(|_| method == "notifications/cancelled"),
            version: string(&meta, "io.modelcontextprotocol/protocolVersion"),
            subject,
            method,
            text,
            mirrored: Vec::new(),
        }
    }

    /// The message with headers that repeat these of its arguments.
    pub(super) fn mirroring(mut self, (mirrored, params): (&[Mirrored], &Members)) -> UpstreamMessage {
        if let (false, Ok(Some(arguments))) = (mirrored.is_empty(), params.read("arguments")) {
            let header = |each: &Mirrored| Some((each.header.clone(), encode(&each.value(&arguments)?)));
            self.mirrored = mirrored.iter().filter_map(header).collect();
        }
        self
    }

    pub(super) fn initialized() -> UpstreamMessage {
        UpstreamMessage::new(message::notification("notifications/initialized", None::<()>))
    }

    /// How long its exchange may take.
    pub(super) fn deadline(&self) -> Duration {
        if self.is_listen() { limits::bridge::LISTEN } else { limits::CALL }
    }

    /// Whether its failure is no news: a stream of changes ends at some time, and `server/discover` asks whether it is known.
    pub(super) fn may_fail(&self) -> bool {
        self.is_listen() || self.method == "server/discover"
    }

    fn is_listen(&self) -> bool {
        self.method == "subscriptions/listen"
    }

    pub(super) fn is_initialize(&self) -> bool {
        self.method == "initialize"
    }

    /// What 2026-07-28 repeats in headers (transports, "Request Metadata").
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, String)> {
        let method = self.version.as_ref().map(|_| self.method.clone());
        let subject = self.version.as_ref().and(self.subject.as_deref()).map(encode);
        let headers =
            [("MCP-Protocol-Version", self.version.clone()), ("Mcp-Method", method), ("Mcp-Name", subject)];
        let mirrored = self.mirrored.iter().map(|(name, value)| (name.as_str(), value.clone()));
        headers.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(mirrored)
    }
}

/// A text as a header's value: as it is, or as `=?base64?…?=` where it could not arrive as it is.
fn encode(text: &str) -> String {
    let is_plain = text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text;
    if is_plain && !text.starts_with("=?base64?") {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

#[cfg(test)]
mod tests;
