//! The caller: the types that `oauth` and `mcp` share.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cancel::CancelToken;
use super::clock::Timestamp;
use super::encoding::{base64url, from_base64url, sha256};
use super::membership::Memberships;
use super::secret::Secret;

/// GitHub's numeric user id, above zero. A login can pass to another account, an id cannot: this is the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub u64);

impl fmt::Display for UserId {
    /// The subject under which this user is known: `github:583231`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "github:{}", self.0)
    }
}

/// The name of a service token: 1 to 32 of `a-z`, `0-9`, `-` and `_`, the first a letter or a digit. Written as `token:NAME`, which no
/// login at GitHub can be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(
    /// The name, padded with NUL.
    [u8; 32],
);

impl TokenName {
    /// Reads a name without `token:` before it; `None` if it is invalid.
    pub fn parse(name: &str) -> Option<TokenName> {
        let is_plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let is_name = name.bytes().next().is_some_and(|first| is_plain(&first))
            && name.bytes().all(|b| is_plain(&b) || b == b'-' || b == b'_');
        let mut bytes = [0; 32];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        is_name.then_some(TokenName(bytes))
    }

    /// The name without `token:` before it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim_end_matches('\0')
    }
}

impl fmt::Display for TokenName {
    /// `token:NAME`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token:{}", self.as_str())
    }
}

impl fmt::Debug for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> String {
        name.to_string()
    }
}

impl TryFrom<String> for TokenName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<TokenName, &'static str> {
        let name = text.strip_prefix("token:").and_then(TokenName::parse);
        name.ok_or("a service token is written as token:NAME, its name with up to 32 lower-case letters, digits, - and _, a letter or digit first")
    }
}

/// The identity of a caller: a person, or a program to which the operator has issued a service token. Quotas, sessions and bridged
/// programs are separate for each subject. As JSON, a number or `"token:NAME"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Subject {
    /// A user at GitHub.
    User(UserId),
    /// The service token of this name. It belongs to no GitHub user.
    Token(TokenName),
}

impl Subject {
    /// The user at GitHub, unless a service token calls.
    pub fn user(self) -> Option<UserId> {
        match self {
            Subject::User(user) => Some(user),
            Subject::Token(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    /// `github:583231` or `token:NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::User(user) => user.fmt(f),
            Subject::Token(name) => name.fmt(f),
        }
    }
}

/// A person at GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's number, which never passes to another account.
    pub user: UserId,
    /// The account's login, which can.
    pub login: String,
}

