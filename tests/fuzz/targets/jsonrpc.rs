//! An accepted message is the same to a parser that takes the first of two members, to one that takes the last,
//! and to one that ignores case.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::intake;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// All members of an object.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(method) = intake(data) else { return };
    assert!(std::str::from_utf8(data).is_ok());
    let Members(members) = serde_json::from_slice(data).expect("what is let in is a JSON object");
    let names: HashSet<String> = members.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let known = ["jsonrpc", "id", "method", "params", "result", "error"];
    assert_eq!(
        members.iter().filter(|(name, _)| known.contains(&name.to_ascii_lowercase().as_str())).count(),
        known.iter().filter(|name| names.contains(**name)).count(),
        "two members of one name"
    );
    // Null is equivalent to absent except for ids, and so is `[]` for params.
    let member = |name: &str| {
        let member = members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        member.filter(|value| name == "id" || !value.is_null())
    };
    assert_eq!(member("jsonrpc").and_then(Value::as_str), Some("2.0"));
    assert_eq!(member("method").and_then(Value::as_str), method.as_deref());
    let is_integral = |id: &Value| id.as_f64().is_some_and(|id| id.fract() == 0.0);
    assert!(member("id").is_none_or(|id| id.is_string() || is_integral(id)));
    assert!(member("params").is_none_or(|params| params.is_object() || *params == serde_json::json!([])));
    assert!(member("error").is_none_or(Value::is_object));
    let results = usize::from(member("result").is_some()) + usize::from(member("error").is_some());
    assert_eq!(results, usize::from(method.is_none()));
    assert!(members.iter().all(|(_, value)| depth(value) <= 64));
});
