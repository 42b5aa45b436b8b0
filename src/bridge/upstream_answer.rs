//! Reading an upstream's answer, within limits: JSON, or an event stream.

use std::io::{ErrorKind, Read};

use ureq::Body;
use ureq::http::Response;

use super::events::{EventFields, Events};
use super::message::{self, PeerAnswer, PeerMessage};
use super::upstream_error::UpstreamError;
use crate::base::{CancelToken, capped, limits};

/// The size of one read of a stream (bytes): short messages of one read fit into a client's stream.
const READ_BYTES: usize = 8 * 1024;

/// Reads messages until `take` returns true for the awaited one. If a stream ends earlier, returns the state for resuming it.
/// `closed` ends pauses between reads.
pub(super) fn read(
    response: Response<Body>,
    closed: &CancelToken,
    take: &mut dyn FnMut(&str) -> bool,
) -> Result<Option<EventFields>, UpstreamError> {
    let field = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    // A small compressed answer could decompress to any size.
    if !matches!(field("content-encoding"), "" | "identity") {
        return Err(UpstreamError::COMPRESSED);
    }
    let kind = field("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = response.into_body().into_reader();
    match kind.as_str() {
        "text/event-stream" => read_events(body, closed, take),
        "application/json" => {
            let bytes = capped::read_from(body, limits::bridge::LINE_BYTES).map_err(|error| {
                let is_large = error.kind() == ErrorKind::FileTooLarge;
                if is_large { UpstreamError::TOO_LARGE } else { UpstreamError::NO_ANSWER }
            })?;
            let text = capped::text(bytes).map_err(|_| UpstreamError::NOT_UTF8)?;
            if take(&text) { Ok(None) } else { Err(UpstreamError::NO_ANSWER) }
        }
        _ => {
            let kind: String = kind.chars().take(limits::ECHOED_CHARS).collect();
            let words = format!("it answered with {kind:?}, which is no JSON: its URL may be wrong");
            Err(UpstreamError::Unusable(words.into()))
        }
    }
}

fn read_events(
    mut body: impl Read,
    closed: &CancelToken,
    take: &mut dyn FnMut(&str) -> bool,
) -> Result<Option<EventFields>, UpstreamError> {
    let (mut events, mut buffer) = (Events::new(), vec![0; READ_BYTES]);
    let (mut is_complete, mut messages, mut bytes) = (false, 0_usize, 0_usize);
    while !is_complete {
        // An error is treated as a premature end.
        let length = body.read(&mut buffer).unwrap_or_default();
        if length == 0 {
            return Ok(Some(events.fields));
        }
        let before = messages;
        events.push(buffer.get(..length).unwrap_or_default(), &mut |text| {
            is_complete |= take(text);
            messages = messages.saturating_add(1);
        })?;
        bytes = bytes.saturating_add(length);
        // If an upstream sends many messages, they are read in pieces of many: a wake-up for each would slow others down. The same holds
        // for one that sends more bytes than any answer has, which may contain no message.
        let says_much = messages > before.max(limits::bridge::UNPACED_MESSAGES);
        if !is_complete && (says_much || bytes > limits::bridge::LINE_BYTES) {
            closed.wait(limits::bridge::READ_PACE);
        }
    }
    Ok(None)
}

/// The body of an error response; empty if it is too long.
pub(super) fn error_body(response: Response<Body>) -> String {
    let body = capped::read_from(response.into_body().into_reader(), limits::bridge::UPSTREAM_ERROR_BYTES);
    body.and_then(capped::text).unwrap_or_default()
}

/// The answer to this request, if the text contains it.
pub(super) fn answer(text: &str, request: u64) -> Option<PeerAnswer<'_>> {
    message::parse(text).into_iter().find_map(|message| match message {
        PeerMessage::Answer { id, answer } => (id == request).then_some(answer),
        PeerMessage::Request { .. } | PeerMessage::Notification { .. } | PeerMessage::Stray => None,
    })
}

#[cfg(test)]
mod tests;
