//! The bearer check: from the Authorization header of a request to the [`Principal`] who calls (RFC 6750).

use std::sync::Arc;

use super::issued::AccessToken;
use super::upstream::CallersUpstream;
use super::{AuthorizationServer, Endpoint, Settings};
use crate::base::identity::{Principal, Scopes};
use crate::base::{log, trace};
use crate::http::{self, Response};
use crate::seal;
use crate::store::{self, Stage};

/// Why nobody is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerError {
    /// There is no token.
    Missing,
    /// Two Authorization headers (RFC 6750 section 3.1, `invalid_request`).
    Malformed,
    /// The token is forged, of another type, expired, revoked or for another resource.
    Invalid,
    /// The token lacks this server's scope.
    InsufficientScope,
    /// The table cannot be read.
    Unavailable,
}

impl BearerError {
    /// What the log calls it.
    fn word(self) -> &'static str {
        match self {
            BearerError::Missing => "no_token",
            BearerError::Malformed => "malformed_token",
            BearerError::Invalid => "invalid_token",
            BearerError::InsufficientScope => "insufficient_scope",
            BearerError::Unavailable => "storage",
        }
    }
}

impl AuthorizationServer {
    /// Who calls. Only the Authorization header counts, never a query, body or cookie (T19). Writes nothing: doors ask before
    /// they read a large body, on threads with other work to do.
    ///
    /// # Errors
    /// [`BearerError`]; [`AuthorizationServer::challenge`] is the answer to it.
    pub fn bearer(&self, head: &http::Head) -> Result<Principal, BearerError> {
        let token = token_of(head)?;
        let now = self.clock.now();
        let token: AccessToken = seal::open(&self.keys, token, now).map_err(|_| BearerError::Invalid)?;
        // M4: for this resource, and its grant still there.
        if token.resource != self.settings.resource {
            return Err(BearerError::Invalid);
        }
        let grant = self.grants.get(token.grant).map_err(unavailable)?.ok_or(BearerError::Invalid)?;
        if grant.is_over(now) || grant.stage == Stage::CodeIssued {
            return Err(BearerError::Invalid);
        }
        // T13: a policy without groups can be asked at each request. D6: a denied client's grants are ended when it comes onto
        // the list; this holds even if the table could not be written then.
        if !self.is_good(&grant) {
            return Err(BearerError::Invalid);
        }
        let scopes = token.scopes.intersection(&grant.scopes);
        if !self.settings.required_scope.is_subset(&scopes) {
            return Err(BearerError::InsufficientScope);
        }
        Ok(Principal {
            user: grant.user,
            login: grant.login.as_str().into(),
            client: grant.client.fingerprint.clone(),
            scopes: Arc::new(scopes),
            grant: grant.id,
            expires: token.expires,
            upstream: Arc::new(CallersUpstream {
                upstreams: Arc::clone(&self.upstreams),
                grant,
                secret: token.secret,
            }),
        })
    }

    /// The answer to a request that is not let through (RFC 6750 section 3, RFC 9728 section 5.1). A person who has opened the
    /// endpoint in a browser finds the home page in it.
    pub fn challenge(&self, head: &http::Head, endpoint: Endpoint, error: BearerError) -> Response {
        let url = self.settings.public_url.as_named_by(head);
        let challenge = challenge(&url, endpoint, error, &self.settings.required_scope);
        if error != BearerError::Missing || !wants_page(head) {
            return challenge;
        }
        let fields = challenge.headers().map(|(name, value)| (name, value.to_owned().into())).collect();
        self.pages().home(challenge.status(), &self.settings.resource).with_fields(fields)
    }
}

/// Whether a browser asks: HTML is the first that it accepts. Clients ask for an event stream or JSON.
fn wants_page(head: &http::Head) -> bool {
    let accept = head.headers.all("accept").next().and_then(|accept| accept.split([',', ';']).next());
    head.method == http::Method::Get
        && accept.is_some_and(|first| first.trim().eq_ignore_ascii_case("text/html"))
}

/// The token that a request brings, not yet looked at. Another scheme, or none, is no token: SDKs start a login at a 401, and
/// at a 400 they give up (RFC 6750 section 3.1 has no error for a request without a token).
///
/// # Errors
/// [`BearerError::Missing`], or [`BearerError::Malformed`] for two fields.
pub fn token_of(head: &http::Head) -> Result<&str, BearerError> {
    let header = head.headers.one("authorization").map_err(|_| BearerError::Malformed)?;
    let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or(BearerError::Missing)?;
    let token = token.trim_ascii();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(BearerError::Missing)
    }
}

impl Settings {
    /// The answer to a caller whose token is good, but lacks scopes that a tool needs: all `needed` scopes, so that the
    /// client asks for them together (MCP, authorization, "Scope Challenge Handling").
    pub fn insufficient_scope(&self, needed: &Scopes) -> Response {
        let scope = self.required_scope.union(needed);
        challenge(&self.public_url, Endpoint::Mcp, BearerError::InsufficientScope, &scope)
    }
}

