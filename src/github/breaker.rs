//! Whom GitHub has asked to slow down (G7).
//!
//! GitHub counts calls with a user's token against that user, and calls with the app's secret against the app. So do we:
//! a user who has used up their own budget, perhaps elsewhere and on purpose, must not lock out everyone else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::base::encoding::sha256;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::base::secret::Secret;
use crate::oauth::provider::ProviderError;

/// Against whose budget a call counts.
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

/// The callers who have to wait, at most [`limits::GITHUB_PAUSES`].
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Guards until when each caller has to wait.
    paused: Mutex<HashMap<Caller, Instant>>,
}

impl Breaker {
    /// Whether a call would be against what GitHub asked for.
    pub(super) fn is_open(&self, caller: Caller, now: Instant) -> bool {
        let mut paused = self.paused.lock();
        paused.retain(|_, until| *until > now);
        paused.contains_key(&caller)
    }

    /// Keeps this caller from calling for `pause`, within bounds.
    pub(super) fn open(&self, caller: Caller, now: Instant, pause: Duration) {
        let until = now + pause.clamp(Duration::from_secs(1), limits::GITHUB_PAUSE_MAX);
        let mut paused = self.paused.lock();
        if paused.len() >= limits::GITHUB_PAUSES && !paused.contains_key(&caller) {
            let soonest = paused.iter().min_by_key(|(_, until)| **until).map(|(caller, _)| *caller);
            soonest.and_then(|caller| paused.remove(&caller));
        }
        paused.insert(caller, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    fn user(number: usize) -> Caller {
        Caller::user(&Secret::new(number.to_string()))
    }

    /// G7: one caller's pause is nobody else's.
    #[test]
    fn a_pause_is_for_one_caller_and_ends() {
        let (breaker, now) = (Breaker::default(), clock::instant());
        breaker.open(user(1), now, Duration::from_secs(30));
        let check = |caller, seconds, expected| {
            assert_eq!(breaker.is_open(caller, now + Duration::from_secs(seconds)), expected);
        };
        check(user(1), 29, true);
        check(user(2), 29, false);
        check(Caller::App, 29, false);
        check(user(1), 30, false);
    }

    #[test]
    fn a_pause_is_never_for_ever() {
        let (breaker, now) = (Breaker::default(), clock::instant());
        breaker.open(Caller::App, now, Duration::from_secs(u64::MAX));
        assert!(breaker.is_open(Caller::App, now));
        assert!(!breaker.is_open(Caller::App, now + limits::GITHUB_PAUSE_MAX));
    }

    #[test]
    fn the_number_of_pauses_is_bounded() {
        let (breaker, now) = (Breaker::default(), clock::instant());
        for number in 0..limits::GITHUB_PAUSES + 10 {
            breaker.open(user(number), now, Duration::from_secs(100 + number as u64));
        }
        assert_eq!(breaker.paused.lock().len(), limits::GITHUB_PAUSES);
        assert!(!breaker.is_open(user(9), now) && breaker.is_open(user(10), now));
    }
}
