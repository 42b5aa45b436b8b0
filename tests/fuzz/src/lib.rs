//! Shared parts of the targets: a server to fuzz through its endpoints, and slow, independent parsers to compare with.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcp_oauth_server::internals::base::Random;
use mcp_oauth_server::internals::base::Secret;
use mcp_oauth_server::internals::base::{Clock, Timestamp};
use mcp_oauth_server::internals::http::{Body, Head, Headers, Method, PublicUrl, Request, Response};
use mcp_oauth_server::internals::oauth::{AuthorizationServer, Clients};
use mcp_oauth_server::internals::oauth::{
    Group, Identity, IdentityProvider, LoginRequest, ProviderError, ProviderToken, Redemption,
};
use mcp_oauth_server::internals::seal::Keyring;
use mcp_oauth_server::internals::{Grants, MemoryGrants};

/// A clock that runs ahead, so that no rate limit is ever reached.
#[derive(Default)]
struct FastClock(AtomicU64);

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(3600, Ordering::Relaxed))
    }
}

/// Random bytes that are equal in each run, so that the sealed values of a corpus stay valid.
pub struct SameRandom;

impl Random for SameRandom {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }
}

struct NoProvider;

impl IdentityProvider for NoProvider {
    fn authorize_url(&self, _: &LoginRequest<'_>) -> String {
        String::new()
    }

    fn issuer(&self) -> &str {
        ""
    }

    fn redeem(&self, _: &Redemption<'_>) -> Result<ProviderToken, ProviderError> {
        Err(ProviderError::Unreachable)
    }

    fn refresh(&self, _: &Secret<String>) -> Result<ProviderToken, ProviderError> {
        Err(ProviderError::Unreachable)
    }

    fn discard(&self, _: &Secret<String>) {}

    fn identify(&self, _: &Secret<String>) -> Result<Identity, ProviderError> {
        Err(ProviderError::Unreachable)
    }

    fn is_member(&self, _: &Secret<String>, _: &Identity, _: &Group) -> Result<bool, ProviderError> {
        Err(ProviderError::Unreachable)
    }
}

/// Keys of the fuzzer only.
pub fn keys() -> Keyring {
    Keyring::new(&[Secret::new([7; 32])]).expect("one key")
}

/// An authorization server at https://mcp.example.com, and its table.
pub fn server() -> (AuthorizationServer, Arc<MemoryGrants>) {
    server_with(Clients::default())
}

/// A server with these clients.
pub fn server_with(clients: Clients) -> (AuthorizationServer, Arc<MemoryGrants>) {
    let grants = Arc::new(MemoryGrants::default());
    let url = PublicUrl::parse("https://mcp.example.com").expect("an https URL");
    let outside = (Arc::clone(&grants) as Arc<dyn Grants>, Arc::new(NoProvider) as _, clients);
    let chance = (Arc::new(FastClock::default()) as _, Arc::new(SameRandom) as _);
    let server = AuthorizationServer::new(url, keys(), outside, chance);
    (server, grants)
}

/// A request in the form of a door.
pub fn request(method: &str, query: Option<&str>, fields: &[(&str, &str)], body: &[u8]) -> Request {
    let mut headers = Headers::default();
    fields.iter().for_each(|(name, value)| headers.push(name, value));
    let head = Head {
        method: Method::from_token(method),
        path: "/".into(),
        query: query.map(Into::into),
        headers,
        peer: Some(IpAddr::from([127, 0, 0, 1])),
    };
    Request { head, body: body.to_vec() }
}

/// The bytes of a body that is not a stream.
pub fn bytes(response: &Response) -> &[u8] {
    match response.body() {
        Body::Bytes(bytes) => bytes,
        _ => panic!("a stream"),
    }
}

