//! Rates that strangers may not exceed, each for itself and all together.
//!
//! What is kept of a sender is one moment: when its allowance will be whole again (the generic cell rate algorithm). The
//! number of senders that are kept is bounded, whoever sends.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::MutexGuard;
use std::time::Duration;

use super::limits;
use super::neighbour::Neighbour;
use crate::base::lock::Mutex;

/// So many at once, and as many again in every such time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many; above zero.
    pub count: u32,
    /// In what time.
    pub per: Duration,
}

impl Rate {
    /// How long one costs.
    fn step(self) -> Duration {
        self.per.checked_div(self.count).unwrap_or(self.per)
    }

    /// When the allowance is whole again after one more at `now`, or how long to wait if there is none left.
    pub(crate) fn spend(self, whole_again: Duration, now: Duration) -> Result<Duration, TooMany> {
        let next = whole_again.max(now).saturating_add(self.step());
        match next.checked_sub(now.saturating_add(self.per)) {
            Some(wait) if !wait.is_zero() => Err(TooMany { retry_after: wait.as_secs().saturating_add(1) }),
            Some(_) | None => Ok(next),
        }
    }
}

/// The allowance is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// When to try again, in seconds from now; at least one. For a Retry-After field.
    pub retry_after: u64,
}

/// A quota for each sender (or whatever else `K` tells apart), and one for all of them.
#[derive(Debug)]
pub struct RateLimit<K = Neighbour> {
    each: Rate,
    all: Rate,
    /// Guards who has spent what.
    spent: Mutex<Spent<K>>,
}

#[derive(Debug)]
struct Spent<K> {
    by_each: HashMap<K, Duration>,
    by_all: Duration,
}

impl RateLimit {
    /// Spends one of the sender's allowance at `now`, a time of [`super::clock::Clock::monotonic`]; of IPv6, one of its /48's as
    /// well, which has as much as [`limits::SENDERS_PER_SITE`] senders. Everybody who comes from one address of this machine, or
    /// through a Unix socket, is one sender: a proxy that nobody has named brings many.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was spent.
    pub fn spend(&self, peer: Option<IpAddr>, now: Duration) -> Result<(), TooMany> {
        self.spend_all(self.allowances(peer), now)
    }

    /// Whether [`RateLimit::spend`] would go through now.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn check(&self, peer: Option<IpAddr>, now: Duration) -> Result<(), TooMany> {
        self.after_one_more(&self.lock(), self.allowances(peer), now).map(drop)
    }

    fn allowances(&self, peer: Option<IpAddr>) -> impl Iterator<Item = (Neighbour, Rate)> + use<> {
        let (sender, each) = (Neighbour::of(peer), self.each);
        let of_site = Rate { count: each.count.saturating_mul(limits::SENDERS_PER_SITE), ..each };
        std::iter::once((sender, each)).chain(sender.site().map(|site| (site, of_site)))
    }
}

impl<K: Clone + Eq + Hash> RateLimit<K> {
    /// A limit that nobody has touched.
    pub fn new(each: Rate, all: Rate) -> RateLimit<K> {
        let spent = Spent { by_each: HashMap::new(), by_all: Duration::ZERO };
        RateLimit { each, all, spent: Mutex::new(spent) }
    }

    /// Spends one of the allowance of `key`, or of all only.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was spent.
    pub fn spend_as(&self, key: Option<K>, now: Duration) -> Result<(), TooMany> {
        self.spend_all(key.map(|key| (key, self.each)).into_iter(), now)
    }

    fn spend_all(&self, keys: impl Iterator<Item = (K, Rate)>, now: Duration) -> Result<(), TooMany> {
        let mut spent = self.lock();
        let (by_all, by_each) = self.after_one_more(&spent, keys, now)?;
        spent.by_all = by_all;
        for (key, whole_again) in by_each {
            spent.make_room(now);
            spent.by_each.insert(key, whole_again);
        }
        Ok(())
    }

    /// When the allowance of all, and those of `keys`, are whole again.
    fn after_one_more(
        &self,
        spent: &Spent<K>,
        keys: impl Iterator<Item = (K, Rate)>,
        now: Duration,
    ) -> Result<(Duration, Vec<(K, Duration)>), TooMany> {
        let by_all = self.all.spend(spent.by_all, now)?;
        let by_each = keys.map(|(key, rate)| {
            let whole_again = spent.by_each.get(&key).copied().unwrap_or_default();
            Ok((key, rate.spend(whole_again, now)?))
        });
        Ok((by_all, by_each.collect::<Result<_, _>>()?))
    }

