//! The policy, asked again at each refresh.

use std::time::Duration;

use super::tests::{error, invalid_grant};
use super::*;
use crate::base::Clock;
use crate::oauth::fake::{self, Browser, VERIFIER, tokens};

/// A server that lets members of `acme` in, over the same table.
fn for_members(fixture: &fake::Fixture) -> crate::oauth::AuthorizationServer {
    let group = crate::base::Group::Org("acme".to_owned());
    fake::server_with(fixture, vec![crate::base::AllowRule::Group(group)])
}

/// T13: a person who has left is logged out at the next refresh, a person who has not is not.
#[test]
fn the_policy_is_asked_again_at_each_refresh() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    fixture.provider.member_of(&["acme"]);
    let mut browser = Browser::new(&fixture);
    let pair = tokens(&{
        let code = browser.code();
        browser.redeem(&code, &[])
    });
    fixture.provider.identity(583_231, "renamed");
    let pair = tokens(&browser.refresh(&pair.refresh));
    assert_eq!(fixture.grants.list().unwrap()[0].login, "renamed");
    fixture.provider.member_of(&[]);
    assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
    assert!(fixture.grants.list().unwrap().is_empty());
}

/// T13: a person who is taken out of the rules between GitHub's answer and the code's redemption gets no tokens.
#[test]
fn a_code_of_a_person_who_is_not_let_in_any_more_gives_no_tokens() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let hubot = vec![crate::base::AllowRule::User("hubot".to_owned())];
    fixture.server.grants.change_rules(crate::oauth::Rules { allow: hubot, ..Default::default() });
    let wrong = VERIFIER.replace('d', "e");
    assert_eq!(error(&browser.redeem(&code, &[("code_verifier", &wrong)])), invalid_grant());
    assert_eq!(fixture.grants.list().unwrap().len(), 1);
    assert_eq!(error(&browser.redeem(&code, &[])), invalid_grant());
    assert_eq!((fixture.grants.list().unwrap().len(), fixture.provider.discarded()), (0, 1));
}

/// T13: so is it when a token that was replaced is used late, or whoever has left would stay for another hour.
#[test]
fn the_policy_is_asked_when_a_replaced_token_is_used_late() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    fixture.provider.member_of(&["acme"]);
    let mut browser = Browser::new(&fixture);
    let first = browser.tokens();
    tokens(&browser.refresh(&first.refresh));
    fixture.provider.member_of(&[]);
    fixture.clock.advance(limits::REFRESH_RETRY);
    tokens(&browser.refresh(&first.refresh));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(error(&browser.refresh(&first.refresh)), invalid_grant());
    assert!(fixture.grants.list().unwrap().is_empty());
}

/// G6: a refresh that finds its token reused by the time it may ask GitHub leaves its place to the end of the grant, which gives
/// GitHub's token back.
#[test]
fn a_reuse_that_is_found_before_github_is_asked_gives_the_token_back() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    fixture.provider.member_of(&["acme"]);
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    let grant = fixture.grants.list().unwrap()[0].clone();
    let upstreams = &fixture.server.token.upstreams;
    // The refresh gets the last of its user's places.
    let _others: Vec<_> =
        (1..limits::REFRESH_PLACES.0).map(|_| upstreams.places.take(grant.subject).unwrap()).collect();
    let lock = upstreams.refresh_locks.take(grant.id).unwrap();
    let refused = std::thread::scope(|scope| {
        let refresh = scope.spawn(|| error(&browser.refresh(&pair.refresh)));
        while upstreams.refresh_locks.queue() == 0 {
            std::thread::yield_now();
        }
        let stage = Stage::Live { generation: 2, rotated_at: fixture.clock.now() };
        fixture.grants.update(&Grant { stage, ..(*grant).clone() }).unwrap();
        drop(lock);
        refresh.join().unwrap()
    });
    assert_eq!(refused, invalid_grant());
    assert_eq!((fixture.grants.list().unwrap().len(), fixture.provider.discarded()), (0, 1));
}

