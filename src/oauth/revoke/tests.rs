use crate::oauth::client::AuthMethod;
use crate::oauth::fake::{self, Browser};

/// T14: either token of a grant ends it.
#[test]
fn revoking_either_token_ends_the_grant() {
    for which in ["access_token", "refresh_token"] {
        let fixture = fake::fixture();
        let browser = &mut Browser::new(&fixture);
        let tokens = browser.tokens();
        assert!(fixture.bearer(&tokens.access).is_ok());
        let token = if which == "access_token" { &tokens.access } else { &tokens.refresh };
        let body = format!("token={token}&token_type_hint=wrong&client_id={}", browser.client_id);
        assert_eq!(fixture.post("/revoke", &body).status(), 200);
        assert!(fixture.bearer(&tokens.access).is_err(), "{which}");
        assert_eq!(browser.refresh(&tokens.refresh).status(), 400, "{which}");
        assert_eq!(fixture.ended().len(), 1);
    }
}

/// G6: GitHub's token, which nobody can open without the grant, is given back, once; and GitHub has no say in the end.
#[test]
fn the_token_of_a_revoked_grant_is_given_back() {
    for fails in [false, true] {
        let fixture = fake::fixture();
        let browser = &mut Browser::new(&fixture);
        let tokens = browser.tokens();
        let body = format!("token={}&client_id={}", tokens.access, browser.client_id);
        if fails {
            fixture.provider.fail_with(crate::oauth::provider::ProviderError::Unreachable);
        }
        for _ in 0..2 {
            assert_eq!(fixture.post("/revoke", &body).status(), 200);
            assert_eq!((fixture.grants.list().unwrap().len(), fixture.provider.discarded()), (0, 1));
        }
    }
}

/// G6: so is that of a grant that ends because a code or a refresh token came twice.
#[test]
fn the_token_of_a_grant_that_was_misused_is_given_back() {
    let fixture = fake::fixture();
    let browser = &mut Browser::new(&fixture);
    let code = browser.code();
    assert_eq!(browser.redeem(&code, &[]).status(), 200);
    assert_eq!(browser.redeem(&code, &[]).status(), 400);
    assert_eq!(fixture.provider.discarded(), 1);
    let first = browser.tokens().refresh;
    assert_eq!(browser.refresh(&first).status(), 200);
    fixture.clock.advance(crate::base::limits::REFRESH_GRACE * 2);
    assert_eq!(browser.refresh(&first).status(), 400);
    assert_eq!((fixture.grants.list().unwrap().len(), fixture.provider.discarded()), (0, 2));
}

/// T14: what is unknown or another client's has no effect, and says nothing.
#[test]
fn foreign_and_unknown_tokens_have_no_effect() {
    let fixture = fake::fixture();
    let browser = &mut Browser::new(&fixture);
    let tokens = browser.tokens();
    let other = fixture.client_id(AuthMethod::None, &["https://other.example/cb"]);
    for body in [format!("token={}&client_id={other}", tokens.refresh), format!("token=x&client_id={other}")]
    {
        assert_eq!(fixture.post("/revoke", &body).status(), 200);
    }
    assert!(fixture.bearer(&tokens.access).is_ok());
    let confidential = fixture.client_id(AuthMethod::ClientSecretPost, &["https://other.example/cb"]);
    assert_eq!(fixture.post("/revoke", &format!("token=x&client_id={confidential}")).status(), 401);
    assert_eq!(fixture.post("/revoke", &format!("client_id={other}")).status(), 400);
}

/// S3: a revocation that is asked for again is not answered as done while the first one is not on the disk.
#[test]
fn a_repeated_revocation_is_acknowledged_once_it_is_written() {
    let file = crate::store::conformance::Removable::new();
    let fixture = fake::fixture_over(file.table.clone());
    let browser = &mut Browser::new(&fixture);
    let tokens = browser.tokens();
    let body = format!("token={}&client_id={}", tokens.refresh, browser.client_id);
    file.take_away();
    for _ in 0..3 {
        assert_eq!(fixture.post("/revoke", &body).status(), 503);
    }
    file.put_back();
    fixture.server.grants.sweep();
    assert_eq!(fixture.post("/revoke", &body).status(), 200);
    assert_eq!(fixture.grants.list().unwrap().len(), 0);
}
