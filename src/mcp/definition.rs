//! What clients see of something that a server offers: a JSON object.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::build_error::BuildError;

/// A JSON object that is built member by member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Definition {
    members: Vec<(Cow<'static, str>, Value)>,
    /// A member that the server's author has set and that is not theirs to set.
    misplaced: Option<Cow<'static, str>>,
}

impl Definition {
    pub(super) fn new<const N: usize>(members: [(&'static str, Value); N]) -> Definition {
        let members = members.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Definition { members, misplaced: None }
    }

    /// Sets a member; one of the same name is replaced.
    pub(super) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        self.members.retain(|(other, _)| *other != name);
        self.members.push((name, value.into()));
    }

    /// Sets a member for the server's author. One of `structural`, by which this server itself goes, has another place to be set:
    /// it stays as it is, and [`Definition::check`] fails.
    pub(super) fn set_extra(
        &mut self,
        structural: &[&str],
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
    ) {
        let name = name.into();
        if structural.contains(&&*name) {
            self.misplaced = Some(name);
        } else {
            self.set(name, value);
        }
    }

    /// Checks that nothing was set that has another place.
    pub(super) fn check(&self, (kind, name): (&str, &str)) -> Result<(), BuildError> {
        match &self.misplaced {
            Some(member) => {
                Err(BuildError::new(kind, name, format!("its `{member}` cannot be set by `with`")))
            }
            None => Ok(()),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// A member that is a string; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.members.iter().map(|(name, value)| (name, value)))
    }
}

impl From<Definition> for Value {
    fn from(definition: Definition) -> Value {
        Value::Object(definition.into())
    }
}

impl From<Definition> for Map<String, Value> {
    fn from(definition: Definition) -> Map<String, Value> {
        definition.members.into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }
}
