//! Logins that need a document that is not remembered: one fetch at a time for a URL and for a sender, a few in all. The others
//! wait, and the sender with most of them makes room for another sender.

use std::sync::{Condvar, MutexGuard};
use std::time::Duration;

use crate::base::limits;
use crate::base::lock::{Mutex, wait_timeout_while};
use crate::base::neighbour::Neighbour;

/// At most [`limits::DOCUMENT_CALLERS`] callers at once, of whom [`limits::DOCUMENT_FETCHES`] fetch.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Guards who fetches and who waits.
    state: Mutex<State>,
    /// Wakes those who wait whenever one leaves or has to.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    callers: Vec<Caller>,
    next_id: u64,
}

#[derive(Debug)]
struct Caller {
    id: u64,
    url: String,
    /// An IPv4 address or a site of IPv6; `None` is this machine, from where a proxy may bring many people.
    sender: Option<Neighbour>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Fetches.
    Fetching,
    /// Waits for the document that another fetches.
    Following,
    /// Waits for a place.
    Waiting,
    /// Has to make room.
    Displaced,
}

/// What a caller has to do.
pub(super) enum Turn<'a> {
    /// Fetch; others wait until this is dropped.
    Fetch(Flight<'a>),
    /// Nothing: somebody else has just fetched it, or tried to.
    Fetched,
}

/// One caller, until dropped.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    id: u64,
    has_landed: bool,
}

/// There are too many callers, or it took too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl State {
    fn is_fetched(&self, url: &str) -> bool {
        self.callers.iter().any(|caller| caller.stage == Stage::Fetching && caller.url == url)
    }

    fn may_fetch(&self, url: &str, sender: Option<Neighbour>) -> bool {
        let fetching = || self.callers.iter().filter(|caller| caller.stage == Stage::Fetching);
        let has_turn = sender.is_none() || fetching().all(|caller| caller.sender != sender);
        has_turn && fetching().count() < limits::DOCUMENT_FETCHES && !self.is_fetched(url)
    }

    fn callers_of(&self, sender: Option<Neighbour>) -> usize {
        let stays = |caller: &&Caller| caller.stage != Stage::Displaced;
        self.callers.iter().filter(stays).filter(|caller| caller.sender == sender).count()
    }

    /// Has the last caller that waits leave, of the sender with most of them, if that has more than `sender` would have.
    fn make_room(&mut self, sender: Option<Neighbour>) -> Result<(), Busy> {
        let waiting = |caller: &&Caller| matches!(caller.stage, Stage::Following | Stage::Waiting);
        let most = self
            .callers
            .iter()
            .filter(waiting)
            .max_by_key(|caller| (self.callers_of(caller.sender), caller.id));
        let (id, count) = most.map(|caller| (caller.id, self.callers_of(caller.sender))).ok_or(Busy)?;
        if count <= self.callers_of(sender).saturating_add(1) {
            return Err(Busy);
        }
        self.set(id, Stage::Displaced);
        Ok(())
    }

    fn set(&mut self, id: u64, stage: Stage) {
        self.callers.iter_mut().filter(|caller| caller.id == id).for_each(|caller| caller.stage = stage);
    }

    fn stage(&self, id: u64) -> Stage {
        self.callers.iter().find(|caller| caller.id == id).map_or(Stage::Displaced, |caller| caller.stage)
    }

    /// Whether a caller has anything left to wait for.
    fn has_to_wait(&self, id: u64, url: &str, sender: Option<Neighbour>) -> bool {
        match self.stage(id) {
            Stage::Following => self.is_fetched(url),
            Stage::Waiting => !self.may_fetch(url, sender),
            Stage::Fetching | Stage::Displaced => false,
        }
    }
}

