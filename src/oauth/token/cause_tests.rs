//! The logged causes of refusals that tell their clients nothing.

use std::time::Duration;

use super::tests::invalid_grant;
use super::*;
use crate::base::trace::{RequestId, Trace};
use crate::oauth::client::AuthMethod;
use crate::oauth::fake::{self, Browser};

/// The refusal reads `invalid_grant` on the wire and `cause` in the log, which names the client as well.
fn check(refused: impl FnOnce() -> Response, cause: &str) {
    let trace = Trace { request: RequestId([1; 6]), peer: None, server: None };
    crate::base::trace::within(trace, || {
        assert_eq!(super::tests::error(&refused()), invalid_grant(), "{cause}");
        assert_eq!(crate::base::trace::notes().reason, Some(cause));
        assert!(crate::base::trace::notes().client.is_some(), "{cause}");
    });
}

/// L2: of a code.
#[test]
fn the_log_has_the_cause_of_a_refused_code() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let other = fixture.client_id(AuthMethod::None, &["http://127.0.0.1/cb"]);
    let verifier = "wrong-verifier-wrong-verifier-wrong-verifier";
    check(|| browser.redeem("x", &[]), "code_unknown");
    check(|| browser.redeem(&code, &[("client_id", &other)]), "another_client");
    check(|| browser.redeem(&code, &[("code_verifier", verifier)]), "wrong_verifier");
    check(|| browser.redeem(&code, &[("redirect_uri", "http://127.0.0.1:5001/cb")]), "wrong_redirect_uri");
    assert_eq!(browser.redeem(&code, &[]).status(), 200);
    check(|| browser.redeem(&code, &[]), "code_replayed");
    check(|| browser.redeem(&code, &[]), "grant_ended");
    let late = browser.code();
    fixture.clock.advance(limits::CODE_LIFETIME);
    check(|| browser.redeem(&late, &[]), "code_expired");
}

/// L2: of a refresh token.
#[test]
fn the_log_has_the_cause_of_a_refused_refresh_token() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let first = browser.tokens().refresh;
    check(|| browser.refresh("x"), "refresh_token_unknown");
    let other = fixture.client_id(AuthMethod::None, &["http://127.0.0.1/cb"]);
    let theirs = format!("grant_type=refresh_token&refresh_token={first}&client_id={other}");
    check(|| fixture.post("/token", &theirs), "another_client");
    let second = fake::tokens(&browser.refresh(&first)).refresh;
    fake::tokens(&browser.refresh(&second));
    check(|| browser.refresh(&first), "refresh_reused");
    check(|| browser.refresh(&second), "grant_ended");
    let idle = browser.tokens().refresh;
    fixture.clock.advance(limits::REFRESH_IDLE + Duration::from_secs(1));
    check(|| browser.refresh(&idle), "refresh_token_expired");
}

/// L2, S3: of a grant that was ended while the table could not be read, and is still in it.
#[test]
fn a_grant_that_is_being_ended_is_not_refreshed() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let pair = browser.tokens();
    assert!(fixture.server.grants.end_later(None, "operator", Box::new(<[_]>::to_vec)));
    check(|| browser.refresh(&pair.refresh), "grant_ended");
}

/// L2, S5: of a token whose grant an older table has as one with an unredeemed code.
#[test]
fn a_refresh_token_ends_with_the_grant_of_a_restored_table() {
    let fixture = fake::fixture();
    let mut browser = Browser::new(&fixture);
    let code = browser.code();
    let before = (*fixture.grants.list().unwrap()[0]).clone();
    let pair = fake::tokens(&browser.redeem(&code, &[]));
    assert!(fixture.grants.delete(before.id).unwrap());
    fixture.grants.insert(&before).unwrap();
    fixture.clock.advance(limits::CODE_LIFETIME);
    check(|| browser.refresh(&pair.refresh), "grant_expired");
}
