//! GitHub's own token: encrypted under the server's key and the grant's secret, which only the client's tokens carry. A
//! stolen disk, key included, opens none of them.

use std::sync::Arc;

use super::AuthorizationServer;
use crate::base::encoding::{base64url, from_base64url};
use crate::base::identity::{GrantId, UpstreamToken};
use crate::base::secret::Secret;
use crate::seal::Keyring;
use crate::store::Grant;

const CONTEXT: &[u8] = b"upstream";

/// Opened when a tool asks for it, not at each request.
pub(super) struct SealedUpstream {
    pub(super) keys: Arc<Keyring>,
    pub(super) grant: Arc<Grant>,
    pub(super) secret: Secret<[u8; 32]>,
}

impl UpstreamToken for SealedUpstream {
    fn token(&self) -> Option<Secret<String>> {
        open(&self.keys, &self.grant, &self.secret)
    }
}

impl AuthorizationServer {
    /// GitHub's token as a grant stores it.
    pub(super) fn seal_upstream(
        &self,
        id: GrantId,
        secret: &Secret<[u8; 32]>,
        token: &Secret<String>,
    ) -> String {
        // The context names the one record in which the ciphertext is valid: it cannot be moved to another grant.
        let context: [&[u8]; 3] = [CONTEXT, &id.0, secret.expose()];
        base64url(&self.keys.encrypt(&context, token.expose().as_bytes(), &*self.random))
    }

    /// GitHub's token of a grant, given the grant's secret.
    #[cfg(test)]
    pub(super) fn open_upstream(&self, grant: &Grant, secret: &Secret<[u8; 32]>) -> Option<Secret<String>> {
        open(&self.keys, grant, secret)
    }
}

fn open(keys: &Keyring, grant: &Grant, secret: &Secret<[u8; 32]>) -> Option<Secret<String>> {
    let sealed = from_base64url(grant.upstream.as_deref()?)?;
    let token = keys.decrypt(&[CONTEXT, &grant.id.0, secret.expose()], &sealed)?;
    String::from_utf8(token).ok().map(Secret::new)
}