    fn lock(&self) -> MutexGuard<'_, Spent<K>> {
        self.spent.lock()
    }
}

impl<K: Clone + Eq + Hash> Spent<K> {
    /// Forgets those whose allowance is whole, and if that is not enough the one who is nearest to it.
    fn make_room(&mut self, now: Duration) {
        if self.by_each.len() < limits::RATE_SENDERS {
            return;
        }
        self.by_each.retain(|_, whole_again| *whole_again > now);
        if self.by_each.len() >= limits::RATE_SENDERS
            && let Some(nearest) =
                self.by_each.iter().min_by_key(|(_, time)| **time).map(|(key, _)| key.clone())
        {
            self.by_each.remove(&nearest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limit(each: u32, all: u32) -> RateLimit {
        RateLimit::new(Rate { count: each, per: HOUR }, Rate { count: all, per: HOUR })
    }

    fn peer(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    /// Limit and limit plus one, for one sender.
    #[test]
    fn a_sender_has_its_quota_and_no_more() {
        let limit = limit(20, 300);
        for _ in 0..20 {
            assert_eq!(limit.spend(peer(1), HOUR), Ok(()));
        }
        assert_eq!(limit.spend(peer(1), HOUR), Err(TooMany { retry_after: 181 }));
        assert_eq!(limit.spend(peer(2), HOUR), Ok(()));
        assert_eq!(limit.spend(peer(1), HOUR + Duration::from_secs(180)), Ok(()));
        assert!(limit.check(peer(1), HOUR + Duration::from_secs(180)).is_err());
        assert_eq!(limit.check(peer(1), HOUR + Duration::from_secs(360)), Ok(()));
    }

    #[test]
    fn all_together_have_a_quota_too() {
        let limit = limit(20, 40);
        for sender in 0..4 {
            for _ in 0..10 {
                assert_eq!(limit.spend(peer(sender), HOUR), Ok(()));
            }
        }
        assert!(limit.spend(peer(9), HOUR).is_err());
        assert!(limit.spend(None, HOUR).is_err());
    }

    /// H10: a proxy that nobody has named, on loopback or a Unix socket, is one sender.
    #[test]
    fn this_machine_and_a_unix_socket_are_a_sender_each() {
        for peer in [None, Some("127.0.0.1"), Some("::1")].map(|peer| peer.and_then(|text| text.parse().ok()))
        {
            let limit = limit(2, 40);
            assert_eq!([limit.spend(peer, HOUR), limit.spend(peer, HOUR)], [Ok(()), Ok(())], "{peer:?}");
            assert!(limit.spend(peer, HOUR).is_err() && limit.check(peer, HOUR).is_err(), "{peer:?}");
            assert_eq!(limit.spend("192.0.2.1".parse().ok(), HOUR), Ok(()), "{peer:?}");
        }
    }

    /// A site has 65,536 senders of IPv6, and four senders' worth.
    #[test]
    fn a_site_of_ipv6_has_a_quota_too() {
        let limit = limit(20, u32::MAX);
        let spend = |site: u16, sender: u16| {
            limit.spend(Some(IpAddr::from([0x2001, 0xdb8, site, sender, 0, 0, 0, 1])), HOUR).is_ok()
        };
        assert_eq!((0..1000).filter(|sender| spend(0, *sender)).count(), 80);
        assert_eq!((0..1000).filter(|_| spend(1, 0)).count(), 20);
        assert!(spend(1, 1));
    }

    /// S5: however many senders there are, what is kept of them is bounded.
    #[test]
    fn senders_are_forgotten() {
        let limit = limit(20, u32::MAX);
        for number in 0..u32::try_from(limits::RATE_SENDERS).unwrap() + 1000 {
            let [_, b, c, d] = number.to_be_bytes();
            limit.spend(Some(IpAddr::from([10, b, c, d])), HOUR).unwrap();
        }
        assert_eq!(limit.spent.lock().by_each.len(), limits::RATE_SENDERS);
        limit.spend(peer(1), 3 * HOUR).unwrap();
        assert_eq!(limit.spent.lock().by_each.len(), 1);
    }
}
