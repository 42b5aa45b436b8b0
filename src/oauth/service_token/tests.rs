//! The reach and the lifetime of service tokens.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::base::trace::{self, RequestId, Trace};
use crate::base::{AccessRules, AllowRule, Clock, Principal, Timestamp, UserId, Who};
use crate::http::fake::request;
use crate::oauth::Rules;
use crate::oauth::deny::DenyList;
use crate::oauth::fake::{self, Fixture, Visitor};
use crate::seal::Sealed;

const DAY: Duration = Duration::from_secs(86_400);

fn order(name: &str, servers: &[&str]) -> TokenOrder {
    TokenOrder {
        name: TokenName::parse(name).unwrap(),
        servers: servers.iter().map(|server| (*server).to_owned()).collect(),
        days: 90,
        addresses: Vec::new(),
    }
}

fn added(fixture: &Fixture, order: &TokenOrder) -> String {
    fixture.server.add_token(order).unwrap().token.expose().clone()
}

/// The caller from this address, or why there is none: the error, and the word in the log.
fn ask(
    fixture: &Fixture,
    resource: &ProtectedResource,
    token: &str,
    peer: Option<&str>,
) -> Result<Principal, (BearerError, Option<&'static str>)> {
    let mut request = request("POST", "/mcp").with("Authorization", &format!("Bearer {token}"));
    request.head.peer = peer.map(|peer| peer.parse::<IpAddr>().unwrap());
    let trace = Trace { request: RequestId([0; 6]), peer: request.head.peer, server: None };
    trace::within(trace, || {
        let found = fixture.server.bearer.principal(resource, &request.head);
        found.map_err(|error| (error, trace::notes().reason))
    })
}

fn admitted(fixture: &Fixture, token: &str) -> Result<Principal, (BearerError, Option<&'static str>)> {
    ask(fixture, &fixture.resource, token, Some("192.0.2.1"))
}

fn refused(fixture: &Fixture, token: &str) -> (BearerError, Option<&'static str>) {
    admitted(fixture, token).unwrap_err()
}

fn the_grant(fixture: &Fixture) -> Arc<Grant> {
    fixture.grants.list().unwrap().remove(0)
}

/// A6, A8: a server with rules takes a service token that one of them names, as long as it does.
#[test]
fn rules_name_a_service_token_or_it_is_refused() {
    let fixture = fake::fixture();
    let rule = |name: &str| {
        let rules = serde_json::json!([{ "allow": ["any"] }, { "allow": [name], "tools": ["report"] }]);
        fixture.resource.access.replace(AccessRules::read(&rules).unwrap());
    };
    rule("token:other");
    let error = fixture.server.add_token(&order("cron", &[])).unwrap_err().to_string();
    assert!(error.contains("no access rule of the server names token:cron"), "{error}");
    rule("token:cron");
    let token = added(&fixture, &order("cron", &[]));
    let caller = admitted(&fixture, &token).unwrap();
    assert!(
        !fixture.resource.access.rules().rule_for(Who::from(&caller)).unwrap().unwrap().opens_tool("other")
    );
    rule("token:other");
    assert_eq!(refused(&fixture, &token), (BearerError::NotAllowed, None));
}

/// A26: it is nobody at GitHub, and has no token there.
#[test]
fn a_service_token_yields_its_principal() {
    let fixture = fake::fixture();
    let token = added(&fixture, &order("ci", &[]));
    assert!(token.starts_with("mcp_st_"));
    let principal = admitted(&fixture, &token).unwrap();
    assert_eq!((principal.subject.to_string().as_str(), &*principal.login), ("token:ci", "token:ci"));
    assert_eq!((principal.subject.user(), principal.upstream.token().is_none()), (None, true));
    assert!(!principal.upstream.is_good());
    assert!(admitted(&fixture, &token).is_ok(), "asking after its token at GitHub has ended nothing");
    assert_eq!(principal.scopes.to_string(), "mcp");
}

/// A26: T1, M4: each is for its own servers.
#[test]
fn a_service_token_opens_its_own_servers_alone() {
    let fixture = fake::two_servers();
    let [files, notes] = [0, 1].map(|index| fixture.server.resources.all().remove(index));
    let (one, both) =
        (added(&fixture, &order("one", &["files"])), added(&fixture, &order("both", &["notes", "files"])));
    let check = |resource: &ProtectedResource, token: &str| ask(&fixture, resource, token, None).err();
    assert_eq!(check(&files, &one), None);
    assert_eq!(check(&notes, &one), Some((BearerError::Invalid, Some("another_server"))));
    assert_eq!((check(&files, &both), check(&notes, &both)), (None, None));
}

