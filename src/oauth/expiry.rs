//! Which ended grants may be deleted. A clock that jumps ahead for a moment must not delete what is good again a moment later.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::limits;
use crate::base::lock::Mutex;

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
mod tests {
    use super::*;

    #[test]
    fn a_time_is_settled_when_it_has_been_past_for_an_hour() {
        const HOUR: u64 = 3600;
        let readings = Readings::default();
        let check = |monotonic: u64, now: u64, expected: u64| {
            let settled = readings.settled(Duration::from_secs(monotonic), Timestamp(now));
            assert_eq!(settled, Timestamp(expected), "{monotonic} {now}");
        };
        check(0, 1000, 0);
        check(HOUR - 1, 1000 + HOUR, 0);
        check(HOUR, 1001 + HOUR, 1000);
        // A jump of months for some seconds settles nothing.
        check(HOUR + 10, 9_000_000, 1000);
        check(HOUR + 15, 1016 + HOUR, 1000);
        check(2 * HOUR - 1, 1000 + 2 * HOUR, 1000 + HOUR);
        check(2 * HOUR + 12, 1013 + 2 * HOUR, 1016 + HOUR);
        // A jump that stays counts after an hour.
        check(2 * HOUR + 20, 9_000_000, 1016 + HOUR);
        check(3 * HOUR + 20, 9_000_000 + HOUR, 9_000_000);
        // A clock that was set back takes back what was settled.
        check(3 * HOUR + 30, 5000, 5000);
    }

    #[test]
    fn readings_are_forgotten() {
        let readings = Readings::default();
        (0..10_000).for_each(|second| {
            readings.settled(Duration::from_secs(2 * second), Timestamp(2 * second));
        });
        assert!(readings.floors.lock().len() <= 1802);
    }
}
