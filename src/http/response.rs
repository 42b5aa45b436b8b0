//! A response, and the one place that writes its head.

use std::borrow::Cow;
use std::io::Write;

use super::stream::Stream;
use crate::base::{Held, Share, limits, trace};

/// A header field of a response: mostly fixed text.
pub type Field = (&'static str, Cow<'static, str>);

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// With a result.
    Ok,
    /// With a result that reports a failure of the tool.
    ToolError,
    /// With an error of the protocol, of this kind.
    ProtocolError(&'static str),
    /// Without a client to take the result.
    Cancelled,
}

/// The content after the head.
#[derive(Debug)]
pub enum Body {
    /// Bytes.
    Bytes(Vec<u8>),
    /// A stream: everything that its senders send until the last of them is dropped.
    Stream(Stream),
}

/// A response: status, header fields and body from the application. The door adds the framing.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<Field>,
    body: Body,
    held: Option<Held>,
    ending: Option<CallEnding>,
}

/// The outcome of a call, and the size of its JSON-RPC response.
pub type CallEnding = (CallOutcome, usize);

impl Response {
    /// An answer without fields or body.
    pub fn new(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Body::Bytes(Vec::new()), held: None, ending: None }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub fn bytes(mut self, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        self.body = Body::Bytes(body.into());
        self.header("Content-Type", content_type)
    }

    /// A sentence in plain text.
    pub fn text(status: u16, sentence: impl Into<String>) -> Response {
        Response::new(status).bytes("text/plain; charset=utf-8", sentence.into())
    }

    /// A JSON answer. A value that cannot be JSON (a map with keys that are no strings) becomes a 500.
    pub fn json(status: u16, value: &impl serde::Serialize) -> Response {
        match serde_json::to_vec(value) {
            Ok(body) => Response::new(status).bytes("application/json", body),
            Err(_) => Response::new(500),
        }
    }

    /// Makes a stream of server-sent events the body.
    pub fn stream(mut self, stream: Stream) -> Response {
        self.body = Body::Stream(stream);
        // X-Accel-Buffering is how nginx is told not to hold events back.
        self.header("Content-Type", "text/event-stream")
            .header("Cache-Control", "no-store")
            .header("X-Accel-Buffering", "no")
    }

    /// Adds those of these fields that the response does not have itself.
    pub fn with_fields(mut self, fields: Vec<Field>) -> Response {
        self.headers.reserve(fields.len());
        for (name, value) in fields {
            if self.header_value(name).is_none() {
                self.headers.push((name, value));
            }
        }
        self
    }

    /// Notes how the call ended, for the log.
    pub fn ending(self, ending: CallEnding) -> Response {
        Response { ending: Some(ending), ..self }
    }

    /// How the call ended that this answers.
    pub fn call_ending(&self) -> Option<CallEnding> {
        self.ending
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body, for tests that inspect responses.
    #[cfg(any(test, feature = "internals"))]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The body alone, for the door that sends it.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The share of the memory budget that [`Response::counted`] took; to be dropped when the body is sent.
    pub(crate) fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// Counts the body in `unread` until the door has sent it, unless it is small or a stream, which counts its own chunks. A
    /// body that is too much becomes a 429.
    pub fn counted(mut self, unread: &Share) -> Response {
        let size = match &self.body {
            Body::Bytes(bytes) if bytes.len() > limits::SMALL_ANSWER_BYTES => bytes.len(),
            Body::Bytes(_) | Body::Stream(_) => return self,
        };
        self.held = unread.hold(size);
        if self.held.is_some() {
            return self;
        }
        trace::refused("unread_answers");
        let words = "Other large answers wait for you: read them first.\n";
        Response::text(429, words).header("Retry-After", "1").header("Cache-Control", "no-store")
    }

    /// The fields, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_ref()))
    }

    /// The value of the first field called `name`, in any case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Writes the status line and this response's own fields, each ended by CR LF, to `out`. The door appends its
    /// framing fields and the empty line.
    ///
    /// A value that could split the response is never written: the whole head becomes a 500 without fields
    /// (H5), and the answer is `false`: the body must not follow.
    pub fn write_head(&self, out: &mut Vec<u8>) -> bool {
        let safe = |value: &str| value.bytes().all(|b| b == b'\t' || (b >= 0x20 && b != 0x7f));
        let whole = self.headers.iter().all(|(_, value)| safe(value));
        let status = if whole { self.status } else { 500 };
        // Without a reason phrase, which clients ignore (RFC 9112 section 4). Writing to a Vec cannot fail.
        let _ = write!(out, "HTTP/1.1 {status} \r\n");
        if whole {
            for (name, value) in &self.headers {
                for part in [name, ": ", value, "\r\n"] {
                    out.extend_from_slice(part.as_bytes());
                }
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests;
