//! What the operator may change while the server runs: who may come in, and which clients are refused.

use super::deny::DenyList;
use super::policy::Policy;
use crate::store::Grant;

/// Both, as they hold at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Says who may come in.
    pub policy: Policy,
    /// Says which clients are refused, however they are known.
    pub denied: DenyList,
}

impl Rules {
    /// Whether tokens of a grant that is not over are still good, as far as can be said without GitHub (T13, D6).
    pub(super) fn still_admit(&self, grant: &Grant) -> bool {
        self.policy.may_still_admit(&grant.identity()) && !self.denied.names_client_of(&grant.client)
    }
}

#[cfg(test)]
mod tests;
