//! Codes, rotation, replay, races: the token endpoint's tests.

use std::time::Duration;

use super::*;
use crate::base::Clock;
use crate::http::fake::request;
use crate::oauth::client::AuthMethod;
use crate::oauth::fake::{self, Browser, VERIFIER, body, tokens};

pub(in crate::oauth) fn error(response: &Response) -> (u16, String) {
    let answer = body(response);
    assert_eq!(response.header_value("cache-control"), Some("no-store"));
    (response.status(), answer["error"].as_str().unwrap_or_default().to_owned())
}

pub(in crate::oauth) fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

#[test]
fn a_code_becomes_a_pair_of_tokens() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let response = browser.redeem(&code, &[]);
    assert_eq!(response.header_value("pragma"), Some("no-cache"));
    let answer = body(&response);
    assert_eq!(
        (&answer["token_type"], &answer["expires_in"], &answer["scope"]),
        (&"Bearer".into(), &3600.into(), &"mcp".into())
    );
    assert!(fixture.bearer(&tokens(&response).access).is_ok());
}

/// T3, T5, T6: a code is good with its own client, redirect URI and verifier, and only for a minute. A wrong try consumes
/// nothing.
#[test]
fn a_wrong_redemption_costs_the_right_client_nothing() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let other = fixture.client_id(AuthMethod::None, &["http://127.0.0.1/cb"]);
    let long = "a".repeat(129);
    for change in [
        ("client_id", other.as_str()),
        ("redirect_uri", "http://127.0.0.1:5001/cb"),
        ("code_verifier", "wrong-verifier-wrong-verifier-wrong-verifier"),
        ("code_verifier", "short"),
        ("code_verifier", &long),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX+"),
    ] {
        assert_eq!(error(&browser.redeem(&code, &[change])), invalid_grant(), "{change:?}");
    }
    for (change, expected) in [
        (("code_verifier", ""), "invalid_request"),
        (("code", ""), "invalid_request"),
        (("grant_type", ""), "invalid_request"),
        (("grant_type", "password"), "unsupported_grant_type"),
        (("resource", "https://other.example/mcp"), "invalid_target"),
    ] {
        assert_eq!(error(&browser.redeem(&code, &[change])), (400, expected.to_owned()), "{change:?}");
    }
    assert_eq!(error(&browser.redeem(&code, &[("client_id", "x")])), (401, "invalid_client".to_owned()));
    assert_eq!(browser.redeem(&code, &[]).status(), 200);

    let late = browser.code();
    fixture.clock.advance(limits::CODE_LIFETIME);
    assert_eq!(error(&browser.redeem(&late, &[])), invalid_grant());
}

/// T4: a code used twice with everything right is a stolen code, whoever came first.
#[test]
fn a_replayed_code_revokes_the_grant() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let pair = tokens(&browser.redeem(&code, &[]));
    assert_eq!(error(&browser.redeem(&code, &[])), invalid_grant());
    assert!(fixture.bearer(&pair.access).is_err());
    assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
    assert_eq!(fixture.ended().len(), 1);
}

/// T4: but whoever holds only the code cannot log its owner out.
#[test]
fn a_replay_with_a_wrong_verifier_revokes_nothing() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let pair = tokens(&browser.redeem(&code, &[]));
    let wrong = VERIFIER.replace('d', "e");
    assert_eq!(error(&browser.redeem(&code, &[("code_verifier", &wrong)])), invalid_grant());
    assert!(fixture.bearer(&pair.access).is_ok());
}

/// T9: each refresh gives a new pair, for the same client only.
#[test]
fn refreshing_rotates() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let mut pair = browser.tokens();
    for _ in 0..5 {
        let next = tokens(&browser.refresh(&pair.refresh));
        assert_ne!(next.refresh, pair.refresh);
        assert!(fixture.bearer(&next.access).is_ok());
        pair = next;
    }
    let other = fixture.client_id(AuthMethod::None, &["http://127.0.0.1/cb"]);
    let form = format!("grant_type=refresh_token&refresh_token={}&client_id={other}", pair.refresh);
    assert_eq!(error(&fixture.post("/token", &form)), invalid_grant());
    assert_eq!(browser.refresh(&pair.refresh).status(), 200);
}

