//! So many at once of each: connections of one neighbour, large bodies or streams of one user. What was taken is given back when its
//! guard is dropped, and whoever holds nothing costs nothing.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// How many each holds, and how many each may.
#[derive(Debug)]
pub struct Each<K> {
    /// Guards how many each holds; nobody holds none.
    held: Mutex<HashMap<K, usize>>,
    most: usize,
}

/// One that is held, until dropped.
#[derive(Debug)]
pub struct Held<K: Copy + Eq + Hash> {
    each: Arc<Each<K>>,
    key: K,
}

impl<K: Copy + Eq + Hash> Each<K> {
    /// At most `most` of each.
    #[must_use]
    pub fn new(most: usize) -> Arc<Each<K>> {
        Arc::new(Each { held: Mutex::default(), most })
    }

    /// One more for `key`; `None` if it holds as many as it may.
    #[must_use]
    pub fn take(self: &Arc<Each<K>>, key: K) -> Option<Held<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&key).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        held.insert(key, count.saturating_add(1));
        Some(Held { each: Arc::clone(self), key })
    }

    /// Whether nobody holds anything.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl<K: Copy + Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut held = self.each.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holds_so_many_and_what_is_dropped_is_given_back() {
        let each = Each::new(2);
        let first = [each.take(1).unwrap(), each.take(1).unwrap()];
        assert!(each.take(1).is_none());
        let other = each.take(2).unwrap();
        drop(first);
        let _again = each.take(1).unwrap();
        drop((other, _again));
        assert!(each.is_unused());
    }
}
