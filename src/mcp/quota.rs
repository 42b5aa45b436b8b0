//! The calls that run: how many at once, of whom, and how to stop them all when their grant ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::cancel::CancelToken;
use crate::base::identity::{GrantId, Principal, UserId};
use crate::base::limits;

/// Every call that runs.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Guards the running calls by number.
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    calls: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    user: UserId,
    grant: GrantId,
    cancel: CancelToken,
}

/// A call's place among those that run; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    calls: Arc<Calls>,
    number: u64,
}

impl Calls {
    /// A place for one more call; `None` if the user or the server has too many (M17).
    pub(super) fn begin(self: &Arc<Calls>, principal: &Principal, cancel: &CancelToken) -> Option<Permit> {
        let mut running = self.lock();
        let of_user = running.calls.values().filter(|entry| entry.user == principal.user).count();
        if running.calls.len() >= limits::CALLS || of_user >= limits::CALLS_PER_USER {
            return None;
        }
        let number = running.next;
        running.next = number.wrapping_add(1);
        let entry = Entry { user: principal.user, grant: principal.grant, cancel: cancel.clone() };
        running.calls.insert(number, entry);
        Some(Permit { calls: Arc::clone(self), number })
    }

    /// Cancels every call of a grant.
    pub(super) fn cancel_grant(&self, grant: GrantId) {
        self.cancel(|entry| entry.grant == grant);
    }

    /// Cancels every call.
    pub(super) fn cancel_all(&self) {
        self.cancel(|_| true);
    }

    /// Whose they are.
    pub(super) fn grants(&self) -> Vec<GrantId> {
        self.lock().calls.values().map(|entry| entry.grant).collect()
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        self.lock().calls.len()
    }

    fn cancel(&self, wanted: impl Fn(&Entry) -> bool) {
        let tokens: Vec<CancelToken> = self
            .lock()
            .calls
            .values()
            .filter(|entry| wanted(entry))
            .map(|entry| entry.cancel.clone())
            .collect();
        for token in tokens {
            token.trip();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.calls.lock().calls.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::fake;

    /// M17: calls are bounded per user and in all.
    #[test]
    fn calls_are_bounded_per_user_and_in_all() {
        let calls: Arc<Calls> = Arc::default();
        let begin = |user| calls.begin(&fake::principal(user), &CancelToken::new());
        let mine: Vec<_> = (0..limits::CALLS_PER_USER).map(|_| begin(1).unwrap()).collect();
        assert!(begin(1).is_none());
        let others: Vec<_> = (2..).map_while(begin).collect();
        assert_eq!(mine.len() + others.len(), limits::CALLS);
        drop(mine);
        assert!(begin(1).is_some());
        assert_eq!(calls.count(), others.len());
    }

    #[test]
    fn a_grants_end_cancels_its_calls_only() {
        let calls: Arc<Calls> = Arc::default();
        let (mine, other) = (CancelToken::new(), CancelToken::new());
        let _permits = [calls.begin(&fake::principal(1), &mine), calls.begin(&fake::principal(2), &other)];
        calls.cancel_grant(fake::principal(1).grant);
        assert!(mine.is_tripped());
        assert!(!other.is_tripped());
    }
}
