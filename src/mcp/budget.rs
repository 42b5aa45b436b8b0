//! Bytes that are kept for clients, of which there is only so much for all of them together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes and no more.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        Budget { bytes, taken: AtomicUsize::new(0) }
    }

    /// Takes `bytes`, if there are so many; says whether there were.
    #[must_use]
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.bytes;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}
