//! Bytes that are kept for users, of which there is only so much: for each of them, and for all together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::identity::UserId;
use super::limits;

/// So many bytes and no more.
#[derive(Debug)]
pub struct Budget {
    each: usize,
    all: usize,
    /// Guards what is taken; whoever holds nothing costs nothing.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    by_each: HashMap<UserId, usize>,
    by_all: usize,
}

/// One user's part of a budget. Clones are the same part.
#[derive(Clone, Debug)]
pub struct Share {
    budget: Arc<Budget>,
    user: UserId,
}

/// Bytes that are taken, until dropped.
#[derive(Debug)]
pub struct Held {
    share: Share,
    bytes: usize,
}

impl Budget {
    /// So many bytes for each user, and for all of them together; [`limits::FLOOR_BYTES`] are everybody's, whatever others hold.
    #[must_use]
    pub fn new((each, all): (usize, usize)) -> Arc<Budget> {
        Arc::new(Budget { each, all, taken: Mutex::default() })
    }

    /// What `user` may take.
    #[must_use]
    pub fn share(self: &Arc<Budget>, user: UserId) -> Share {
        Share { budget: Arc::clone(self), user }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes `bytes`; `None` if the user, or all together, would have more than they may. What all hold does not count against
    /// a user who would hold little: a few who hoard break nobody else's streams.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        let mut taken = self.budget.taken();
        let by_all = taken.by_all.saturating_add(bytes);
        let by_each = taken.by_each.get(&self.user).copied().unwrap_or_default().saturating_add(bytes);
        let has_room = by_all <= self.budget.all || by_each <= limits::FLOOR_BYTES;
        if by_each > self.budget.each || !has_room {
            return None;
        }
        taken.by_all = by_all;
        taken.by_each.insert(self.user, by_each);
        Some(Held { share: self.clone(), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.share.budget.taken();
        taken.by_all = taken.by_all.saturating_sub(self.bytes);
        if let Some(by_each) = taken.by_each.get_mut(&self.share.user) {
            *by_each = by_each.saturating_sub(self.bytes);
            if *by_each == 0 {
                taken.by_each.remove(&self.share.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M17: at the limit and one above, for one user and for all; what is dropped is given back. A little is everybody's.
    #[test]
    fn a_user_has_a_share_and_all_have_a_budget() {
        let some = limits::FLOOR_BYTES;
        let budget = Budget::new((10 * some, 25 * some));
        let hold = |user, bytes| budget.share(UserId(user)).hold(bytes);
        let mine = [hold(1, 4 * some).unwrap(), hold(1, 6 * some).unwrap()];
        assert!(hold(1, 1).is_none());
        let other = hold(2, 10 * some).unwrap();
        assert!(hold(3, 5 * some + 1).is_none());
        let third = hold(3, 5 * some).unwrap();
        assert!(hold(4, some + 1).is_none() && hold(3, 1).is_none());
        let little = [hold(4, some - 1).unwrap(), hold(4, 1).unwrap()];
        assert!(hold(4, 1).is_none());
        drop((mine, little));
        assert!(hold(1, 10 * some + 1).is_none());
        drop((hold(1, 10 * some).unwrap(), other, third));
        assert!(budget.taken().by_each.is_empty() && budget.taken().by_all == 0);
    }
}