/// A8, A26: what is open at one of its servers ends when the rules of that one do not name it any more.
#[test]
fn a_service_token_of_several_servers_is_subject_to_the_rules_of_each() {
    let fixture = fake::two_servers();
    let [files, notes] = [0, 1].map(|index| fixture.server.resources.all().remove(index));
    let token = added(&fixture, &order("both", &["files", "notes", "files"]));
    let grant = the_grant(&fixture);
    assert_eq!(grant.resource, format!("{} {}", files.uri, notes.uri), "each once");
    assert!(
        fixture.server.grants.is_live(&files, grant.id) && fixture.server.grants.is_live(&notes, grant.id)
    );
    files.access.replace(AccessRules::read(&serde_json::json!([{ "allow": ["any"] }])).unwrap());
    assert!(!fixture.server.grants.is_live(&files, grant.id), "its sessions and streams end");
    assert!(fixture.server.grants.is_live(&notes, grant.id));
    let check = |resource: &ProtectedResource| ask(&fixture, resource, &token, None).err();
    assert_eq!((check(&files), check(&notes)), (Some((BearerError::NotAllowed, None)), None));
}

/// A27: the end is the token's, whatever is done with it; a revocation holds at the next request.
#[test]
fn a_service_token_ends_in_time_or_when_it_is_revoked() {
    let fixture = fake::fixture();
    let token = added(&fixture, &TokenOrder { days: 365, ..order("ci", &[]) });
    fixture.clock.advance(365 * DAY - Duration::from_secs(1));
    fixture.server.grants.sweep();
    assert!(admitted(&fixture, &token).is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(refused(&fixture, &token), (BearerError::Invalid, Some("token_expired")));
    fixture.clock.advance(DAY);
    fixture.server.grants.sweep();
    fixture.clock.advance(DAY);
    fixture.server.grants.sweep();
    assert!(fixture.grants.list().unwrap().is_empty());
    assert_eq!(refused(&fixture, &token), (BearerError::Invalid, Some("token_expired")));

    let token = added(&fixture, &order("ci", &[]));
    let id = the_grant(&fixture).id;
    fixture.server.grants.end(id, "operator").unwrap();
    assert_eq!(refused(&fixture, &token), (BearerError::Invalid, Some("token_revoked")));
    assert!(fixture.ended().contains(&id), "its sessions and streams end with it");
}

/// A28: whoever has the token, it is used from where the operator said.
#[test]
fn a_service_token_may_be_bound_to_addresses() {
    let fixture = fake::fixture();
    let addresses = ["198.51.100.0/24", "2001:db8::/32"].map(|text| Network::parse(text).unwrap()).to_vec();
    let token = added(&fixture, &TokenOrder { addresses, ..order("ci", &[]) });
    for (peer, is_admitted) in [
        (Some("198.51.100.7"), true),
        (Some("::ffff:198.51.100.7"), true),
        (Some("2001:db8:1::1"), true),
        (Some("198.51.101.7"), false),
        (Some("2001:db9::1"), false),
        (None, false),
    ] {
        let expected = (!is_admitted).then_some((BearerError::WrongAddress, None));
        assert_eq!(ask(&fixture, &fixture.resource, &token, peer).err(), expected, "{peer:?}");
    }
    for error in [BearerError::WrongAddress, BearerError::NeedsUser] {
        let head = request("POST", "/mcp").head;
        let answer = fixture.resource.challenge(&head, crate::oauth::Endpoint::Mcp, error);
        assert_eq!((answer.status(), answer.header_value("www-authenticate")), (403, None));
    }
}

/// A29: at the making, and later when the server has changed.
#[test]
fn a_server_that_needs_a_person_refuses_service_tokens() {
    let mut fixture = fake::fixture();
    let token = added(&fixture, &order("ci", &[]));
    let before = ProtectedResource::clone(&fixture.resource);
    let resource = Arc::new(ProtectedResource { needs_user: true, ..before });
    fixture.restart(|parts| parts.resources = vec![resource]);
    assert_eq!(refused(&fixture, &token), (BearerError::NeedsUser, None));
    let error = fixture.server.add_token(&order("other", &[])).unwrap_err().to_string();
    assert!(error.contains("the server needs to know which person calls"), "{error}");
}

/// A30: it is a value of a type of its own, which no other endpoint opens; nor is another value a service token.
#[test]
fn a_service_token_is_worth_nothing_at_other_endpoints() {
    let fixture = fake::fixture();
    let token = added(&fixture, &order("ci", &[]));
    let browser = &mut fake::Browser::new(&fixture);
    let tokens = browser.tokens();
    let id = &browser.client_id;
    for (path, form, status) in [
        ("/token", format!("grant_type=refresh_token&client_id={id}&refresh_token={token}"), 400),
        ("/token", format!("grant_type=authorization_code&client_id={id}&code={token}&code_verifier=x"), 400),
        ("/token", format!("grant_type=client_credentials&client_id={id}&client_secret={token}"), 401),
        ("/token", format!("grant_type=refresh_token&client_id={token}&refresh_token={token}"), 401),
        ("/revoke", format!("client_id={id}&token={token}"), 200),
    ] {
        assert_eq!(fixture.post(path, &form).status(), status, "{path} {form}");
    }
    assert!(admitted(&fixture, &token).is_ok(), "RFC 7009: it is no token that its sender may end");
    for other in [&tokens.access, &tokens.refresh] {
        let body = other.split_once("t_").unwrap().1;
        assert_eq!(refused(&fixture, &format!("mcp_st_{body}")).0, BearerError::Invalid);
    }
    let page = fake::text(&Visitor::signed_in(&fixture).open());
    assert!(!page.contains("service token") && !page.contains("token:ci"), "{page}");
    assert!(fixture.grants.of_user(UserId(0)).unwrap().is_empty());
}

/// A26: the rules about people and GitHub are not its own; the list of denied clients holds for it.
#[test]
fn rules_about_people_do_not_concern_a_service_token() {
    let fixture = fake::fixture();
    let token = added(&fixture, &order("ci", &[]));
    let rules = |denied| Rules { allow: vec![AllowRule::Id(UserId(1))], denied };
    fixture.server.grants.change_rules(rules(DenyList::default()));
    assert!(admitted(&fixture, &token).is_ok());
    let client = the_grant(&fixture).client.fingerprint.clone();
    fixture.server.grants.change_rules(rules(DenyList::parse(client.as_str()).unwrap()));
    assert_eq!(refused(&fixture, &token), (BearerError::Invalid, Some("token_revoked")));
}

/// A27: a key that no longer seals opens it until its line is gone.
#[test]
fn a_service_token_is_valid_while_its_key_is_in_the_key_file() {
    let fixture = fake::fixture();
    let token = added(&fixture, &order("ci", &[]));
    let [old, new] = [1, 2].map(|byte| Secret::new([byte; 32]));
    fixture.keys.replace(seal::Keyring::new(&[new.clone(), old]).unwrap());
    fixture.clock.advance(89 * DAY);
    assert!(admitted(&fixture, &token).is_ok());
    fixture.keys.replace(seal::Keyring::new(&[new]).unwrap());
    assert_eq!(refused(&fixture, &token), (BearerError::Invalid, None));
}

/// A31: the table has nothing that opens anything; with the key as well a token can be made for a grant that is there, and ends with it.
#[test]
fn a_token_forged_with_table_and_key_works_while_its_grant_lives() {
    let fixture = fake::fixture();
    let token = added(&fixture, &order("ci", &[]));
    let grant = the_grant(&fixture);
    let record = serde_json::to_string(&*grant).unwrap();
    let body = token.strip_prefix(ServiceToken::PREFIX).unwrap();
    assert!(body.as_bytes().windows(12).all(|part| !record.contains(std::str::from_utf8(part).unwrap())));
    let forged = |byte| {
        let access = AccessToken {
            grant: grant.id,
            scopes: grant.scopes.clone(),
            resource: grant.resource.clone(),
            secret: Secret::new([0; 32]),
            expires: Timestamp(u64::MAX),
        };
        let token = ServiceToken { client: grant.client.fingerprint.clone(), access };
        seal::seal(&seal::fake::keyring(byte), &token, &crate::base::OsRandom)
    };
    assert_eq!(refused(&fixture, &forged(2)).0, BearerError::Invalid, "another key");
    assert!(admitted(&fixture, &forged(1)).is_ok(), "the key");
    fixture.clock.advance(90 * DAY);
    assert_eq!(refused(&fixture, &forged(1)).1, Some("token_revoked"), "its time is the grant's");
    fixture.clock.go_back(90 * DAY);
    fixture.server.grants.end(grant.id, "operator").unwrap();
    assert_eq!(refused(&fixture, &forged(1)), (BearerError::Invalid, Some("token_revoked")));
}

/// The request writes nothing, and the sweep once an hour.
#[test]
fn the_last_use_is_stored_by_the_sweep() {
    let fixture = fake::fixture();
    let token = added(&fixture, &order("ci", &[]));
    let made = fixture.clock.now();
    let used_at = |after: u64, expected: u64| {
        fixture.clock.advance(Duration::from_secs(after));
        assert!(admitted(&fixture, &token).is_ok());
        fixture.server.grants.sweep();
        assert_eq!(the_grant(&fixture).last_used.since(made).as_secs(), expected);
    };
    used_at(1, 1);
    used_at(60, 1);
    used_at(3600, 3661);
    let revision = the_grant(&fixture).revision;
    fixture.clock.advance(DAY);
    fixture.server.grants.sweep();
    assert_eq!(the_grant(&fixture).revision, revision, "it was not used");
}

#[test]
fn a_service_token_is_warned_of_two_weeks_before_its_end() {
    let fixture = fake::fixture();
    added(&fixture, &order("ci", &[]));
    let grant = the_grant(&fixture);
    let check = |days: u32, expected| {
        assert_eq!(grant.ends_soon(grant.created.plus(days * DAY)), expected, "{days}");
    };
    check(75, false);
    check(76, true);
    check(91, true);
    let person = crate::store::conformance::grant(1);
    assert!(!person.ends_soon(person.expires), "a person logs in again");
}

/// A27: while the server runs as well, where no start and no `check` tells.
#[test]
fn the_sweep_names_tokens_that_end_soon_once_a_day() {
    let fixture = fake::fixture();
    added(&fixture, &TokenOrder { days: 16, ..order("short", &[]) });
    added(&fixture, &order("long", &[]));
    let grants = &fixture.server.grants;
    let named = || grants.ending_soon().iter().map(|grant| grant.login.clone()).collect::<Vec<_>>();
    assert_eq!(named(), [""; 0], "the start has said it");
    fixture.clock.advance(DAY);
    assert_eq!(named(), [""; 0], "15 days are left");
    fixture.clock.advance(DAY);
    assert_eq!((named(), named()), (vec!["token:short".to_owned()], vec![]));
    fixture.clock.advance(DAY);
    grants.sweep();
    assert_eq!(named(), [""; 0], "the sweep has said it");
    fixture.clock.advance(DAY);
    assert_eq!(named(), ["token:short"]);
}

/// Each mistake says what to write.
#[test]
fn an_invalid_token_order_is_refused_with_an_explanation() {
    let (one, two) = (fake::fixture(), fake::two_servers());
    let check = |fixture: &Fixture, order: TokenOrder, words: &str| {
        let error = fixture.server.add_token(&order).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    check(&one, TokenOrder { days: 366, ..order("ci", &[]) }, "--days: write 1 to 365");
    check(&one, TokenOrder { days: 0, ..order("ci", &[]) }, "--days: write 1 to 365");
    check(&one, order("ci", &["files"]), "--server: there is one server, which has no name: leave it out");
    check(&two, order("ci", &[]), "--server: say for which servers the token is: files, notes");
    check(&two, order("ci", &["files", "mail"]), "--server: there is no \"mail\"; there are files, notes");
    added(&two, &order("ci", &["files"]));
    check(
        &two,
        order("ci", &["notes"]),
        "there is a service token \"ci\" already: end it with `tokens revoke ci`",
    );
    two.clock.advance(91 * DAY);
    added(&two, &order("ci", &["notes"]));
    two.clock.go_back(200 * DAY);
    let mut behind = fake::fixture();
    behind.restart(|parts| parts.newest = Timestamp(u64::MAX / 2));
    check(&behind, order("ci", &[]), "the clock is more than a day behind");
}
