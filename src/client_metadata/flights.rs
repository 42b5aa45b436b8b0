//! Who is on the way to fetch what: one at a time for a URL, a few in all, those who wait for another's answer included.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::limits;

// Each caller holds a worker. Whoever else holds one for long is capped too, and some workers are always left.
const _: () = assert!(limits::DOCUMENT_FETCHES + limits::CALLS + limits::GITHUB_CALLS < limits::WORKERS_MAX);

/// At most [`limits::DOCUMENT_FETCHES`] callers at once.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Guards who is under way.
    state: Mutex<State>,
    /// Wakes whoever waits for one of the URLs.
    landed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Callers who fetch or wait.
    callers: usize,
    /// What is being fetched.
    urls: HashSet<String>,
}

/// What a caller has to do.
pub(super) enum Turn<'a> {
    /// Fetch; others may wait until this is dropped.
    Fetch(Flight<'a>),
    /// Nothing: somebody else has just fetched it, or tried to.
    Fetched,
}

/// One caller who fetches.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    url: String,
}

impl Flights {
    /// Takes part; waits at most `patience` for another who fetches the same. `None` if there are too many already.
    pub(super) fn board(&self, url: &str, patience: Duration) -> Option<Turn<'_>> {
        let mut state = self.lock();
        if state.callers >= limits::DOCUMENT_FETCHES {
            return None;
        }
        state.callers = state.callers.saturating_add(1);
        if state.urls.insert(url.to_owned()) {
            return Some(Turn::Fetch(Flight { flights: self, url: url.to_owned() }));
        }
        let is_under_way = |state: &mut State| state.urls.contains(url);
        let (mut state, _) = self
            .landed
            .wait_timeout_while(state, patience, is_under_way)
            .unwrap_or_else(PoisonError::into_inner);
        state.callers = state.callers.saturating_sub(1);
        Some(Turn::Fetched)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many callers fetch or wait.
    #[cfg(test)]
    pub(super) fn callers(&self) -> usize {
        self.lock().callers
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.flights.lock();
        state.callers = state.callers.saturating_sub(1);
        state.urls.remove(&self.url);
        drop(state);
        self.flights.landed.notify_all();
    }
}
