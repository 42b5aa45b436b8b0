//! What clients see of something that a server offers: a JSON object.

use serde::Serialize;
use serde_json::{Map, Value};

/// A JSON object that is built member by member.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Definition(pub(super) Map<String, Value>);

impl Definition {
    pub(super) fn new<const N: usize>(members: [(&str, Value); N]) -> Definition {
        Definition(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Sets a member, whether or not it was there.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Appends to a member that is an array.
    pub(super) fn push(&mut self, name: &str, value: Value) {
        let member = self.0.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Some(elements) = member.as_array_mut() {
            elements.push(value);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A member that is a string; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}