/// T10, T11: a lost answer or a parallel refresh logs nobody out, and never makes a second live generation.
#[test]
fn the_previous_refresh_token_works_until_its_successor_is_used() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let first = browser.tokens();
    let second = tokens(&browser.refresh(&first.refresh));
    let again = tokens(&browser.refresh(&first.refresh));
    for age in [limits::REFRESH_RETRY, limits::REFRESH_GRACE - limits::REFRESH_RETRY] {
        fixture.clock.advance(age);
        let late = tokens(&browser.refresh(&first.refresh));
        assert!(fixture.bearer(&late.access).is_ok());
        assert!(matches!(fixture.grants.list().unwrap()[0].stage, Stage::Live { generation: 1, .. }));
    }
    for pair in [&second, &again] {
        assert_eq!(browser.refresh(&pair.refresh).status(), 200);
    }
    assert_eq!(error(&browser.refresh(&first.refresh)), invalid_grant());
}

/// T10: two processes that began with one login both go on, each refreshing when its own access token ends, however their
/// hours lie to each other.
#[test]
fn two_processes_with_one_login_do_not_log_each_other_out() {
    for offset in [0, 1, 61, 1800, 3539, 3599] {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let login = browser.tokens();
        let mut processes = [login.clone(), login];
        let (hour, offset) = (limits::ACCESS_TOKEN_LIFETIME, Duration::from_secs(offset));
        for _ in 0..24 {
            for (process, wait) in processes.iter_mut().zip([hour - offset, offset]) {
                fixture.clock.advance(wait);
                *process = tokens(&browser.refresh(&process.refresh));
                assert!(fixture.bearer(&process.access).is_ok());
            }
        }
    }
}

/// T10: an hour after it was replaced, a refresh token means that somebody has a copy.
#[test]
fn reuse_after_the_grace_revokes_the_grant() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let first = browser.tokens();
    let second = tokens(&browser.refresh(&first.refresh));
    fixture.clock.advance(limits::REFRESH_GRACE + Duration::from_secs(1));
    assert_eq!(error(&browser.refresh(&first.refresh)), invalid_grant());
    assert_eq!(error(&browser.refresh(&second.refresh)), invalid_grant());
    assert!(fixture.bearer(&second.access).is_err());
}

/// T10: the grace ends when the successor is refreshed.
#[test]
fn reuse_of_a_grandparent_revokes_the_grant_at_once() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let first = browser.tokens();
    let second = tokens(&browser.refresh(&first.refresh));
    let third = tokens(&browser.refresh(&second.refresh));
    assert_eq!(error(&browser.refresh(&first.refresh)), invalid_grant());
    assert!(fixture.bearer(&third.access).is_err());
}

/// T11: many at once, all get a live pair of one and the same generation.
#[test]
fn parallel_refreshes_all_succeed() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let first = browser.tokens();
    let browser = &browser;
    let pairs: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| tokens(&browser.refresh(&first.refresh)))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(matches!(fixture.grants.list().unwrap()[0].stage, Stage::Live { generation: 1, .. }));
    assert!(pairs.iter().all(|pair| fixture.bearer(&pair.access).is_ok()));
    assert_eq!(browser.refresh(&pairs[7].refresh).status(), 200);
}

/// T3: of two redemptions of one code that race, at most one gets tokens, and then the grant is gone.
#[test]
fn racing_redemptions_issue_at_most_once() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let browser = &browser;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..4).map(|_| scope.spawn(|| browser.redeem(&code, &[]).status())).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 1, "{statuses:?}");
    assert!(fixture.grants.list().unwrap().is_empty());
}

/// T12: idle for 30 days or 90 days old: over, however often it was refreshed.
#[test]
fn grants_end_when_idle_and_in_any_case() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let idle = browser.tokens();
    fixture.clock.advance(limits::REFRESH_IDLE);
    assert_eq!(error(&browser.refresh(&idle.refresh)), invalid_grant());

    let mut browser = Browser::new(&fixture);
    let mut pair = browser.tokens();
    let started = fixture.clock.now();
    while fixture.clock.now().since(started) + Duration::from_secs(10 * 86_400) < limits::GRANT_LIFETIME {
        fixture.clock.advance(Duration::from_secs(10 * 86_400));
        pair = tokens(&browser.refresh(&pair.refresh));
    }
    fixture.clock.advance(Duration::from_secs(10 * 86_400));
    assert_eq!(error(&browser.refresh(&pair.refresh)), invalid_grant());
    fixture.server.grants.sweep();
    assert_eq!(fixture.grants.list().unwrap().len(), 2, "kept for an hour");
    fixture.clock.advance(limits::EXPIRED_KEPT);
    fixture.server.grants.sweep();
    assert!(fixture.grants.list().unwrap().is_empty());
}

/// T12: an access token does not outlive its grant.
#[test]
fn the_last_access_token_ends_with_the_grant() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let mut pair = browser.tokens();
    let steps = [29, 29, 29].map(|days| Duration::from_secs(days * 86_400));
    for step in steps.into_iter().chain([Duration::from_secs(3 * 86_400 - 600)]) {
        fixture.clock.advance(step);
        let response = browser.refresh(&pair.refresh);
        pair = tokens(&response);
        if step < Duration::from_secs(29 * 86_400) {
            assert_eq!(body(&response)["expires_in"], 600);
        }
    }
}

