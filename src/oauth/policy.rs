//! The access policy: the rules of `MCP_ALLOW` and `MCP_DENY_CLIENTS`.

use super::deny::DenyList;
use super::provider::{Group, Identity, IdentityProvider, ProviderError};
use crate::base::identity::UserId;
use crate::base::secret::Secret;
use crate::store::Grant;

/// One rule of `MCP_ALLOW`. A person who satisfies one of them is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowRule {
    /// Everybody with an account at the provider.
    Any,
    /// The user with this login, compared without case. A login can pass to another account; [`AllowRule::Id`] cannot.
    User(String),
    /// The user with this number.
    Id(UserId),
    /// Active members of this group.
    Group(Group),
}

/// The rules of `MCP_ALLOW`; without one nobody is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<AllowRule>,
}

impl Policy {
    /// A policy of these rules.
    pub fn new(rules: Vec<AllowRule>) -> Policy {
        Policy { rules }
    }

    /// Whether GitHub has to be asked about groups.
    pub fn has_groups(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule, AllowRule::Group(_)))
    }

    /// The scope that the policy needs at GitHub: `read:org` for groups, else none (G6).
    pub fn provider_scope(&self) -> &'static str {
        if self.has_groups() { "read:org" } else { "" }
    }

    /// Whether a user who was admitted before may still be, as far as can be told without asking GitHub.
    pub fn may_still_admit(&self, identity: &Identity) -> bool {
        self.has_groups() || self.names(identity)
    }

    /// Whether a rule admits this user without regard to groups.
    pub fn names(&self, identity: &Identity) -> bool {
        self.rules.iter().any(|rule| match rule {
            AllowRule::Any => true,
            AllowRule::User(login) => login.eq_ignore_ascii_case(&identity.login),
            AllowRule::Id(id) => *id == identity.user,
            AllowRule::Group(_) => false,
        })
    }

    /// Whether the policy admits this user, whose token this is. Asks the provider only if no other rule admits them.
    ///
    /// # Errors
    /// [`ProviderError`] if no rule admits the user, and the provider did not answer about one of them or named an obstacle.
    pub fn admits(
        &self,
        identity: &Identity,
        token: &Secret<String>,
        provider: &dyn IdentityProvider,
    ) -> Result<bool, ProviderError> {
        if self.names(identity) {
            return Ok(true);
        }
        let (mut unanswered, mut blocked) = (None, None);
        for rule in &self.rules {
            let AllowRule::Group(group) = rule else { continue };
            match provider.is_member(token, identity, group) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error @ ProviderError::Blocked(_)) => blocked = Some(error),
                Err(error) => unanswered = Some(error),
            }
        }
        unanswered.or(blocked).map_or(Ok(false), Err)
    }
}

/// The rules that the operator may change while the server runs. Immutable: a change replaces them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The people who may log in.
    pub policy: Policy,
    /// Clients that are refused, however they are known.
    pub denied: DenyList,
}

impl Rules {
    /// Whether these rules admit user and client of a grant, as far as can be told without asking GitHub (T13, D6). Whom the operator
    /// has given a service token, `MCP_ALLOW` need not name.
    pub(super) fn still_admit(&self, grant: &Grant) -> bool {
        grant.identity().is_none_or(|identity| self.policy.may_still_admit(&identity))
            && !self.denied.names_client_of(&grant.client)
    }
}

#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;
