//! GitHub's answer yields a token only if it contains one that is valid in a header, and no error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::github_token as token;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Some(token) = token(data) else { return };
    let token = token.expose();
    let text = std::str::from_utf8(data).expect("JSON is UTF-8");
    let answer = match serde_json::from_str::<Value>(text) {
        Ok(answer) => answer,
        // A skipped member may contain a lone surrogate, or a number out of range, which a parser of everything refuses.
        Err(error) => {
            return assert!(text.contains("\\u") || error.to_string().starts_with("number out of range"));
        }
    };
    assert_eq!(answer["access_token"].as_str(), Some(token.as_str()));
    assert!(answer["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")));
    assert!(answer.get("error").is_none_or(Value::is_null));
    assert!((1..=1024).contains(&token.len()));
    assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)));
});
