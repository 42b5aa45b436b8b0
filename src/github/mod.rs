//! GitHub as the identity provider: redirects browsers to its login page, redeems its codes, asks for the owner of a token and their
//! memberships. An answer that is not clearly valid is an error.
//!
//! `settings` holds the URLs and credentials, `client` makes the calls, `answer` parses the answers.

mod answer;
mod client;
pub(crate) mod scopes;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

#[cfg(feature = "internals")]
#[doc(hidden)]
#[path = "../../tests/lab/github.rs"]
pub mod fuzzing;

pub use self::answer::Profile;
use self::client::{Answer, Client};
pub use self::settings::{API_URL, BaseUrl, GitHubSettings, URL};
use crate::base::log::{self, Field};
use crate::base::{Group, Identity, Secret, limits};
use crate::http::{append_query, percent_encode};
use crate::oauth::provider::{IdentityProvider, LoginRequest, ProviderToken, Redemption};
pub use crate::oauth::provider::{Obstacle, ProviderError};

/// GitHub, as seen by one of its apps.
pub struct GitHub {
    settings: GitHubSettings,
    /// Whether GitHub last accepted the second secret, which is then tried first.
    second_secret_first: AtomicBool,
    issuer: String,
    client: Client,
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHub").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl GitHub {
    /// GitHub with these settings. Makes no request.
    pub fn new(settings: GitHubSettings) -> GitHub {
        GitHub::with_timeout(settings, limits::GITHUB_CALL)
    }

    fn with_timeout(settings: GitHubSettings, timeout: Duration) -> GitHub {
        GitHub {
            issuer: settings.url.join("/login/oauth"),
            client: Client::new(&settings, timeout),
            second_secret_first: AtomicBool::new(false),
            settings,
        }
    }

    /// Calls so far, by outcome, for metrics.
    pub fn outcomes(&self) -> Vec<(&'static str, u64)> {
        self.client.outcomes.counts()
    }

    /// The base address of GitHub's REST API, for other requests than those of this type: `api_url().join("/user/repos")`. Follows the
    /// options, so that it is the API of an Enterprise Server, or in `demo` the simulated GitHub.
    pub fn api_url(&self) -> &BaseUrl {
        &self.settings.api_url
    }

    /// The whole profile of the account that owns this token.
    ///
    /// # Errors
    /// [`ProviderError`]. A tool whose caller's token is refused says so to the server, and the client logs in again:
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use mcp_oauth_server::github::{GitHub, ProviderError};
    /// use mcp_oauth_server::mcp::{CallError, NoArguments, Secret, Tool};
    /// use serde_json::json;
    ///
    /// fn who_am_i(github: Arc<GitHub>) -> Tool {
    ///     let schema = json!({ "type": "object", "properties": {} });
    ///     Tool::new("who_am_i", "The caller's account at GitHub", schema).handler(move |context, NoArguments {}| {
    ///         let upstream = &context.principal().upstream;
    ///         let token: Secret<String> = upstream.token().ok_or("there is no GitHub token: log in again")?;
    ///         match github.profile(&token) {
    ///             Ok(profile) => Ok(profile.login),
    ///             Err(ProviderError::Refused) if !upstream.is_good() => Err("GitHub's token has ended: log in again".into()),
    ///             Err(error) => Err(CallError::from(format!("GitHub: {error}"))),
    ///         }
    ///     })
    /// }
    /// ```
    pub fn profile(&self, token: &Secret<String>) -> Result<Profile, ProviderError> {
        let url = self.settings.api_url.join("/user");
        let answer = self.client.get("user", &url, token)?;
        match answer.status {
            200 => {
                answer::profile(&answer.body, &answer.scopes).ok_or_else(|| nonsense("user", answer.status))
            }
            // Revoked, expired, or of another GitHub.
            401 => {
                let hint = "none for an old token; if new ones are refused, check that GITHUB_API_URL is GITHUB_URL's";
                log::warn("github.refused", &[Field::Route("user"), Field::Status(401), Field::Hint(hint)]);
                Err(ProviderError::Refused)
            }
            403 => Err(answer::obstacle(&answer.body).map_or(ProviderError::Refused, ProviderError::Blocked)),
            404 => Err(misconfigured("user", "no GitHub API is here: check GITHUB_API_URL", &url)),
            status => Err(nonsense("user", status)),
        }
    }

    /// Deletes a token at GitHub (G6). The person's authorization of the app stays, and with it their logins through other clients (G8).
    ///
    /// # Errors
    /// `ProviderError`; the token may then still be valid.
    pub fn discard(&self, token: &Secret<String>) -> Result<(), ProviderError> {
        let client_id = percent_encode(&self.settings.client_id);
        let url = self.settings.api_url.join(&format!("/applications/{client_id}/token"));
        let json = json!({ "access_token": token.expose() }).to_string();
        let delete = |secret: &Secret<String>| {
            self.client.delete("discard", &url, (&self.settings.client_id, secret), &json)
        };
        match self.with_secret(delete, |answer| answer.status == 401)?.status {
            // 404 and 422: GitHub knows no such token, so it is revoked already.
            204 | 404 | 422 => Ok(()),
            401 => Err(misconfigured("discard", answer::WRONG_CREDENTIALS.hint, &url)),
            status => Err(nonsense("discard", status)),
        }
    }

