//! Counters of known client faults that are served all the same; the log names the first client of each.

use crate::base::counters::Counters;
use crate::base::identity::Principal;
use crate::base::log::{self, Field};

/// The counters, by kind of fault.
#[derive(Debug, Default)]
pub(super) struct Tolerated(Counters);

impl Tolerated {
    /// Counts one request.
    pub(super) fn count(&self, kind: &'static str, principal: &Principal) {
        if self.0.count(kind) == 1 {
            log::info("client.tolerated", &[Field::Client(principal.client.as_str()), Field::Reason(kind)]);
        }
    }

    /// The counts by kind.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.0.counts()
    }
}
