//! Which media types a client takes and sends, and the answer to one that takes or sends others.

use super::exchange::Encoded;
use super::intake::{self, Message};
use crate::base::trace;
use crate::http::{Head, Response};

/// Whether `Accept` admits a media type (RFC 9110 section 12.5.1); a request without it takes anything.
pub(super) fn accepts(head: &Head, kind: &str, subtype: &str) -> bool {
    let mut ranges = head.headers.all("accept").flat_map(|value| value.split(',')).peekable();
    ranges.peek().is_none()
        || ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let (range_kind, range_subtype) =
                parts.next().and_then(|essence| essence.split_once('/')).unwrap_or_default();
            let refused = parts.any(|parameter| {
                let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty())
            });
            let covers = |range: &str, name| range == "*" || range.eq_ignore_ascii_case(name);
            !refused && covers(range_kind, kind) && covers(range_subtype, subtype)
        })
}

/// The answer to a request that was not even read, and what to do about it.
pub(super) fn refusal(status: u16) -> Response {
    let (reason, words) = match status {
        405 => ("method_not_allowed", "The methods here are GET, POST and DELETE.\n"),
        406 => ("accept", "Accept must admit text/event-stream and, for POST, application/json.\n"),
        415 => ("content_type", "Content-Type must be application/json.\n"),
        _ => ("content_type", "There must be one Content-Type field.\n"),
    };
    trace::refused(reason);
    Response::new(status).bytes("text/plain; charset=utf-8", words).header("Cache-Control", "no-store")
}

/// The one message of a POST. `in_params` is the status for a request that is one but for its params.
pub(super) fn read<'a>(head: &Head, body: &'a [u8], in_params: u16) -> Result<Message<'a>, Box<Response>> {
    // M11: a browser sends any other type across sites without asking first.
    match head.is_of_type("application/json") {
        Ok(true) => {}
        Ok(false) => return Err(Box::new(refusal(415))),
        Err(_) => return Err(Box::new(refusal(400))),
    }
    intake::parse(body).map_err(|intake::Refusal { id, error, is_in_params }| {
        let status = if is_in_params { in_params } else { 400 };
        Box::new(Encoded::error(status, id.as_ref(), &error).into_response())
    })
}
