//! Parts for tests that use the real binary from outside: an HTTP client, a browser, a fake GitHub, and a server that
//! ends with its test.

pub(crate) mod browser;
pub(crate) mod github;
pub(crate) mod http;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod walk;

/// Now, on the monotonic clock.
#[allow(clippy::disallowed_methods)] // tests of the binary have no manual clock
pub(crate) fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

/// The identifier of a client in the log and for the operator: half of SHA-256 of the `client_id`, in base64url.
pub(crate) fn fingerprint(client_id: &str) -> String {
    use base64::Engine;
    use sha2::Digest;
    let digest = sha2::Sha256::digest(client_id.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest[..16])
}
