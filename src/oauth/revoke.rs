//! Revocation (RFC 7009). A token of a grant ends the whole grant: access tokens are sealed, not stored, so there is
//! nothing smaller to end, and a client that revokes one is leaving.

use super::AuthorizationServer;
use super::answer;
use super::issued::{AccessToken, RefreshToken};
use super::token::read_form;
use super::token_error::TokenError;
use crate::base::identity::{ClientFingerprint, GrantId};
use crate::base::secret::Secret;
use crate::http::{self, Response};
use crate::seal;

impl AuthorizationServer {
    /// `POST /revoke`
    pub fn revoke(&self, request: &http::Request) -> Response {
        self.limited(request, |request| {
            self.try_revoke(request).map(|()| answer::no_store(Response::new(200)))
        })
    }

    fn try_revoke(&self, request: &http::Request) -> Result<(), TokenError> {
        let form = read_form(request)?;
        let client = self.authenticate(&request.head, &form).map_err(TokenError::Client)?;
        let token = form.value("token").ok_or(TokenError::Missing("token is required"))?;
        // RFC 7009 section 2.2: an unknown, expired or foreign token is no error, and nothing happens. The hint is not
        // needed: a token says itself what it is.
        let Some((id, secret, owner)) = self.grant_of(token) else { return Ok(()) };
        let owner = match self.grants.get(id) {
            Ok(Some(grant)) => Some(grant.client.fingerprint.clone()),
            Ok(None) => return Ok(()),
            // S3: a revocation is not forgotten because the table cannot be read. An access token does not say whose it is;
            // whoever has it may end it then.
            Err(_) => owner,
        };
        if owner.is_none_or(|owner| owner == client.fingerprint) {
            self.end_opened_grant(id, &secret, "revoked")?;
        }
        Ok(())
    }

    /// The grant of a token, its secret, and the client if the token says which.
    fn grant_of(&self, token: &str) -> Option<(GrantId, Secret<[u8; 32]>, Option<ClientFingerprint>)> {
        let now = self.clock.now();
        if let Ok(access) = seal::open::<AccessToken>(&self.keys, token, now) {
            return Some((access.grant, access.secret, None));
        }
        let refresh = seal::open::<RefreshToken>(&self.keys, token, now).ok()?;
        Some((refresh.grant, refresh.secret, Some(refresh.client)))
    }
}

#[cfg(test)]
mod tests {
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
        for body in
            [format!("token={}&client_id={other}", tokens.refresh), format!("token=x&client_id={other}")]
        {
            assert_eq!(fixture.post("/revoke", &body).status(), 200);
        }
        assert!(fixture.bearer(&tokens.access).is_ok());
        let confidential = fixture.client_id(AuthMethod::ClientSecretPost, &["https://other.example/cb"]);
        assert_eq!(fixture.post("/revoke", &format!("token=x&client_id={confidential}")).status(), 401);
        assert_eq!(fixture.post("/revoke", &format!("client_id={other}")).status(), 400);
    }
}
