//! The running calls (M17): each takes one of its user's places, and can be ended from outside: with its grant, after a timeout, and
//! when the server stops. A place is held until the call's context is dropped, not until the call is answered: a handler that goes
//! on after a cancellation still holds its worker. Calls have no rate limit: quick ones are cheap, slow ones hold their place.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::exchange::Exchange;
use super::table::Owner;
use crate::base::{GrantId, Held, Mutex, Quota, Subject, limits};

/// The running calls.
pub(super) struct Calls {
    places: Arc<Quota<Subject>>,
    /// The places of lists, which a user gets even when calls have taken all places.
    list_places: Arc<Quota<Subject>>,
    /// The places of calls that have become tasks: some of `places`.
    task_places: Arc<Quota<Subject>>,
    /// The places of answers that are streams. One goes on after its call, until the client has read it.
    stream_places: Arc<Quota<Subject>>,
    /// Guards the running calls by number.
    running: Mutex<RunningCalls>,
}

#[derive(Default)]
struct RunningCalls {
    next: u64,
    /// The start of each, on the monotonic clock, and its exchange.
    by_number: HashMap<u64, (Duration, Weak<Exchange>)>,
    /// Set when the server stops: the reason for which no further call may begin.
    closed: Option<&'static str>,
}

/// A running call's place and entry, until dropped with the call's [`super::Context`].
pub(super) struct Permit {
    calls: Arc<Calls>,
    number: u64,
    place: Held<Subject>,
}

impl Calls {
    pub(super) fn new() -> Arc<Calls> {
        Arc::new(Calls {
            places: Arc::new(Quota::new((limits::CALLS_PER_USER, limits::CALLS))),
            list_places: Arc::new(Quota::new(limits::LISTS)),
            task_places: Arc::new(Quota::new(limits::TASKS_RUNNING)),
            stream_places: Quota::per_key(limits::ANSWERS_PER_USER),
            running: Mutex::default(),
        })
    }

    /// A place for one more call.
    ///
    /// # Errors
    /// The reason for the caller, if there is none.
    pub(super) fn begin(
        self: &Arc<Calls>,
        exchange: &Arc<Exchange>,
        now: Duration,
    ) -> Result<Permit, &'static str> {
        let call = &exchange.call;
        let _ = exchange.places.set(Arc::clone(&self.stream_places));
        let places = if call.operation.is_list() { &self.list_places } else { &self.places };
        let place = places.take(call.principal.subject);
        let mut running = self.running.lock();
        if let Some(why) = running.closed {
            return Err(why);
        }
        let place = place.ok_or("Too many calls at once")?;
        let number = running.next;
        running.next = number.wrapping_add(1);
        running.by_number.insert(number, (now, Arc::downgrade(exchange)));
        Ok(Permit { calls: Arc::clone(self), number, place })
    }

    /// Ends calls that have run for too long, and those whose answer has had no reader for as long as it could be resumed.
    pub(super) fn sweep(&self, now: Duration) {
        for (started, exchange) in self.all() {
            // A task has a lifetime of its own.
            if exchange.task().is_none() && now.saturating_sub(started) >= limits::CALL {
                exchange.give_up("The call took too long");
            } else if exchange.is_abandoned(now) {
                exchange.give_up("Nobody read the answer");
            }
        }
    }

    /// Ends every call of these owners.
    pub(super) fn end_where(&self, is_meant: impl Fn(&Owner) -> bool) {
        let mut calls = self.all();
        calls.retain(|(_, exchange)| is_meant(&Owner::from(&exchange.call.principal)));
        calls.iter().for_each(|(_, exchange)| exchange.give_up("The login or service token has ended"));
    }

    /// Ends every call with an error with this text, and refuses further ones.
    pub(super) fn close(&self, why: &'static str) {
        self.running.lock().closed = Some(why);
        self.all().iter().for_each(|(_, exchange)| exchange.give_up(why));
    }

    /// The grants of the running calls of a server.
    pub(super) fn grants_at(&self, server: &str) -> Vec<GrantId> {
        let all = self.all();
        let callers = all.iter().map(|(_, exchange)| &exchange.call.principal);
        callers.filter(|caller| *caller.resource == *server).map(|caller| caller.grant).collect()
    }

    /// The number of running calls, without lists.
    pub(super) fn count(&self) -> usize {
        self.places.held()
    }

    fn all(&self) -> Vec<(Duration, Arc<Exchange>)> {
        let running = self.running.lock();
        running.by_number.values().filter_map(|(started, call)| Some((*started, call.upgrade()?))).collect()
    }
}

impl Permit {
    /// A place for this call as a task; `None` if there is none left.
    pub(super) fn task_place(&self) -> Option<Held<Subject>> {
        self.calls.task_places.take(self.place.key())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.calls.running.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
