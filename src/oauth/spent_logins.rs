//! Logins that are over. A login is decided once, by a no on our own page or by what comes back from GitHub, and whichever comes
//! first ends it here (C4, C10).
//!
//! Kept of each is the hash that its sealed values carry, as long as those would open. A sender who ends many pushes out their own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::limits;
use crate::base::lock::Mutex;
use crate::base::neighbour::Neighbour;

/// The logins that are over.
#[derive(Default)]
pub(super) struct SpentLogins {
    /// Guards the logins, by their hashes.
    spent: Mutex<HashMap<String, Spent>>,
}

struct Spent {
    sender: Neighbour,
    /// When it can be forgotten.
    forget: Duration,
}

impl SpentLogins {
    /// Ends the login with this hash at `now`, a time of the monotonic clock. Returns whether it was still open: exactly one of those who end it
    /// at the same time is told so.
    pub(super) fn end(&self, login: &str, peer: Option<IpAddr>, now: Duration) -> bool {
        let mut spent = self.spent.lock();
        if spent.contains_key(login) {
            return false;
        }
        let sender = network(peer);
        if spent.len() >= limits::SPENT_LOGINS.0 {
            spent.retain(|_, other| other.forget > now);
        }
        if let Some(loser) = loser(&spent, sender) {
            let theirs = spent.iter().filter(|(_, other)| other.sender == loser);
            let oldest = theirs.min_by_key(|(_, other)| other.forget).map(|(hash, _)| hash.clone());
            oldest.and_then(|hash| spent.remove(&hash));
        }
        let forget = now.saturating_add(limits::LOGIN_LIFETIME);
        spent.insert(login.to_owned(), Spent { sender, forget });
        true
    }

    /// Whether a login is over.
    pub(super) fn has_ended(&self, login: &str) -> bool {
        self.spent.lock().contains_key(login)
    }
}

/// Whose oldest login makes room for one more of `sender`, if there is no room: their own, else that of the sender with most.
fn loser(spent: &HashMap<String, Spent>, sender: Neighbour) -> Option<Neighbour> {
    let (of_sender, of_all) = limits::SPENT_LOGINS;
    if spent.values().filter(|other| other.sender == sender).count() >= of_sender {
        return Some(sender);
    }
    if spent.len() < of_all {
        return None;
    }
    let mut counts: HashMap<Neighbour, usize> = HashMap::new();
    for other in spent.values() {
        let count = counts.entry(other.sender).or_default();
        *count = count.saturating_add(1);
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(sender, _)| sender)
}

/// An IPv6 /48 is one site: its 65,536 networks must not count as that many senders.
fn network(peer: Option<IpAddr>) -> Neighbour {
    let sender = Neighbour::of(peer);
    sender.site().unwrap_or(sender)
}

#[cfg(test)]
mod tests;
