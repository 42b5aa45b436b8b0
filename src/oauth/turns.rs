//! Whose turn it is: one request at a time asks GitHub on behalf of a grant, and the others that come for the same wait
//! for what it finds. Whoever waits holds a worker, so only a few may.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::identity::GrantId;
use crate::base::limits;

/// The grants about which GitHub is being asked.
#[derive(Default)]
pub(super) struct Turns {
    /// Guards who has a turn and who waits.
    state: Mutex<State>,
    /// Wakes those who wait.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    taken: HashSet<GrantId>,
    /// Once for each request that waits; at most [`limits::TURN_WAITERS`].
    waiting: Vec<GrantId>,
}

/// The right to ask GitHub about one grant, until dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    grant: GrantId,
}

impl Turns {
    /// Takes the turn, waiting for whoever has it; `None` if too many wait already, or if it takes too long. Nobody who
    /// holds a turn may ask for another.
    pub(super) fn take(&self, grant: GrantId) -> Option<Turn<'_>> {
        let mut state = self.lock();
        if !state.taken.insert(grant) {
            let (of_grant, of_all) = limits::TURN_WAITERS;
            let theirs = state.waiting.iter().filter(|waiting| **waiting == grant).count();
            if theirs >= of_grant || state.waiting.len() >= of_all {
                return None;
            }
            state.waiting.push(grant);
            let patience = limits::GITHUB_CALL.saturating_add(Duration::from_secs(1));
            let (mut state, waited) = self
                .ended
                .wait_timeout_while(state, patience, |state| !state.taken.insert(grant))
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = state.waiting.iter().position(|waiting| *waiting == grant) {
                state.waiting.swap_remove(place);
            }
            if waited.timed_out() {
                return None;
            }
        }
        Some(Turn { turns: self, grant })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }
}

impl Turn<'_> {
    pub(super) fn grant(&self) -> GrantId {
        self.grant
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().taken.remove(&self.grant);
        self.turns.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parallel requests of one grant hold so many workers and no more, and those of all grants neither.
    #[test]
    fn few_wait_for_a_turn() {
        let turns = Turns::default();
        let (of_grant, of_all) = limits::TURN_WAITERS;
        let grants = [1, 2, 3].map(|byte| GrantId([byte; 16]));
        let held = grants.map(|grant| turns.take(grant).unwrap());
        std::thread::scope(|scope| {
            let turns = &turns;
            let settled = |count| {
                while turns.waiting() < count {
                    std::thread::yield_now();
                }
            };
            let wait = |grant, count| -> Vec<_> {
                (0..count).map(|_| scope.spawn(move || turns.take(grant).is_some())).collect()
            };
            let mut waiters = wait(grants[0], of_grant);
            settled(of_grant);
            assert!(turns.take(grants[0]).is_none());
            waiters.extend(wait(grants[1], of_all - of_grant));
            settled(of_all);
            assert!(turns.take(grants[2]).is_none());
            drop(held);
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        });
        assert_eq!(turns.waiting(), 0);
        assert!(grants.into_iter().all(|grant| turns.take(grant).is_some()));
    }
}
