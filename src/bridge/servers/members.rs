//! Members of a server in the servers file as the types that they should have. A member of another type is noted as a mistake.

use serde_json::Value;

use super::{EntryReader, SECONDS_MAX};
use crate::bridge::template::Template;

impl<'a> EntryReader<'a> {
    /// A member that is a text.
    pub(super) fn text(&mut self, member: &str) -> Option<&'a str> {
        match self.members.get(member)? {
            Value::String(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.mistake(Some(member), "must be a text");
                None
            }
        }
    }

    /// A text without placeholders: these are for what only the program itself sees (P1).
    pub(super) fn plain(&mut self, member: &str) -> Option<String> {
        let text = self.text(member)?;
        self.without_placeholders(member, text)
    }

    pub(super) fn without_placeholders(&mut self, member: &str, text: &str) -> Option<String> {
        if text.contains('\0') {
            self.mistake(Some(member), "contains a NUL character");
            return None;
        }
        if text.replace("$${", "").contains("${") {
            self.mistake(
                Some(member),
                "placeholders are for the values of \"env\" and \"headers\"; write $${ for a literal ${",
            );
            return None;
        }
        Some(text.replace("$${", "${"))
    }

    /// A member that is a list of texts.
    pub(super) fn texts(&mut self, member: &str) -> Vec<String> {
        let Some(value) = self.members.get(member) else { return Vec::new() };
        match value.as_array() {
            Some(list) if list.iter().all(Value::is_string) => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) | None => {
                self.mistake(Some(member), "must be a list of texts: [\"…\", \"…\"]");
                Vec::new()
            }
        }
    }

    /// A member that maps names to values with placeholders.
    pub(super) fn templates(&mut self, member: &str, is_name: fn(&str) -> bool) -> Vec<(String, Template)> {
        let Some(value) = self.members.get(member) else { return Vec::new() };
        let Some(values) = value.as_object() else {
            self.mistake(Some(member), "must be an object: { \"NAME\": \"value\" }");
            return Vec::new();
        };
        let mut templates = Vec::new();
        for (name, value) in values {
            let place = format!("{member}.{name}");
            if !is_name(name) {
                self.mistake(Some(&place), "is no name that can be used here");
            }
            let Some(text) = value.as_str() else {
                self.mistake(Some(&place), "must be a text; write numbers and true in quotes");
                continue;
            };
            match Template::parse(text, self.surroundings.environment) {
                Ok(template) => templates.push((name.clone(), template)),
                Err(error) => self.mistake(Some(&place), error.to_string()),
            }
        }
        templates
    }

    pub(super) fn seconds(&mut self, member: &str) -> Option<u64> {
        let value = self.members.get(member)?;
        let seconds = value.as_u64().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
        if seconds.is_none() {
            self.mistake(Some(member), format!("must be a number of seconds from 1 to {SECONDS_MAX}"));
        }
        seconds
    }

    pub(super) fn flag(&mut self, member: &str) -> bool {
        match self.members.get(member) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.mistake(Some(member), "must be true or false");
                false
            }
        }
    }
}
