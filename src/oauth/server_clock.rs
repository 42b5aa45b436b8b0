//! The clock of a server whose table may be newer than its time.

use std::sync::Arc;
use std::time::Duration;

use super::problem::Problem;
use crate::base::clock::{Clock, Timestamp};
use crate::base::limits;

/// The clock, with the reference times that show whether it is set.
pub(super) struct ServerClock {
    clock: Arc<dyn Clock>,
    /// When the newest record of the table was written.
    newest: Timestamp,
    /// The monotonic time of the start.
    started: Duration,
}

impl ServerClock {
    pub(super) fn new(clock: Arc<dyn Clock>, newest: Timestamp) -> ServerClock {
        ServerClock { started: clock.monotonic(), clock, newest }
    }

    /// T18: whether the clock seems not to be set yet, as after the boot of a machine that keeps no time: what is issued now
    /// would have expired once it is. For [`limits::CLOCK_WAIT`] after the start at most: then the record is taken for wrong.
    pub(super) fn is_behind(&self) -> bool {
        self.newest.since(self.now()) > limits::CLOCK_BEHIND
            && self.monotonic().saturating_sub(self.started) < limits::CLOCK_WAIT
    }

    /// Refuses a step of a login while the clock is behind.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.is_behind() { Err(Problem::Clock) } else { Ok(()) }
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}