/// T13: a login that changed hands does not let its new owner stay.
#[test]
fn a_refresh_is_refused_if_the_login_has_changed_hands() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    fixture.provider.member_of(&["acme"]);
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    fixture.provider.identity(7, "octocat");
    assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
}

/// T13: while GitHub does not answer, the last yes counts for a day; then nobody is logged out, but nobody is let on.
#[test]
fn an_outage_of_github_is_bridged_for_a_day() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    fixture.provider.member_of(&["acme"]);
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    fixture.provider.fail_with(ProviderError::Unreachable);
    fixture.clock.advance(limits::POLICY_GRACE);
    let pair = tokens(&browser.refresh(&pair.refresh));
    fixture.clock.go_back(limits::POLICY_GRACE * 3);
    assert_eq!(error(&browser.refresh(&pair.refresh)), (503, "temporarily_unavailable".to_owned()), "T18");
    fixture.clock.go_ahead(limits::POLICY_GRACE * 3 + Duration::from_secs(1));
    assert_eq!(error(&browser.refresh(&pair.refresh)), (503, "temporarily_unavailable".to_owned()));
    fixture.provider.recover();
    assert_eq!(browser.refresh(&pair.refresh).status(), 200);
}

/// T13: withdrawing the app's authorization at GitHub ends the grant.
#[test]
fn a_refresh_is_refused_if_github_refuses_the_token() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    fixture.provider.member_of(&["acme"]);
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    fixture.provider.fail_with(ProviderError::Refused);
    assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
}

/// T13, M4: a rule that names nobody any more ends what it had let in, at the next request.
#[test]
fn a_user_removed_from_the_rules_is_refused_at_once() {
    let mut fixture = fake::fixture();
    let pair = Browser::new(&fixture).tokens();
    fixture.server = fake::server_with(&fixture, vec![crate::base::AllowRule::User("mona".to_owned())]);
    assert!(fixture.bearer(&pair.access).is_err());
    let browser = Browser::new(&fixture);
    assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
}

/// T13: what a person can bring about by themselves is no outage: they are told to come back, and nobody is let on.
#[test]
fn a_rate_limit_at_github_is_not_bridged_as_an_outage() {
    for (failure, wait) in [(ProviderError::UsedUp, "60"), (ProviderError::Busy, "5")] {
        let mut fixture = fake::fixture();
        fixture.server = for_members(&fixture);
        fixture.provider.member_of(&["acme"]);
        let mut browser = Browser::new(&fixture);
        let pair = browser.tokens();
        fixture.provider.member_of(&[]);
        fixture.provider.fail_with(failure);
        let answer = browser.refresh(&pair.refresh);
        assert_eq!(error(&answer), (503, "temporarily_unavailable".to_owned()), "{failure:?}");
        assert_eq!(answer.header_value("retry-after"), Some(wait));
        assert_eq!(fixture.grants.list().unwrap().len(), 1);
        fixture.provider.recover();
        assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
        assert!(fixture.grants.list().unwrap().is_empty());
    }
}

/// T11, T13: of parallel refreshes one asks GitHub, and all get the generation that it makes.
#[test]
fn parallel_refreshes_ask_once() {
    let mut fixture = fake::fixture();
    fixture.server = for_members(&fixture);
    fixture.provider.member_of(&["acme"]);
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    let asked = fixture.provider.identified();
    let browser = &browser;
    let pairs: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..limits::REFRESH_PLACES.0 + limits::REFRESH_WAITERS.0)
            .map(|_| scope.spawn(|| tokens(&browser.refresh(&pair.refresh))))
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(fixture.provider.identified(), asked + 1);
    assert!(matches!(fixture.grants.list().unwrap()[0].stage, Stage::Live { generation: 1, .. }));
    assert!(pairs.iter().all(|pair| fixture.bearer(&pair.access).is_ok()));
}
