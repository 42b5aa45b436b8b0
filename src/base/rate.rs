//! Rate limits for strangers: per sender or another key, and in total.
//!
//! One moment is kept per key: when its allowance will be whole again (the generic cell rate algorithm). The number of keys
//! is bounded.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use super::bounded::BoundedMap;
use super::limits;
use super::lock::Mutex;
use super::sender::Sender;

/// A burst of `count`, renewed in every `per`.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// How many; above zero.
    count: u32,
    /// In what time.
    per: Duration,
}

impl Rate {
    /// The time that one costs.
    fn step(self) -> Duration {
        self.per.checked_div(self.count).unwrap_or(self.per)
    }

    /// When the allowance is whole again after one more at `now`, or how long to wait if there is none left.
    fn spend(self, whole_again: Duration, now: Duration) -> Result<Duration, TooMany> {
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

/// A rate per key.
#[derive(Debug)]
pub struct RateLimit<K = Sender> {
    rate: Rate,
    /// Guards the keys whose allowance is not whole; each entry ends when it is whole again.
    spent: Mutex<BoundedMap<K, ()>>,
}

impl<K: Clone + Eq + Hash> RateLimit<K> {
    /// A burst of `count` per key, renewed in every `per`, of [`limits::RATE_KEYS`] keys: those that are nearest to a whole allowance are forgotten first.
    pub fn new(count: u32, per: Duration) -> RateLimit<K> {
        let rate = Rate { count, per };
        RateLimit { rate, spent: Mutex::new(BoundedMap::new(limits::RATE_KEYS)) }
    }

    /// Spends one of the allowance of `key` at `now`, a time of [`super::clock::Clock::monotonic`].
    ///
    /// # Errors
    /// [`TooMany`]; nothing was spent.
    pub fn spend_as(&self, key: K, now: Duration) -> Result<(), TooMany> {
        self.spend_all([(key, self.rate)], now)
    }

    /// Whether [`RateLimit::spend_as`] would go through now.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn check_as(&self, key: K, now: Duration) -> Result<(), TooMany> {
        after_one_more(&self.spent.lock(), [(key, self.rate)], now).map(drop)
    }

    fn spend_all(&self, keys: impl IntoIterator<Item = (K, Rate)>, now: Duration) -> Result<(), TooMany> {
        let mut spent = self.spent.lock();
        for (key, whole_again) in after_one_more(&spent, keys, now)? {
            spent.insert(key, (), (), (now, whole_again));
        }
        Ok(())
    }
}

impl RateLimit {
    /// Spends one of the sender's allowance; of IPv6, one of its /48's as well, which has as much as
    /// [`limits::SENDERS_PER_SITE`] senders. Everybody who comes from one address of this machine, or through a Unix socket,
    /// is one sender: an unnamed proxy brings many.
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
        after_one_more(&self.spent.lock(), self.allowances(peer), now).map(drop)
    }

    fn allowances(&self, peer: Option<IpAddr>) -> impl Iterator<Item = (Sender, Rate)> + use<> {
        let (sender, rate) = (Sender::of(peer), self.rate);
        let of_site = Rate { count: rate.count.saturating_mul(limits::SENDERS_PER_SITE), ..rate };
        let site = Some(sender.site()).filter(|site| *site != sender);
        std::iter::once((sender, rate)).chain(site.map(|site| (site, of_site)))
    }
}

/// When the allowances of `keys` are whole again after one more.
fn after_one_more<K: Clone + Eq + Hash>(
    spent: &BoundedMap<K, ()>,
    keys: impl IntoIterator<Item = (K, Rate)>,
    now: Duration,
) -> Result<Vec<(K, Duration)>, TooMany> {
    let after = |(key, rate): (K, Rate)| {
        let whole_again = spent.owner_and_end_of_any_age(&key).map_or(now, |(_, ends)| ends);
        Ok((key, rate.spend(whole_again, now)?))
    };
    keys.into_iter().map(after).collect()
}

#[cfg(test)]
mod tests;
