//! The rules of a server at its doors: the login, the refresh, each request, the account page.

use serde_json::{Value, json};

use super::fake::{self, Browser, Fixture, Tokens, Visitor, text, tokens, two_servers};
use super::provider::{Obstacle, ProviderError};
use super::*;
use crate::base::{AccessRules, AllowRule, Who};
use crate::http::fake::request;
use crate::oauth::bearer::BearerError;

/// A server that lets everybody in, whose tools do not call GitHub, under these rules.
fn ruled(rules: Value) -> Fixture {
    let mut fixture = fake::fixture();
    fixture.restart_keeping_github_tokens(false);
    let allow = vec![AllowRule::Any];
    fixture.server.grants.change_rules(Rules { allow, denied: DenyList::default() });
    rule(&fixture, rules);
    fixture
}

fn rule(fixture: &Fixture, rules: Value) {
    fixture.resource.access.replace(AccessRules::read(&rules).unwrap());
}

/// Whether the rule of the caller of a request opens this tool; `Err` if none names them.
fn opens(fixture: &Fixture, token: &str, tool: &str) -> Result<bool, BearerError> {
    let caller = fixture.bearer(token)?;
    Ok(fixture.resource.access.rules().rule_for(Who::from(&caller)).unwrap().unwrap().opens_tool(tool))
}

fn of_members() -> Value {
    json!([{ "allow": ["org:Acme"] }, { "allow": ["org:guests", "user:hubot"], "tools": ["look"] }])
}

/// A4: whom no rule names, the page after GitHub's answer tells so, and the client; nothing is stored.
#[test]
fn a_user_matched_by_no_rule_is_refused() {
    let fixture = ruled(json!([{ "allow": ["user:hubot"] }]));
    let response = Browser::new(&fixture).log_in();
    let page = text(&response);
    assert_eq!(response.status(), 403);
    assert!(page.contains("octocat") && page.contains("this server does not let that account in"), "{page}");
    assert!(page.contains("error=access_denied"), "{page}");
    assert!(fixture.grants.list().unwrap().is_empty());
    rule(&fixture, json!([{ "allow": ["user:Octocat"] }]));
    assert_eq!(Browser::new(&fixture).log_in().status(), 303);
}

/// A4: `MCP_ALLOW` is the outer gate.
#[test]
fn access_rules_do_not_widen_the_allow_policy() {
    let fixture = ruled(json!([{ "allow": ["any"] }]));
    let allow = vec![AllowRule::User("hubot".to_owned())];
    fixture.server.grants.change_rules(Rules { allow, denied: DenyList::default() });
    assert_eq!(Browser::new(&fixture).log_in().status(), 403);
}

/// A5, G6: GitHub is asked about groups, and its token kept, where rules need that alone.
#[test]
fn github_is_asked_for_what_rules_need() {
    let check = |rules: Value, scope: &str, is_kept: bool, known: usize| {
        let fixture = ruled(rules);
        fixture.provider.member_of(&["acme"]);
        assert_eq!(fixture.resource.provider_scope(&fixture.server.grants.rules()), scope);
        Browser::new(&fixture).tokens();
        let grant = &fixture.grants.list().unwrap()[0];
        assert_eq!(grant.upstream.is_some(), is_kept);
        let known_here = serde_json::to_value(&grant.memberships).unwrap();
        assert_eq!(known_here.as_object().unwrap().len(), known, "{known_here}");
    };
    check(json!([{ "allow": ["any"] }]), "", false, 0);
    check(json!([{ "allow": ["user:octocat"] }, { "allow": ["org:acme"] }]), "read:org", true, 0);
    check(
        json!([{ "allow": ["org:other"] }, { "allow": ["user:octocat", "org:acme"] }]),
        "read:org",
        true,
        1,
    );
    check(
        json!([{ "allow": ["org:other"] }, { "allow": ["org:acme"] }, { "allow": ["org:no"] }]),
        "read:org",
        true,
        2,
    );
}

/// A5: a membership that ends at GitHub takes away at the next refresh what it gave, and the grant with the last rule.
#[test]
fn a_membership_that_ends_takes_its_tools_away_at_the_next_refresh() {
    let fixture = ruled(of_members());
    fixture.provider.member_of(&["Acme", "guests"]);
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    assert_eq!(opens(&fixture, &pair.access, "change"), Ok(true));
    fixture.provider.member_of(&["guests"]);
    assert_eq!(opens(&fixture, &pair.access, "change"), Ok(true), "as long as that token is good");
    let pair = tokens(&browser.refresh(&pair.refresh));
    assert_eq!(opens(&fixture, &pair.access, "change"), Ok(false));
    assert_eq!(opens(&fixture, &pair.access, "look"), Ok(true));
    fixture.provider.member_of(&[]);
    assert_eq!(browser.refresh(&pair.refresh).status(), 400);
    assert!(fixture.grants.list().unwrap().is_empty());
}