/// The id of a grant: one user's consent to one client. Random, not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantId(pub [u8; 16]);

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl From<GrantId> for String {
    fn from(id: GrantId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for GrantId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<GrantId, &'static str> {
        let bytes = from_base64url(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(GrantId).ok_or("a grant id is 22 characters of base64url")
    }
}

/// A short name of a client, whose `client_id` may hold a whole registration: the first half of SHA-256 of the `client_id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientFingerprint(String);

impl ClientFingerprint {
    /// The fingerprint of a `client_id`.
    pub fn of(client_id: &str) -> ClientFingerprint {
        let digest = sha256(client_id.as_bytes());
        let (half, _) = digest.split_at(16);
        ClientFingerprint(base64url(half))
    }

    /// Reads a fingerprint; `None` unless it has the form of [`ClientFingerprint::of`].
    pub fn parse(text: &str) -> Option<ClientFingerprint> {
        (from_base64url(text)?.len() == 16).then(|| ClientFingerprint(text.to_owned()))
    }

    /// The fingerprint as text: 22 characters of base64url.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A set of scope tokens (RFC 6749 section 3.3), sorted, without repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// The scopes of a space-separated list; `None` if one has a character that RFC 6749 does not allow.
    pub fn parse(text: &str) -> Option<Scopes> {
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let tokens = text.split(' ').filter(|token| !token.is_empty());
        let checked = tokens.map(|token| token.bytes().all(allowed).then(|| token.to_owned()));
        checked.collect::<Option<_>>().map(Scopes)
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `scope` is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether every scope here is also in `other`.
    pub fn is_subset(&self, other: &Scopes) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The scopes that are in both sets.
    pub fn intersection(&self, other: &Scopes) -> Scopes {
        Scopes(self.0.intersection(&other.0).cloned().collect())
    }

    /// The scopes that are in either set.
    pub fn union(&self, other: &Scopes) -> Scopes {
        Scopes(self.0.union(&other.0).cloned().collect())
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(" "))
    }
}

/// The caller's own token at the identity provider, decrypted only when a tool asks for it.
pub trait UpstreamToken: Send + Sync {
    /// The token, or `None` if none was kept for this grant.
    fn token(&self) -> Option<Secret<String>>;

    /// Asks the provider for the token's owner. If the provider refuses the token, the grant ends: the client's next request is answered
    /// 401, and it logs in again by itself. If the provider does not answer, the token counts as good. Call this after the provider has
    /// answered 401 to a tool, and before the token is handed to code that uses it for longer than a call.
    fn is_good(&self) -> bool;
}

/// The MCP session of a caller, for backends that keep state for it.
#[derive(Debug)]
pub struct CallerSession {
    /// The session's id, which is valid for its own grant only.
    pub id: Box<str>,
    /// Tripped when the session ends. A backend that has lost its state of the session trips it: the client's next request is answered
    /// 404, and the client begins a new session.
    pub ended: CancelToken,
}

/// The caller of one request, authenticated by its bearer token.
#[derive(Clone)]
pub struct Principal {
    /// The identity: a user at GitHub, or a service token.
    pub subject: Subject,
    /// The user's login at the last login or refresh that asked GitHub, or `token:NAME`. For display and for rules like `user:LOGIN`;
    /// the identity is `subject`.
    pub login: Arc<str>,
    /// The user's known memberships in the groups of the server's rules.
    pub memberships: Arc<Memberships>,
    /// The client that holds the token.
    pub client: ClientFingerprint,
    /// The scopes of the token.
    pub scopes: Arc<Scopes>,
    /// The grant behind the token. Sessions, streams and tasks belong to it.
    pub grant: GrantId,
    /// The URI of the MCP server that the token is for.
    pub resource: Arc<str>,
    /// The expiry of the token: streams that it opened end then.
    pub expires: Timestamp,
    /// The user's own token at GitHub. A service token has none.
    pub upstream: Arc<dyn UpstreamToken>,
    /// The MCP session of the request; `None` in 2026-07-28, and for clients that never send its id.
    pub session: Option<Arc<CallerSession>>,
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("subject", &self.subject)
            .field("login", &self.login)
            .field("client", &self.client)
            .field("scopes", &self.scopes)
            .field("grant", &self.grant)
            .field("resource", &self.resource)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Principals for tests of layers that do not issue tokens.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    struct NoToken;

    impl UpstreamToken for NoToken {
        fn token(&self) -> Option<Secret<String>> {
            None
        }

        fn is_good(&self) -> bool {
            true
        }
    }

    pub(crate) const fn subject(user: u64) -> Subject {
        Subject::User(UserId(user))
    }

    /// User `id` through one client, with scope `mcp`, a grant of their own and a token that never expires.
    pub(crate) fn principal(id: u64) -> Principal {
        let mut grant = [0; 16];
        grant[..8].copy_from_slice(&id.to_be_bytes());
        Principal {
            subject: subject(id),
            login: format!("user{id}").into(),
            memberships: Arc::default(),
            client: ClientFingerprint::of("test-client"),
            scopes: Arc::new(Scopes::parse("mcp").unwrap()),
            grant: GrantId(grant),
            resource: "https://mcp.example.com/mcp".into(),
            expires: Timestamp(u64::MAX),
            upstream: Arc::new(NoToken),
            session: None,
        }
    }
}

#[cfg(test)]
mod tests;
