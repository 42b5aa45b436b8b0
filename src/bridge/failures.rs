//! How often the instances of a server have failed, for the operator.

use crate::base::clock::{self, Timestamp};
use crate::base::lock::Mutex;

/// The failures of one server since this process started.
#[derive(Default)]
pub(super) struct FailureRecord {
    /// Guards the numbers.
    numbers: Mutex<Failures>,
}

#[derive(Clone, Default)]
pub(super) struct Failures {
    /// Starts after a failure, and ends by the operator's `servers restart`.
    pub(super) restarts: u64,
    pub(super) failures: u64,
    /// When the latest was, and why.
    pub(super) latest: Option<(Timestamp, String)>,
    /// Whether nothing has worked since the latest.
    pub(super) is_failing: bool,
}

impl FailureRecord {
    pub(super) fn numbers(&self) -> Failures {
        self.numbers.lock().clone()
    }

    pub(super) fn restarted(&self, instances: usize) {
        let mut numbers = self.numbers.lock();
        let instances = u64::try_from(instances).unwrap_or(u64::MAX);
        numbers.restarts = numbers.restarts.saturating_add(instances);
    }

    pub(super) fn failed(&self, why: String) {
        let mut numbers = self.numbers.lock();
        numbers.failures = numbers.failures.saturating_add(1);
        (numbers.latest, numbers.is_failing) = (Some((clock::now(), why)), true);
    }

    /// Notes that an instance has started, that an upstream has answered, or that the operator wants it tried again.
    pub(super) fn clear(&self) {
        self.numbers.lock().is_failing = false;
    }
}
