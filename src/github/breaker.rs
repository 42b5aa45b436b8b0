//! The callers that GitHub has asked to slow down (G7).
//!
//! GitHub counts calls with a user's token against that user, and calls with the app's secret against the app. So do we:
//! a user who has used up their own budget, perhaps elsewhere and on purpose, must not lock out everyone else.

use std::time::Duration;

use crate::base::bounded::BoundedMap;
use crate::base::encoding::sha256;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::base::secret::Secret;
use crate::oauth::provider::ProviderError;

/// The owner of the budget that a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    /// The app's: calls with the client secret.
    App,
    /// That of the user with this token, known by its hash.
    User([u8; 32]),
}

impl Caller {
    pub(super) fn user(token: &Secret<String>) -> Caller {
        Caller::User(sha256(token.expose().as_bytes()))
    }

    /// What it means that this caller has to wait. Users can use up their own budget on purpose, so that must not pass for
    /// an outage of GitHub (T13).
    pub(super) fn error(self) -> ProviderError {
        match self {
            Caller::App => ProviderError::Unreachable,
            Caller::User(_) => ProviderError::UsedUp,
        }
    }
}

/// The callers who have to wait.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Guards the callers; each entry ends when its caller may go on.
    paused: Mutex<BoundedMap<Caller, ()>>,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { paused: Mutex::new(BoundedMap::new(limits::GITHUB_PAUSES)) }
    }
}

impl Breaker {
    /// Whether a call would be against what GitHub asked for. `now` is a time of the monotonic clock.
    pub(super) fn is_open(&self, caller: Caller, now: Duration) -> bool {
        self.paused.lock().get(&caller, now).is_some()
    }

    /// Keeps this caller from calling for `pause`, within bounds.
    pub(super) fn open(&self, caller: Caller, now: Duration, pause: Duration) {
        let pause = pause.clamp(Duration::from_secs(1), limits::GITHUB_PAUSE_MAX);
        self.paused.lock().insert(caller, (), (), (now, now.saturating_add(pause)));
    }
}

#[cfg(test)]
mod tests;
