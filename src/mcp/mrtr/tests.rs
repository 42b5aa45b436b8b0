use super::super::members::Members;
use super::*;
use crate::base::fake::principal;
use crate::base::{CountedRandom, ManualClock, Principal};
use crate::seal::fake::keyring;

fn call(name: &str, arguments: &str) -> Call {
    let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
    let params = Members::default().with("arguments", &arguments).unwrap();
    Call { params, ..Call::of_tool(1, name) }
}

/// The call with the person's answer to the question `key`, and a state.
fn answering(call: Call, key: &str, state: Option<&str>) -> Call {
    let answers = serde_json::json!({ key: { "action": "accept" } });
    let params = call.params.with("inputResponses", &answers).unwrap().with("requestState", &state).unwrap();
    Call { params, ..call }
}

fn question(key: &str) -> InputRequest {
    InputRequest::elicitation(key, "?", &serde_json::json!({"type": "object", "properties": {}}))
}

/// Whether this request may use a state that was made for user 1, tool `a`, arguments `{"x":1,"y":2}` at the clock's start.
fn check(user: u64, call: Call, edit: impl Fn(String) -> String, seconds: u64, expected: bool) {
    let (keys, random) = (keyring(1), CountedRandom::default());
    let made = answering(self::call("a", r#"{"x":1,"y":2}"#), "one", None);
    let start = ManualClock::START;
    let first = Round::begin(&made, &keys, start).unwrap();
    assert!(first.ask(vec![question("one"), question("two")]).is_err());
    let state = edit(first.next_state(&made, &keys, &random, start).unwrap());

    let call = answering(Call { principal: principal(user), ..call }, "two", Some(&state));
    let second = Round::begin(&call, &keys, Timestamp(start.0 + seconds));
    let answered = second.map(|round| round.ask(vec![question("one"), question("two")]).is_ok());
    assert_eq!(answered.map_err(|error| error.code), if expected { Ok(true) } else { Err(-32602) });
}

/// M15: a state is bound to the user, the request and the time, and cannot be forged.
#[test]
fn a_state_is_good_for_its_user_request_and_time_only() {
    let same = || call("a", r#"{ "y":2, "x":1 }"#);
    check(1, same(), |state| state, 0, true);
    check(2, same(), |state| state, 0, false);
    check(1, call("b", r#"{"x":1,"y":2}"#), |state| state, 0, false);
    check(1, call("a", r#"{"x":1,"y":3}"#), |state| state, 0, false);
    check(1, same(), |state| format!("{state}-TAMPERED"), 0, false);
    check(1, same(), |state| state.replacen("mcp_state_", "mcp_", 1), 0, false);
    check(1, same(), |state| state, limits::REQUEST_STATE_LIFETIME.as_secs() - 1, true);
    check(1, same(), |state| state, limits::REQUEST_STATE_LIFETIME.as_secs(), false);
}

/// M15: a state is invalid for a call of the same person under another grant, which may be at another server.
#[test]
fn a_state_is_good_for_its_grant_only() {
    let (keys, random, now) = (keyring(1), CountedRandom::default(), ManualClock::START);
    let made = answering(call("a", "{}"), "one", None);
    let first = Round::begin(&made, &keys, now).unwrap();
    assert!(first.ask(vec![question("one"), question("two")]).is_err());
    let state = first.next_state(&made, &keys, &random, now);
    let begin = |grant| {
        let principal = Principal { grant, ..principal(1) };
        let call = answering(Call { principal, ..call("a", "{}") }, "two", state.as_deref());
        Round::begin(&call, &keys, now).map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(begin(principal(1).grant), Ok(()));
    assert_eq!(begin(GrantId([9; 16])), Err(-32602));
}

#[test]
fn an_answer_of_the_wrong_shape_is_asked_for_again() {
    let check = |capability, answer: &str, expected| {
        let raw = RawValue::from_string(answer.to_owned()).unwrap();
        assert_eq!(has_shape(capability, &raw), expected, "{answer}");
    };
    check(Capability::Elicitation, r#"{"action":"accept","content":{"name":"A"}}"#, true);
    check(Capability::Elicitation, r#"{"action":"maybe"}"#, false);
    check(Capability::Elicitation, "12345", false);
    check(Capability::Elicitation, r#"{"action":"accept","content":[]}"#, true);
    check(Capability::Elicitation, r#"{"action":"accept","content":["A"]}"#, false);
    check(Capability::Elicitation, r#"["accept",{"name":"A"}]"#, false);
    check(Capability::Roots, r#"[[]]"#, false);
    check(Capability::Sampling, r#"{"role":"assistant","content":{},"model":"m"}"#, true);
    check(Capability::Sampling, "{}", false);
    check(Capability::Roots, r#"{"roots":[]}"#, true);
    check(Capability::Roots, "null", false);
    check(Capability::Roots, r#"{"roots":{}}"#, false);
    // A member of another method's result does not count.
    check(Capability::Elicitation, r#"{"action":"accept","roots":7,"role":null}"#, true);
    check(Capability::Sampling, r#"{"role":"assistant","content":{},"action":7}"#, true);
    check(Capability::Roots, r#"{"roots":[],"action":[]}"#, true);
    check(Capability::Elicitation, r#"{"action":7}"#, false);
}
