//! Clients' declarations of capabilities.

use super::*;

fn check(capabilities: &str, expected: [bool; 3]) {
    let client: ClientCapabilities = serde_json::from_str(capabilities).unwrap();
    let all = [Capability::Sampling, Capability::Elicitation, Capability::Roots];
    assert_eq!(all.map(|capability| client.supports(capability)), expected, "{capabilities}");
}

#[test]
fn a_capability_is_declared_by_its_object() {
    check("{}", [false, false, false]);
    check(r#"{"sampling":{"tools":{}},"roots":{"listChanged":true},"x":1}"#, [true, false, true]);
    check(r#"{"elicitation":{}}"#, [false, true, false]);
    check(r#"{"elicitation":{"url":{}}}"#, [false, false, false]);
    check(r#"{"elicitation":{"url":{},"form":{}}}"#, [false, true, false]);
    check(r#"{"elicitation":{"url":{},"form":null}}"#, [false, false, false]);
    check(r#"{"sampling":null,"elicitation":null,"roots":null,"extensions":null}"#, [false, false, false]);
    check(r#"{"sampling":[],"elicitation":[],"roots":[],"extensions":[]}"#, [true, true, true]);
    for bad in [
        r#"{"elicitation":[{}]}"#,
        r#"{"extensions":["io.modelcontextprotocol/tasks"]}"#,
        r#"{"elicitation":7}"#,
    ] {
        assert!(serde_json::from_str::<ClientCapabilities>(bad).is_err(), "{bad}");
    }
}
