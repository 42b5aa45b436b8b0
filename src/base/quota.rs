//! At most so many at once: per key, and in total. What was taken is given back when its guard is dropped.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Condvar, MutexGuard};
use std::time::Duration;

use crate::base::lock::{Mutex, wait_timeout_while};

/// A bound on what is held: connections of a neighbour, streams of a user, bytes kept for a user, places for logins.
#[derive(Debug)]
pub struct Quota<K> {
    each: usize,
    total: usize,
    floor: usize,
    waiting: (usize, usize),
    /// Guards the counts and the queue. Keys that hold nothing are removed.
    state: Mutex<State<K>>,
    /// Wakes the queue when something is given back, and when one of it leaves.
    changed: Condvar,
}

#[derive(Debug)]
struct State<K> {
    by_key: HashMap<K, usize>,
    in_total: usize,
    /// The first comes first.
    queue: VecDeque<(u64, K)>,
    next_ticket: u64,
}

/// What is held, until dropped.
#[derive(Debug)]
pub struct Held<K: Copy + Eq + Hash> {
    quota: Arc<Quota<K>>,
    key: K,
    amount: usize,
}

impl<K: Copy + Eq + Hash> Quota<K> {
    /// At most `each` per key and `total` together. Nobody waits.
    pub fn new((each, total): (usize, usize)) -> Quota<K> {
        let state = State { by_key: HashMap::new(), in_total: 0, queue: VecDeque::new(), next_ticket: 0 };
        Quota { each, total, floor: 0, waiting: (0, 0), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// At most `each` per key.
    pub fn per_key(each: usize) -> Arc<Quota<K>> {
        Arc::new(Quota::new((each, usize::MAX)))
    }

    /// The same, but a key may hold up to `floor` whatever the others hold.
    pub fn floor(self, floor: usize) -> Quota<K> {
        Quota { floor, ..self }
    }

    /// The same, but [`Quota::wait`] lets this many wait: of each key, and together.
    pub fn waiting(self, waiting: (usize, usize)) -> Quota<K> {
        Quota { waiting, ..self }
    }

    /// One more for `key`; `None` if there is no room.
    pub fn take(self: &Arc<Self>, key: K) -> Option<Held<K>> {
        self.hold(key, 1)
    }

    /// `amount` more for `key`; `None` if there is no room.
    pub fn hold(self: &Arc<Self>, key: K, amount: usize) -> Option<Held<K>> {
        let mut state = self.lock();
        self.has_room(&state, key, amount).then(|| self.add(&mut state, key, amount))
    }

    /// One more for `key`, waiting for it up to `patience`; `None` if there was no room in that time, or if too many wait
    /// already. Whoever came first is first, except that keys which hold all that they may keep nobody else waiting.
    pub fn wait(self: &Arc<Self>, key: K, patience: Duration) -> Option<Held<K>> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket = ticket.wrapping_add(1);
        state.queue.push_back((ticket, key));
        let (of_key, of_all) = self.waiting;
        let theirs = state.queue.iter().filter(|(_, other)| *other == key).count();
        let may_wait = theirs <= of_key && state.queue.len() <= of_all;
        let patience = if may_wait { patience } else { Duration::ZERO };
        let waits = |state: &mut State<K>| !self.is_next(state, ticket);
        let mut state = wait_timeout_while(&self.changed, state, patience, waits);
        let held = self.is_next(&state, ticket).then(|| self.add(&mut state, key, 1));
        state.queue.retain(|(other, _)| *other != ticket);
        drop(state);
        self.changed.notify_all();
        held
    }

    /// Whether nothing is held.
    #[cfg(test)]
    pub fn is_unused(&self) -> bool {
        let state = self.lock();
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
        of_key <= self.each && (in_total <= self.total || of_key <= self.floor)
    }

    fn add(self: &Arc<Self>, state: &mut State<K>, key: K, amount: usize) -> Held<K> {
        state.in_total = state.in_total.saturating_add(amount);
        let of_key = state.by_key.entry(key).or_default();
        *of_key = of_key.saturating_add(amount);
        Held { quota: Arc::clone(self), key, amount }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock()
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn queue(&self) -> usize {
        self.lock().queue.len()
    }
}

impl<K: Copy + Eq + Hash> Held<K> {
    /// Whose it is.
    pub fn key(&self) -> K {
        self.key
    }
}

impl<K: Copy + Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut state = self.quota.lock();
        state.in_total = state.in_total.saturating_sub(self.amount);
        if let Some(of_key) = state.by_key.get_mut(&self.key) {
            *of_key = of_key.saturating_sub(self.amount);
            if *of_key == 0 {
                state.by_key.remove(&self.key);
            }
        }
        let is_waited_for = !state.queue.is_empty();
        drop(state);
        if is_waited_for {
            self.quota.changed.notify_all(); // a call to the kernel, which most holds spare themselves
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Runs `wait` in threads that are started one after the other, and says in which order they got what they waited for.
    fn order(quota: &Arc<Quota<char>>, keys: &str, meanwhile: impl FnOnce(&Mutex<String>)) -> String {
        let order = Mutex::new(String::new());
        std::thread::scope(|scope| {
            for (number, key) in keys.chars().enumerate() {
                let order = &order;
                scope.spawn(move || {
                    let held = quota.wait(key, LONG);
                    order.lock().push(key);
                    drop(held);
                });
                while quota.queue() <= number {
                    std::thread::yield_now();
                }
            }
            meanwhile(&order);
        });
        order.lock().clone()
    }

    #[test]
    fn each_holds_so_many_and_what_is_dropped_is_given_back() {
        let quota = Quota::per_key(2);
        let first = [quota.take(1).unwrap(), quota.take(1).unwrap()];
        assert!(quota.take(1).is_none());
        let other = quota.take(2).unwrap();
        drop(first);
        let again = quota.take(1).unwrap();
        drop((other, again));
        assert!(quota.is_unused());
    }

    /// One place in all: whoever waits gets it in the order in which they came.
    #[test]
    fn places_are_given_in_the_order_of_arrival() {
        let quota = Arc::new(Quota::new((1, 1)).waiting((9, 9)));
        let held = quota.take('x');
        assert_eq!(order(&quota, "abcda", |_| drop(held)), "abcda");
        assert!(quota.is_unused() && quota.queue() == 0);
    }

    /// A key at its share waits for its own places; others pass it.
    #[test]
    fn who_holds_a_whole_share_keeps_nobody_else_waiting() {
        let quota = Arc::new(Quota::new((1, 2)).waiting((9, 9)));
        let (mine, other) = (quota.take('a'), quota.take('x'));
        let order = order(&quota, "aabc", |order| {
            drop(other);
            while order.lock().len() < 2 {
                std::thread::yield_now();
            }
            drop(mine);
        });
        assert_eq!(order, "bcaa");
    }

    /// Limit and limit plus one, of a key and of all; whoever waits in vain holds nothing.
    #[test]
    fn few_wait_and_not_for_ever() {
        let quota = Arc::new(Quota::new((1, 1)).waiting((2, 3)));
        let held = quota.take('x').unwrap();
        assert!(quota.wait('a', Duration::from_millis(1)).is_none());
        let order = order(&quota, "aab", |_| {
            assert!(quota.wait('a', LONG).is_none(), "one more than a key may have waiting");
            assert!(quota.wait('c', LONG).is_none(), "one more than all may");
            drop(held);
        });
        assert_eq!(order, "aab");
        assert!(quota.is_unused());
    }
}