/// A5: where GitHub does not answer, or something stands in the way, no later rule holds in place of the one that asks.
#[test]
fn an_unanswered_membership_does_not_fall_through_to_a_later_rule() {
    let fixture = ruled(json!([{ "allow": ["org:contractors"], "tools": [] }, { "allow": ["any"] }]));
    for (error, status) in [
        (ProviderError::Unreachable, 502),
        (ProviderError::Blocked(Obstacle::SingleSignOn), 403),
        (ProviderError::Blocked(Obstacle::NotPermitted), 403),
    ] {
        fixture.provider.fail_members_with(error);
        let status_here = Browser::new(&fixture).log_in().status();
        assert!(status_here == status || (status == 502 && status_here == 503), "{error:?} {status_here}");
        assert!(fixture.grants.list().unwrap().is_empty());
    }
    fixture.provider.fail_members_with(ProviderError::Blocked(Obstacle::InvitationPending));
    assert_eq!(Browser::new(&fixture).log_in().status(), 303, "an invited person is no member");
}

/// A member of Acme whose grant was refreshed after GitHub had ceased to answer.
fn refreshed_in_an_outage(fixture: &Fixture) -> (Browser<'_>, Tokens) {
    fixture.provider.member_of(&["Acme"]);
    let mut browser = Browser::new(fixture);
    let pair = browser.tokens();
    fixture.provider.fail_members_with(ProviderError::Unreachable);
    let pair = tokens(&browser.refresh(&pair.refresh));
    (browser, pair)
}

/// A5, T13: while GitHub does not answer, a grant keeps for a day what it had.
#[test]
fn an_outage_at_a_refresh_keeps_the_known_memberships() {
    let fixture = ruled(of_members());
    let (browser, pair) = refreshed_in_an_outage(&fixture);
    assert_eq!(opens(&fixture, &pair.access, "change"), Ok(true));
    fixture.clock.advance(limits::POLICY_GRACE + std::time::Duration::from_secs(1));
    assert_eq!(browser.refresh(&pair.refresh).status(), 503);
}

/// A8: rules that change hold at the next request, without a challenge. A membership that they need anew counts against the caller
/// until the next refresh, to which a challenge leads the client.
#[test]
fn changed_rules_hold_at_the_next_request() {
    let fixture = ruled(of_members());
    fixture.provider.member_of(&["Acme", "new"]);
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    let grant = fixture.grants.list().unwrap()[0].id;
    assert!(fixture.server.grants.is_live(&fixture.resource, grant));
    rule(&fixture, json!([{ "allow": ["org:new"] }, { "allow": ["any"] }]));
    assert_eq!(opens(&fixture, &pair.access, "look"), Err(BearerError::UnknownMembership));
    assert!(!fixture.server.grants.is_live(&fixture.resource, grant), "its sessions and streams end");
    let refusal = |error| {
        let refusal = fixture.resource.challenge(&request("POST", "/mcp").head, Endpoint::Mcp, error);
        let challenge = refusal.header_value("www-authenticate").unwrap_or_default();
        (refusal.status(), challenge.contains("error=\"invalid_token\""))
    };
    assert_eq!(refusal(BearerError::UnknownMembership), (401, true));
    assert_eq!(refusal(BearerError::NotAllowed), (403, false));
    let pair = tokens(&browser.refresh(&pair.refresh));
    assert_eq!(opens(&fixture, &pair.access, "look"), Ok(true));
    rule(&fixture, json!([{ "allow": ["id:583231"], "tools": ["look"] }]));
    assert_eq!(opens(&fixture, &pair.access, "change"), Ok(false));
    rule(&fixture, json!([{ "allow": ["user:hubot"] }]));
    assert_eq!(opens(&fixture, &pair.access, "look"), Err(BearerError::NotAllowed));
    assert_eq!(browser.refresh(&pair.refresh).status(), 400, "and end the grant at the next refresh");
}

/// While GitHub does not answer, a client gets no token that the new rules would refuse, and asks for none again and again.
#[test]
fn an_unknown_membership_is_not_bridged() {
    let fixture = ruled(of_members());
    let (browser, pair) = refreshed_in_an_outage(&fixture);
    rule(&fixture, json!([{ "allow": ["org:new"] }]));
    assert_eq!(opens(&fixture, &pair.access, "look"), Err(BearerError::UnknownMembership));
    assert_eq!(browser.refresh(&pair.refresh).status(), 503);
}

/// A4, C11: the account page lists the servers that the person may use.
#[test]
fn the_account_page_lists_what_the_person_may_use() {
    let fixture = two_servers();
    let allow = vec![AllowRule::Any];
    fixture.server.grants.change_rules(Rules { allow, denied: DenyList::default() });
    let listed = || {
        let page = text(&Visitor::signed_in(&fixture).open());
        ["files", "notes"].map(|name| page.contains(&format!("<code>https://mcp.example.com/{name}/mcp")))
    };
    assert_eq!(listed(), [true, true]);
    rule(&fixture, json!([{ "allow": ["user:hubot"] }]));
    assert_eq!(listed(), [false, true]);
    rule(&fixture, json!([{ "allow": ["org:acme"] }]));
    assert_eq!(listed(), [false, true], "GitHub is not asked here");
    fixture.provider.member_of(&["acme"]);
    Browser::new(&fixture).tokens();
    assert_eq!(listed(), [true, true], "it was asked at a login");
}
