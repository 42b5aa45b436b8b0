//! Why a document was not found. For the log alone: a stranger who learned it could explore our network.

use std::borrow::Cow;

pub(super) enum NotFound {
    /// The sender's allowance is spent.
    SenderRate,
    /// Too many callers at this moment.
    Busy,
    /// The fetch that the caller waited for failed.
    ConcurrentFetch,
    /// No answer: the name leads nowhere, or to an address that is not public; or nobody answers there, in time and in HTTP.
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
    /// Whether it says nothing about the document: the host is out of reach or in trouble.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            NotFound::Unreachable(_) => true,
            NotFound::Status(status) => *status == 429 || (500..=599).contains(status),
            NotFound::SenderRate | NotFound::Busy | NotFound::ConcurrentFetch | NotFound::Invalid(_) => false,
        }
    }

    pub(super) fn reason(&self) -> &'static str {
        match self {
            NotFound::SenderRate => "sender_rate",
            NotFound::Busy => "too_many_at_once",
            NotFound::ConcurrentFetch => "concurrent_fetch_failed",
            NotFound::Unreachable(_) | NotFound::Status(_) => "not_fetched",
            NotFound::Invalid(_) => "not_valid",
        }
    }

    pub(super) fn detail(&self) -> Option<Cow<'static, str>> {
        match self {
            NotFound::SenderRate | NotFound::Busy | NotFound::ConcurrentFetch => None,
            // ureq's or the system's words: nothing of a body.
            NotFound::Unreachable(error) => Some(error.to_string().into()),
            NotFound::Status(status) => Some(format!("status {status}, not 200").into()),
            NotFound::Invalid(rule) => Some((*rule).into()),
        }
    }
}
