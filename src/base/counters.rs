//! Counters by fixed words: refusals by reason, calls by outcome. Requests choose none of the words, so the number of counters is bounded.

use std::collections::BTreeMap;

use super::lock::Mutex;

/// Counts by word, or by a combination of words.
#[derive(Debug, Default)]
pub struct Counters<K = &'static str>(
    /// Guards the counts. Held for one lookup.
    Mutex<BTreeMap<K, u64>>,
);

impl<K: Clone + Ord> Counters<K> {
    /// Increments the counter of a word. Returns its new value.
    pub fn count(&self, word: K) -> u64 {
        let mut counts = self.0.lock();
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Resets the counter of a word to zero. Returns its previous value.
    pub fn take(&self, word: K) -> u64 {
        self.0.lock().remove(&word).unwrap_or_default()
    }

    /// All counters, in the order of their words.
    pub fn counts(&self) -> Vec<(K, u64)> {
        self.0.lock().iter().map(|(word, count)| (word.clone(), *count)).collect()
    }
}
