//! The grants that were read lately, parsed, so that a request costs no disk.
//!
//! Two rules keep it true: it is filled by reads only, with a grant that was read after the last write began to count;
//! and every write, whether it succeeded or not, makes it forget the grant. A write never puts its own value here, so
//! two writers cannot put theirs in the wrong order, and a deleted grant cannot come back.

use std::collections::HashMap;
use std::sync::Arc;

use super::Grant;
use crate::base::GrantId;

/// At most `capacity` grants. Two halves: when the young one is full, it becomes the old one, and the old one is dropped
/// with the grants that were not looked up since. So both a hit and an eviction cost O(1), without an order to maintain.
#[derive(Debug)]
pub(super) struct Cache {
    half: usize,
    young: HashMap<GrantId, Arc<Grant>>,
    old: HashMap<GrantId, Arc<Grant>>,
    /// Counts the writes, so that a read that began before one is not kept after it.
    writes: u64,
}

/// Proof of when a read began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadStart(u64);

impl Cache {
    pub(super) fn new(capacity: usize) -> Cache {
        Cache { half: (capacity / 2).max(1), young: HashMap::new(), old: HashMap::new(), writes: 0 }
    }

    /// The grant, if it was read lately.
    pub(super) fn look_up(&mut self, id: GrantId) -> Option<Arc<Grant>> {
        if let Some(grant) = self.young.get(&id) {
            return Some(Arc::clone(grant));
        }
        let grant = self.old.remove(&id)?;
        self.keep(&grant);
        Some(grant)
    }

    /// To be taken before the table is read, and given to [`Cache::fill`].
    pub(super) fn start_read(&self) -> ReadStart {
        ReadStart(self.writes)
    }

    /// Keeps what was read, unless something was written meanwhile: then it may be old.
    pub(super) fn fill(&mut self, grant: &Arc<Grant>, start: ReadStart) {
        if start == self.start_read() {
            self.keep(grant);
        }
    }

    /// To be called after every write, successful or not.
    pub(super) fn forget(&mut self, id: GrantId) {
        self.writes = self.writes.wrapping_add(1);
        self.young.remove(&id);
        self.old.remove(&id);
    }

    /// To be called when another file may have taken the place of the one that was read.
    pub(super) fn clear(&mut self) {
        self.writes = self.writes.wrapping_add(1);
        self.young.clear();
        self.old.clear();
    }

    fn keep(&mut self, grant: &Arc<Grant>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(grant.id, Arc::clone(grant));
    }
}

#[cfg(test)]
mod tests;
