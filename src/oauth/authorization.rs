//! The values of the authorization endpoint: a checked request, the destination of its answer, and the errors.

use serde::{Deserialize, Serialize};

use super::client::ClientOrigin;
use super::redirect::{RedirectUri, Target};
use crate::base::{ClientFingerprint, Scopes, from_base64url};

/// An authorization request whose client, redirect URI and parameters were all checked. Made by
/// [`super::authorize::AuthorizeEndpoint`] alone; carried, sealed, through consent and login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AuthorizationRequest {
    #[serde(rename = "c")]
    pub(super) client: ClientFingerprint,
    #[serde(rename = "t")]
    pub(super) return_to: ReturnTo,
    #[serde(rename = "h")]
    pub(super) code_challenge: CodeChallenge,
    /// The scopes of the grant if the person agrees.
    #[serde(rename = "o")]
    pub(super) scopes: Scopes,
    /// The resource that the tokens will be bound to.
    #[serde(rename = "u")]
    pub(super) resource: String,
    /// The scopes at GitHub of the token that the consent page said is handed over; `None` if it said nothing of that.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(super) handed: Option<String>,
}

/// The destination of the answer, and the client that waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReturnTo {
    /// The client's own name.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(super) client_name: Option<String>,
    /// How the client became known, which determines how far its name is verified.
    #[serde(rename = "f")]
    pub(super) origin: ClientOrigin,
    /// A registered redirect URI, on loopback with the requested port.
    #[serde(rename = "r")]
    pub(super) redirect_uri: RedirectUri,
    /// The client's own state, returned byte for byte and never interpreted.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
}

impl ReturnTo {
    /// O7: whether the browser may be sent there with an error: to a program on this device, or a client of the operator's.
    /// The redirect URI of an open web client was chosen freely by its maker.
    pub(super) fn is_trusted(&self) -> bool {
        match (self.redirect_uri.target(), &self.origin) {
            (Target::Loopback | Target::PrivateScheme, _) | (Target::Web, ClientOrigin::Configured) => true,
            (Target::Web, ClientOrigin::Registered | ClientOrigin::Document(_)) => false,
        }
    }
}

/// An S256 code challenge: the base64url of 32 bytes (RFC 7636 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct CodeChallenge(String);

impl CodeChallenge {
    /// Reads a challenge; `None` unless it is one that S256 can give.
    pub(super) fn parse(text: &str) -> Option<CodeChallenge> {
        (text.len() == 43 && from_base64url(text)?.len() == 32).then(|| CodeChallenge(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an authorization request is refused (RFC 6749 section 4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthorizeError {
    ResponseType,
    NoChallenge,
    BadChallenge,
    ChallengeMethod,
    StateTooLong,
    Scope,
    Resource,
    RequestObject,
    RequestUri,
    ResponseMode,
    NoInteraction,
    Denied,
    NotAllowed,
    LoginFailed,
    Unavailable,
}

impl AuthorizeError {
    /// The `error` and `error_description` of the answer.
    pub(super) fn wire(self) -> (&'static str, &'static str) {
        match self {
            Self::ResponseType => ("unsupported_response_type", "response_type must be code"),
            Self::NoChallenge => ("invalid_request", "code_challenge is required (PKCE)"),
            Self::BadChallenge => {
                ("invalid_request", "code_challenge must be the 43 characters of an S256 challenge")
            }
            Self::ChallengeMethod => ("invalid_request", "code_challenge_method must be S256"),
            Self::StateTooLong => {
                ("invalid_request", "state may have at most 4096 bytes, less with a long redirect_uri")
            }
            Self::Scope => ("invalid_scope", "scope must be at most 1024 bytes of scope names"),
            Self::Resource => ("invalid_target", "resource must be the URL of this MCP server"),
            Self::RequestObject => ("request_not_supported", "request objects are not supported"),
            Self::RequestUri => ("request_uri_not_supported", "request_uri is not supported"),
            Self::ResponseMode => ("invalid_request", "response_mode must be query"),
            Self::NoInteraction => {
                ("interaction_required", "prompt=none is not possible: every login asks the person")
            }
            Self::Denied => ("access_denied", "the person did not allow it"),
            Self::NotAllowed => ("access_denied", "this server does not let that GitHub account in"),
            Self::LoginFailed => ("server_error", "the login failed: the page in the browser says why"),
            Self::Unavailable => {
                ("temporarily_unavailable", "no login is possible right now: try again later")
            }
        }
    }
}
