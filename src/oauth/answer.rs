//! Answers of the endpoints that programs call (RFC 6749 sections 5.1 and 5.2).

use serde::Serialize;

use crate::base::{TooMany, trace};
use crate::http::Response;

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// A JSON answer that is not cached (T16).
pub(super) fn json(status: u16, value: &impl Serialize) -> Response {
    no_store(Response::json(status, value))
}

/// An OAuth error. `description` is a fixed text of ours: visible ASCII without quotes or backslashes, and nothing of what
/// was sent.
pub(super) fn error(status: u16, code: &'static str, description: &str) -> Response {
    trace::refused(code);
    json(status, &ErrorBody { error: code, error_description: description })
}

/// The answer to a sender over its rate limit.
pub(super) fn too_many(too_many: TooMany) -> Response {
    error(429, "temporarily_unavailable", "too many requests from this address: try again later")
        .header("Retry-After", too_many.retry_after.to_string())
}

/// An answer that is not cached.
pub(super) fn no_store(response: Response) -> Response {
    response.header("Cache-Control", "no-store").header("Pragma", "no-cache")
}
