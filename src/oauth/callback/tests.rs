use super::*;
use crate::base::{AllowRule, Group};
use crate::oauth::fake::{self, Browser, text};

/// O10, O11, B3: code, state and our `iss`, once, with a redirect that nobody keeps and that has no body.
#[test]
fn a_login_ends_at_the_client_with_code_state_and_issuer() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let response = browser.log_in();
    assert_eq!(response.status(), 303);
    let location = response.header_value("location").unwrap();
    assert!(location.starts_with("http://127.0.0.1:5000/cb?code=mcp_ac_"), "{location}");
    assert!(location.ends_with("&state=xyz&iss=https%3A%2F%2Fmcp.example.com"), "{location}");
    assert_eq!(location.matches("iss=").count(), 1);
    assert_eq!(response.header_value("cache-control"), Some("no-store"));
    assert_eq!(response.header_value("referrer-policy"), Some("no-referrer"));
    assert_eq!(text(&response), "");
    assert!(response.header_value("set-cookie").unwrap().contains("Max-Age=0"));
    let grants = fixture.grants.list().unwrap();
    assert_eq!(
        (grants.len(), grants[0].subject.user(), &grants[0].stage),
        (1, Some(UserId(583_231)), &Stage::CodeIssued)
    );
}

/// O9: whatever the client's state is, it comes back byte for byte.
#[test]
fn state_is_returned_byte_for_byte() {
    let fixture = fake::fixture();
    let state = "vscode://x?a=1&b=%20 ü+/=";
    let mut browser = Browser::with_state(&fixture, state);
    let location = browser.log_in().header_value("location").unwrap().to_owned();
    let query = Form::parse(location.split_once('?').unwrap().1.as_bytes()).unwrap();
    assert_eq!(query.value("state"), Some(state));
    let mut browser = Browser::with_state(&fixture, "");
    assert!(!browser.log_in().header_value("location").unwrap().contains("state="));
}

/// C4: the browser's back button: GitHub's code is good once, so the same callback gives no second code.
#[test]
fn a_repeated_callback_gives_nothing() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.log_in();
    fixture.provider.fail_with(ProviderError::Refused);
    let response = browser.callback("code=good");
    assert_eq!((response.status(), response.header_value("location")), (400, None));
    assert_eq!(fixture.grants.list().unwrap().len(), 1);
}

/// C4: also where another server that shares the table has answered the login, and GitHub gives another code.
#[test]
fn a_login_can_be_completed_once_across_replicas() {
    let fixture = fake::fixture();
    let mut replica = fake::fixture();
    replica.restart(|parts| *parts = fixture.parts());
    let mut browser = Browser::new(&fixture);
    browser.approve();
    let mut second_tab = browser.clone();
    assert_eq!(browser.callback("code=good").status(), 303);
    second_tab.turn_to(&replica);
    let response = second_tab.callback("code=good");
    assert_eq!((response.status(), response.header_value("location")), (400, None));
    assert_eq!((fixture.provider.redemptions(), fixture.grants.list().unwrap().len()), (2, 1));
}

/// C4: without the cookie of this login GitHub is not even asked.
#[test]
fn a_callback_in_another_browser_is_refused() {
    let fixture = fake::fixture();
    let mut attacker = Browser::new(&fixture);
    attacker.approve();
    let mut victim = Browser::new(&fixture);
    victim.github_state = attacker.github_state.clone();
    assert_eq!(victim.callback("code=good").status(), 400);
    victim.cookies.clear();
    assert_eq!(victim.callback("code=good").status(), 400);
    assert_eq!((fixture.provider.redemptions(), fixture.grants.list().unwrap().len()), (0, 0));
}

/// C4: one consent is one call to GitHub and one grant, whatever comes back however often.
#[test]
fn a_login_makes_at_most_one_call_to_github() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let form = (browser.form.clone(), browser.cookies.clone());
    browser.approve();
    assert_eq!(browser.callback("code=bad").status(), 400);
    for _ in 0..3 {
        assert_eq!(browser.callback("code=good").status(), 400);
    }
    assert_eq!((fixture.provider.redemptions(), fixture.grants.list().unwrap().len()), (1, 0));
    (browser.form, browser.cookies) = form;
    assert_eq!(browser.approve().status(), 400);
}

