//! Reads JSON as a type. An error names the place that does not fit and the expected type, in words that a model can act on.

use std::borrow::Cow;

use serde::de::value::Error as Nothing;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use crate::base::{json, limits};

/// Reads the JSON of the member `name` as a type. An error names the place that does not fit, and the expected type. Without a name
/// the JSON is the whole text.
pub(super) fn read<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T, String> {
    json::read(text).map_err(|error| explain(name, text, &error))
}

/// The place and the text of a serde error in the text of the member `name`.
pub(super) fn explain(name: &str, text: &str, error: &serde_json::Error) -> String {
    let reason = error.to_string();
    // Members instead of line and column, because a model does not see the text as it was sent.
    let reason = reason.rsplit_once(" at line ").map_or(&*reason, |(reason, _)| reason);
    match place(name, text, (error.line(), error.column())) {
        place if place.is_empty() => cut(reason).into_owned(),
        place => format!("{}: {}", cut(&place), cut(reason)),
    }
}

/// The part of a client's text for an error: all of it, or its start and its end, so that an answer stays short.
pub(super) fn cut(text: &str) -> Cow<'_, str> {
    let start = text.char_indices().nth(limits::ECHOED_CHARS);
    let end = text.char_indices().nth_back(limits::ECHOED_CHARS.saturating_sub(1));
    match (start, end) {
        (Some((start, _)), Some((end, _))) if start < end => {
            Cow::Owned(format!("{}…{}", text.split_at(start).0, text.split_at(end).1))
        }
        _ => Cow::Borrowed(text),
    }
}

/// The place of a value in its parent.
enum Step<'a> {
    Member { name: &'a str, next_is_name: bool },
    Element(usize),
}

/// The path from `base` to where serde stopped, like `filter.tags[2]`; `base` for the whole text. The text before is valid JSON.
fn place(base: &str, text: &str, (line, column): (usize, usize)) -> String {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let end = lines.map(str::len).sum::<usize>().saturating_add(column);
    // The column may point into a character.
    let mut rest = (0..4).find_map(|back| text.get(..end.saturating_sub(back))).unwrap_or_default();
    let mut path: Vec<Step<'_>> = Vec::new();
    while let Some(at) = rest.find(['{', '[', '}', ']', ',', ':', '"']) {
        if path.len() > limits::JSON_DEPTH {
            return base.to_owned(); // a peer's text may have any depth
        }
        let (mark, after) = rest.split_at(at).1.split_at(1);
        rest = after;
        match (mark, path.last_mut()) {
            ("{", _) => path.push(Step::Member { name: "", next_is_name: true }),
            ("[", _) => path.push(Step::Element(0)),
            ("}" | "]", _) => drop(path.pop()),
            (",", Some(Step::Element(index))) => *index = index.saturating_add(1),
            (",", Some(Step::Member { next_is_name, .. })) => *next_is_name = true,
            (":", Some(Step::Member { next_is_name, .. })) => *next_is_name = false,
            ("\"", holder) => {
                let string = rest.get(..string_length(rest)).unwrap_or(rest);
                rest = rest.get(string.len().saturating_add(1)..).unwrap_or_default();
                if let Some(Step::Member { name, next_is_name: true }) = holder {
                    *name = string;
                }
            }
            _ => {}
        }
    }
    path.iter().fold(base.to_owned(), |path, step| match step {
        Step::Member { name, .. } if path.is_empty() => (*name).to_owned(),
        Step::Member { name, .. } => format!("{path}.{name}"),
        Step::Element(index) => format!("{path}[{index}]"),
    })
}

/// The bytes up to the quote that ends a string.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let ends = |byte: u8| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    };
    text.bytes().position(ends).unwrap_or(text.len())
}

/// The members that a type reads by name; none unless it is a struct.
pub(super) fn members<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut members: &'static [&'static str] = &[];
    let _ = T::deserialize(Probe(&mut members)); // always an error: the probe records the names and fails
    members
}

struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Nothing;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Nothing> {
        Err(Nothing::custom(""))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Nothing> {
        *self.0 = fields;
        Err(Nothing::custom(""))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
