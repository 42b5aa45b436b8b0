use super::*;
use crate::oauth::AuthorizationServer;
use crate::oauth::fake::{self, Browser, Contended};
use crate::oauth::resource::ProtectedResource;
use crate::store::conformance::Removable;
use crate::store::{Grants, MemoryGrants};

/// S4: the stored token opens with the grant's secret only, and in its own record only.
#[test]
fn the_stored_token_opens_with_the_grants_secret_only() {
    let fixture = fake::fixture();
    let tokens = Browser::new(&fixture).tokens();
    let grant = fixture.grants.list().unwrap()[0].clone();
    let record = serde_json::to_string(&*grant).unwrap();
    assert!(!record.contains("gho_"), "{record}");
    let upstreams = &fixture.server.token.upstreams;
    assert!(upstreams.open(&grant, &Secret::new([0; 32])).is_none());
    let caller = fixture.bearer(&tokens.access).unwrap();
    assert_eq!(caller.upstream.token().unwrap().expose(), "gho_fake");
}

/// M5: a token that was kept to ask about groups, as the consent page said, does not reach tools that the operator has added since,
/// nor does the one that it is exchanged for.
#[test]
fn a_token_that_was_kept_for_the_rules_is_not_for_tools() {
    let mut fixture = fake::fixture();
    let group = crate::base::AllowRule::Group(crate::base::Group::Org("github".to_owned()));
    fixture.restart(|parts| {
        let before = ProtectedResource::clone(&parts.resources[0]);
        let resource = ProtectedResource { tools_call_github: false, ..before };
        parts.resources = vec![Arc::new(resource)];
        parts.rules.allow = vec![group.clone()];
    });
    fixture.provider.member_of(&["github"]);
    fixture.provider.expiring(Duration::from_secs(8 * 3600));
    let client_and_tokens = |fixture: &fake::Fixture| {
        let mut browser = Browser::new(fixture);
        (browser.client_id.clone(), browser.tokens())
    };
    let (client, tokens) = client_and_tokens(&fixture);
    let (_, other) = client_and_tokens(&fixture);
    fixture.restart(|parts| parts.rules.allow = vec![group]);
    assert!(fixture.resource.tools_call_github);
    assert!(fixture.bearer(&other.access).unwrap().upstream.token().is_none());
    assert!(fixture.bearer(&other.access).is_err(), "a new login keeps one for tools");
    fixture.clock.advance(Duration::from_secs(8 * 3600));
    let refreshed = fake::tokens(&Browser::of(&fixture, client, "xyz").refresh(&tokens.refresh));
    assert_eq!(fixture.provider.exchanges(), 1);
    assert!(fixture.bearer(&refreshed.access).unwrap().upstream.token().is_none());
}

/// A token that expires is exchanged once, however many ask, and the new one is on the disk.
#[test]
fn an_expiring_token_is_exchanged_once() {
    let fixture = fake::fixture();
    fixture.provider.expiring(Duration::from_secs(8 * 3600));
    let mut browser = Browser::new(&fixture);
    let mut tokens = browser.tokens();
    assert_eq!(fixture.bearer(&tokens.access).unwrap().upstream.token().unwrap().expose(), "gho_fake");
    for _ in 0..8 {
        fixture.clock.advance(Duration::from_secs(3600));
        tokens = fake::tokens(&browser.refresh(&tokens.refresh));
    }
    assert_eq!(fixture.provider.exchanges(), 0);
    let caller = fixture.bearer(&tokens.access).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(caller.upstream.token().unwrap().expose(), "ghu_1"));
        }
    });
    assert_eq!(fixture.provider.exchanges(), 1);
    let again = fixture.bearer(&tokens.access).unwrap();
    assert_eq!(again.upstream.token().unwrap().expose(), "ghu_1");
    assert_eq!(fixture.provider.exchanges(), 1);
}

/// A refusal is not retried with the same token. The grant ends, so that the client logs in again by itself: 401 for its requests,
/// `invalid_grant` for its refresh token.
#[test]
fn a_token_that_cannot_be_exchanged_ends_the_grant() {
    let fixture = fake::fixture();
    fixture.provider.expiring(Duration::from_secs(30));
    let mut browser = Browser::new(&fixture);
    let tokens = browser.tokens();
    fixture.provider.fail_with(ProviderError::Refused);
    assert!(fixture.bearer(&tokens.access).unwrap().upstream.token().is_none());
    assert!(fixture.bearer(&tokens.access).is_err());
    assert_eq!(fake::body(&browser.refresh(&tokens.refresh))["error"], "invalid_grant");
    fixture.provider.recover();
    assert_eq!(browser.log_in().status(), 303);
}

