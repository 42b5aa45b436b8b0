//! Who is on the way to fetch what: one at a time for a URL and for a sender, a few in all, those who wait for another's
//! answer included.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::limits;
use crate::base::neighbour::Neighbour;

/// At most [`limits::DOCUMENT_FETCHES`] callers at once, and of each sender one: nobody can hold all places.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Guards who is under way.
    state: Mutex<State>,
    /// Wakes whoever waits for one of the URLs.
    landed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The senders of those who fetch or wait; `None` is whoever is on this machine, who may be many.
    callers: Vec<Option<Neighbour>>,
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
    sender: Option<Neighbour>,
}

/// Why somebody cannot take part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// This sender fetches or waits already.
    Sender,
    /// There are too many.
    All,
}

impl State {
    fn leave(&mut self, sender: Option<Neighbour>) {
        if let Some(place) = self.callers.iter().position(|caller| *caller == sender) {
            self.callers.swap_remove(place);
        }
    }
}

impl Flights {
    /// Takes part; waits at most `patience` for another who fetches the same.
    pub(super) fn board(
        &self,
        url: &str,
        sender: Option<Neighbour>,
        patience: Duration,
    ) -> Result<Turn<'_>, Full> {
        let mut state = self.lock();
        if state.callers.len() >= limits::DOCUMENT_FETCHES {
            return Err(Full::All);
        }
        if sender.is_some() && state.callers.contains(&sender) {
            return Err(Full::Sender);
        }
        state.callers.push(sender);
        if state.urls.insert(url.to_owned()) {
            return Ok(Turn::Fetch(Flight { flights: self, url: url.to_owned(), sender }));
        }
        let is_under_way = |state: &mut State| state.urls.contains(url);
        let (mut state, _) = self
            .landed
            .wait_timeout_while(state, patience, is_under_way)
            .unwrap_or_else(PoisonError::into_inner);
        state.leave(sender);
        Ok(Turn::Fetched)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many callers fetch or wait.
    #[cfg(test)]
    pub(super) fn callers(&self) -> usize {
        self.lock().callers.len()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.flights.lock();
        state.leave(self.sender);
        state.urls.remove(&self.url);
        drop(state);
        self.flights.landed.notify_all();
    }
}
