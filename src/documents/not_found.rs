//! The reason for which a document was not found. Only for the log: in an answer it would let unauthenticated clients explore our network.

#[derive(Debug)]
pub(super) enum NotFound {
    /// The sender's allowance is used up.
    SenderRate,
    /// Too many concurrent look-ups.
    Busy,
    /// The fetch that the caller waited for failed.
    ConcurrentFetch,
    /// No answer: the name does not resolve, or resolves to an address that is not public; or no HTTP response came in time.
    Unreachable(ureq::Error),
    /// An answer with a status other than 200.
    Status(u16),
    /// An answer that is not a document.
    Invalid(&'static str),
}

impl From<ureq::Error> for NotFound {
    fn from(error: ureq::Error) -> NotFound {
        NotFound::Unreachable(error)
    }
}

impl NotFound {
    /// Whether the host is unreachable or fails, so that the cached document stays usable.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            NotFound::Unreachable(_) => true,
            NotFound::Status(status) => *status == 429 || (500..=599).contains(status),
            NotFound::SenderRate | NotFound::Busy | NotFound::ConcurrentFetch | NotFound::Invalid(_) => false,
        }
    }

    /// A fixed word and details for the log. The details contain no part of a body, but texts of ureq and rustls can repeat names that
    /// the host has chosen, such as those in its certificate.
    pub(super) fn reason(&self) -> (&'static str, Option<String>) {
        match self {
            NotFound::SenderRate => ("sender_rate", None),
            NotFound::Busy => ("too_many_at_once", None),
            NotFound::ConcurrentFetch => ("concurrent_fetch_failed", None),
            NotFound::Unreachable(error) => ("not_fetched", Some(error.to_string())),
            NotFound::Status(status) => ("not_fetched", Some(format!("status {status}, not 200"))),
            NotFound::Invalid(rule) => ("not_valid", Some((*rule).to_owned())),
        }
    }
}