/// A tool says that GitHub does not take its token; what counts is what GitHub says when asked whose it is. An outage ends
/// nothing, nor does a tool that is wrong.
#[test]
fn a_kept_token_that_github_refuses_ends_the_grant() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let tokens = browser.tokens();
    let refused = || fixture.bearer(&tokens.access).unwrap().upstream.is_good();
    refused();
    for error in [ProviderError::Unreachable, ProviderError::UsedUp, ProviderError::Nonsense] {
        fixture.provider.fail_with(error);
        refused();
    }
    fixture.provider.recover();
    assert_eq!(fixture.bearer(&tokens.access).unwrap().upstream.token().unwrap().expose(), "gho_fake");
    fixture.provider.fail_with(ProviderError::Refused);
    refused();
    assert_eq!(fixture.bearer(&tokens.access).unwrap_err(), crate::oauth::bearer::BearerError::Invalid);
    assert_eq!(fake::body(&browser.refresh(&tokens.refresh))["error"], "invalid_grant");
}

/// The grant may be older than a server's need of the token: without an end of it, each call would fail until the person thinks of a
/// new login.
#[test]
fn a_token_that_was_not_kept_for_tools_ends_the_grant() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let tokens = browser.tokens();
    let caller = fixture.bearer(&tokens.access).unwrap();
    let grant = fixture.grants.get(caller.grant).unwrap().unwrap();
    fixture.grants.update(&Grant { upstream: None, ..(*grant).clone() }).unwrap();
    assert!(fixture.bearer(&tokens.access).unwrap().upstream.token().is_none());
    assert_eq!(fixture.bearer(&tokens.access).unwrap_err(), crate::oauth::bearer::BearerError::Invalid);
    assert_eq!(fake::body(&browser.refresh(&tokens.refresh))["error"], "invalid_grant");
}

/// G6: GitHub's answer finds the grant gone; what it brought is given back, and handed to nobody.
#[test]
fn a_token_that_comes_after_the_end_of_its_grant_is_given_back() {
    let fixture = fake::fixture();
    fixture.provider.expiring(Duration::from_secs(30));
    let tokens = Browser::new(&fixture).tokens();
    let caller = fixture.bearer(&tokens.access).unwrap();
    let grants = Arc::clone(&fixture.grants);
    fixture.provider.while_asked(move || assert!(grants.delete(caller.grant).unwrap()));
    assert!(caller.upstream.token().is_none());
    assert_eq!((fixture.provider.exchanges(), fixture.provider.discarded()), (1, 1));
}

/// A new token is written into the grant as it is by then.
#[test]
fn an_exchanged_token_is_kept_in_a_grant_that_changes_meanwhile() {
    let memory: Arc<dyn Grants> = Arc::new(MemoryGrants::default());
    let table = Arc::new(Contended::new(&memory));
    let fixture = fake::fixture_over(table.clone());
    fixture.provider.expiring(Duration::from_secs(30));
    let tokens = Browser::new(&fixture).tokens();
    let caller = fixture.bearer(&tokens.access).unwrap();
    fixture.provider.expiring(Duration::from_secs(8 * 3600));
    fixture.provider.while_asked(move || table.lose(limits::STORE_ATTEMPTS - 1));
    assert_eq!(caller.upstream.token().unwrap().expose(), "ghu_1");
    assert_eq!(fixture.provider.discarded(), 0);
    assert_eq!(fixture.bearer(&tokens.access).unwrap().upstream.token().unwrap().expose(), "ghu_1");
    assert_eq!(fixture.provider.exchanges(), 1);
}

