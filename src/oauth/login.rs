//! The sealed stages of a login: at the consent page, then at GitHub.

use serde::{Deserialize, Serialize};

use super::authorization::AuthorizationRequest;
use super::browser::BrowserBinding;
use super::provider::{IdentityProvider, LoginRequest};
use super::resource::see_other;
use super::sealer::{Sealer, ShortLived};
use crate::base::{Random, Secret, Timestamp, base64url, limits, sha256};
use crate::http::Response;
use crate::seal;

/// A checked request that waits for the person's answer, sealed into the consent form. Fresh for every page and bound to
/// the browser that got it, it is the form's CSRF token as well (C3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingAuthorization {
    #[serde(rename = "q")]
    pub(super) request: AuthorizationRequest,
    #[serde(rename = "b")]
    pub(super) browser: BrowserBinding,
}

impl ShortLived for PendingAuthorization {
    const PREFIX: &'static str = "mcp_pa_";
}

impl PendingAuthorization {
    /// C4: the person has agreed, so GitHub may be asked.
    pub(super) fn approve(self, random: &dyn Random) -> GitHubLogin {
        GitHubLogin::new(Purpose::Authorize(Box::new(self.request)), self.browser, random)
    }
}

/// A login that waits for GitHub's answer, sealed into the `state` that GitHub returns.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GitHubLogin {
    #[serde(rename = "p")]
    pub(super) purpose: Purpose,
    #[serde(rename = "b")]
    pub(super) browser: BrowserBinding,
    /// The PKCE verifier towards GitHub (G1) is the base64url of these bytes.
    #[serde(rename = "v", with = "seal::secret_bytes")]
    verifier: Secret<[u8; 32]>,
}

/// The purpose of a login.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// A client's request, to which the person has agreed.
    Authorize(Box<AuthorizationRequest>),
    /// The account page.
    Account,
}

/// Precedes the state of a sign-in to the account page. Decides only which page shows the error if the state does not open.
const ACCOUNT_MARK: &str = "account.";

impl ShortLived for GitHubLogin {
    const PREFIX: &'static str = "mcp_gl_";
}

impl GitHubLogin {
    /// A sign-in to the account page.
    pub(super) fn to_account(browser: BrowserBinding, random: &dyn Random) -> GitHubLogin {
        GitHubLogin::new(Purpose::Account, browser, random)
    }

    fn new(purpose: Purpose, browser: BrowserBinding, random: &dyn Random) -> GitHubLogin {
        GitHubLogin { purpose, browser, verifier: Secret::new(random.bytes()) }
    }

    pub(super) fn verifier(&self) -> Secret<String> {
        Secret::new(base64url(self.verifier.expose()))
    }

    /// Sends the browser to GitHub, with PKCE (G1). `begun` is a time at which the login had not ended; its lifetime starts there.
    pub(super) fn see_github(
        self,
        sealer: &Sealer,
        provider: &dyn IdentityProvider,
        scope: &str,
        begun: Timestamp,
    ) -> Response {
        let code_challenge = base64url(&sha256(self.verifier().expose().as_bytes()));
        let mark = match self.purpose {
            Purpose::Authorize(_) => "",
            Purpose::Account => ACCOUNT_MARK,
        };
        let state = format!("{mark}{}", sealer.seal_here(self, begun.plus(limits::LOGIN_LIFETIME)));
        see_other(provider.authorize_url(&LoginRequest {
            state: &state,
            code_challenge: &code_challenge,
            redirect_uri: &sealer.callback_url(),
            scope,
        }))
    }

    /// Opens the state of a callback.
    pub(super) fn open(sealer: &Sealer, state: &str, now: Timestamp) -> Option<GitHubLogin> {
        sealer.open_here(state.strip_prefix(ACCOUNT_MARK).unwrap_or(state), now)
    }
}

/// Whether a state has the mark of a sign-in to the account page.
pub(super) fn is_marked_account(state: &str) -> bool {
    state.starts_with(ACCOUNT_MARK)
}
