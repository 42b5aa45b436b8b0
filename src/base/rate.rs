//! Rate limits: per sender or another key, and in total.
//!
//! One time is kept per key: when its allowance will be full again (the generic cell rate algorithm). The number of keys is bounded.

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
    /// The size of the burst; above zero.
    count: u32,
    /// The time in which it is renewed.
    per: Duration,
}

impl Rate {
    /// The time in which one unit is renewed.
    fn step(self) -> Duration {
        self.per.checked_div(self.count).unwrap_or(self.per)
    }

    /// The time at which the allowance is full again after one more unit at `now`, or the time to wait if it is used up.
    fn spend(self, whole_again: Duration, now: Duration) -> Result<Duration, TooMany> {
        // What was spent earlier is renewed at `whole_again`, or is by now; this unit takes one step more. If the sum is further away
        // than `per`, in which all units are renewed, more than all would be spent.
        let next = whole_again.max(now).saturating_add(self.step());
        let wait = next.saturating_sub(now.saturating_add(self.per));
        if wait.is_zero() { Ok(next) } else { Err(TooMany { retry_after: wait.as_secs().saturating_add(1) }) }
    }
}

/// The allowance is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The time to wait (seconds), at least one; for a Retry-After field.
    pub retry_after: u64,
}

/// A rate per key.
#[derive(Debug)]
pub struct RateLimit<K = Sender> {
    rate: Rate,
    /// Guards the keys whose allowance is not full; each entry expires when it is full again.
    spent: Mutex<BoundedMap<K, ()>>,
}

impl<K: Clone + Eq + Hash> RateLimit<K> {
    /// A burst of `count` per key, renewed in every `per`. Tracks [`limits::RATE_KEYS`] keys; the one nearest to a full allowance is
    /// evicted first.
    pub fn new(count: u32, per: Duration) -> RateLimit<K> {
        let rate = Rate { count, per };
        RateLimit { rate, spent: Mutex::new(BoundedMap::new(limits::RATE_KEYS)) }
    }

    /// Spends one unit of the allowance of `key` at `now`, a time of [`super::clock::Clock::monotonic`].
    ///
    /// # Errors
    /// [`TooMany`]; nothing was spent.
    pub fn spend_as(&self, key: K, now: Duration) -> Result<(), TooMany> {
        self.spend_all([(key, self.rate)], now)
    }

    /// Whether [`RateLimit::spend_as`] would succeed now.
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
    /// Spends one unit of the sender's allowance; for IPv6 also one of its /48, whose allowance is that of [`limits::SENDERS_PER_SITE`]
    /// senders. All clients at one loopback address, or at a Unix socket, are one sender, also if they are behind a proxy that the operator
    /// has not configured.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was spent.
    pub fn spend(&self, peer: Option<IpAddr>, now: Duration) -> Result<(), TooMany> {
        self.spend_all(self.allowances(peer), now)
    }

    /// Whether [`RateLimit::spend`] would succeed now.
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

/// The times at which the allowances of `keys` are full again after one more unit.
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
