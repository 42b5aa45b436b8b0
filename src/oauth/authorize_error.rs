//! Why the authorization endpoint sends no code, and what clients are told then.

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
            Self::StateTooLong => ("invalid_request", "state may have at most 4096 bytes"),
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
