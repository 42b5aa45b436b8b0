//! Limits on concurrent look-ups: one fetch per URL and per sender, [`limits::DOCUMENT_FETCHES`] in all. Other callers wait, and
//! when too many do, the sender with most callers loses its latest one to a sender with fewer.

use std::sync::Condvar;
use std::time::Duration;

use crate::base::limits;
use crate::base::lock::{Mutex, wait_timeout_while};
use crate::base::sender::Sender;

#[cfg(test)]
mod tests;

/// At most [`limits::DOCUMENT_CALLERS`] callers at once.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Guards who fetches and who waits.
    callers: Mutex<Callers>,
    /// Wakes the waiting callers when one leaves or loses its place.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Callers {
    /// A caller that lost its place is not in the list any more.
    present: Vec<Caller>,
    next_id: u64,
}

#[derive(Debug)]
struct Caller {
    /// Never reused, so that a caller that lost its place does not find another under its id.
    id: u64,
    url: String,
    /// An IPv4 address or an IPv6 site. `None` is this machine, where a proxy may bring many people: it is not limited.
    sender: Option<Sender>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Fetching,
    /// Another caller has fetched its URL.
    Fetched,
}

/// What a caller does next.
pub(super) enum Turn<'a> {
    /// It fetches.
    Fetch(Flight<'a>),
    /// Another caller has fetched the URL, or failed to.
    Fetched,
}

/// A caller that fetches, until dropped.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    id: u64,
    url: &'a str,
}

impl Callers {
    fn find(&self, id: u64) -> Option<&Caller> {
        self.present.iter().find(|caller| caller.id == id)
    }

    fn may_fetch(&self, caller: &Caller) -> bool {
        let mut fetching = self.present.iter().filter(|other| other.stage == Stage::Fetching);
        let is_limited = caller.sender.is_some();
        fetching.clone().count() < limits::DOCUMENT_FETCHES
            && fetching.all(|other| other.url != caller.url && !(is_limited && other.sender == caller.sender))
    }

    fn has_to_wait(&self, id: u64) -> bool {
        self.find(id).is_some_and(|caller| caller.stage == Stage::Waiting && !self.may_fetch(caller))
    }

    /// Removes the latest waiting caller of the sender with most callers, if that has more than `sender` will have.
    fn make_room(&mut self, sender: Option<Sender>) -> Option<()> {
        let count = |sender| self.present.iter().filter(|caller| caller.sender == sender).count();
        let waiting = self.present.iter().filter(|caller| caller.stage == Stage::Waiting);
        let last = waiting.max_by_key(|caller| (count(caller.sender), caller.id))?;
        let (id, is_larger) = (last.id, count(last.sender) > count(sender).saturating_add(1));
        is_larger.then(|| self.present.retain(|caller| caller.id != id))
    }
}

impl Flights {
    /// Waits for a turn, `patience` at most. `None`: there are too many callers, or it took too long.
    pub(super) fn board<'a>(
        &'a self,
        url: &'a str,
        sender: Option<Sender>,
        patience: Duration,
    ) -> Option<Turn<'a>> {
        let mut callers = self.callers.lock();
        if callers.present.len() >= limits::DOCUMENT_CALLERS {
            callers.make_room(sender)?;
            self.changed.notify_all();
        }
        let id = callers.next_id;
        callers.next_id = id.wrapping_add(1);
        callers.present.push(Caller { id, url: url.to_owned(), sender, stage: Stage::Waiting });
        // Removes the caller if it leaves without a turn. Dropped after the guard below.
        let flight = Flight { flights: self, id, url };
        let mut callers =
            wait_timeout_while(&self.changed, callers, patience, |callers| callers.has_to_wait(id));
        if callers.has_to_wait(id) {
            return None;
        }
        let caller = callers.present.iter_mut().find(|caller| caller.id == id)?;
        if caller.stage == Stage::Fetched {
            return Some(Turn::Fetched);
        }
        caller.stage = Stage::Fetching;
        Some(Turn::Fetch(flight))
    }

    /// How many callers fetch or wait.
    #[cfg(test)]
    pub(super) fn callers(&self) -> usize {
        self.callers.lock().present.len()
    }
}

impl Flight<'_> {
    /// Ends a fetch: its outcome is that of every caller who waits for the same URL. A flight that is dropped without a fetch
    /// leaves the fetch to the next of them.
    pub(super) fn land(self) {
        let mut callers = self.flights.callers.lock();
        let waiting = callers.present.iter_mut().filter(|caller| caller.stage == Stage::Waiting);
        waiting.filter(|caller| caller.url == self.url).for_each(|caller| caller.stage = Stage::Fetched);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.callers.lock().present.retain(|caller| caller.id != self.id);
        self.flights.changed.notify_all();
    }
}
