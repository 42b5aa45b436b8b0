//! Logins that have ended. A login ends once, with a denial on our own page or with the callback from GitHub, whichever comes first
//! (C4, C10).
//!
//! Each is remembered by the hash in its sealed values, for as long as those would open. A sender who ends too many pushes out their
//! own.

use std::net::IpAddr;
use std::time::Duration;

use super::problem::Problem;
use crate::base::{BoundedMap, Mutex, Sender, limits};

/// The ended logins.
pub(super) struct SpentLogins {
    /// Guards the logins, by their hashes. An IPv6 /48 is one owner: its 65,536 networks must not count as that many senders.
    spent: Mutex<BoundedMap<String, (), Sender>>,
}

impl Default for SpentLogins {
    fn default() -> SpentLogins {
        SpentLogins { spent: Mutex::new(BoundedMap::per_owner(limits::SPENT_LOGINS)) }
    }
}

impl SpentLogins {
    /// Ends the login with this hash at `now`, a time of the monotonic clock. Of concurrent requests exactly one succeeds.
    pub(super) fn end(&self, login: &str, peer: Option<IpAddr>, now: Duration) -> Result<(), Problem> {
        let (mut spent, login) = (self.spent.lock(), login.to_owned());
        if spent.owner_and_end_of_any_age(&login).is_some() {
            return Err(Problem::AlreadyAnswered);
        }
        let times = (now, now.saturating_add(limits::LOGIN_LIFETIME));
        spent.insert(login, (), Sender::of(peer).site(), times);
        Ok(())
    }

    /// Whether a login has ended.
    pub(super) fn has_ended(&self, login: &str) -> bool {
        self.spent.lock().owner_and_end_of_any_age(&login.to_owned()).is_some()
    }
}

#[cfg(test)]
mod tests;
