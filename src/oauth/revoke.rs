//! Revocation (RFC 7009). A token of a grant ends the whole grant: access tokens are sealed, not stored, so there is
//! nothing smaller to end, and a client that revokes one is leaving.

use super::AuthorizationServer;
use super::answer;
use super::issued::{AccessToken, RefreshToken};
use super::token::{TokenError, read_form};
use crate::base::identity::GrantId;
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
        let Some(id) = self.grant_of(token) else { return Ok(()) };
        let Some(grant) = self.grants.get(id)? else { return Ok(()) };
        if grant.client.fingerprint == client.fingerprint {
            self.end_grant(id, "revoked")?;
        }
        Ok(())
    }

    fn grant_of(&self, token: &str) -> Option<GrantId> {
        let now = self.clock.now();
        let access = seal::open::<AccessToken>(&self.keys, token, now).map(|token| token.grant);
        access.or_else(|_| seal::open::<RefreshToken>(&self.keys, token, now).map(|token| token.grant)).ok()
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
