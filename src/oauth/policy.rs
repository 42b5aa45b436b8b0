//! Who may log in.

use super::provider::{Group, Identity, IdentityProvider, ProviderError};
use crate::base::identity::UserId;
use crate::base::secret::Secret;

/// One rule of `MCP_ALLOW`; whoever satisfies one of them is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowRule {
    /// Everybody with an account at the provider.
    Any,
    /// The user with this login, in any case. Logins change hands; [`AllowRule::Id`] does not.
    User(String),
    /// The user with this number.
    Id(UserId),
    /// Active members of this group.
    Group(Group),
}

/// Everything that was chosen; without a rule nobody is let in.
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

    /// What must be asked of GitHub to decide: `read:org` for groups, else nothing (G6).
    pub fn provider_scope(&self) -> &'static str {
        if self.has_groups() { "read:org" } else { "" }
    }

    /// Whether a user who was let in once may be let in still, as far as can be said without asking GitHub.
    pub fn may_still_admit(&self, identity: &Identity) -> bool {
        self.has_groups() || self.names(identity)
    }

    /// Whether this user is let in by name, whatever their groups are.
    pub fn names(&self, identity: &Identity) -> bool {
        self.rules.iter().any(|rule| match rule {
            AllowRule::Any => true,
            AllowRule::User(login) => login.eq_ignore_ascii_case(&identity.login),
            AllowRule::Id(id) => *id == identity.user,
            AllowRule::Group(_) => false,
        })
    }

    /// Whether this user, whose token this is, may come in. The provider is only asked if no cheaper rule says yes.
    ///
    /// # Errors
    /// [`ProviderError`] if no rule said yes and the provider could not be asked about one of them, or has said what stands in
    /// the way.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::fake::FakeProvider;
    use crate::oauth::provider::Obstacle;

    fn admits(rules: &[AllowRule], provider: &FakeProvider) -> Result<bool, ProviderError> {
        let identity = Identity { user: UserId(1), login: "Octocat".to_owned() };
        Policy::new(rules.to_vec()).admits(&identity, &Secret::new("gho_x".to_owned()), provider)
    }

    fn org(name: &str) -> AllowRule {
        AllowRule::Group(Group::Org(name.to_owned()))
    }

    /// G5: the default is no.
    #[test]
    fn nobody_is_let_in_without_a_rule() {
        assert_eq!(admits(&[], &FakeProvider::default()), Ok(false));
    }

    /// G4: logins are compared without ASCII case.
    #[test]
    fn a_user_rule_names_one_login() {
        let provider = FakeProvider::default();
        assert_eq!(admits(&[AllowRule::User("octocat".to_owned())], &provider), Ok(true));
        assert_eq!(admits(&[AllowRule::User("octocat2".to_owned())], &provider), Ok(false));
        assert_eq!(admits(&[AllowRule::Id(UserId(1))], &provider), Ok(true));
        assert_eq!(admits(&[AllowRule::Id(UserId(2))], &provider), Ok(false));
        assert_eq!(admits(&[AllowRule::Any], &provider), Ok(true));
    }

    /// G5: only a clear yes is a yes.
    #[test]
    fn a_group_rule_asks_the_provider() {
        let provider = FakeProvider::default();
        provider.member_of(&["acme"]);
        assert_eq!(admits(&[org("other"), org("acme")], &provider), Ok(true));
        assert_eq!(admits(&[org("other")], &provider), Ok(false));
        provider.fail_with(ProviderError::Unreachable);
        assert_eq!(admits(&[org("acme")], &provider), Err(ProviderError::Unreachable));
        assert_eq!(admits(&[org("acme"), AllowRule::Any], &provider), Ok(true));
        let blocked = ProviderError::Blocked(Obstacle::SingleSignOn);
        provider.fail_with(blocked);
        assert_eq!(admits(&[org("acme")], &provider), Err(blocked));
    }

    #[test]
    fn the_provider_is_asked_for_no_more_than_the_rules_need() {
        assert_eq!(Policy::new(vec![AllowRule::User("a".to_owned())]).provider_scope(), "");
        assert_eq!(Policy::new(vec![AllowRule::Any, org("acme")]).provider_scope(), "read:org");
    }
}