/// Registers a client and returns the answer, if it was accepted.
pub fn register(server: &AuthorizationServer, metadata: &[u8]) -> Option<serde_json::Value> {
    let sent = request("POST", None, &[("Content-Type", "application/json")], metadata);
    let response = server.register(&sent);
    let answer = serde_json::from_slice(bytes(&response)).expect("the answer is JSON");
    match response.status() {
        201 => Some(answer),
        400 => None,
        status => panic!("{status}: {answer}"),
    }
}

/// The query of an authorization request that is valid except, possibly, for these two values.
pub fn authorize_query(client_id: &str, redirect_uri: &str) -> String {
    let encode = mcp_oauth_server::internals::http::percent_encode;
    format!(
        "client_id={}&redirect_uri={}&response_type=code&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        encode(client_id),
        encode(redirect_uri)
    )
}

/// Form decoding, one character at a time; none for input that no browser writes.
pub fn slow_form_decode(bytes: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (byte, length) = match bytes[at] {
            b'+' => (b' ', 1),
            b'%' => {
                let hex = bytes.get(at + 1..at + 3)?;
                if !hex.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                (u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?, 3)
            }
            other => (other, 1),
        };
        out.push(byte);
        at += length;
    }
    String::from_utf8(out).ok()
}

/// Panics for properties that no registered redirect URI may have.
pub fn judge_redirect(uri: &str) {
    assert!(uri.len() <= 2048 && uri.bytes().all(|b| (0x21..0x7f).contains(&b)));
    assert!(!uri.contains(['#', '\\', '*', '<', '>', '"']), "{uri}");
    let (scheme, rest) = uri.split_once(':').unwrap();
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut path = before_query;
    if let Some(after) = before_query.strip_prefix("//") {
        let (authority, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
        path = rest;
        assert!(!authority.contains('@'), "{uri}");
        let local = ["localhost", "127.", "[::1]"]
            .iter()
            .any(|host| authority.to_ascii_lowercase().starts_with(host));
        assert!(scheme != "http" || local, "{uri}");
    } else {
        assert!(scheme != "http" && scheme != "https", "{uri}");
    }
    assert!(path.split('/').all(|part| !matches!(part, "." | ".." | "%2e" | "%2E" | "%2e%2e" | ".%2e")));
    for pair in query.split('&') {
        let name = pair.split('=').next().unwrap();
        assert!(!["code", "state", "iss", "error"].contains(&name), "{uri}");
    }
    let never = [
        "javascript",
        "data",
        "file",
        "vbscript",
        "blob",
        "about",
        "ws",
        "wss",
        "ftp",
        "view-source",
        "intent",
    ];
    assert!(!never.contains(&scheme.to_ascii_lowercase().as_str()), "{uri}");
}

/// C7, independently: the permitted result of cleaning a name. Plain words are unchanged; the result is a part of the input, except
/// for white space.
pub fn judge_name(sent: &str, left: Option<&str>) {
    let is_plain = |c: char| c.is_ascii_graphic();
    let words: Vec<&str> = sent.split(' ').collect();
    if sent.len() <= 100 && words.iter().all(|word| !word.is_empty() && word.chars().all(is_plain)) {
        assert_eq!(left, Some(sent));
    }
    let Some(left) = left else { return assert!(!sent.chars().any(is_plain), "{sent:?}") };
    assert!((1..=100).contains(&left.chars().count()), "{left:?}");
    assert!(!left.starts_with(' ') && !left.ends_with(' ') && !left.contains("  "), "{left:?}");
    let hidden = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180e}\u{200b}\u{200d}\u{202e}\u{2028}\u{2060}\u{2066}\
                  \u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{378}\u{e000}\u{fffe}\u{e0041}\u{e0100}\u{10ffff}";
    assert!(!left.chars().any(|c| c.is_control() || hidden.contains(c)), "{left:?}");
    let mut rest = sent.chars();
    for wanted in left.chars().filter(|c| *c != ' ') {
        assert!(rest.any(|c| c == wanted), "{sent:?} {left:?}");
    }
}
