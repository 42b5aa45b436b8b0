//! Replays `fixtures/mcp/`. A file is one conversation and names the section of the specification that it shows. Each of its
//! steps is a request and the expected answer; `"$name"` is a placeholder for a value that a later step sends or expects again.

use std::collections::HashMap;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transcript {
    shows: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    method: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    body: Option<Value>,
    status: u16,
    /// The value of `Mcp-Session-Id` in the answer.
    session: Option<String>,
    /// The whole answer as JSON.
    json: Option<Value>,
    /// The messages of the answer's stream: all, or the first of them.
    events: Option<Vec<Value>>,
}

/// Replays a conversation with the conformance tools.
fn check(text: &str) {
    let transcript: Transcript = serde_json::from_str(text).unwrap();
    assert!(transcript.shows.starts_with("20"), "a transcript names a revision and a section");
    let endpoint = conformance();
    let mut values = HashMap::new();
    for step in transcript.steps {
        let mut request = crate::http::fake::request(&step.method, "/mcp");
        for (name, value) in &step.headers {
            let value = substitute(&json!(value), &values);
            request = request.with(name, value.as_str().unwrap());
        }
        if let Some(body) = &step.body {
            request = request.body(substitute(body, &values).to_string());
        }
        let answer = endpoint.send(request);
        assert_eq!(answer.status, step.status, "{:?}", answer.body);
        if let Some(name) = &step.session {
            values.insert(name.clone(), json!(answer.session.as_ref().unwrap()));
        }
        match answer.body {
            Said::Nothing => assert!(step.json.is_none() && step.events.is_none()),
            Said::Json(found) => compare(&found, step.json.as_ref().unwrap(), &mut values),
            Said::Events(events) => {
                for expected in step.events.unwrap() {
                    compare(&events.json(), &expected, &mut values);
                }
            }
        }
    }
}

fn name_of(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.starts_with('$'))
}

/// The value with every `"$name"` in it replaced by the captured value.
fn substitute(value: &Value, values: &HashMap<String, Value>) -> Value {
    match value {
        Value::String(_) => name_of(value).map_or_else(|| value.clone(), |name| values[name].clone()),
        Value::Array(elements) => elements.iter().map(|each| substitute(each, values)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, each)| (name.clone(), substitute(each, values))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Compares whole values; a new `"$name"` captures the actual value.
fn compare(found: &Value, expected: &Value, values: &mut HashMap<String, Value>) {
    if let Some(name) = name_of(expected) {
        assert_eq!(values.entry(name.to_owned()).or_insert_with(|| found.clone()), found);
        return;
    }
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            expected.iter().for_each(|(name, each)| compare(&found[name], each, values));
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len());
            found.iter().zip(expected).for_each(|(found, each)| compare(found, each, values));
        }
        (found, expected) => assert_eq!(found, expected),
    }
}

#[test]
fn legacy_transcripts_replay() {
    check(include_str!("../../../fixtures/mcp/legacy/lifecycle.json"));
    check(include_str!("../../../fixtures/mcp/legacy/elicitation.json"));
}

#[test]
fn modern_transcripts_replay() {
    check(include_str!("../../../fixtures/mcp/modern/requests.json"));
    check(include_str!("../../../fixtures/mcp/modern/rounds.json"));
    check(include_str!("../../../fixtures/mcp/modern/subscriptions.json"));
}