fn challenge(url: &http::PublicUrl, endpoint: Endpoint, error: BearerError, scope: &Scopes) -> Response {
    trace::refused(error.word());
    // Clients search for `name=` in the whole header: no value repeats a parameter's name or has quotes of its own.
    let (status, error) = match error {
        BearerError::Missing => (401, None),
        BearerError::Invalid => (401, Some("invalid_token")),
        BearerError::Malformed => (400, Some("invalid_request")),
        BearerError::InsufficientScope => (403, Some("insufficient_scope")),
        BearerError::Unavailable => return Response::new(503).header("Retry-After", "5"),
    };
    let metadata = format!("/.well-known/oauth-protected-resource{}", endpoint.path());
    let metadata = url.join(&metadata);
    let error = error.map(|error| format!(", error=\"{error}\"")).unwrap_or_default();
    Response::new(status)
        .header(
            "WWW-Authenticate",
            format!("Bearer resource_metadata=\"{metadata}\", scope=\"{scope}\"{error}"),
        )
        .header("Cache-Control", "no-store")
}

fn unavailable(error: store::Error) -> BearerError {
    log::error("store.failed", &[log::Field::Error(&error.to_string())]);
    BearerError::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits;
    use crate::http::fake::request;
    use crate::oauth::fake::{self, Browser};

    /// M5: who calls, and GitHub's token for GitHub; of our own token nothing is passed on.
    #[test]
    fn a_token_says_who_calls() {
        let fixture = fake::fixture();
        let tokens = Browser::new(&fixture).tokens();
        let principal = fixture.bearer(&tokens.access).unwrap();
        assert_eq!((principal.user.0, &*principal.login), (583_231, "octocat"));
        assert_eq!(principal.scopes.to_string(), "mcp");
        assert_eq!(principal.upstream.token().unwrap().expose(), "gho_fake");
    }

    /// T1, M4: only a live access token of this server is a bearer token.
    #[test]
    fn nothing_else_is_a_token() {
        let fixture = fake::fixture();
        let browser = &mut Browser::new(&fixture);
        let code = browser.code();
        let tokens = browser.tokens();
        for other in
            [&code, &tokens.refresh, &browser.client_id, &format!("{}x", tokens.access), &"ü".to_owned()]
        {
            assert_eq!(fixture.bearer(other).unwrap_err(), BearerError::Invalid);
        }
        fixture.clock.advance(limits::ACCESS_TOKEN_LIFETIME);
        assert_eq!(fixture.bearer(&tokens.access).unwrap_err(), BearerError::Invalid);
    }

    /// T19: one Authorization header, with a bearer token in it.
    #[test]
    fn only_the_header_counts() {
        let fixture = fake::fixture();
        let tokens = Browser::new(&fixture).tokens();
        let check = |request: http::Request, error| {
            assert_eq!(fixture.server.bearer(&request.head).unwrap_err(), error)
        };
        check(request("POST", &format!("/mcp?access_token={}", tokens.access)), BearerError::Missing);
        let value = format!("Bearer {}", tokens.access);
        check(
            request("POST", "/mcp").with("Authorization", &value).with("Authorization", &value),
            BearerError::Malformed,
        );
        let lower = request("POST", "/mcp").with("Authorization", &format!("bearer {}", tokens.access));
        assert!(fixture.server.bearer(&lower.head).is_ok());
    }

    /// M3: a client that sends an Authorization field without a token is told to log in, as one that sends none.
    #[test]
    fn an_authorization_field_without_a_token_is_none() {
        let fixture = fake::fixture();
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  \t",
            "bearer ",
            "Bearer\tx",
            "Basic eDp5",
            "Digest a=b",
            "null",
            "mcp_at_x",
        ] {
            let head = request("POST", "/mcp").with("Authorization", value).head;
            assert_eq!(fixture.server.bearer(&head).unwrap_err(), BearerError::Missing, "{value:?}");
        }
    }

    /// M3: the challenge tells a client where to log in, and no more.
    #[test]
    fn a_challenge_names_the_metadata() {
        let fixture = fake::fixture();
        let check = |error, status, expected: &str| {
            let response = fixture.server.challenge(&request("POST", "/mcp").head, Endpoint::Mcp, error);
            assert_eq!(response.status(), status);
            assert_eq!(response.header_value("www-authenticate"), Some(expected));
        };
        let start = "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\", scope=\"mcp\"";
        check(BearerError::Missing, 401, start);
        check(BearerError::Invalid, 401, &format!("{start}, error=\"invalid_token\""));
        check(BearerError::InsufficientScope, 403, &format!("{start}, error=\"insufficient_scope\""));
    }

    /// A client that follows the challenge of a tool asks for all that it needs.
    #[test]
    fn a_tools_challenge_names_every_scope() {
        let settings = Settings::new(http::PublicUrl::parse("https://mcp.example.com").unwrap());
        let response = settings.insufficient_scope(&Scopes::parse("repo").unwrap());
        assert_eq!(response.status(), 403);
        let challenge = response.header_value("www-authenticate").unwrap();
        assert!(challenge.ends_with(", scope=\"mcp repo\", error=\"insufficient_scope\""), "{challenge}");
    }
}
