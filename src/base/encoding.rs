//! base64url without padding, the one text form of bytes in this crate (RFC 4648 section 5), SHA-256, and the test of plain texts.

use std::ops::RangeBounds;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::Digest;

/// The base64url text of `bytes`, without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a base64url text; `None` unless the text is exactly the output of [`base64url`] for them.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    // The engine refuses padding and non-zero trailing bits, so one value has one spelling.
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Whether a text consists of ASCII letters, digits and the characters `others`, which are ASCII as well. `lengths` in bytes.
pub fn is_plain(text: &str, others: &str, lengths: impl RangeBounds<usize>) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || others.as_bytes().contains(&b);
    lengths.contains(&text.len()) && text.bytes().all(is_allowed)
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests;
