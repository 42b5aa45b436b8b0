//! Limits log lines that unauthenticated clients can cause at will: a rate per kind, and a count of omitted lines.

use std::time::Duration;

use super::counters::Counters;
use super::rate::RateLimit;

/// Passes a number of events per second and kind, and counts the others. The kinds are fixed words.
#[derive(Debug)]
pub struct Throttle {
    rate: RateLimit<&'static str>,
    omitted: Counters,
}

impl Throttle {
    /// At most `per_second` of each kind.
    pub fn new(per_second: u32) -> Throttle {
        Throttle { rate: RateLimit::new(per_second, Duration::from_secs(1)), omitted: Counters::default() }
    }

    /// One more event of `kind` at `now`, a time of [`super::clock::Clock::monotonic`]: `None` if it is to be omitted, else the number of
    /// events of its kind that were omitted before it.
    pub fn pass(&self, kind: &'static str, now: Duration) -> Option<u64> {
        if self.rate.spend_as(kind, now).is_ok() {
            return Some(self.omitted.take(kind));
        }
        self.omitted.count(kind);
        None
    }
}

#[cfg(test)]
mod tests;
