//! Bounds of logins that reach GitHub: how many at once, and how often.
//!
//! GitHub allows an app so many logins an hour, whoever begins them. A login counts when GitHub is asked about it, for a browser
//! that has its state and its cookie; one that brings nothing is charged to its sender, so that few senders cannot use up
//! what all share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::github_answer::GitHubAnswer;
use super::page::Pages;
use super::problem::Problem;
use super::provider::ProviderError;
use crate::base::identity::UserId;
use crate::base::neighbour::Neighbour;
use crate::base::quota::{Held, Quota};
use crate::base::rate::{Rate, RateLimit, TooMany};
use crate::base::{limits, log};
use crate::http::Response;

/// Places for logins, which no call and no refresh can take, and what has been spent.
pub(super) struct LoginQuota {
    places: Arc<Quota<Neighbour>>,
    patience: Duration,
    all: RateLimit,
    failures: RateLimit,
    by_user: RateLimit<UserId>,
}

/// A login's place, until dropped.
pub(super) type Place = Held<Neighbour>;

/// Why GitHub is not asked now. The login is not spent: the person can reload the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotNow {
    /// Too many logins wait for GitHub.
    Busy,
    /// Too many from this sender have brought nothing, or GitHub's own limit is near.
    TooMany(TooMany),
}

impl LoginQuota {
    pub(super) fn new() -> LoginQuota {
        let places = Quota::new(limits::LOGIN_PLACES).waiting(limits::LOGIN_WAITERS);
        let hourly = |count| Rate { count, per: Duration::from_secs(3600) };
        let unlimited = hourly(u32::MAX);
        let all = hourly(limits::LOGINS_AT_GITHUB);
        LoginQuota {
            places: Arc::new(places),
            patience: limits::PLACE_PATIENCE,
            all: RateLimit::new(all, all),
            failures: RateLimit::new(hourly(limits::FAILED_LOGINS), unlimited),
            by_user: RateLimit::new(hourly(limits::LOGINS_PER_USER), unlimited),
        }
    }

    /// A place for what the callback brings, which may have to be waited for. What GitHub is not asked about needs none.
    pub(super) fn place(
        &self,
        answer: &GitHubAnswer<'_>,
        (peer, now): (Option<IpAddr>, Duration),
    ) -> Result<Option<Place>, NotNow> {
        match answer {
            GitHubAnswer::Cancelled | GitHubAnswer::Failed(_) => return Ok(None),
            GitHubAnswer::Code(_) => {}
        }
        let allowed = || self.failures.check(peer, now).and_then(|()| self.all.check(None, now));
        // Before the wait, so that a sender without allowance holds up nobody; after it, because others have failed meanwhile.
        allowed().map_err(NotNow::TooMany)?;
        let place = self.places.wait(Neighbour::of(peer), self.patience).ok_or(NotNow::Busy)?;
        allowed().map_err(NotNow::TooMany)?;
        Ok(Some(place))
    }

    /// Counts a login about which GitHub is asked. It has a place, so there are few between the check and this.
    pub(super) fn count(&self, now: Duration) {
        let _ = self.all.spend(None, now);
    }

    /// Logs that a login has failed, and charges its sender unless the fault is ours or the network's.
    pub(super) fn failed(&self, error: ProviderError, from: (Option<IpAddr>, Duration)) {
        if error.is_charged() {
            self.charge(None, from);
        }
        log::warn("login.failed", &[log::Field::Reason(&error.to_string())]);
    }

    /// Charges the sender of a login that has brought nothing: `user` is `None`, or has had so many that one more is nothing.
    pub(super) fn charge(&self, user: Option<UserId>, (peer, now): (Option<IpAddr>, Duration)) {
        if user.is_none_or(|user| self.by_user.spend_as(Some(user), now).is_err()) {
            let _ = self.failures.spend(peer, now);
        }
    }
}

impl NotNow {
    pub(super) fn page(self, pages: &Pages) -> Response {
        let (problem, seconds) = match self {
            NotNow::Busy => (Problem::Busy, limits::PLACE_PATIENCE.as_secs()),
            NotNow::TooMany(too_many) => (Problem::TooMany, too_many.retry_after),
        };
        pages.problem(problem).header("Retry-After", seconds.to_string())
    }
}

#[cfg(test)]
mod tests;
