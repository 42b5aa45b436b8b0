//! The time up to which ended grants may be deleted. A clock that jumps ahead for a while must not delete grants that are valid
//! again when it is set right.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{Mutex, Timestamp, limits};

/// The readings of the wall clock over the last [`limits::EXPIRED_KEPT`] of monotonic time.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// Each entry: since this monotonic time no reading was below this wall time. Both grow from entry to entry. At most one
    /// entry for each sweep of that hour.
    floors: Mutex<VecDeque<(Duration, Timestamp)>>,
}

impl Readings {
    /// Takes a reading. Returns the latest time that has been past for [`limits::EXPIRED_KEPT`] without interruption;
    /// 1970 while the process is younger than that.
    pub(super) fn settled(&self, monotonic: Duration, now: Timestamp) -> Timestamp {
        let mut floors = self.floors.lock();
        let mut since = monotonic;
        while let Some(&(earlier, floor)) = floors.back()
            && floor >= now
        {
            since = earlier;
            floors.pop_back();
        }
        floors.push_back((since, now));
        let is_old = |since: Duration| since.saturating_add(limits::EXPIRED_KEPT) <= monotonic;
        while floors.get(1).is_some_and(|(since, _)| is_old(*since)) {
            floors.pop_front();
        }
        floors.front().filter(|(since, _)| is_old(*since)).map_or(Timestamp(0), |(_, floor)| *floor)
    }
}

#[cfg(test)]
mod tests;
