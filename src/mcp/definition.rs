//! What clients see of something that a server offers: a JSON object.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A JSON object that is built member by member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Definition(Vec<(Cow<'static, str>, Value)>);

impl Definition {
    pub(super) fn new<const N: usize>(members: [(&'static str, Value); N]) -> Definition {
        Definition(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Sets a member, whether or not it was there.
    pub(super) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.into()));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// A member that is a string; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl From<Definition> for Value {
    fn from(Definition(members): Definition) -> Value {
        Value::Object(members.into_iter().map(|(name, value)| (name.into_owned(), value)).collect())
    }
}
