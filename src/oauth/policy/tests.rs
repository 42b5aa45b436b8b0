use super::*;
use crate::base::{Group, UserId};
use crate::oauth::fake::FakeProvider;
use crate::oauth::provider::Obstacle;

fn admits(rules: &[AllowRule], provider: &FakeProvider) -> Result<bool, ProviderError> {
    let identity = Identity { user: UserId(1), login: "Octocat".to_owned() };
    let rules = Rules { allow: rules.to_vec(), ..Rules::default() };
    rules.admits(&identity, &Secret::new("gho_x".to_owned()), provider)
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
fn a_group_rule_needs_a_confirmed_membership() {
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
