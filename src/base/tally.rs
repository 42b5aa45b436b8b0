//! Counts by fixed words: how often something was refused, and why; how calls ended. The words are ours, so their number is
//! bounded, whatever strangers send.

use std::collections::BTreeMap;

use crate::base::lock::Mutex;

/// How often each word, or pair of words, was said since the start.
#[derive(Debug)]
pub struct Tally<K = &'static str>(
    /// Guards the numbers. Held for one lookup.
    Mutex<BTreeMap<K, u64>>,
);

impl<K> Default for Tally<K> {
    fn default() -> Tally<K> {
        Tally(Mutex::default())
    }
}

impl<K: Copy + Ord> Tally<K> {
    /// Counts one more. Returns how many there are now.
    pub fn count(&self, word: K) -> u64 {
        let mut counts = self.0.lock();
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Every word that was counted, in order.
    pub fn counts(&self) -> Vec<(K, u64)> {
        let counts = self.0.lock();
        counts.iter().map(|(word, count)| (*word, *count)).collect()
    }
}