/// G1: each login has a verifier of its own, which GitHub gets with the code.
#[test]
fn github_gets_the_verifier_of_its_challenge() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let location = browser.approve().header_value("location").unwrap().to_owned();
    let challenge = Form::parse(location.split_once('?').unwrap().1.as_bytes()).unwrap();
    browser.callback("code=good");
    let verifier = fixture.provider.last_verifier();
    let expected = crate::base::base64url(&crate::base::sha256(verifier.as_bytes()));
    assert_eq!(challenge.value("code_challenge"), Some(expected.as_str()));
}

/// G2: an issuer that is not GitHub's is a mix-up.
#[test]
fn a_foreign_issuer_is_refused() {
    let fixture = fake::fixture();
    let check = |extra: &str, status| {
        let mut browser = Browser::new(&fixture);
        browser.approve();
        assert_eq!(browser.callback(&format!("code=good{extra}")).status(), status, "{extra}");
    };
    check("&iss=https%3A%2F%2Fgithub.test%2Flogin%2Foauth", 303);
    check("&iss=https%3A%2F%2Fevil.test", 400);
    check("&iss=a&iss=b", 400);
}

/// G5, G3: who is not let in, and what GitHub cannot answer, leaves nothing behind.
#[test]
fn a_failed_login_stores_nothing_and_says_why() {
    let check = |prepare: &dyn Fn(&fake::Fixture), query: &str, status, words: &str| {
        let fixture = fake::fixture();
        prepare(&fixture);
        let mut browser = Browser::new(&fixture);
        browser.approve();
        let response = browser.callback(query);
        assert_eq!(response.status(), status, "{words}");
        assert!(text(&response).contains(words), "{}", text(&response));
        assert_eq!(fixture.grants.list().unwrap().len(), 0);
    };
    check(&|f| f.provider.identity(7, "stranger"), "code=good", 403, "stranger");
    check(&|f| f.provider.fail_with(ProviderError::Unreachable), "code=good", 502, "GitHub does not answer");
    check(
        &|f| f.provider.fail_with(ProviderError::Misconfigured),
        "code=good",
        502,
        "does not accept this server",
    );
    check(&|_| (), "code=bad", 400, "did not confirm");
    check(&|_| (), "error=server_error", 400, "did not confirm");
    check(&|_| (), "", 400, "did not confirm");
}

/// C10: GitHub's own cancel button.
#[test]
fn cancelling_at_github_tells_the_client() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.approve();
    let response = browser.callback("error=access_denied");
    assert!(response.header_value("location").unwrap().contains("error=access_denied"));
}

/// G6: GitHub's token is given back when nobody needs it: no tool, no rule about groups.
#[test]
fn an_unneeded_github_token_is_revoked() {
    let mut fixture = fake::fixture();
    Browser::new(&fixture).log_in();
    assert_eq!(
        (fixture.provider.discarded(), fixture.grants.list().unwrap()[0].upstream.is_some()),
        (0, true)
    );
    fixture.restart_keeping_github_tokens(false);
    fixture.clock.advance(limits::CODE_LIFETIME);
    fixture.server.grants.sweep();
    Browser::new(&fixture).log_in();
    assert_eq!(
        (fixture.provider.discarded(), fixture.grants.list().unwrap()[0].upstream.is_some()),
        (1, false)
    );
    fixture.provider.identity(7, "stranger");
    Browser::new(&fixture).log_in();
    assert_eq!(fixture.provider.discarded(), 2);
}

/// M5: GitHub gives who asks for no scope all that the person has ever allowed the app. What the consent page did not name is handed
/// to nobody.
#[test]
fn a_github_token_with_undisclosed_scopes_is_revoked() {
    let mut fixture = fake::fixture();
    let check = |fixture: &fake::Fixture, given: &[&str], status: u16| {
        fixture.provider.giving(given);
        let discarded = fixture.provider.discarded();
        let response = Browser::new(fixture).log_in();
        assert_eq!(response.status(), status, "{given:?}");
        assert_eq!(fixture.provider.discarded() - discarded, usize::from(status != 303), "{given:?}");
        text(&response)
    };
    fixture.restart_handing_over(&[]);
    check(&fixture, &[], 303);
    assert!(check(&fixture, &["repo"], 400).contains("more rights than you were told"));
    fixture.restart_handing_over(&[("repo", "Read all"), ("gist", "Gists")]);
    check(&fixture, &["repo", "gist"], 303);
    check(&fixture, &["repo"], 303);
    check(&fixture, &["repo", "delete_repo"], 400);
}

