//! The reasons for which a door itself refuses a request, and the only place where they become a status.

use crate::http::Response;

/// A reason to refuse. The connection is closed, because the start of the next request is unknown or the sender is too slow; `Busy`
/// after a whole request leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP/1 as in RFC 9112. The text is for tests: it is neither sent nor logged.
    Malformed(&'static str),
    /// The method is not a token.
    MethodNotToken,
    /// CONNECT was requested; this is no proxy.
    Connect,
    /// A version other than 1.0 and 1.1.
    Version,
    /// The request target is too long.
    TargetTooLong,
    /// The head, one of its values, or the number of its fields is too large.
    HeadTooLarge,
    /// `Expect` has a value other than `100-continue`.
    Expectation,
    /// The body, or its announced length, exceeds the limit.
    BodyTooLarge,
    /// Head or body took too long.
    TooSlow,
    /// This address has too many connections.
    AddressBusy,
    /// A cap on connections, streams, waiting requests or memory is reached.
    Busy,
    /// Behind a proxy: a body without a length.
    NoLength,
    /// Behind a proxy: a request for a persistent connection.
    KeptOpen,
}

/// The end of an exchange without an answer of the application.
pub(super) enum Stop {
    /// The edge answers, and closes the connection.
    Refused(Refusal),
    /// The client has disconnected, or an answer is not possible any more.
    Ended,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl Refusal {
    /// The status, the name in metrics, and the advice to the sender.
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Refusal::Malformed(_) => (400, "malformed", "This is not well-formed HTTP/1.1.\n"),
            Refusal::Connect => (405, "connect", "This is not a proxy.\n"),
            Refusal::TooSlow => (408, "too_slow", "Send the request faster.\n"),
            Refusal::BodyTooLarge => (413, "body_too_large", "Send a smaller body.\n"),
            Refusal::TargetTooLong => (414, "target_too_long", "Use a shorter request target.\n"),
            Refusal::Expectation => (417, "expectation", "Expect takes 100-continue only.\n"),
            Refusal::AddressBusy => (429, "address_busy", "Close some connections of this address first.\n"),
            Refusal::HeadTooLarge => (431, "head_too_large", "Send fewer or shorter header fields.\n"),
            Refusal::MethodNotToken => (501, "method_not_token", "The method is not one of HTTP.\n"),
            Refusal::Busy => (503, "busy", "The server is busy: try again in a moment.\n"),
            Refusal::NoLength => (411, "no_length", "Have the proxy send each body with Content-Length.\n"),
            Refusal::KeptOpen => (400, "kept_open", "Send Connection: close (docs/deploy says how).\n"),
            Refusal::Version => (505, "version", "Use HTTP/1.1.\n"),
        }
    }

    /// The status of the answer.
    #[cfg(test)]
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The name in metrics.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// The answer. It repeats nothing that the client sent.
    pub fn response(self) -> Response {
        let (status, _, sentence) = self.row();
        let response = Response::text(status, sentence).header("X-Content-Type-Options", "nosniff");
        if matches!(self, Refusal::Busy | Refusal::AddressBusy) {
            return response.header("Retry-After", "1");
        }
        // RFC 9110 section 15.5.6: a 405 lists the methods.
        if self == Refusal::Connect {
            return response.header("Allow", "GET, HEAD, POST, DELETE, OPTIONS");
        }
        response
    }
}
