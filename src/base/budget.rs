//! Bytes that are kept for users: a bound for each of them, and for all together.

use std::sync::Arc;

use super::identity::UserId;
use super::limits;
use super::quota::{self, Quota};

/// Memory budget: bytes per user and in total. Each user may hold [`limits::FLOOR_BYTES`] whatever others hold: a few who
/// hoard break nobody else's streams.
pub type Budget = Quota<UserId>;

/// Bytes that are taken, until dropped.
pub type Held = quota::Held<UserId>;

/// One user's part of a budget. Clones are the same part.
#[derive(Clone, Debug)]
pub struct Share {
    budget: Arc<Budget>,
    user: UserId,
}

impl Budget {
    /// A budget of `each` bytes per user and `all` bytes in total.
    pub fn bytes((each, all): (usize, usize)) -> Arc<Budget> {
        Arc::new(Quota::new((each, all)).floor(limits::FLOOR_BYTES))
    }

    /// What `user` may take.
    pub fn share(self: &Arc<Budget>, user: UserId) -> Share {
        Share { budget: Arc::clone(self), user }
    }
}

impl Share {
    /// Takes `bytes`; `None` if the user, or all together, would have more than they may.
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        self.budget.hold(self.user, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M17: at the limit and one above, for one user and for all; what is dropped is given back. A little is everybody's.
    #[test]
    fn a_user_has_a_share_and_all_have_a_budget() {
        let some = limits::FLOOR_BYTES;
        let budget = Budget::bytes((10 * some, 25 * some));
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
        assert!(budget.is_unused());
    }
}
