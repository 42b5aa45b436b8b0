//! Why the edge itself turns a request away, and the one place where that becomes a status.

use crate::http::Response;

/// What the edge found wrong. After any of these the connection is closed: where the next request would start is
/// unknown, or the sender is not to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP/1 as RFC 9112 has it; the words say what.
    Malformed(&'static str),
    /// The method is not a token.
    MethodNotToken,
    /// A tunnel was asked for; this is no proxy.
    Connect,
    /// A version other than 1.0 and 1.1.
    Version,
    /// The request target is too long.
    TargetTooLong,
    /// The head, one of its values, or the number of its fields is too large.
    HeadTooLarge,
    /// `Expect` asks for something else than `100-continue`.
    Expectation,
    /// The body is, or says it will be, larger than what is welcome.
    BodyTooLarge,
    /// Head or body took too long.
    TooSlow,
    /// This address has too many connections.
    AddressBusy,
    /// A cap on connections, streams, waiting requests or memory is reached.
    Busy,
}

impl Refusal {
    /// The status that says so.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Malformed(_) => 400,
            Refusal::Connect => 405,
            Refusal::TooSlow => 408,
            Refusal::BodyTooLarge => 413,
            Refusal::TargetTooLong => 414,
            Refusal::Expectation => 417,
            Refusal::AddressBusy => 429,
            Refusal::HeadTooLarge => 431,
            Refusal::MethodNotToken => 501,
            Refusal::Busy => 503,
            Refusal::Version => 505,
        }
    }

    /// What the metrics call it.
    pub fn word(self) -> &'static str {
        match self {
            Refusal::Malformed(_) => "malformed",
            Refusal::MethodNotToken => "method_not_token",
            Refusal::Connect => "connect",
            Refusal::Version => "version",
            Refusal::TargetTooLong => "target_too_long",
            Refusal::HeadTooLarge => "head_too_large",
            Refusal::Expectation => "expectation",
            Refusal::BodyTooLarge => "body_too_large",
            Refusal::TooSlow => "too_slow",
            Refusal::AddressBusy => "address_busy",
            Refusal::Busy => "busy",
        }
    }

    /// What the sender can do about it.
    fn sentence(self) -> &'static str {
        match self {
            Refusal::Malformed(_) => "This is not well-formed HTTP/1.1.\n",
            Refusal::MethodNotToken => "The method is not one of HTTP.\n",
            Refusal::Connect => "This is not a proxy.\n",
            Refusal::Version => "Use HTTP/1.1.\n",
            Refusal::TargetTooLong => "Use a shorter request target.\n",
            Refusal::HeadTooLarge => "Send fewer or shorter header fields.\n",
            Refusal::Expectation => "Expect takes 100-continue only.\n",
            Refusal::BodyTooLarge => "Send a smaller body.\n",
            Refusal::TooSlow => "Send the request faster.\n",
            Refusal::AddressBusy => "Close some of the connections from this address first.\n",
            Refusal::Busy => "The server is busy: try again in a moment.\n",
        }
    }

    /// The answer, in words of ours: whatever the client sent, none of it comes back.
    pub fn response(self) -> Response {
        let response = Response::new(self.status())
            .header("X-Content-Type-Options", "nosniff")
            .bytes("text/plain; charset=utf-8", self.sentence());
        match self {
            Refusal::Busy | Refusal::AddressBusy => response.header("Retry-After", "1"),
            Refusal::Connect => response.header("Allow", "GET, HEAD, POST, DELETE, OPTIONS"),
            Refusal::Malformed(_)
            | Refusal::MethodNotToken
            | Refusal::Version
            | Refusal::TargetTooLong
            | Refusal::HeadTooLarge
            | Refusal::Expectation
            | Refusal::BodyTooLarge
            | Refusal::TooSlow => response,
        }
    }
}
