//! Time: the only module that reads the system's clocks.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A moment of wall-clock time: whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment plus `duration`, in whole seconds; stays at the last representable second.
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(duration.as_secs()))
    }

    /// How long `self` is after `earlier`; zero when it is not after it (the clock went back).
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The time between the two, in either direction.
    pub fn distance(self, other: Timestamp) -> Duration {
        Duration::from_secs(self.0.abs_diff(other.0))
    }

    /// RFC 3339 in UTC, for logs and tool results: `2026-11-23T03:44:04Z`.
    pub fn rfc3339(self) -> String {
        let (year, month, day) = civil_from_days(self.0 / 86_400);
        let second = self.0 % 86_400;
        let (hours, minutes, seconds) = (second / 3600, second % 3600 / 60, second % 60);
        let digit = |number: u64| u8::try_from(number % 10).map_or('0', |digit| char::from(b'0' + digit));
        // Every line of the log has a time: formatting seven numbers took a fifth of the time of a line.
        let mut text = format!("{year:04}");
        for (before, number) in [('-', month), ('-', day), ('T', hours), (':', minutes), (':', seconds)] {
            text.extend([before, digit(number / 10), digit(number)]);
        }
        text.push('Z');
        text
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01. Counts in 400-year eras that start on 1 March,
/// so that the leap day is the last day of its year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The source of time: the system's clocks, or one that a test moves by hand.
pub trait Clock: Send + Sync {
    /// The wall-clock time, for everything that outlives the process.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, never going back, for deadlines inside the process.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }

    fn monotonic(&self) -> Duration {
        monotonic()
    }
}

/// The wall-clock time. For the log; everything else takes a [`Clock`].
pub fn now() -> Timestamp {
    Timestamp(since_epoch().as_secs())
}

/// The wall-clock time as [`Timestamp::rfc3339`] writes it, with milliseconds. For the audit log.
pub fn rfc3339_millis() -> String {
    let now = since_epoch();
    let seconds = Timestamp(now.as_secs()).rfc3339();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), now.subsec_millis())
}

#[allow(clippy::disallowed_methods)] // only this module reads the clock
fn since_epoch() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// Time since the first call of this function in the process, never going back. For rates that no test changes.
pub fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(instant).elapsed()
}

/// A point of the monotonic clock, for the deadlines of sockets and threads.
#[allow(clippy::disallowed_methods)] // only this module reads the clock
pub fn instant() -> Instant {
    Instant::now()
}

/// A clock that a test moves by hand. Starts at 2026-01-01T00:00:00Z.
#[cfg(test)]
pub(crate) struct ManualClock {
    wall: std::sync::atomic::AtomicU64,
    monotonic: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl ManualClock {
    pub(crate) const START: Timestamp = Timestamp(1_767_225_600);

    pub(crate) fn new() -> ManualClock {
        ManualClock {
            wall: std::sync::atomic::AtomicU64::new(ManualClock::START.0),
            monotonic: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Lets time pass on both clocks.
    pub(crate) fn advance(&self, duration: Duration) {
        self.wall.fetch_add(duration.as_secs(), std::sync::atomic::Ordering::SeqCst);
        self.monotonic.fetch_add(duration.as_secs(), std::sync::atomic::Ordering::SeqCst);
    }

    /// Sets the wall clock ahead.
    pub(crate) fn go_ahead(&self, duration: Duration) {
        self.wall.fetch_add(duration.as_secs(), std::sync::atomic::Ordering::SeqCst);
    }

    /// Sets the wall clock back.
    pub(crate) fn go_back(&self, duration: Duration) {
        self.wall.fetch_sub(duration.as_secs(), std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.monotonic.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests;
