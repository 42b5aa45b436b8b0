//! Limits on amounts that are held at once, per key and in total. Dropping a guard returns its amount.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Condvar};
use std::time::Duration;

use super::identity::Subject;
use super::limits;
use super::lock::{Mutex, wait_timeout_while};

/// A limit on the amount held: connections of a sender, streams of a user, bytes kept for a user, places for logins.
#[derive(Debug)]
pub struct Quota<K> {
    per_key: usize,
    total: usize,
    /// The amount that a key may hold even if the total is used up.
    floor: usize,
    waiting: (usize, usize),
    /// Guards the counts and the queue. Keys that hold nothing are removed.
    state: Mutex<State<K>>,
    /// Wakes waiting threads when an amount is returned, and when one leaves the queue.
    changed: Condvar,
}

#[derive(Debug)]
struct State<K> {
    by_key: HashMap<K, usize>,
    in_total: usize,
    /// In the order of arrival.
    queue: VecDeque<(u64, K)>,
    next_ticket: u64,
    /// The number of threads in [`Quota::wait_below`].
    watchers: usize,
}

/// A guard: holds an amount until dropped.
#[derive(Debug)]
pub struct Held<K: Copy + Eq + Hash = Subject> {
    quota: Arc<Quota<K>>,
    key: K,
    amount: usize,
}

/// One subject's part of a quota. Clones are the same part.
#[derive(Clone, Debug)]
pub struct Share {
    quota: Arc<Quota<Subject>>,
    subject: Subject,
}

impl Quota<Subject> {
    /// Memory budget: bytes per subject and in total. Each subject may hold [`limits::FLOOR_BYTES`] even if the total is used up, so that
    /// a few subjects cannot break the streams of others.
    pub fn bytes(limits: (usize, usize)) -> Arc<Quota<Subject>> {
        Arc::new(Quota { floor: limits::FLOOR_BYTES, ..Quota::new(limits) })
    }

    /// The part of `subject`.
    pub fn share(self: &Arc<Self>, subject: Subject) -> Share {
        Share { quota: Arc::clone(self), subject }
    }
}

impl Quota<()> {
    /// A limit in total only.
    pub fn in_total(total: usize) -> Arc<Quota<()>> {
        Arc::new(Quota::new((total, total)))
    }
}

impl<K: Copy + Eq + Hash> Quota<K> {
    /// Limits per key and in total. [`Quota::wait`] does not wait.
    pub fn new((per_key, total): (usize, usize)) -> Quota<K> {
        let (by_key, queue) = (HashMap::new(), VecDeque::new());
        let state = State { by_key, in_total: 0, queue, next_ticket: 0, watchers: 0 };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Quota { per_key, total, floor: 0, waiting: (0, 0), state, changed }
    }

    /// A limit per key only.
    pub fn per_key(per_key: usize) -> Arc<Quota<K>> {
        Arc::new(Quota::new((per_key, usize::MAX)))
    }

    /// Sets the number of threads that may wait in [`Quota::wait`]: per key and in total.
    pub fn waiting(self, waiting: (usize, usize)) -> Quota<K> {
        Quota { waiting, ..self }
    }

    /// One more for `key`; `None` if there is no room.
    pub fn take(self: &Arc<Self>, key: K) -> Option<Held<K>> {
        self.hold(key, 1)
    }

    /// `amount` more for `key`; `None` if there is no room.
    pub fn hold(self: &Arc<Self>, key: K, amount: usize) -> Option<Held<K>> {
        let mut held = self.nothing(key);
        held.grow(amount).then_some(held)
    }

    /// A guard that holds nothing yet and can grow.
    pub fn nothing(self: &Arc<Self>, key: K) -> Held<K> {
        Held { quota: Arc::clone(self), key, amount: 0 }
    }

