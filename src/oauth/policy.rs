//! The access policy: the rules of `MCP_ALLOW` and `MCP_DENY_CLIENTS`.

use super::deny::DenyList;
use super::provider::{IdentityProvider, Obstacle, ProviderError};
use crate::base::{AccessRules, AllowRule, Identity, Memberships, Secret, Subject, Who};
use crate::store::Grant;

/// The rules that the operator may change while the server runs. Immutable: a change replaces them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The rules of `MCP_ALLOW`: the people who may log in. Without one nobody is admitted.
    pub allow: Vec<AllowRule>,
    /// Clients that are refused, however they are known.
    pub denied: DenyList,
}

impl Rules {
    /// Whether GitHub has to be asked about groups.
    pub(super) fn has_groups(&self) -> bool {
        self.allow.iter().any(|rule| matches!(rule, AllowRule::Group(_)))
    }

    /// Whether these rules admit user and client of a grant, as far as can be told without asking GitHub (T13, D6). Service tokens are
    /// admitted without a rule in `MCP_ALLOW`: the operator has made them.
    pub(super) fn still_admit(&self, grant: &Grant) -> bool {
        let is_admitted = grant.subject.user().is_none() || self.has_groups() || self.names(grant.who());
        is_admitted && !self.denied.names_client_of(&grant.client)
    }

    /// Whether a rule admits this user without regard to groups.
    pub(super) fn names(&self, who: Who<'_>) -> bool {
        let who = Who { memberships: &Memberships::default(), ..who };
        self.allow.iter().any(|rule| rule.names(who) == Some(true))
    }

    /// Whether they admit this user, whose token this is. Asks the provider only if no other rule admits them.
    ///
    /// # Errors
    /// [`ProviderError`] if no rule admits the user, and the provider did not answer about one of them or named an obstacle.
    pub(super) fn admits(
        &self,
        identity: &Identity,
        token: &Secret<String>,
        provider: &dyn IdentityProvider,
    ) -> Result<bool, ProviderError> {
        if self.names(who(identity, &Memberships::default())) {
            return Ok(true);
        }
        let (mut unanswered, mut blocked) = (None, None);
        for rule in &self.allow {
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

fn who<'a>(Identity { user, login }: &'a Identity, memberships: &'a Memberships) -> Who<'a> {
    Who { subject: Subject::User(*user), login, memberships }
}

/// Whether the rules of one server admit this user, whose token this is, without regard to the policy, and the memberships by which they
/// decide. Asks the provider about those only that decide.
///
/// # Errors
/// [`ProviderError`] if it did not answer about one of them, or named an obstacle: nothing is decided then.
pub(super) fn memberships(
    access: &AccessRules,
    identity: &Identity,
    token: &Secret<String>,
    provider: &dyn IdentityProvider,
) -> Result<Option<Memberships>, ProviderError> {
    let (mut known, mut invited) = (Memberships::default(), None);
    loop {
        match access.rule_for(who(identity, &known)) {
            Ok(Some(_)) => return Ok(Some(known)),
            Ok(None) => return invited.map_or(Ok(None), Err),
            Err(group) => match provider.is_member(token, identity, &group) {
                Ok(is_member) => known.note(&group, is_member),
                // A pending invitation is no membership. Any other obstacle may hide one.
                Err(error @ ProviderError::Blocked(Obstacle::InvitationPending)) => {
                    known.note(&group, false);
                    invited = Some(error);
                }
                Err(error) => return Err(error),
            },
        }
    }
}

/// Whether one of these rules names the owner of a grant, without their memberships: `None` if one of those decides.
pub(super) fn names_owner(access: &AccessRules, grant: &Grant) -> Option<bool> {
    let rule = access.rule_for(Who { memberships: &Memberships::default(), ..grant.who() });
    rule.ok().map(|rule| rule.is_some())
}

#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;
