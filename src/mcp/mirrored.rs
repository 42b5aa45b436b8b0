//! Arguments of tools that clients of 2026-07-28 repeat in headers `Mcp-Param-…` (`x-mcp-header`): their declarations in a schema, the
//! header value of each, and the check that both are equal.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::header::{Presence, decode, mismatch};
use super::jsonrpc::Error;
use crate::base::limits;
use crate::http::Headers;

/// An argument that is repeated in a header `Mcp-Param-…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The header's name in lower case.
    pub header: String,
    /// The names from the arguments' object down to the value.
    pub path: Vec<String>,
}

impl Mirrored {
    /// The arguments that are repeated in headers, by the tool's input schema; `None` if the annotations break the rules of
    /// transports, "Custom Headers from Tool Parameters", or a limit: clients then drop the tool, or could not send its headers.
    pub fn of_schema(schema: &Value) -> Option<Vec<Mirrored>> {
        let mut found = Vec::new();
        collect(schema, Some(&[]), &mut found)?;
        let names: BTreeSet<&str> = found.iter().map(|each| each.header.as_str()).collect();
        (names.len() == found.len()).then_some(found)
    }

    /// The value of its header for these arguments; `None` if the argument is absent, or has no such value.
    pub fn value(&self, arguments: &Value) -> Option<String> {
        text(self.argument(arguments)?)
    }

    fn argument<'a>(&self, arguments: &'a Value) -> Option<&'a Value> {
        self.path.iter().try_fold(arguments, |value, name| value.get(name)).filter(|value| !value.is_null())
    }
}

const ANNOTATION: &str = "x-mcp-header";

/// Walks a schema. `path` leads to the property that it describes; annotations are only valid at properties that are reached through
/// `properties` alone.
fn collect(schema: &Value, path: Option<&[&str]>, found: &mut Vec<Mirrored>) -> Option<()> {
    if let Some(elements) = schema.as_array() {
        return elements.iter().try_for_each(|element| collect(element, None, found));
    }
    let Some(members) = schema.as_object() else { return Some(()) };
    if let Some(annotation) = members.get(ANNOTATION) {
        let path = path.filter(|path| !path.is_empty())?;
        let bytes: usize = path.iter().map(|name| name.len()).sum();
        let is_small = bytes <= limits::bridge::MIRRORED_PATH_BYTES && found.len() < limits::HEADERS;
        let header = annotation.as_str().filter(|name| is_token(name))?.to_ascii_lowercase();
        let kind = members.get("type").and_then(Value::as_str);
        (is_small && matches!(kind, Some("string" | "integer" | "boolean"))).then_some(())?;
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        found.push(Mirrored { header: format!("mcp-param-{header}"), path });
    }
    for (name, member) in members {
        let Some((path, properties)) = path.zip(member.as_object()).filter(|_| name == "properties") else {
            collect(member, None, found)?;
            continue;
        };
        for (name, property) in properties {
            collect(property, Some(&[path, &[name]].concat()), found)?;
        }
    }
    Some(())
}

/// Whether a name has the characters of a field name (RFC 9110 section 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Checks the headers of mirrored arguments: each must be present exactly if its argument is, with the same value.
pub(super) fn check_arguments(
    headers: &Headers,
    mirrored: &[Mirrored],
    arguments: Option<&RawValue>,
    presence: Presence,
) -> Result<(), Error> {
    if mirrored.is_empty() {
        return Ok(());
    }
    let Ok(arguments) = arguments.map_or(Ok(Value::Null), Value::deserialize) else {
        return Err(mismatch("Mcp-Param"));
    };
    let is_right = |parameter: &Mirrored| {
        let Ok(field) = headers.one(&parameter.header) else { return false };
        match (parameter.argument(&arguments), field) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(_), None) => presence == Presence::Optional,
            (Some(value), Some(field)) => decode(field).is_some_and(|field| matches_value(&field, value)),
        }
    };
    if mirrored.iter().all(is_right) { Ok(()) } else { Err(mismatch("Mcp-Param")) }
}

/// The text of a value that headers can repeat.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn matches_value(field: &str, value: &Value) -> bool {
    // Numbers are compared by value: 42.0 equals 42.
    let numbers = value.as_f64().zip(field.parse().ok());
    text(value).is_some_and(|text| text == field) || numbers.is_some_and(|(a, b)| same(a, b))
}

/// Whether two numbers are the same integer as doubles.
fn same(a: f64, b: f64) -> bool {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    a.abs() <= SAFE && a.total_cmp(&b).is_eq()
}

#[cfg(test)]
mod tests;
