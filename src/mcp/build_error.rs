//! Why a server cannot be built.

use std::fmt;

/// Something that cannot be offered, found when a server is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// What cannot be offered: `tool "greet"`.
    pub what: String,
    /// Why, in words.
    pub why: String,
}

impl BuildError {
    pub(super) fn new(kind: &str, name: &str, why: impl Into<String>) -> BuildError {
        BuildError { what: format!("{kind} {name:?}"), why: why.into() }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for BuildError {}
