//! Makes and opens the sealed values of all endpoints. It has the keys, the randomness, and the clock, which may not be set yet.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::base::{Clock, Random, Timestamp, limits};
use crate::http::PublicUrl;
use crate::seal::{self, Keyring, SealError, Sealed};

/// Seals and opens the values that clients and browsers carry.
pub(super) struct Sealer {
    /// The URL in the values of a login, which open at it alone: two servers may share a key file.
    pub(super) url: PublicUrl,
    pub(super) keys: Arc<Keyring>,
    pub(super) random: Arc<dyn Random>,
    pub(super) clock: Arc<dyn Clock>,
    /// When the newest record of the table was written.
    pub(super) newest: Timestamp,
    /// The monotonic time of the start.
    pub(super) started: Duration,
}

/// A value of a login, sealed for a few minutes.
pub(super) trait ShortLived: Serialize + DeserializeOwned {
    /// As [`Sealed::PREFIX`].
    const PREFIX: &'static str;
}

/// A value of a login, with the server and the time for which it is good.
#[derive(Serialize, Deserialize)]
struct LoginValue<T> {
    #[serde(rename = "v")]
    value: T,
    #[serde(rename = "i")]
    issuer: String,
    #[serde(rename = "e")]
    expires: Timestamp,
}

impl<T: ShortLived> Sealed for LoginValue<T> {
    const PREFIX: &'static str = T::PREFIX;
    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }
}

impl Sealer {
    /// Seals a value of any server with these keys.
    pub(super) fn seal(&self, value: &impl Sealed) -> String {
        seal::seal(&self.keys, value, &*self.random)
    }

    /// Opens what [`Sealer::seal`] has sealed.
    pub(super) fn open<T: Sealed>(&self, text: &str, now: Timestamp) -> Result<T, SealError> {
        seal::open(&self.keys, text, now)
    }

    /// Seals a value of a login that opens here until `expires`.
    pub(super) fn seal_here<T: ShortLived>(&self, value: T, expires: Timestamp) -> String {
        self.seal(&LoginValue { value, issuer: self.url.to_string(), expires })
    }

    /// Opens a value that [`Sealer::seal_here`] sealed at this URL; `None` for anything else.
    pub(super) fn open_here<T: ShortLived>(&self, text: &str, now: Timestamp) -> Option<T> {
        let opened = self.open::<LoginValue<T>>(text, now).ok()?;
        (opened.issuer == self.url.to_string()).then_some(opened.value)
    }

    /// T18: whether the clock is a day behind the newest record, as before a machine sets it: tokens issued now would have expired once it
    /// is set. False from [`limits::CLOCK_WAIT`] after the start: then the record is considered wrong.
    pub(super) fn is_behind(&self) -> bool {
        self.newest.since(self.clock.now()) > limits::CLOCK_BEHIND
            && self.clock.monotonic().saturating_sub(self.started) < limits::CLOCK_WAIT
    }

    /// Refuses a step of a login while the clock is behind.
    pub(super) fn check_clock(&self) -> Result<(), Problem> {
        if self.is_behind() { Err(Problem::Clock) } else { Ok(()) }
    }
}
