//! Values that must not be shown. They print as `***` and are read at pinned call sites. Values from clients are compared by
//! [`Secret::matches`], in constant time; the derived `==` is not constant-time, and is for values of this server only.
//!
//! Memory is not wiped: SECURITY.md says so.

use std::fmt;

use subtle::ConstantTimeEq;

/// A value that must never reach a log, an error text or a page, such as a token at GitHub. `Debug` prints `***`, and there is no
/// `Display` or `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value itself, for a request that needs it.
    // Every call site in this crate is listed in `tests/tidy/main.rs`.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: AsRef<[u8]>> Secret<T> {
    /// Whether `other` has the same bytes, in a time that does not depend on the position of a difference.
    pub fn matches(&self, other: &[u8]) -> bool {
        bool::from(self.0.as_ref().ct_eq(other))
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests;
