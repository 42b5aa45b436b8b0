//! Memory budget for the bodies of all connections of a door.

use std::sync::Arc;

use crate::base::limits;
use crate::base::quota::{Held, Quota};

/// Bytes of bodies in memory. Small bodies, which unauthenticated clients may send, have a budget of their own: large ones, however
/// slow, keep nobody from logging in.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    small: Arc<Quota<()>>,
    large: Arc<Quota<()>>,
}

impl BodyBudget {
    /// Budgets for small and for large bodies, in bytes.
    pub(crate) fn new(small: usize, large: usize) -> BodyBudget {
        BodyBudget { small: Quota::in_total(small), large: Quota::in_total(large) }
    }

    /// An empty share of the budget for a body of at most `limit` bytes. It grows with the bytes that arrive.
    pub(crate) fn share(&self, limit: usize) -> Held<()> {
        let quota = if limit <= limits::UNCHECKED_BODY_BYTES { &self.small } else { &self.large };
        quota.nothing(())
    }
}
