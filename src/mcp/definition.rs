//! The JSON object that describes a tool, prompt, resource or server to clients, and the error for one that cannot be offered.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A JSON object, built member by member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Definition(Vec<(Cow<'static, str>, Value)>);

impl Definition {
    pub(super) fn new<const N: usize>(members: [(&'static str, Value); N]) -> Definition {
        Definition(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Sets a member; one of the same name is replaced.
    pub(super) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.into()));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// A string member; an empty string if it is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl From<Definition> for Map<String, Value> {
    fn from(definition: Definition) -> Map<String, Value> {
        definition.0.into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }
}

/// The error for something that cannot be offered, found when a server is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// Kind and name: `tool "greet"`.
    pub what: String,
    /// The reason.
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
