//! Clients' declarations of capabilities.

use super::*;

fn check(capabilities: &str, expected: [bool; 3]) {
    check_tools(capabilities, expected, false);
}

fn check_tools(capabilities: &str, expected: [bool; 3], with_tools: bool) {
    let client: ClientCapabilities = serde_json::from_str(capabilities).unwrap();
    let all = [Capability::Sampling, Capability::Elicitation, Capability::Roots];
    assert_eq!(all.map(|capability| client.supports(capability)), expected, "{capabilities}");
    assert_eq!(client.supports(Capability::SamplingTools), with_tools, "{capabilities}");
}

#[test]
fn a_capability_is_declared_by_its_object() {
    check("{}", [false, false, false]);
    check_tools(r#"{"sampling":{"tools":{}},"roots":{"listChanged":true},"x":1}"#, [true, false, true], true);
    check(r#"{"sampling":{"tools":null,"context":{}}}"#, [true, false, false]);
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
