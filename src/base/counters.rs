//! Counters by fixed words: refusals by reason, calls by outcome. The words are ours, so requests cannot add to their number.

use std::collections::BTreeMap;

use super::lock::Mutex;

/// Counts by word, or by several words together.
#[derive(Debug)]
pub struct Counters<K = &'static str>(
    /// Guards the numbers. Held for one lookup.
    Mutex<BTreeMap<K, u64>>,
);

impl<K> Default for Counters<K> {
    fn default() -> Counters<K> {
        Counters(Mutex::default())
    }
}

impl<K: Clone + Ord> Counters<K> {
    /// Counts one more. Returns how many there are now.
    pub fn count(&self, word: K) -> u64 {
        let mut counts = self.0.lock();
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Sets a word's counter back to zero. Returns what it was.
    pub fn take(&self, word: K) -> u64 {
        self.0.lock().remove(&word).unwrap_or_default()
    }

    /// Every word that was counted, in order.
    pub fn counts(&self) -> Vec<(K, u64)> {
        self.0.lock().iter().map(|(word, count)| (word.clone(), *count)).collect()
    }
}