/// G6: a new token that cannot be written is used by nobody. It is given back, unless the table may have it.
#[test]
fn an_exchanged_token_that_cannot_be_kept_is_given_back() {
    let check = |table: Arc<dyn Grants>, fail: Box<dyn FnOnce() + Send>, discarded: usize| {
        let fixture = fake::fixture_over(table);
        fixture.provider.expiring(Duration::from_secs(30));
        let tokens = Browser::new(&fixture).tokens();
        let caller = fixture.bearer(&tokens.access).unwrap();
        fixture.provider.expiring(Duration::from_secs(8 * 3600));
        fixture.provider.while_asked(fail);
        assert!(caller.upstream.token().is_none());
        assert_eq!((fixture.provider.exchanges(), fixture.provider.discarded()), (1, discarded));
        fixture.bearer(&tokens.access).unwrap().upstream.token().map(|token| token.expose().to_owned())
    };
    let memory: Arc<dyn Grants> = Arc::new(MemoryGrants::default());
    let table = Arc::new(Contended::new(&memory));
    let contended = Arc::clone(&table);
    check(table.clone(), Box::new(move || contended.lose(limits::STORE_ATTEMPTS)), 1);
    let silent = Arc::clone(&table);
    let kept = check(table, Box::new(move || silent.lose_answer()), 0);
    assert_eq!(kept.as_deref(), Some("ghu_1"), "a change without an answer has happened");
    let file = Arc::new(Removable::new());
    let disk = Arc::clone(&file);
    check(file.table.clone(), Box::new(move || disk.fail_once()), 0);
}

/// S3: the exchange would end the stored token, and the person's login with it. For a call and for a refresh.
#[test]
fn a_token_is_not_exchanged_while_the_table_takes_no_writes() {
    let file = Removable::new();
    let mut fixture = fake::fixture_over(file.table.clone());
    let rules = vec![crate::base::AllowRule::Group(crate::base::Group::Org("acme".to_owned()))];
    fixture.server = fake::server_with(&fixture, rules);
    fixture.provider.member_of(&["acme"]);
    fixture.provider.expiring(Duration::from_secs(30));
    let mut browser = Browser::new(&fixture);
    let tokens = browser.tokens();
    file.fail_once();
    assert!(fixture.bearer(&tokens.access).unwrap().upstream.token().is_none());
    file.fail_once();
    fixture.provider.member_of(&[]);
    let refused = browser.refresh(&tokens.refresh);
    assert_eq!(refused.status(), 503, "GitHub answers: its last answer does not count for longer");
    fixture.provider.member_of(&["acme"]);
    file.fail_once();
    assert_eq!(browser.refresh(&tokens.refresh).status(), 503);
    assert_eq!((fixture.provider.exchanges(), fixture.grants.list().unwrap().len()), (0, 1));
    fixture.provider.expiring(Duration::from_secs(8 * 3600));
    fake::tokens(&browser.refresh(&tokens.refresh));
    assert_eq!(fixture.provider.exchanges(), 1);
}

/// G6: a grant ends also while its user's other requests have all places at GitHub, whose token is then left to expire.
#[test]
fn a_grant_is_ended_without_a_place_at_github() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let tokens = browser.tokens();
    let caller = fixture.bearer(&tokens.access).unwrap();
    let places = &fixture.server.token.upstreams.places;
    let _others: Vec<_> = std::iter::from_fn(|| places.take(caller.subject)).collect();
    let form = format!("token={}&client_id={}", tokens.refresh, browser.client_id);
    assert_eq!(fixture.post("/revoke", &form).status(), 200);
    assert!(fixture.grants.list().unwrap().is_empty());
    assert_eq!((fixture.ended(), fixture.provider.discarded()), (vec![caller.grant], 0));
}

/// A call whose GitHub token was exchanged meanwhile asks whether it is good: not about the token that the exchange has ended.
#[test]
fn asking_whether_a_token_is_good_waits_for_its_exchange() {
    let fixture = fake::fixture();
    fixture.provider.expiring(Duration::from_secs(30));
    let tokens = Browser::new(&fixture).tokens();
    let caller = || fixture.bearer(&tokens.access).unwrap();
    let (running, next, waits) =
        (caller(), caller(), Arc::clone(&fixture.server.token.upstreams.refresh_locks));
    let provider = Arc::clone(&fixture.provider);
    let (send, asked) = std::sync::mpsc::channel();
    fixture.provider.expiring(Duration::from_secs(8 * 3600));
    fixture.provider.while_asked(move || {
        std::thread::spawn(move || send.send(running.upstream.is_good()).unwrap());
        while waits.queue() == 0 && provider.refused() == 0 {
            std::thread::yield_now();
        }
    });
    assert_eq!(next.upstream.token().unwrap().expose(), "ghu_1");
    assert!(asked.recv().unwrap());
    assert_eq!((fixture.provider.refused(), fixture.grants.list().unwrap().len()), (0, 1));
}

