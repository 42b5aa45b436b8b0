//! Bounds of logins that reach GitHub: how many at once, and how often.
//!
//! GitHub limits the logins of an app in an hour. A login counts when GitHub is asked about it, for a browser that has its state
//! and its cookie. A failed one is charged to its sender, so that a few senders cannot use up what all share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::problem::Problem;
use super::provider::ProviderError;
use crate::base::{Held, Quota, RateLimit, Sender, UserId, limits, log};

/// Places for logins, which no call and no refresh can take, and the rates of logins.
pub(super) struct LoginQuota {
    places: Arc<Quota<Sender>>,
    patience: Duration,
    all: RateLimit<()>,
    failures: RateLimit,
    by_user: RateLimit<UserId>,
}

impl LoginQuota {
    pub(super) fn new() -> LoginQuota {
        let hour = Duration::from_secs(3600);
        LoginQuota {
            places: Arc::new(Quota::new(limits::LOGIN_PLACES).waiting(limits::LOGIN_WAITERS)),
            patience: limits::PLACE_PATIENCE,
            all: RateLimit::new(limits::LOGINS_AT_GITHUB, hour),
            failures: RateLimit::new(limits::FAILED_LOGINS, hour),
            by_user: RateLimit::new(limits::LOGINS_PER_USER, hour),
        }
    }

    /// A place for a login, until dropped, waiting for one if need be. On an error the login has not ended: the person can reload the page.
    pub(super) fn place(&self, peer: Option<IpAddr>, now: Duration) -> Result<Held<Sender>, Problem> {
        let allowed = || self.failures.check(peer, now).and_then(|()| self.all.check_as((), now));
        // Checked before the wait, so that a sender without allowance holds up nobody, and after it, because other logins of the
        // sender may have failed meanwhile.
        allowed().map_err(Problem::TooMany)?;
        let place = self.places.wait(Sender::of(peer), self.patience);
        let place = place.ok_or(Problem::GitHub(ProviderError::Busy))?;
        allowed().map_err(Problem::TooMany)?;
        Ok(place)
    }

    /// Counts a login about which GitHub is asked. It has a place, so there are few between the check and this.
    pub(super) fn count(&self, now: Duration) {
        let _ = self.all.spend_as((), now);
    }

    /// Logs that a login has failed, and charges its sender unless the fault is ours or the network's.
    pub(super) fn failed(&self, error: ProviderError, peer: Option<IpAddr>, now: Duration) {
        if error.is_charged() {
            self.charge(None, peer, now);
        }
        log::warn("login.failed", &[log::Field::Reason(&error.to_string())]);
    }

    /// Charges the sender of a login without a user, or of a user whose own allowance is spent.
    pub(super) fn charge(&self, user: Option<UserId>, peer: Option<IpAddr>, now: Duration) {
        if user.is_none_or(|user| self.by_user.spend_as(user, now).is_err()) {
            let _ = self.failures.spend(peer, now);
        }
    }
}

#[cfg(test)]
mod tests;