    /// One more for `key`, waiting for it up to `patience`; `None` if there was no room in that time, or if too many wait
    /// already. First come, first served, but a key at its limit does not delay the others.
    pub fn wait(self: &Arc<Self>, key: K, patience: Duration) -> Option<Held<K>> {
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket = ticket.wrapping_add(1);
        state.queue.push_back((ticket, key));
        let (of_key, of_all) = self.waiting;
        let theirs = state.queue.iter().filter(|(_, other)| *other == key).count();
        let may_wait = theirs <= of_key && state.queue.len() <= of_all;
        let patience = if may_wait { patience } else { Duration::ZERO };
        let waits = |state: &mut State<K>| !self.is_next(state, ticket);
        let mut state = wait_timeout_while(&self.changed, state, patience, waits);
        let got = self.is_next(&state, ticket);
        if got {
            state.add(key, 1);
        }
        state.queue.retain(|(other, _)| *other != ticket);
        drop(state);
        self.changed.notify_all();
        got.then(|| Held { quota: Arc::clone(self), key, amount: 1 })
    }

    /// Waits until less than `amount` is held in total. Returns whether that happened within `patience`.
    pub fn wait_below(&self, amount: usize, patience: Duration) -> bool {
        let mut state = self.state.lock();
        state.watchers = state.watchers.saturating_add(1);
        let too_much = |state: &mut State<K>| state.in_total >= amount;
        let mut state = wait_timeout_while(&self.changed, state, patience, too_much);
        state.watchers = state.watchers.saturating_sub(1);
        state.in_total < amount
    }

    /// The amount held in total.
    pub fn held(&self) -> usize {
        self.state.lock().in_total
    }

    /// Whether nothing is held and no key is left.
    #[cfg(test)]
    pub(crate) fn is_unused(&self) -> bool {
        let state = self.state.lock();
        state.by_key.is_empty() && state.in_total == 0
    }

    /// Whether `ticket` is the first in the queue for whose key there is room.
    fn is_next(&self, state: &State<K>, ticket: u64) -> bool {
        let first = state.queue.iter().find(|(_, key)| self.has_room(state, *key, 1));
        first.is_some_and(|(first, _)| *first == ticket)
    }

    fn has_room(&self, state: &State<K>, key: K, amount: usize) -> bool {
        let of_key = state.by_key.get(&key).copied().unwrap_or_default().saturating_add(amount);
        let in_total = state.in_total.saturating_add(amount);
        of_key <= self.per_key && (in_total <= self.total || of_key <= self.floor)
    }

    /// The number of threads in the queue.
    #[cfg(test)]
    pub(crate) fn queue(&self) -> usize {
        self.state.lock().queue.len()
    }
}

impl<K: Copy + Eq + Hash> State<K> {
    fn add(&mut self, key: K, amount: usize) {
        self.in_total = self.in_total.saturating_add(amount);
        let of_key = self.by_key.entry(key).or_default();
        *of_key = of_key.saturating_add(amount);
    }

    fn give_back(&mut self, key: K, amount: usize) {
        self.in_total = self.in_total.saturating_sub(amount);
        if let Some(of_key) = self.by_key.get_mut(&key) {
            *of_key = of_key.saturating_sub(amount);
            if *of_key == 0 {
                self.by_key.remove(&key);
            }
        }
    }
}

impl Share {
    /// Takes `amount`; `None` if the limit of the subject or the total would be exceeded.
    pub fn hold(&self, amount: usize) -> Option<Held> {
        self.quota.hold(self.subject, amount)
    }
}

impl<K: Copy + Eq + Hash> Held<K> {
    /// The key that it counts for.
    pub fn key(&self) -> K {
        self.key
    }

    /// Takes `more`. Returns whether there was room; if not, nothing was taken.
    pub fn grow(&mut self, more: usize) -> bool {
        let mut state = self.quota.state.lock();
        let has_room = self.quota.has_room(&state, self.key, more);
        if has_room {
            state.add(self.key, more);
            self.amount = self.amount.saturating_add(more);
        }
        has_room
    }
}

impl<K: Copy + Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut state = self.quota.state.lock();
        state.give_back(self.key, self.amount);
        let somebody_waits = !state.queue.is_empty() || state.watchers > 0;
        drop(state);
        if somebody_waits {
            self.quota.changed.notify_all(); // a system call, which most drops can skip
        }
    }
}

#[cfg(test)]
mod tests;
