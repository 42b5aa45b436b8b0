//! Valid and invalid bodies (M10).

use super::*;
use crate::base::limits;
use crate::mcp::intake::{Message, parse};

fn check(body: &[u8], expected: Result<&str, i64>) {
    let found = match parse(body) {
        Ok(Message::Request(_)) => Ok("request"),
        Ok(Message::Notification { .. }) => Ok("notification"),
        Ok(Message::Response { .. }) => Ok("response"),
        Err(refusal) => Err(refusal.error.code),
    };
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(body));
}

#[test]
fn there_are_three_kinds_of_message() {
    check(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Ok("request"));
    check(br#" {"jsonrpc":"2.0","id":"a","method":"\u0070ing","params":{}} "#, Ok("request"));
    check(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Ok("notification"));
    check(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Ok("response"));
    check(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#, Ok("response"));
    check(
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null,"result":null,"error":null}"#,
        Ok("request"),
    );
    check(br#"{"jsonrpc":"2.0","method":"a","params":[]}"#, Ok("notification"));
    check(
        br#"{"jsonrpc":"2.0","id":1.0,"method":null,"params":null,"result":{},"error":null}"#,
        Ok("response"),
    );
}

/// M10: a body is exactly one JSON-RPC object.
#[test]
fn a_body_that_is_not_one_json_rpc_message_is_refused() {
    for body in [
        &br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#[..],
        b"[]",
        b"{}",
        b"7",
        b"null",
        br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[null]}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":7}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        br#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        br#"{"jsonrpc":"2.0","id":1,"result":[]}"#,
        br#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        br#"{"jsonrpc":null,"id":1,"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
        br#"{"jsonrpc":"2.0","id":1,"result":7}"#,
        br#"{"jsonrpc":"2.0","id":1,"error":[1,"no"]}"#,
        br#"{"jsonrpc":"2.0","result":{}}"#,
    ] {
        check(body, Err(Error::INVALID_REQUEST));
    }
    for body in [
        &b""[..],
        b"{",
        b"NaN",
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        br#"{"jsonrpc":"2.0","id":1,"method":"ping"}{}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud800"}}"#,
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
    ] {
        check(body, Err(Error::PARSE));
    }
    let Err(refusal) = parse(b"7") else { panic!("7 is a message") };
    let text = "Not a JSON-RPC 2.0 message: invalid type: integer `7`, expected an object";
    assert_eq!(refusal.error.message, text);
}

/// M10: Go's CVE-2026-27896 and similar faults: members that another parser would read.
#[test]
fn members_that_parsers_disagree_about_are_refused() {
    for body in [
        &br#"{"jsonrpc":"2.0","id":1,"Method":"tools/call","method":"ping"}"#[..],
        br#"{"jsonrpc":"2.0","id":1,"METHOD":"tools/call"}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"name":"a","name":"b"}}"#,
    ] {
        check(body, Err(Error::INVALID_REQUEST));
    }
    let many: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
    let body = |extra: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{{many}{extra}}}}}"#).into_bytes()
    };
    check(&body("\"k40\":0"), Ok("request"));
    check(&body("\"k39\":0"), Err(Error::INVALID_REQUEST));
}

/// M10: depth and members are bounded before anything is built.
#[test]
fn depth_and_members_are_bounded() {
    let body = |value: String| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{value}}}}}"#).into_bytes()
    };
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    check(&body(nested(limits::JSON_DEPTH - 2)), Ok("request"));
    check(&body(nested(limits::JSON_DEPTH + 1)), Err(Error::INVALID_REQUEST));
    check(&body(format!("[{}0]", "0,".repeat(limits::JSON_VALUES))), Err(Error::INVALID_REQUEST));
}