/// M5: SIGHUP may have another server, or more scopes, behind the page that the person has read.
#[test]
fn a_token_is_handed_over_as_the_consent_page_said() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.approve();
    let before = ProtectedResource::clone(&fixture.resource);
    let handing = ProtectedResource { handed_scopes: Some(Vec::new()), ..before };
    fixture.server.resources.replace(vec![Arc::new(handing)]);
    assert_eq!(browser.callback("code=good").status(), 400);
    assert_eq!((fixture.provider.discarded(), fixture.grants.list().unwrap().len()), (1, 0));
}

/// S5: one person cannot fill the table.
#[test]
fn the_least_recently_used_grant_makes_room() {
    let mut fixture = fake::fixture();
    fixture.restart_keeping_github_tokens(false);
    for number in (1..).take(limits::GRANTS_PER_USER + 3) {
        fixture.clock.advance(std::time::Duration::from_secs(1));
        let mut browser = Browser::new(&fixture);
        browser.peer = std::net::IpAddr::from([192, 0, 2, number]);
        browser.log_in();
    }
    assert_eq!(fixture.grants.list().unwrap().len(), limits::GRANTS_PER_USER);
}

/// GitHub ends the oldest of more than ten tokens of a person: the grant that was unused for the longest time goes first.
#[test]
fn grants_with_a_github_token_are_bounded_per_user() {
    let fixture = fake::fixture();
    let log_in = |number: u8| {
        fixture.clock.advance(std::time::Duration::from_secs(1));
        let mut browser = Browser::new(&fixture);
        browser.peer = std::net::IpAddr::from([192, 0, 2, number]);
        browser.log_in();
    };
    log_in(1);
    let first = fixture.grants.list().unwrap()[0].id;
    (2..).take(limits::GITHUB_TOKENS_PER_USER).for_each(log_in);
    let left = fixture.grants.list().unwrap();
    assert_eq!(left.len(), limits::GITHUB_TOKENS_PER_USER);
    assert!(fixture.grants.get(first).unwrap().is_none() && fixture.ended() == [first]);
}

/// S3: a login that cannot be stored costs the person no other.
#[test]
fn a_login_that_is_not_stored_ends_no_other_grant() {
    let mut fixture = fake::fixture();
    for number in 0..u64::try_from(limits::GRANTS_PER_USER).unwrap() {
        let grant = crate::store::conformance::grant(number);
        let subject = crate::base::Subject::User(UserId(583_231));
        fixture.grants.insert(&crate::store::Grant { subject, ..grant }).unwrap();
    }
    let disk = Arc::new(fake::ReadOnly::new(&fixture.grants));
    let over = Arc::clone(&disk);
    fixture.restart(|parts| parts.grants = over);
    let mut browser = Browser::new(&fixture);
    browser.approve();
    assert_eq!(browser.callback("code=good").status(), 503);
    assert_eq!(disk.deletions.load(std::sync::atomic::Ordering::Relaxed), 0);
}

/// T13: a person about whom the policy cannot be asked is not let in, and is told why.
#[test]
fn a_login_without_an_answer_about_groups_creates_no_grant() {
    let mut fixture = fake::fixture();
    fixture.restart(|parts| {
        let acme = Group::Org("acme".to_owned());
        parts.rules.allow = vec![AllowRule::Group(acme)];
    });
    fixture.provider.member_of(&["acme"]);
    let check = |error, status, discarded| {
        fixture.provider.fail_members_with(error);
        assert_eq!(Browser::new(&fixture).log_in().status(), status, "{error:?}");
        assert!(fixture.grants.list().unwrap().is_empty());
        assert_eq!(fixture.provider.discarded(), discarded, "{error:?}");
    };
    check(ProviderError::Unreachable, 502, 0);
    check(ProviderError::Blocked(Obstacle::SingleSignOn), 403, 1);
}
