//! Limits on concurrent look-ups: one fetch per URL and per sender, [`limits::DOCUMENT_FETCHES`] in total. Other look-ups wait, and
//! when too many do, the sender with most look-ups loses its latest one to a sender with fewer.

use std::sync::Condvar;
use std::time::Duration;

use super::not_found::NotFound;
use crate::base::{Mutex, Sender, limits, wait_timeout_while};

#[cfg(test)]
mod tests;

/// At most [`limits::DOCUMENT_CALLERS`] look-ups at once.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Guards the list of look-ups that fetch or wait.
    lookups: Mutex<LookUps>,
    /// Wakes the waiting look-ups when one leaves or loses its place.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LookUps {
    /// In the order of their ids. A look-up that lost its place was removed.
    present: Vec<LookUp>,
    next_id: u64,
}

#[derive(Debug)]
struct LookUp {
    /// Never reused, so that a look-up that lost its place does not find another under its id.
    id: u64,
    url: String,
    /// An IPv4 address or an IPv6 site. `None` is this machine, which may be a proxy for many people: it is not limited.
    sender: Option<Sender>,
    stage: LookUpStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookUpStage {
    Waiting,
    Fetching,
    /// Another look-up has fetched its URL.
    Fetched,
}

/// A look-up that fetches, until dropped.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    id: u64,
    url: &'a str,
}

impl LookUps {
    fn may_fetch(&self, lookup: &LookUp) -> bool {
        let mut fetching = self.present.iter().filter(|other| other.stage == LookUpStage::Fetching);
        let is_limited = lookup.sender.is_some();
        fetching.clone().count() < limits::DOCUMENT_FETCHES
            && fetching.all(|other| other.url != lookup.url && !(is_limited && other.sender == lookup.sender))
    }

    fn has_to_wait(&self, id: u64) -> bool {
        let waits = |lookup: &LookUp| lookup.stage == LookUpStage::Waiting && !self.may_fetch(lookup);
        self.present.iter().any(|lookup| lookup.id == id && waits(lookup))
    }

    /// Removes the latest waiting look-up of the sender with most look-ups, if that has more than `sender` will have.
    fn make_room(&mut self, sender: Option<Sender>) -> Option<()> {
        let count = |sender| self.present.iter().filter(|lookup| lookup.sender == sender).count();
        let waiting = self.present.iter().filter(|lookup| lookup.stage == LookUpStage::Waiting);
        let last = waiting.max_by_key(|lookup| (count(lookup.sender), lookup.id))?;
        let (id, is_larger) = (last.id, count(last.sender) > count(sender).saturating_add(1));
        is_larger.then(|| self.present.retain(|lookup| lookup.id != id))
    }
}

impl Flights {
    /// Waits for a turn to fetch, `patience` at most.
    ///
    /// # Errors
    /// [`NotFound::Busy`] if there are too many look-ups or it took too long, [`NotFound::ConcurrentFetch`] if another look-up has
    /// fetched the URL, or failed to.
    pub(super) fn wait_for_turn<'a>(
        &'a self,
        url: &'a str,
        sender: Option<Sender>,
        patience: Duration,
    ) -> Result<Flight<'a>, NotFound> {
        let mut lookups = self.lookups.lock();
        if lookups.present.len() >= limits::DOCUMENT_CALLERS {
            lookups.make_room(sender).ok_or(NotFound::Busy)?;
            self.changed.notify_all();
        }
        let id = lookups.next_id;
        lookups.next_id = id.wrapping_add(1);
        lookups.present.push(LookUp { id, url: url.to_owned(), sender, stage: LookUpStage::Waiting });
        // Removes the look-up if it leaves without a turn. Dropped after the guard below.
        let flight = Flight { flights: self, id, url };
        let mut lookups =
            wait_timeout_while(&self.changed, lookups, patience, |lookups| lookups.has_to_wait(id));
        if lookups.has_to_wait(id) {
            return Err(NotFound::Busy);
        }
        let own = lookups.present.iter_mut().find(|lookup| lookup.id == id).ok_or(NotFound::Busy)?;
        if own.stage == LookUpStage::Fetched {
            return Err(NotFound::ConcurrentFetch);
        }
        own.stage = LookUpStage::Fetching;
        Ok(flight)
    }

    /// How many look-ups fetch or wait.
    #[cfg(test)]
    pub(super) fn lookups(&self) -> usize {
        self.lookups.lock().present.len()
    }
}

impl Flight<'_> {
    /// Ends a fetch: every look-up that waits for the same URL shares its outcome. After a flight that is dropped without this, one
    /// of them fetches. They are woken by the drop at the end of this function.
    pub(super) fn finish(self) {
        let mut lookups = self.flights.lookups.lock();
        let waiting = lookups.present.iter_mut().filter(|lookup| lookup.stage == LookUpStage::Waiting);
        waiting
            .filter(|lookup| lookup.url == self.url)
            .for_each(|lookup| lookup.stage = LookUpStage::Fetched);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.lookups.lock().present.retain(|lookup| lookup.id != self.id);
        self.flights.changed.notify_all();
    }
}
