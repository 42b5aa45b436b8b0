//! What strangers can cause at will is not logged at will: so many lines a second of each kind, and how many were left out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::lock::Mutex;

/// Lets so many events of each kind through in a second, and counts the others. The kinds are words of ours, so their number
/// is bounded.
#[derive(Debug)]
pub struct Throttle {
    per_second: u32,
    /// Guards what was let through, by kind. Held for one lookup.
    kinds: Mutex<BTreeMap<&'static str, Window>>,
}

/// One kind in its latest second.
#[derive(Debug, Default)]
struct Window {
    /// When it began; `None` before the first event.
    since: Option<Duration>,
    passed: u32,
    /// Left out since the last that passed.
    omitted: u64,
}

/// How many events of a kind were left out before the one that may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Omitted(pub u64);

impl Throttle {
    /// At most `per_second` of each kind.
    pub const fn new(per_second: u32) -> Throttle {
        Throttle { per_second, kinds: Mutex::new(BTreeMap::new()) }
    }

    /// One more event of `kind` at `now`, a time of [`super::clock::Clock::monotonic`]: `None` if it is to be left out.
    pub fn pass(&self, kind: &'static str, now: Duration) -> Option<Omitted> {
        let mut kinds = self.kinds.lock();
        let window = kinds.entry(kind).or_default();
        let over = window.since.is_none_or(|since| now.saturating_sub(since) >= Duration::from_secs(1));
        if over {
            (window.since, window.passed) = (Some(now), 0);
        }
        if window.passed >= self.per_second {
            window.omitted = window.omitted.saturating_add(1);
            return None;
        }
        window.passed = window.passed.saturating_add(1);
        Some(Omitted(std::mem::take(&mut window.omitted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L2: however often a stranger causes it, it is told of so many times a second, and what was left out is counted.
    #[test]
    fn what_is_left_out_is_counted_in_the_next_that_is_told() {
        let throttle = Throttle::new(2);
        let at = |millis| Duration::from_millis(millis);
        let told = [0, 10, 20, 999, 1000, 1001, 1002].map(|millis| throttle.pass("host", at(millis)));
        let some = |count| Some(Omitted(count));
        assert_eq!(told, [some(0), some(0), None, None, some(2), some(0), None]);
        assert_eq!(throttle.pass("origin", at(1002)), some(0));
        assert_eq!(throttle.pass("host", at(9000)), some(1));
    }
}