    /// G9: asks with the secret that was accepted last; if GitHub refuses it, once more with the other one, if there is one.
    fn with_secret<T>(
        &self,
        ask: impl Fn(&Secret<String>) -> Result<T, ProviderError>,
        is_refused: impl Fn(&T) -> bool,
    ) -> Result<T, ProviderError> {
        let first = &self.settings.client_secret;
        let Some(second) = &self.settings.other_secret else { return ask(first) };
        let second_first = self.second_secret_first.load(Ordering::Relaxed);
        let (one, other) = if second_first { (second, first) } else { (first, second) };
        let answer = ask(one)?;
        if !is_refused(&answer) {
            return Ok(answer);
        }
        let answer = ask(other)?;
        if !is_refused(&answer) {
            self.second_secret_first.store(!second_first, Ordering::Relaxed);
            log::warn("github.secret_changed", &[Field::Hint(SECRET_CHANGED)]);
        }
        Ok(answer)
    }

    fn ask_for_token(&self, form: &[(&str, &str)]) -> Result<ProviderToken, ProviderError> {
        let url = self.settings.url.join("/login/oauth/access_token");
        let ask = |secret: &Secret<String>| {
            let app = [("client_id", self.settings.client_id.as_str()), ("client_secret", secret.expose())];
            let Answer { status, body, .. } = self.client.post(&url, &[&app, form].concat())?;
            if (300..400).contains(&status) {
                return Err(misconfigured("token", "GitHub answers with a redirect: check GITHUB_URL", &url));
            }
            // A token is accepted with status 200 only, an error with any status.
            let token = answer::token(&body);
            let token = token.and_then(|token| (status == 200).then_some(token).ok_or(answer::MALFORMED));
            Ok((status, token))
        };
        let is_refused = |(_, token): &(u16, Result<ProviderToken, &answer::Refusal>)| {
            token.as_ref().is_err_and(|refusal| *refusal == answer::WRONG_CREDENTIALS)
        };
        let (status, token) = self.with_secret(ask, is_refused)?;
        token.map_err(|refusal| {
            let redirect_uri = form.iter().find(|(name, _)| *name == "redirect_uri").map(|(_, uri)| *uri);
            let fields = [
                Field::Route("token"),
                Field::Status(status),
                Field::Reason(refusal.reason),
                Field::Url(redirect_uri.unwrap_or(&url)),
                Field::Hint(refusal.hint),
            ];
            log::warn("github.refused", &fields);
            refusal.error
        })
    }
}

impl IdentityProvider for GitHub {
    fn authorize_url(&self, request: &LoginRequest<'_>) -> String {
        let mut parameters = vec![
            ("client_id", self.settings.client_id.as_str()),
            ("redirect_uri", request.redirect_uri),
            ("state", request.state),
            ("code_challenge", request.code_challenge),
            ("code_challenge_method", "S256"),
        ];
        if !request.scope.is_empty() {
            parameters.push(("scope", request.scope));
        }
        append_query(&self.settings.url.join("/login/oauth/authorize"), &parameters)
    }

    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn redeem(&self, redemption: &Redemption<'_>) -> Result<ProviderToken, ProviderError> {
        self.ask_for_token(&[
            ("code", redemption.code),
            ("redirect_uri", redemption.redirect_uri),
            ("code_verifier", redemption.code_verifier.expose()),
        ])
    }

    fn refresh(&self, refresh: &Secret<String>) -> Result<ProviderToken, ProviderError> {
        self.ask_for_token(&[("grant_type", "refresh_token"), ("refresh_token", refresh.expose())])
    }

    fn discard(&self, token: &Secret<String>) {
        if let Err(error) = GitHub::discard(self, token) {
            log::warn("github.token_kept", &[Field::Reason(&error.to_string())]);
        }
    }

    fn identify(&self, token: &Secret<String>) -> Result<Identity, ProviderError> {
        self.profile(token).map(Identity::from)
    }

    fn is_member(
        &self,
        token: &Secret<String>,
        identity: &Identity,
        group: &Group,
    ) -> Result<bool, ProviderError> {
        let login = &identity.login;
        let (names, path) = match group {
            Group::Org(org) => ([org, org, org], format!("/user/memberships/orgs/{org}")),
            Group::Team { org, slug } => {
                ([org, slug, login], format!("/orgs/{org}/teams/{slug}/memberships/{login}"))
            }
        };
        // A name that cannot be GitHub's could change the path of the request.
        if !names.into_iter().all(|name| answer::is_name(name)) {
            return Ok(false);
        }
        let answer = self.client.get("membership", &self.settings.api_url.join(&path), token)?;
        match answer.status {
            200 => answer::is_active(&answer.body).inspect_err(|error| {
                if *error == ProviderError::Nonsense {
                    nonsense("membership", 200);
                }
            }),
            401 => Err(ProviderError::Refused),
            404 => Ok(false),
            // 403, or a redirect of a renamed organisation: neither says whether the person is a member.
            status => {
                let obstacle = if status == 403 { answer::obstacle(&answer.body) } else { None };
                let reason = obstacle.map_or("unknown", Obstacle::word);
                let fields = [
                    Field::Route("membership"),
                    Field::Status(status),
                    Field::Login(login),
                    Field::Reason(reason),
                ];
                log::warn("github.membership_hidden", &fields);
                Err(ProviderError::Blocked(obstacle.unwrap_or(Obstacle::NotPermitted)))
            }
        }
    }
}

const SECRET_CHANGED: &str =
    "GitHub accepts the other secret of the file now: when this stays so, delete the one that it does not";

fn nonsense(route: &'static str, status: u16) -> ProviderError {
    let fields = [Field::Route(route), Field::Status(status), Field::Hint(answer::NOT_GITHUB)];
    log::warn("github.bad_answer", &fields);
    ProviderError::Nonsense
}

fn misconfigured(route: &'static str, hint: &'static str, url: &str) -> ProviderError {
    log::error("github.refused", &[Field::Route(route), Field::Url(url), Field::Hint(hint)]);
    ProviderError::Misconfigured
}