/// T9: a refresh may narrow the scope of the access token, never widen it, and the next refresh has all of it again.
#[test]
fn scope_never_grows() {
    let (granted, required) = (Scopes::parse("admin mcp").unwrap(), Scopes::parse("mcp").unwrap());
    let check = |asked, expected: Option<&str>| {
        assert_eq!(
            narrowed(&granted, asked, &required).ok().map(|s| s.to_string()).as_deref(),
            expected,
            "{asked:?}"
        );
    };
    check(None, Some("admin mcp"));
    check(Some("mcp"), Some("mcp"));
    check(Some("mcp offline_access"), Some("mcp"));
    check(Some("offline_access"), Some("admin mcp"));
    check(Some("mcp other"), Some("mcp"));
    check(Some("openid profile"), Some("mcp"));
    check(Some("admin other"), Some("admin mcp"));
    check(Some("\""), None);
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    for asked in ["admin", "claudeai", "mcp"] {
        let response = browser.refresh_with(&pair.refresh, &format!("&scope={asked}"));
        assert_eq!((response.status(), &body(&response)["scope"]), (200, &"mcp".into()), "{asked}");
    }
}

/// O12: a login for scopes that do not exist is a login, and the answer says what it is good for.
#[test]
fn unknown_scopes_are_dropped_from_login_to_refresh() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    browser.scope = "openid profile".to_owned();
    let code = browser.code();
    let response = browser.redeem(&code, &[]);
    assert_eq!(body(&response)["scope"], "mcp");
    let pair = tokens(&response);
    let response = browser.refresh_with(&pair.refresh, "&scope=openid%20profile");
    assert_eq!(body(&response)["scope"], "mcp");
    assert!(fixture.bearer(&tokens(&response).access).is_ok());
}

/// T1: no token does another's work.
#[test]
fn a_token_of_one_type_is_refused_as_another() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    assert_eq!(error(&browser.refresh(&code)), invalid_grant());
    let pair = tokens(&browser.redeem(&code, &[]));
    assert_eq!(error(&browser.refresh(&pair.access)), invalid_grant());
    assert_eq!(error(&browser.redeem(&pair.refresh, &[])), invalid_grant());
}

/// T16: what a program is told is kept by nobody, is JSON, and has no character that RFC 6749 section 5.2 forbids.
#[test]
fn errors_are_plain_json_that_nobody_keeps() {
    let check = |error: TokenError| {
        let response = error.answer();
        assert_eq!(response.header_value("content-type"), Some("application/json"), "{error:?}");
        assert_eq!(response.header_value("cache-control"), Some("no-store"), "{error:?}");
        assert_eq!(response.header_value("pragma"), Some("no-cache"), "{error:?}");
        let text = body(&response)["error_description"].as_str().unwrap().to_owned();
        let allowed = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        assert!(!text.is_empty() && text.bytes().all(allowed), "{text}");
    };
    for error in [
        TokenError::NotAForm,
        TokenError::CredentialsInQuery,
        TokenError::Repeated,
        TokenError::MalformedClient,
        TokenError::InvalidClient { basic: true },
        TokenError::InvalidClient { basic: false },
        TokenError::Missing("code is required"),
        TokenError::GrantType,
        TokenError::InvalidGrant,
        TokenError::Scope,
        TokenError::Resource,
        TokenError::Unavailable,
        TokenError::UsedUp,
    ] {
        check(error);
    }
    let fixture = fake::fixture();
    let success = Browser::new(&fixture);
    let revoked = fixture.post("/revoke", &format!("token=x&client_id={}", success.client_id));
    assert_eq!((revoked.status(), revoked.header_value("cache-control")), (200, Some("no-store")));
}

/// T8: a client that tried Basic is told to; the others are not.
#[test]
fn a_basic_client_is_challenged() {
    let check = |basic, expected| {
        let response = TokenError::InvalidClient { basic }.answer();
        assert_eq!((response.status(), response.header_value("www-authenticate")), (401, expected));
    };
    check(true, Some("Basic realm=\"mcp-oauth-server\""));
    check(false, None);
}

