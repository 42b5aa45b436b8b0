//! A map of bounded size, for data that unauthenticated clients cause: rates, pauses, spent logins, documents.
//!
//! Every entry has an owner and an expiry. At the limit per owner, a new entry evicts one of the same owner; when the map is full, it
//! evicts one of the owner with most entries. In both cases the entry that expires first is evicted, so no owner can displace the
//! entries of others. Without owners (`O = ()`), the first of all to expire is evicted.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// A map of bounded size. Times are those of [`super::clock::Clock::monotonic`].
#[derive(Debug)]
pub struct BoundedMap<K, V, O = ()> {
    per_owner_limit: usize,
    limit: usize,
    entries: HashMap<K, Entry<V, O>>,
}

#[derive(Debug)]
struct Entry<V, O> {
    value: V,
    owner: O,
    ends: Duration,
}

impl<K: Clone + Eq + Hash, V> BoundedMap<K, V> {
    /// At most `limit` entries, all of one owner.
    pub fn new(limit: usize) -> BoundedMap<K, V> {
        BoundedMap::per_owner((limit, limit))
    }
}

impl<K: Clone + Eq + Hash, V, O: Clone + Eq + Hash> BoundedMap<K, V, O> {
    /// Limits per owner and in total.
    pub fn per_owner((per_owner_limit, limit): (usize, usize)) -> BoundedMap<K, V, O> {
        BoundedMap { per_owner_limit, limit, entries: HashMap::new() }
    }

    /// The value, unless the entry has expired.
    pub fn get(&self, key: &K, now: Duration) -> Option<&V> {
        self.entries.get(key).filter(|entry| entry.ends > now).map(|entry| &entry.value)
    }

    /// The value, unless the entry has expired.
    pub fn get_mut(&mut self, key: &K, now: Duration) -> Option<&mut V> {
        self.entries.get_mut(key).filter(|entry| entry.ends > now).map(|entry| &mut entry.value)
    }

    /// The owner and the expiry of an entry, which may be in the past.
    pub fn owner_and_end_of_any_age(&self, key: &K) -> Option<(&O, Duration)> {
        self.entries.get(key).map(|entry| (&entry.owner, entry.ends))
    }

    /// The number of entries of an owner.
    pub fn count_of(&self, owner: &O) -> usize {
        self.entries.values().filter(|entry| entry.owner == *owner).count()
    }

    /// Adds or replaces an entry, which expires at `ends`.
    pub fn insert(&mut self, key: K, value: V, owner: O, (now, ends): (Duration, Duration)) {
        if !self.entries.contains_key(&key) {
            self.make_room(&owner, now);
        }
        self.entries.insert(key, Entry { value, owner, ends });
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    fn make_room(&mut self, owner: &O, now: Duration) {
        // An owner cannot have more entries than there are in total: below the limit, counting is unnecessary.
        if self.entries.len() < self.per_owner_limit {
            return;
        }
        self.entries.retain(|_, entry| entry.ends > now);
        let Some(loser) = self.loser(owner) else { return };
        let theirs = self.entries.iter().filter(|(_, entry)| entry.owner == loser);
        let soonest = theirs.min_by_key(|(_, entry)| entry.ends).map(|(key, _)| key.clone());
        soonest.and_then(|key| self.entries.remove(&key));
    }

    /// The owner who loses an entry to one more of `owner`, if there is no room.
    fn loser(&self, owner: &O) -> Option<O> {
        if self.count_of(owner) >= self.per_owner_limit {
            return Some(owner.clone());
        }
        if self.entries.len() < self.limit {
            return None;
        }
        let mut counts: HashMap<&O, usize> = HashMap::new();
        for entry in self.entries.values() {
            let count = counts.entry(&entry.owner).or_default();
            *count = count.saturating_add(1);
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(owner, _)| owner.clone())
    }

    /// The number of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests;
