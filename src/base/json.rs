//! A strict look at a JSON text before anything is built of it: what two parsers could understand differently, or what is
//! larger than anybody needs, is refused.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// What is tolerated.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Arrays and objects inside one another, the outermost counted.
    pub depth: usize,
    /// Members and elements in all.
    pub values: usize,
    /// Whether a member of the outermost object may not be called this.
    pub is_forbidden: fn(&str) -> bool,
}

/// Scans a whole text. No object in it has two members of one name, its strings are free of lone surrogates, its numbers
/// are finite, and nothing but white space follows it.
///
/// # Errors
/// Of category [`serde_json::error::Category::Data`] if it is JSON but breaks the rules.
pub fn check(text: &str, rules: Rules) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let values = Cell::new(0);
    Strict { depth: 0, values: &values, rules }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// The same, and the text is an object. A struct that serde derives could be read from an array as well, by the order of its
/// fields, which no other reader would.
///
/// # Errors
/// As [`check`].
pub fn check_object(text: &str, rules: Rules) -> Result<(), serde_json::Error> {
    check(text, rules)?;
    if text.trim_start().starts_with('{') { Ok(()) } else { Err(de::Error::custom("not an object")) }
}

/// Visits every value below one. Strings are decoded, so a lone surrogate is an error; numbers must be finite.
#[derive(Clone, Copy)]
struct Strict<'a> {
    /// How many arrays and objects are around this value.
    depth: usize,
    /// How many values there were so far.
    values: &'a Cell<usize>,
    rules: Rules,
}

impl Strict<'_> {
    /// The same for a value inside the array or object that this one is.
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        let values = self.values.get().saturating_add(1);
        self.values.set(values);
        if values > self.rules.values {
            return Err(E::custom("too many values"));
        }
        Ok(Strict { depth: self.depth.saturating_add(1), ..self })
    }

    fn open<E: de::Error>(self) -> Result<(), E> {
        if self.depth < self.rules.depth { Ok(()) } else { Err(E::custom("too deep")) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        self.open()?;
        while array.next_element_seed(self.inside()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        self.open()?;
        let mut keys = Keys::default();
        while let Some(Name(key)) = object.next_key()? {
            if self.depth == 0 && (self.rules.is_forbidden)(&key) {
                return Err(de::Error::custom("a member has a name that is not allowed here"));
            }
            if !keys.insert(key) {
                return Err(de::Error::custom("two members have one name"));
            }
            object.next_value_seed(self.inside()?)?;
        }
        Ok(())
    }
}

/// A string that is borrowed if it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The names of one object: compared one by one while they are few, hashed when they are many.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    const FEW: usize = 16;

    /// Whether `key` is new.
    fn insert(&mut self, key: Cow<'de, str>) -> bool {
        if self.few.contains(&key) {
            return false;
        }
        if self.few.len() < Keys::FEW {
            self.few.push(key);
            return true;
        }
        self.many.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { depth: 3, values: 6, is_forbidden: |name| name == "secret" };

    fn assert_fine(text: &str, expected: bool) {
        assert_eq!(check(text, RULES).is_ok(), expected, "{text}");
    }

    #[test]
    fn depth_and_values_are_counted_to_the_limit() {
        assert_fine("[[[]]]", true);
        assert_fine("[[[[]]]]", false);
        assert_fine(r#"{"a":{"b":{}}}"#, true);
        assert_fine(r#"{"a":{"b":{"c":{}}}}"#, false);
        assert_fine("[1,2,3,4,5]", true);
        assert_fine("[1,2,3,4,5,6]", false);
    }

    #[test]
    fn an_object_is_no_array() {
        assert!(check_object(" {\"a\":1}", RULES).is_ok());
        assert!(check_object("[1]", RULES).is_err());
        assert!(check_object("\"{\"", RULES).is_err());
    }

    #[test]
    fn a_name_stands_once_however_it_is_written() {
        assert_fine(r#"{"a":1,"b":{"a":2}}"#, true);
        assert_fine(r#"{"a":1,"a":2}"#, false);
        assert_fine(r#"{"a":1,"\u0061":2}"#, false);
        assert_fine(r#"[{"b":1,"b":1}]"#, false);
    }

    #[test]
    fn a_forbidden_name_is_forbidden_at_the_top_only() {
        assert_fine(r#"{"secret":1}"#, false);
        assert_fine(r#"{"a":{"secret":1}}"#, true);
    }

    #[test]
    fn it_is_one_whole_json_text() {
        for bad in ["", "{", "{} {}", "[1,]", "NaN", "1e999", r#""\ud800""#, "{'a':1}"] {
            assert_fine(bad, false);
        }
    }
}
