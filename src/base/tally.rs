//! Counts by a fixed word: how often something was refused, and why; how calls to the outside ended. The words are ours,
//! so their number is bounded, whatever strangers send.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How often each word was said since the start.
#[derive(Debug, Default)]
pub struct Tally(
    /// Guards the numbers. Held for one lookup; nothing that is usual is counted here.
    Mutex<BTreeMap<&'static str, u64>>,
);

impl Tally {
    /// Counts one more. Returns how many there are now.
    pub fn count(&self, word: &'static str) -> u64 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Every word that was counted, in order.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(word, count)| (*word, *count)).collect()
    }
}
