//! Bounds per user or service token (M17): memory of unread, replayable and kept data; the rate of new sessions and streams.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Quota, RateLimit, Share, Subject, limits};

/// The budgets of all users.
#[derive(Clone)]
pub(super) struct Budgets {
    pub(super) unread: Arc<Quota<Subject>>,
    pub(super) replay: Arc<Quota<Subject>>,
    pub(super) kept: Arc<Quota<Subject>>,
}

/// One user's shares of the budgets.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// Events that were sent but not read yet.
    pub(super) unread: Share,
    /// Events that are kept for `Last-Event-ID`.
    pub(super) replay: Share,
    /// Subscriptions, and results of tasks.
    pub(super) kept: Share,
}

impl Budgets {
    pub(super) fn new() -> Budgets {
        Budgets {
            unread: Quota::bytes(limits::UNREAD_BYTES),
            replay: Quota::bytes(limits::REPLAY_BYTES_KEPT),
            kept: Quota::bytes(limits::KEPT_BYTES),
        }
    }

    pub(super) fn of(&self, user: Subject) -> Shares {
        Shares {
            unread: self.unread.share(user),
            replay: self.replay.share(user),
            kept: self.kept.share(user),
        }
    }
}

/// The rate at which a user opens sessions and streams, which outlast their request, unlike calls.
pub(super) fn openings() -> RateLimit<Subject> {
    RateLimit::new(limits::OPENINGS, Duration::from_secs(60))
}

#[cfg(test)]
mod tests;