impl Flights {
    /// Takes part; waits at most `patience` for a place, or for another who fetches the same.
    pub(super) fn board(
        &self,
        url: &str,
        sender: Option<Neighbour>,
        patience: Duration,
    ) -> Result<Turn<'_>, Busy> {
        let mut state = self.lock();
        // Those who were displaced are about to leave.
        let staying = state.callers.iter().filter(|caller| caller.stage != Stage::Displaced).count();
        if staying >= limits::DOCUMENT_CALLERS {
            state.make_room(sender)?;
            self.changed.notify_all();
        }
        let (id, stage) =
            (state.next_id, if state.is_fetched(url) { Stage::Following } else { Stage::Waiting });
        state.next_id = id.wrapping_add(1);
        state.callers.push(Caller { id, url: url.to_owned(), sender, stage });
        let flight = Flight { flights: self, id, has_landed: false };
        let has_to_wait = |state: &mut State| state.has_to_wait(id, url, sender);
        let mut state = wait_timeout_while(&self.changed, state, patience, has_to_wait);
        let stage = state.stage(id);
        if state.has_to_wait(id, url, sender) || stage == Stage::Displaced {
            drop(state);
            return Err(Busy);
        }
        if stage == Stage::Following {
            drop(state);
            return Ok(Turn::Fetched);
        }
        state.set(id, Stage::Fetching);
        drop(state);
        Ok(Turn::Fetch(flight))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// How many callers fetch or wait.
    #[cfg(test)]
    pub(super) fn callers(&self) -> usize {
        self.lock().callers.len()
    }
}

impl Flight<'_> {
    /// Ends the flight of a caller who has fetched. Without this, those who follow try for themselves.
    pub(super) fn land(mut self) {
        self.has_landed = true;
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.flights.lock();
        let Some(place) = state.callers.iter().position(|caller| caller.id == self.id) else { return };
        let own = state.callers.swap_remove(place);
        if own.stage == Stage::Fetching && !self.has_landed {
            let follows = |caller: &&mut Caller| caller.stage == Stage::Following && caller.url == own.url;
            state.callers.iter_mut().filter(follows).for_each(|caller| caller.stage = Stage::Waiting);
        }
        drop(state);
        self.flights.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sender(last: u8) -> Option<Neighbour> {
        Some(Neighbour::V4([192, 0, 2, last]))
    }

    fn fetch<'a>(flights: &'a Flights, url: &str, sender: Option<Neighbour>) -> Flight<'a> {
        match flights.board(url, sender, LONG) {
            Ok(Turn::Fetch(flight)) => flight,
            Ok(Turn::Fetched) | Err(Busy) => panic!("{url} is not fetched"),
        }
    }

    /// I3: a sender who holds every place of those who wait gives one up to another sender, and not to itself.
    #[test]
    fn the_sender_with_most_callers_makes_room() {
        let flights = Flights::default();
        let (told, answers) = mpsc::channel();
        thread::scope(|scope| {
            let first = fetch(&flights, "a", sender(1));
            for number in 1..limits::DOCUMENT_CALLERS {
                let (told, flights) = (told.clone(), &flights);
                scope.spawn(move || {
                    told.send(flights.board(&format!("a{number}"), sender(1), LONG).map(drop)).unwrap();
                });
            }
            while flights.callers() < limits::DOCUMENT_CALLERS {
                thread::yield_now();
            }
            assert!(flights.board("one more", sender(1), LONG).is_err());
            drop(fetch(&flights, "b", sender(2)));
            assert_eq!(answers.recv(), Ok(Err(Busy)));
            drop(first);
            assert!((2..limits::DOCUMENT_CALLERS).all(|_| answers.recv() == Ok(Ok(()))));
        });
        assert_eq!(flights.callers(), 0);
    }

    /// I3: whoever may not fetch after all does not speak for those who follow.
    #[test]
    fn those_who_follow_a_fetch_that_was_none_try_for_themselves() {
        let flights = Flights::default();
        let check = |lands: fn(Flight<'_>), fetches: bool| {
            thread::scope(|scope| {
                let first = fetch(&flights, "a", sender(1));
                let next = scope.spawn(|| matches!(flights.board("a", sender(2), LONG), Ok(Turn::Fetch(_))));
                while flights.callers() < 2 {
                    thread::yield_now();
                }
                lands(first);
                assert_eq!(next.join().unwrap(), fetches);
            });
        };
        check(
            |flight| {
                drop(flight);
            },
            true,
        );
        check(|flight| flight.land(), false);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let flights = Flights::default();
        let _first = fetch(&flights, "a", sender(1));
        assert!(flights.board("a", sender(2), Duration::from_millis(1)).is_err());
        assert!(flights.board("b", sender(1), Duration::from_millis(1)).is_err());
        assert_eq!(flights.callers(), 1);
    }
}