/// T7: a form in the body, and nothing in the URL.
#[test]
fn parameters_are_read_from_a_form_body_only() {
    let fixture = fake::fixture();
    let send = |request: &crate::http::Request| fixture.server.token.post(&fixture.resource, request);
    let check = |request: crate::http::Request| {
        assert_eq!(error(&send(&request)), (400, "invalid_request".to_owned()));
    };
    let form = "application/x-www-form-urlencoded";
    check(request("POST", "/token").with("Content-Type", "application/json").body("{}"));
    check(request("POST", "/token").body("grant_type=x"));
    check(request("POST", "/token?client_secret=x").with("Content-Type", form).body("grant_type=x"));
    check(request("POST", "/token").with("Content-Type", form).body("grant_type=a&grant_type=b"));
    check(request("POST", "/token").with("Content-Type", form).body("grant_type=%zz"));
}

/// T8: failures are limited, successes are not.
#[test]
fn a_sender_that_fails_too_often_waits() {
    let fixture = fake::fixture();
    let send = |request: &crate::http::Request| fixture.server.token.post(&fixture.resource, request);
    let mut request =
        request("POST", "/token").with("Content-Type", "application/x-www-form-urlencoded").body("a=b");
    request.head.peer = Some(std::net::IpAddr::from([192, 0, 2, 1]));
    for _ in 0..limits::TOKEN_FAILURES {
        assert_eq!(send(&request).status(), 401);
    }
    assert_eq!(error(&send(&request)), (429, "temporarily_unavailable".to_owned()));
    assert_eq!(fixture.server.token.post_revocation(&fixture.resource, &request).status(), 429);
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let form = format!(
        "grant_type=authorization_code&code={code}&client_id={}&code_verifier={VERIFIER}",
        browser.client_id
    );
    let right = crate::http::Request { body: form.into(), ..request.clone() };
    assert_eq!(send(&right).status(), 200);
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(send(&request).status(), 401);
}

/// T10, T18: what a generation is worth, case by case, also when the clock went back since.
#[test]
fn a_refresh_generation_is_rotated_once() {
    let now = Timestamp(10_000);
    let check = |generation, rotated_at, presented, expected| {
        let stage = Stage::Live { generation, rotated_at: Timestamp(rotated_at) };
        assert_eq!(rotation(&stage, presented, now), expected);
    };
    check(3, 9990, 3, Rotation::Next(4));
    check(3, 9990, 2, Rotation::Retry { generation: 3, rotated_at: Timestamp(9990) });
    check(3, 9940, 2, Rotation::Retry { generation: 3, rotated_at: Timestamp(9940) });
    check(3, 9939, 2, Rotation::WithinGrace { generation: 3, rotated_at: Timestamp(9939) });
    check(3, 6400, 2, Rotation::WithinGrace { generation: 3, rotated_at: Timestamp(6400) });
    check(3, 6399, 2, Rotation::Reuse);
    check(3, 10_060, 2, Rotation::Retry { generation: 3, rotated_at: Timestamp(10_060) });
    check(3, 10_061, 2, Rotation::WithinGrace { generation: 3, rotated_at: Timestamp(10_061) });
    check(3, 13_601, 2, Rotation::Reuse);
    check(3, 9990, 1, Rotation::Reuse);
    check(3, 9990, 4, Rotation::FromTheFuture);
    check(u32::MAX, 9990, u32::MAX, Rotation::Reuse);
    assert_eq!(rotation(&Stage::CodeIssued, 0, now), Rotation::FromTheFuture);
}

/// S5: a table that was put back revives no code and nothing that was issued since: the first token from its future ends
/// the grant, and the operator is told.
#[test]
fn a_restored_table_makes_no_code_or_token_valid_again() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let before_code = (*fixture.grants.list().unwrap()[0]).clone();
    let first = tokens(&browser.redeem(&code, &[]));
    let before_refresh = (*fixture.grants.list().unwrap()[0]).clone();
    let second = tokens(&browser.refresh(&first.refresh));
    let put_back = |grant: &Grant| {
        let _ = fixture.grants.delete(grant.id).unwrap();
        fixture.grants.insert(grant).unwrap();
    };
    for (table, token) in [(&before_code, &first), (&before_refresh, &second)] {
        put_back(table);
        assert_eq!(error(&browser.refresh(&token.refresh)), invalid_grant());
        assert!(fixture.grants.list().unwrap().is_empty());
        assert!(fixture.bearer(&second.access).is_err());
    }
    put_back(&before_code);
    fixture.clock.advance(limits::CODE_LIFETIME);
    assert_eq!(error(&browser.redeem(&code, &[])), invalid_grant());
    // Nobody but the client of the grant can end it so.
    put_back(&before_refresh);
    let other = fixture.client_id(AuthMethod::None, &["http://127.0.0.1/cb"]);
    let form = format!("grant_type=refresh_token&refresh_token={}&client_id={other}", second.refresh);
    assert_eq!(error(&fixture.post("/token", &form)), invalid_grant());
    assert_eq!(fixture.grants.list().unwrap().len(), 1);
}
