//! Why a document was not found. For the log alone: a stranger who learned it could explore our network.

#[derive(Debug)]
pub(super) enum NotFound {
    /// The sender's allowance is spent.
    SenderRate,
    /// Too many callers at this moment.
    Busy,
    /// The fetch that the caller waited for failed.
    ConcurrentFetch,
    /// No answer: the name does not resolve, or to an address that is not public; or there is no answer in time and in HTTP.
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
    /// Whether the host is out of reach or in trouble, which says nothing about the document.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            NotFound::Unreachable(_) => true,
            NotFound::Status(status) => *status == 429 || (500..=599).contains(status),
            NotFound::SenderRate | NotFound::Busy | NotFound::ConcurrentFetch | NotFound::Invalid(_) => false,
        }
    }

    /// A fixed word and details for the log. The details hold nothing of a body, but texts of ureq and rustls can repeat names that
    /// the host chose, such as those in its certificate.
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
