//! Parser for server-sent events (HTML, section 9.2): bytes in, data out. Pure. Lines end with LF or CR LF; MCP servers use no
//! other line ends.

use std::time::Duration;

use super::lines::{Lines, TooLong};
use super::upstream_error::UpstreamError;
use crate::base::limits;

/// An event stream that is being parsed.
pub(super) struct Events {
    lines: Lines,
    /// The state for resuming the stream after its end.
    pub(super) fields: EventFields,
}

/// The fields of the current event so far, and the fields that persist across events.
pub(super) struct EventFields {
    data: String,
    /// The last `id` field, of this or an earlier event.
    id: Option<String>,
    /// The id of the last whole event, for `Last-Event-ID`.
    pub(super) last_id: Option<String>,
    /// The delay before the stream is resumed.
    pub(super) retry: Duration,
}

impl Events {
    pub(super) fn new() -> Events {
        let fields =
            EventFields { data: String::new(), id: None, last_id: None, retry: limits::bridge::PAUSE };
        Events { lines: Lines::new(limits::bridge::LINE_BYTES), fields }
    }

    /// Parses bytes and calls `each` with the data of each completed event.
    pub(super) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(&str)) -> Result<(), UpstreamError> {
        let mut outcome = Ok(());
        let take = |line: &[u8]| {
            if outcome.is_ok() {
                outcome = self.fields.take(line.strip_suffix(b"\r").unwrap_or(line), each);
            }
        };
        self.lines.push(bytes, take).map_err(|TooLong| UpstreamError::TOO_LARGE)?;
        outcome
    }
}

impl EventFields {
    fn take(&mut self, line: &[u8], each: &mut dyn FnMut(&str)) -> Result<(), UpstreamError> {
        let line = std::str::from_utf8(line).map_err(|_| UpstreamError::NOT_UTF8)?;
        let line = line.trim_start_matches('\u{feff}');
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.is_empty() => {
                let data = std::mem::take(&mut self.data);
                self.last_id.clone_from(&self.id);
                if !data.trim().is_empty() {
                    each(&data);
                }
            }
            "data" => {
                if self.data.len().saturating_add(value.len()) > limits::bridge::LINE_BYTES {
                    return Err(UpstreamError::TOO_LARGE);
                }
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if fits_header(value) => self.id = Some(value.to_owned()).filter(|id| !id.is_empty()),
            "retry" => {
                let pause = value.parse().map_or(limits::bridge::PAUSE, Duration::from_millis);
                self.retry = pause.clamp(limits::bridge::RETRY_MIN, limits::bridge::PAUSE_MAX);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether an id is valid in a header field.
fn fits_header(id: &str) -> bool {
    id.len() <= limits::bridge::EVENT_ID_BYTES && !id.bytes().any(|byte| byte.is_ascii_control())
}

#[cfg(test)]
mod tests;
