//! Rules that change while the server runs.

use std::sync::Arc;

use super::*;
use crate::base::trace::{self, Trace};
use crate::base::{AllowRule, Group};
use crate::oauth::bearer::BearerError;
use crate::oauth::fake::{Browser, fixture};

fn rules(allow: AllowRule) -> Rules {
    Rules { allow: vec![allow], denied: DenyList::default() }
}

fn user(login: &str) -> AllowRule {
    AllowRule::User(login.to_owned())
}

/// T13: without groups in the rules, the next request already is refused, and the refresh that follows ends the grant.
#[test]
fn a_user_removed_from_the_rules_is_refused_at_the_next_request() {
    let fixture = fixture();
    let tokens = Browser::new(&fixture).tokens();
    assert!(fixture.bearer(&tokens.access).is_ok());
    assert!(!fixture.server.grants.change_rules(rules(user("octocat"))), "these are the rules that it has");
    assert!(fixture.server.grants.change_rules(rules(user("hubot"))));
    let trace = Trace { request: trace::RequestId([0; 6]), peer: None, server: None };
    trace::within(trace, || {
        assert_eq!(fixture.bearer(&tokens.access).unwrap_err(), BearerError::Invalid);
        let trace::Notes { reason, caller, .. } = trace::notes();
        assert_eq!((reason, &*caller.unwrap().login), (Some("not_admitted"), "octocat"), "for the log alone");
    });
    assert!(fixture.server.grants.change_rules(rules(user("octocat"))));
    assert!(fixture.bearer(&tokens.access).is_ok(), "nothing was ended");
}

/// T13, G6: rules that change while GitHub is asked hold for the next login; this one's token is kept as its own rules say.
#[test]
fn one_login_is_decided_by_one_set_of_rules() {
    let mut fixture = fixture();
    fixture.restart_keeping_github_tokens(false);
    fixture.server.grants.change_rules(rules(AllowRule::Group(Group::Org("github".to_owned()))));
    fixture.provider.member_of(&["github"]);
    let mut browser = Browser::new(&fixture);
    let (asked, changed) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    let barriers = Arc::new((asked, changed));
    let theirs = Arc::clone(&barriers);
    fixture.provider.while_asked(move || {
        theirs.0.wait();
        theirs.1.wait();
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            barriers.0.wait();
            fixture.server.grants.change_rules(rules(user("octocat")));
            barriers.1.wait();
        });
        assert_eq!(browser.log_in().status(), 303);
    });
    assert!(fixture.grants.list().unwrap()[0].upstream.is_some());
    assert_eq!(fixture.provider.discarded(), 0);
    browser.log_in();
    assert_eq!(fixture.provider.discarded(), 1);
}

/// T13: where GitHub has to be asked, access lasts until the next refresh, an hour at most.
#[test]
fn under_group_rules_access_ends_at_the_next_refresh() {
    let fixture = fixture();
    let mut browser = Browser::new(&fixture);
    let tokens = browser.tokens();
    assert!(fixture.server.grants.change_rules(rules(AllowRule::Group(Group::Org("github".to_owned())))));
    assert!(fixture.bearer(&tokens.access).is_ok());
    assert_eq!(browser.refresh(&tokens.refresh).status(), 400);
    assert!(fixture.bearer(&tokens.access).is_err());
}
