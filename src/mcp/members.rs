//! The members of a JSON object, each value as its JSON text: params, their `_meta`, and results.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::arguments;
use super::jsonrpc::Error;
use crate::base::json::{self, AtMost};
use crate::base::limits;

/// The members of a JSON object in their order. Values are kept as text, so integers of 64 bits, escapes and members that this
/// server does not know are passed on unchanged.
#[derive(Clone, Debug, Default)]
pub struct Members(Vec<(Cow<'static, str>, Box<RawValue>)>);

impl Members {
    /// Adds a member. It does not replace one of the same name: see [`Members::without`].
    ///
    /// # Errors
    /// [`Error::INTERNAL`] if `value` cannot be serialized as JSON (a map with keys other than strings).
    pub fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: &impl Serialize,
    ) -> Result<Members, Error> {
        let value = to_raw_value(value).map_err(|_| Error::internal())?;
        self.0.push((name.into(), value));
        Ok(self)
    }

    /// Adds a member, if there is a value for it.
    pub(crate) fn with_some(
        self,
        name: &'static str,
        value: Option<impl Serialize>,
    ) -> Result<Members, Error> {
        match value {
            Some(value) => self.with(name, &value),
            None => Ok(self),
        }
    }

    /// Removes a member, if it is there.
    pub fn without(mut self, name: &str) -> Members {
        self.0.retain(|(other, _)| other != name);
        self
    }

    /// Keeps the members whose names `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members with a value: neither null nor `[]`, which is how PHP writes an empty object. Not for objects with array
    /// members.
    pub(super) fn present(mut self) -> Members {
        self.0.retain(|(_, value)| !is_absent(value));
        self
    }

    /// Checks that a case-insensitive parser would read no further member as one of these.
    pub(super) fn check_case(&self, names: &[&str]) -> Result<(), Error> {
        const OTHER_CASE: &str = "Invalid params: a member's name is written in another case";
        let has_variant = self.0.iter().any(|(other, _)| Members::is_variant(other, names));
        if has_variant { Err(Error::invalid_params(OTHER_CASE)) } else { Ok(()) }
    }

    /// Whether a case-insensitive parser would read `key` as one of these words. Go's also folds `ſ` to s and the Kelvin sign to k.
    pub(crate) fn is_variant(key: &str, names: &[&str]) -> bool {
        let folded = if key.is_ascii() { key.into() } else { Cow::from(key.to_uppercase().to_lowercase()) };
        names.iter().any(|name| key != *name && folded.eq_ignore_ascii_case(name))
    }

    /// The text of a member.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// A member as a type; `None` if it is absent or null.
    ///
    /// # Errors
    /// [`Error::INVALID_PARAMS`] with the reason in words.
    pub fn read<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, Error> {
        let text = self.get(name).map_or("null", RawValue::get);
        arguments::read(name, text)
            .map_err(|reason| Error::invalid_params(format!("Invalid params: {reason}")))
    }

    /// A member as a type.
    ///
    /// # Errors
    /// [`Error::INVALID_PARAMS`] with the reason in words, also if the member is absent or null.
    pub fn require<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<T, Error> {
        let missing = || Error::invalid_params(format!("Invalid params: missing field `{name}`"));
        self.read(name)?.ok_or_else(missing)
    }

    /// The members of a member that is an object; none if it is absent.
    ///
    /// # Errors
    /// [`Error::INVALID_PARAMS`] if it is something else.
    pub fn object(&self, name: &str) -> Result<Members, Error> {
        Ok(self.read(name)?.unwrap_or_default())
    }

    /// The entries of a list. A list of more than [`limits::JSON_VALUES`] entries is an error.
    pub(crate) fn entries(&self, name: &str) -> Result<Option<Vec<Box<RawValue>>>, Error> {
        let entries = self.read::<AtMost<_, { limits::JSON_VALUES }>>(name)?;
        Ok(entries.map(|entries| entries.0))
    }

    /// The object's text.
    ///
    /// # Errors
    /// None in practice: the values are JSON.
    pub fn to_raw(&self) -> Result<Box<RawValue>, Error> {
        to_raw_value(self).map_err(|_| Error::internal())
    }
}

/// Whether the value of an optional member, other than an array, counts as absent.
pub(super) fn is_absent(value: &RawValue) -> bool {
    let elements = value.get().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    value.get() == "null" || elements.is_some_and(|elements| elements.trim_start().is_empty())
}

pub(super) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = object.next_entry::<json::Text<'_>, Box<RawValue>>()? {
                    if members.len() >= limits::MEMBERS {
                        return Err(A::Error::custom("too many members"));
                    }
                    members.push((member_name(name), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The name to keep; common names need no allocation.
fn member_name(json::Text(name): json::Text<'_>) -> Cow<'static, str> {
    let usual = ["_meta", "name", "arguments", "uri"].into_iter().find(|usual| *usual == name);
    usual.map_or_else(|| Cow::Owned(name.into_owned()), Cow::Borrowed)
}
