//! Revocation (RFC 7009). A token of a grant ends the whole grant: access tokens are sealed, not stored, so there is
//! nothing smaller to end, and a client that revokes one is leaving.

use super::answer;
use super::issued::{AccessToken, RefreshToken};
use super::resource::ProtectedResource;
use super::token::TokenEndpoint;
use super::token_error::TokenError;
use crate::base::{ClientFingerprint, GrantId, Secret};
use crate::http::{Form, Request, Response};

impl TokenEndpoint {
    /// `POST /revoke`: ends the grant of a token.
    pub fn post_revocation(&self, resource: &ProtectedResource, request: &Request) -> Response {
        self.answer(resource, request, |client, form| {
            self.revoke(resource, client, form).map(|()| answer::no_store(Response::new(200)))
        })
    }

    fn revoke(
        &self,
        resource: &ProtectedResource,
        client: &ClientFingerprint,
        form: &Form,
    ) -> Result<(), TokenError> {
        let token = form.value("token").ok_or(TokenError::Missing("token is required"))?;
        // RFC 7009 section 2.2: an unknown, expired or foreign token is no error, and nothing happens. The hint is not
        // needed: a token says itself what it is.
        let Some((id, secret, owner)) = self.grant_of(token) else { return Ok(()) };
        let owner = match self.grants.table.get(id) {
            Ok(Some(grant)) if *grant.resource != *resource.uri => return Ok(()),
            Ok(Some(grant)) => Some(grant.client.fingerprint.clone()),
            // S3: perhaps it was ended before, and its deletion is not on the disk yet.
            Ok(None) => return if self.grants.is_ready() { Ok(()) } else { Err(TokenError::Unavailable) },
            // S3: a revocation is not forgotten because the table cannot be read. An access token does not say whose it is;
            // its bearer may end it then.
            Err(_) => owner,
        };
        if owner.is_none_or(|owner| owner == *client) {
            self.upstreams.end_grant(id, &secret, "revoked")?;
        }
        Ok(())
    }

    /// The grant of a token, its secret, and the client if the token says which.
    fn grant_of(&self, token: &str) -> Option<(GrantId, Secret<[u8; 32]>, Option<ClientFingerprint>)> {
        let now = self.sealer.clock.now();
        if let Ok(access) = self.sealer.open::<AccessToken>(token, now) {
            return Some((access.grant, access.secret, None));
        }
        let refresh = self.sealer.open::<RefreshToken>(token, now).ok()?;
        Some((refresh.grant, refresh.secret, Some(refresh.client)))
    }
}

#[cfg(test)]
mod tests;
