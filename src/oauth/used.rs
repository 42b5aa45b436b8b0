//! Logins that are over: each ends once, whatever comes back from GitHub however often (C4, C10).
//!
//! What is kept of one is the hash that its sealed values carry, for as long as those would open. What strangers can put in
//! is bounded by a number; and where GitHub answered, by what those logins spent of their sender's allowance, so that none
//! of them is pushed out while it would open.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::browser::BrowserBinding;
use crate::base::limits;

/// The logins that are over.
#[derive(Default)]
pub(super) struct UsedLogins {
    /// Guards the hashes, each with the time at which it can be forgotten.
    ended: Mutex<HashMap<String, Duration>>,
}

impl UsedLogins {
    /// Ends a login at `now`, a time of the monotonic clock; says whether it was still open.
    pub(super) fn end(&self, login: &BrowserBinding, now: Duration) -> bool {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() >= limits::USED_LOGINS {
            ended.retain(|_, forget| *forget > now);
        }
        if ended.len() >= limits::USED_LOGINS
            && let Some(oldest) =
                ended.iter().min_by_key(|(_, forget)| **forget).map(|(hash, _)| hash.clone())
        {
            ended.remove(&oldest);
        }
        // Consent and login have a lifetime each.
        let forget = now.saturating_add(limits::LOGIN_LIFETIME.saturating_mul(2));
        ended.insert(login.hash().to_owned(), forget).is_none()
    }

    /// Whether a login is over.
    pub(super) fn has_ended(&self, login: &BrowserBinding) -> bool {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains_key(login.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S5: however many logins end, what is kept of them is bounded.
    #[test]
    fn logins_are_forgotten() {
        let used = UsedLogins::default();
        let login = |number: usize| BrowserBinding::fake(number);
        for number in 0..limits::USED_LOGINS + 10 {
            assert!(used.end(&login(number), Duration::from_nanos(u64::try_from(number).unwrap())));
        }
        assert_eq!(used.ended.lock().unwrap().len(), limits::USED_LOGINS);
        assert!(!used.end(&login(limits::USED_LOGINS), Duration::from_secs(1)));
        assert!(used.has_ended(&login(limits::USED_LOGINS)) && !used.has_ended(&login(0)));
    }
}
