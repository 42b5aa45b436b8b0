//! The private parsers of `github`, for tests/fuzz.

use crate::base::Secret;

/// The token in an answer of the token endpoint.
pub fn token(body: &[u8]) -> Option<Secret<String>> {
    super::answer::token(body).ok().map(|token| token.access)
}
