use serde_json::json;

use super::*;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// The kinds of the messages in a text.
fn check(text: &str, expected: &[&str]) {
    let kind = |message: &PeerMessage<'_>| match message {
        PeerMessage::Request { id, method, .. } => format!("request {} {method}", id.get()),
        PeerMessage::Notification { method, .. } => format!("notification {method}"),
        PeerMessage::Answer { id, answer: Ok(result) } => format!("result {id} {}", result.get()),
        PeerMessage::Answer { id, answer: Err(error) } => format!("error {id} {}", error.get()),
        PeerMessage::Stray => "stray".to_owned(),
    };
    assert_eq!(parse(text).iter().map(kind).collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn messages_with_deviations_are_accepted() {
    check(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, &["request 7 ping"]);
    check(
        r#" {"jsonrpc":"2.0","id":"a\u0062","method":"p\u0069ng","params":{}} "#,
        &[r#"request "a\u0062" ping"#],
    );
    check(r#"{"jsonrpc":"2.0","method":"m","params":[1]}"#, &["notification m"]);
    check(r#"{"jsonrpc":"2.0","id":7,"result":{"a": 1.0}}"#, &[r#"result 7 {"a": 1.0}"#]);
    check(r#"{"jsonrpc":"2.0","id":7,"result":null,"error":null}"#, &["result 7 null"]);
    check(r#"{"jsonrpc":"2.0","id":7,"result":null,"error":{"code":1}}"#, &[r#"error 7 {"code":1}"#]);
    check("\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"extra\":1}\r", &["notification m"]);
    check(
        r#"[{"jsonrpc":"2.0","id":1,"result":{}},7,{"jsonrpc":"2.0","method":"m"}]"#,
        &["result 1 {}", "notification m"],
    );
}

/// P3: at the limit and one past it; the list of a batch's entries may be larger than its text.
#[test]
fn a_batch_has_a_limit() {
    let batch = |entries: usize| {
        let entries = vec![r#"{"jsonrpc":"2.0","method":"m"}"#; entries];
        parse(&format!("[{}]", entries.join(","))).len()
    };
    assert_eq!((batch(limits::bridge::BATCH), batch(limits::bridge::BATCH + 1)), (limits::bridge::BATCH, 0));
    check(r#"[{"jsonrpc":"2.0","method":"m"}] x"#, &[]);
}

/// P3: text that is not JSON-RPC is distinguished from JSON-RPC that cannot be matched.
#[test]
fn other_text_is_told_apart_from_invalid_json_rpc() {
    let other = [
        "",
        "Server running on stdio",
        "{",
        "{}",
        "7",
        "null",
        "[]",
        "[1,2]",
        "[INFO] ready",
        r#"{"level":"info","msg":"ready"}"#,
        r#"{"id":1,"method":"m"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#,
        r#"["2.0",1,"m"]"#,
    ];
    for text in other {
        check(text, &[]);
    }
    for text in [
        r#"{"jsonrpc":"2.0","id":"7","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":-7,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":7.5,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","id":7}"#,
        r#"{"jsonrpc":"2.0","id":99999999999999999999,"result":{}}"#,
    ] {
        check(text, &["stray"]);
    }
}

fn members(text: &str) -> Members {
    serde_json::from_str(text).unwrap()
}

fn for_old(params: &str, progress_token: Option<u64>) -> String {
    let params = for_peer(&members(params), progress_token, None);
    params.unwrap().to_raw().unwrap().get().to_owned()
}

/// Params pass unchanged: big integers, floats, order, escapes, white space in values, unknown members.
#[test]
fn params_pass_byte_for_byte() {
    let params = r#"{"z":9007199254740993,"a":1.10e+2,"s":"\u00e4\/","arguments":{"b":[1, 2.0],"a":18446744073709551615}}"#;
    assert_eq!(for_old(params, None), params);
    let meta = r#"{"_meta":{"x/y":1.0,"progressToken":"t"},"z":9007199254740993,"arguments":{"b":[1, 2.0], "a":"\u00e4"}}"#;
    assert_eq!(
        for_old(meta, Some(5)),
        r#"{"z":9007199254740993,"arguments":{"b":[1, 2.0], "a":"\u00e4"},"_meta":{"x/y":1.0,"progressToken":5}}"#
    );
}

#[test]
fn hop_by_hop_members_are_not_forwarded() {
    let modern = r#"{"name":"n","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},"inputResponses":{},"requestState":"s"}"#;
    assert_eq!(for_old(modern, None), r#"{"name":"n"}"#);
    let traced = r#"{"_meta":{"traceparent":"00-1","io.modelcontextprotocol/logLevel":"debug"},"name":"n"}"#;
    assert_eq!(for_old(traced, None), r#"{"name":"n","_meta":{"traceparent":"00-1"}}"#);
    assert_eq!(for_old(r#"{"name":"n","task":{"ttl":1}}"#, None), r#"{"name":"n"}"#);
    // A peer that ignores case would take them for ours: this one for the token of whose call is the seventh.
    for name in
        ["ProgressToken", "progre\u{17f}\u{17f}To\u{212a}en", "IO.ModelContextProtocol/clientCapabilities"]
    {
        let meta = format!(r#"{{"name":"n","_meta":{{"{name}":7,"progressToken":"t"}}}}"#);
        assert_eq!(for_old(&meta, Some(5)), r#"{"name":"n","_meta":{"progressToken":5}}"#);
    }
}

#[test]
fn a_modern_peer_gets_capabilities_and_log_level_of_the_client() {
    let told = |params: &str| {
        let client = OnBehalf {
            capabilities: members(r#"{"sampling":{}}"#),
            log_level: Some(Level::Notice),
            input_responses: Some(raw(r#"{"k":{"n":1.10}}"#)),
            request_state: Some("theirs".to_owned()),
            mirrored: Vec::new(),
        };
        let introduction = Some((ClientInfo { name: "us", version: "1" }, client));
        json!(for_peer(&members(params), Some(3), introduction).unwrap())
    };
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientInfo": {"name": "us", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": { "sampling": {} }, "io.modelcontextprotocol/logLevel": "notice", "progressToken": 3,
    });
    let given = r#"{"name":"n","requestState":"ours","_meta":{"io.modelcontextprotocol/clientInfo":{"name":"them","version":"2"}}}"#;
    let (responses, state) = (json!({ "k": { "n": 1.10 } }), "theirs");
    assert_eq!(
        told(given),
        json!({ "name": "n", "_meta": meta, "inputResponses": responses, "requestState": state })
    );
    assert_eq!(told("{}"), json!({ "_meta": meta, "inputResponses": responses, "requestState": state }));
}

#[test]
fn the_clients_progress_token_is_found() {
    let check = |params: &str, expected: Option<&str>| {
        assert_eq!(progress_token(&members(params)).as_deref().map(RawValue::get), expected, "{params}");
    };
    check(r#"{"_meta":{"progressToken":"a\u0062"}}"#, Some(r#""a\u0062""#));
    check(r#"{"_meta":{"progressToken": 7}}"#, Some("7"));
    check(r#"{"_meta":{}}"#, None);
    check(r#"{"progressToken":7}"#, None);
    check(r#"{"_meta":7,"x":"progressToken"}"#, None);
}

#[test]
fn frames_have_no_member_for_what_is_absent() {
    let params = || members(r#"{"a":{ }}"#);
    assert_eq!(
        request(1, "m", Members::default()).text,
        r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{}}"#
    );
    assert_eq!(request(1, "m", params()).text, r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":{ }}}"#);
    assert_eq!(notification("m", Members::default()).text, r#"{"jsonrpc":"2.0","method":"m"}"#);
    assert_eq!(notification("m", params()).text, r#"{"jsonrpc":"2.0","method":"m","params":{"a":{ }}}"#);
    let id = raw(r#""a\u0062""#);
    assert_eq!(answer(&id, Ok(raw("{}"))).text, r#"{"jsonrpc":"2.0","id":"a\u0062","result":{}}"#);
    let refused = answer(&id, Err::<(), _>(&mcp::Error::new(7, "no"))).text;
    assert_eq!(refused, r#"{"jsonrpc":"2.0","id":"a\u0062","error":{"code":7,"message":"no"}}"#);
}

/// P3: the id of a request is kept until its answer; at the limit and one past it.
#[test]
fn an_id_has_a_limit() {
    let id = |length: usize| format!("\"{}\"", "i".repeat(length - 2));
    let (longest, longer) = (id(limits::REQUEST_ID_BYTES), id(limits::REQUEST_ID_BYTES + 1));
    check(&format!(r#"{{"jsonrpc":"2.0","id":{longest},"method":"m"}}"#), &[&format!("request {longest} m")]);
    check(&format!(r#"{{"jsonrpc":"2.0","id":{longer},"method":"m"}}"#), &["stray"]);
}