/// A refusal that no exchange explains is not doubted: of a token that does not expire, and where none was kept. Nor does a refusal for
/// another reason end the grant.
#[test]
fn only_a_refused_token_that_expires_is_waited_for() {
    let table = Arc::new(MemoryGrants::shared());
    let fixture = fake::fixture_over(table.clone());
    let tokens = Browser::new(&fixture).tokens();
    let caller = fixture.bearer(&tokens.access).unwrap();
    fixture.provider.fail_with(ProviderError::Refused);
    assert!(!caller.upstream.is_good());
    assert_eq!((table.waits(), table.list().unwrap().len()), (0, 0));
    fixture.provider.recover();
    fixture.provider.expiring(Duration::from_secs(30));
    let tokens = Browser::new(&fixture).tokens();
    fixture.provider.fail_with(ProviderError::Blocked(crate::oauth::provider::Obstacle::InvitationPending));
    assert!(fixture.bearer(&tokens.access).unwrap().upstream.token().is_none());
    assert_eq!((table.waits(), table.list().unwrap().len()), (0, 1));
    fixture.provider.fail_with(ProviderError::Refused);
    assert!(fixture.bearer(&tokens.access).unwrap().upstream.token().is_none());
    assert_eq!((table.waits(), table.list().unwrap().len()), (1, 0));
}

/// Two servers over one table: one has exchanged the token, but not written the new one, when the work that `ask` returns needs it
/// at the other.
fn exchanged_elsewhere(ask: impl FnOnce(&Browser<'_>, AuthorizationServer, &fake::Tokens) -> Asked) {
    let table = Arc::new(MemoryGrants::shared());
    let mut fixture = fake::fixture_over(table);
    let rules = vec![crate::base::AllowRule::Group(crate::base::Group::Org("acme".to_owned()))];
    fixture.server = fake::server_with(&fixture, rules.clone());
    fixture.provider.member_of(&["acme"]);
    fixture.provider.expiring(Duration::from_secs(30));
    let mut browser = Browser::new(&fixture);
    let tokens = browser.tokens();
    let work = ask(&browser, fake::server_with(&fixture, rules), &tokens);
    let provider = Arc::clone(&fixture.provider);
    let (send, asking) = std::sync::mpsc::channel();
    fixture.provider.expiring(Duration::from_secs(8 * 3600));
    fixture.provider.while_asked(move || {
        send.send(std::thread::spawn(work)).unwrap();
        while provider.refused() == 0 {
            std::thread::yield_now();
        }
    });
    fake::tokens(&browser.refresh(&tokens.refresh));
    asking.recv().unwrap().join().unwrap();
    assert_eq!((fixture.provider.exchanges(), fixture.grants.list().unwrap().len()), (1, 1));
}

/// Asserts that the other server has the new token as well.
type Asked = Box<dyn FnOnce() + Send>;

/// T11: parallel refreshes at two servers that share the table leave the grant, as at one server.
#[test]
fn a_refresh_during_an_exchange_at_another_server_succeeds() {
    exchanged_elsewhere(|browser, other, tokens| {
        let (resource, client) = (Arc::clone(&browser.resource), &browser.client_id);
        let form = format!("grant_type=refresh_token&refresh_token={}&client_id={client}", tokens.refresh);
        Box::new(move || {
            let request = crate::http::fake::request("POST", "/token")
                .with("Content-Type", "application/x-www-form-urlencoded")
                .body(form);
            fake::tokens(&other.token.post(&resource, &request));
        })
    });
}

/// A call at one server gets the token that another server has exchanged.
#[test]
fn a_call_during_an_exchange_at_another_server_gets_the_new_token() {
    exchanged_elsewhere(|browser, other, tokens| {
        let bearer = format!("Bearer {}", tokens.access);
        let request = crate::http::fake::request("POST", "/mcp").with("Authorization", &bearer);
        let caller = other.bearer.principal(&browser.resource, &request.head).unwrap();
        Box::new(move || assert_eq!(caller.upstream.token().unwrap().expose(), "ghu_1"))
    });
}
