//! Logins that are over. A login is decided once, by a no on our own page or by what comes back from GitHub, and whichever comes
//! first ends it here (C4, C10).
//!
//! Kept of each is the hash that its sealed values carry, as long as those would open. A sender who ends many pushes out their own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::browser::BrowserBinding;
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
    /// Ends a login at `now`, a time of the monotonic clock. Returns whether it was still open: exactly one of those who end it
    /// at the same time is told so.
    pub(super) fn end(&self, login: &BrowserBinding, peer: Option<IpAddr>, now: Duration) -> bool {
        let mut spent = self.spent.lock();
        if spent.contains_key(login.hash()) {
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
        spent.insert(login.hash().to_owned(), Spent { sender, forget });
        true
    }

    /// Whether a login is over.
    pub(super) fn has_ended(&self, login: &BrowserBinding) -> bool {
        self.spent.lock().contains_key(login.hash())
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
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    /// S5: however many logins end, what is kept of them is bounded, and a person's own stays.
    #[test]
    fn strangers_who_end_many_logins_push_out_nobody_else() {
        let (of_sender, of_all) = limits::SPENT_LOGINS;
        let strangers: [&dyn Fn(usize) -> String; 3] =
            [&|_| "192.0.2.1".to_owned(), &|number| format!("192.0.2.{}", 1 + number % 100), &|number| {
                format!("2001:db8:1:{number:x}::1")
            }];
        for address in strangers {
            let spent = SpentLogins::default();
            let person = BrowserBinding::fake(usize::MAX);
            assert!(spent.end(&person, Some(IpAddr::from([198, 51, 100, 1])), NOW));
            for number in 0..4120 {
                let peer = address(number).parse().unwrap();
                let later = NOW + Duration::from_millis(u64::try_from(number).unwrap());
                assert!(spent.end(&BrowserBinding::fake(number), Some(peer), later));
                assert!(spent.spent.lock().len() <= of_all);
            }
            assert!(spent.has_ended(&person));
            assert!(!spent.end(&person, None, NOW));
            let kept = (0..4120).filter(|number| spent.has_ended(&BrowserBinding::fake(*number))).count();
            assert!((of_sender..of_all).contains(&kept), "{kept}");
            assert!(spent.has_ended(&BrowserBinding::fake(4119)));
        }
    }

    /// C10: a login is remembered as long as its sealed values open.
    #[test]
    fn a_login_is_remembered_as_long_as_it_could_be_used() {
        let spent = SpentLogins::default();
        let login = BrowserBinding::fake;
        assert!(spent.end(&login(1), None, NOW));
        let end = NOW + limits::LOGIN_LIFETIME;
        let peer = Some(IpAddr::from([192, 0, 2, 1]));
        let others = |now| (2..514).filter(|number| spent.end(&login(*number), peer, now)).count();
        assert_eq!(others(end - Duration::from_nanos(1)), 512);
        assert!(spent.has_ended(&login(1)));
        assert!(spent.end(&login(600), peer, end) && !spent.has_ended(&login(1)));
    }
}
