//! The texts of errors for arguments that do not fit a type.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::json::AtMost;
use crate::base::limits;
use crate::mcp::arguments::{members, read};

#[allow(dead_code)] // read by serde only
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    max_results: u8,
    filter: Option<Filter>,
}

#[allow(dead_code)] // read by serde only
#[derive(Debug, Deserialize)]
struct Filter {
    tags: Vec<String>,
}

#[test]
fn an_argument_error_names_the_member_and_the_expected_type() {
    let check = |json: &str, expected: &str| {
        assert_eq!(read::<Search>("", json).unwrap_err(), expected, "{json}");
    };
    check("{}", "missing field `maxResults`");
    check(r#"{"maxResults":"9"}"#, r#"maxResults: invalid type: string "9", expected u8"#);
    check(r#"{"maxResults": 300 }"#, "maxResults: invalid value: integer `300`, expected u8");
    check(r#"{"a,\"{":[{},"]"],"maxResults":{}}"#, "maxResults: invalid type: map, expected u8");
    check("{\"maxResults\":1,\n \"filter\":{\"ä\":1}}", "filter: missing field `tags`");
    check(
        "{\"maxResults\":1,\r\n\"filter\":\n{\"tags\":[\"ä\", \"b\", 7]}}",
        "filter.tags[2]: invalid type: integer `7`, expected a string",
    );
    check("[7]", "invalid type: sequence, expected struct Search");
    let after_the_error = "[".repeat(10_000);
    check(&format!("{{\"maxResults\":é{after_the_error}"), "maxResults: expected value");
    check(&format!("{{\"maxResults\":?{after_the_error}"), "maxResults: expected value");
    check(r#"{"maxResults":1,"filter":[["a"]]}"#, "filter: invalid type: sequence, expected struct Filter");
}

#[test]
fn the_members_of_a_struct_are_known() {
    assert_eq!(members::<Search>(), ["maxResults", "filter"]);
    assert!(members::<serde_json::Value>().is_empty());
    assert!(members::<Vec<String>>().is_empty());
}

/// A client's text is never deeper than the limit; the place in a peer's is not followed beyond it.
#[test]
fn the_place_in_a_deep_text_is_not_followed() {
    let refusal = |depth: usize| {
        let text = format!("[{}{},1,1]", "[".repeat(depth), "]".repeat(depth));
        read::<AtMost<Box<RawValue>, 1>>("a", &text).err().unwrap()
    };
    assert_eq!(refusal(limits::JSON_DEPTH - 1), "a[2]: too many elements");
    assert_eq!(refusal(1_000_000), "a: too many elements");
}
