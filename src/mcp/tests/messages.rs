//! Messages that the specification does not allow are not sent, whatever a handler, a backend or a client does.

use super::*;
use crate::base::limits;

fn tool(name: &str) -> Tool {
    Tool::new(name, "t", json!({ "type": "object" }))
}

fn serving(tool: Tool) -> Endpoint {
    endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap())
}

fn in_session(session: &str, body: &Value) -> Request {
    post(body).with("Mcp-Session-Id", session)
}

/// A call of the tool `t` by a client with these capabilities.
fn call_with(capabilities: &Value) -> Request {
    let mut meta = modern::meta();
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    modern::plain("tools/call", json!({ "name": "t", "_meta": meta }))
}

/// Basic, "Error Codes": a backend's codes that 2026-07-28 reserves or has taken out of use are not sent, not even in a task.
#[test]
fn error_codes_of_the_specification_are_not_lent_to_backends() {
    let codes = [-32002, -32042, -32023, -32099, -32100, -32019, -32001, 7];
    let expected = [-32602, -32603, -32603, -32603, -32100, -32019, -32001, 7];
    for (code, expected) in codes.into_iter().zip(expected) {
        let failing = move |_: &Context, _: NoArguments| Err::<ToolResult, _>(Error::new(code, "no").into());
        let endpoint = serving(tool("t").tasks(TaskSupport::Optional).handler(failing));
        assert_eq!(endpoint.send(call_with(&json!({}))).error_code(), expected);
        let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let waiting = endpoint.start(1, call_with(&capabilities));
        let id = waiting.head().json()["result"]["taskId"].clone();
        waiting.worker.join().unwrap();
        let mut meta = modern::meta();
        meta["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        let task = endpoint.send(modern::plain("tasks/get", json!({ "taskId": id, "_meta": meta })));
        assert_eq!(task.json()["result"]["error"]["code"], expected);
        let session = endpoint.session();
        let before = in_session(&session, &call(1, "t", json!({})));
        assert_eq!(endpoint.send(before).error_code(), code, "sessions have them");
    }
}

/// Sampling, "Tools in Sampling": tools are for clients that have declared them.
#[test]
fn a_client_is_asked_to_sample_with_tools_only_if_it_can() {
    let endpoint = serving(tool("t").handler(|context, _: NoArguments| {
        let params = json!({ "messages": [], "maxTokens": 1, "tools": [] });
        context.ask::<Value>(InputRequest::sampling("s", &params)).map(|answer| answer.to_string())
    }));
    let refused = endpoint.send(call_with(&json!({ "sampling": {} })));
    assert_eq!((refused.status, refused.error_code()), (400, -32021));
    let needed = json!({ "requiredCapabilities": { "sampling": { "tools": {} } } });
    assert_eq!(refused.json()["error"]["data"], needed);
    let session = endpoint.session();
    let refused = endpoint.send(in_session(&session, &call(1, "t", json!({}))));
    assert_eq!(refused.json()["error"]["message"], "The client does not support sampling.tools");
    let asked = endpoint.send(call_with(&json!({ "sampling": { "tools": {} } })));
    assert_eq!(asked.json()["result"]["inputRequests"]["s"]["method"], "sampling/createMessage");
}

/// JSON has no NaN, and the keys of its objects are strings.
#[test]
fn reports_that_are_no_json_are_dropped() {
    let endpoint = serving(tool("t").handler(|context, _: NoArguments| {
        let report = |progress, total| context.progress(&Progress { progress, total, message: None });
        report(f64::NAN, None);
        report(f64::INFINITY, Some(1.0));
        report(0.5, Some(f64::NEG_INFINITY));
        context.log(Level::Info, &std::collections::HashMap::from([((1, 2), 3)]));
        report(1.0, Some(2.0));
        context.log(Level::Info, &f64::NAN);
        Ok("done")
    }));
    let mut meta = modern::meta();
    meta["progressToken"] = "p".into();
    meta["io.modelcontextprotocol/logLevel"] = "debug".into();
    let events = endpoint.send(modern::plain("tools/call", json!({ "name": "t", "_meta": meta }))).events();
    assert_eq!(events.json()["params"], json!({ "progressToken": "p", "progress": 1.0, "total": 2.0 }));
    assert_eq!(events.json()["params"], json!({ "level": "info", "data": null }));
    assert_eq!(events.rest().len(), 1);
}

/// A handler that goes on after the cancellation sends the client nothing more, above all no question.
#[test]
fn a_cancelled_call_asks_nothing() {
    let endpoint = serving(tool("late").handler(|context, _: NoArguments| {
        context.log(Level::Info, &"started");
        context.cancel().wait(SOON);
        context.log(Level::Info, &"cancelled");
        let answer: Result<Option<Value>, _> = context.elicit("k", "?", &json!({ "type": "object" }));
        assert!(matches!(answer, Err(CallError::Cancelled)));
        Ok("late")
    }));
    let session = endpoint.session();
    let waiting = endpoint.start(1, in_session(&session, &call(1, "late", json!({}))));
    let events = waiting.head().events();
    assert_eq!(events.json()["params"]["data"], "started");
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    endpoint.send(in_session(&session, &cancel));
    assert_eq!(events.rest(), []);
    waiting.worker.join().unwrap();
}

/// A message that waits for room on the stream when the call is cancelled is dropped.
#[test]
fn a_cancelled_call_sends_nothing_that_waited() {
    let (waits, waiting) = std::sync::mpsc::channel();
    let endpoint = serving(tool("t").handler(move |context, _: NoArguments| {
        context.log(Level::Info, &"x".repeat(limits::STREAM_BYTES / 4 * 3));
        waits.send(()).unwrap();
        context.log(Level::Info, &"waited");
        Ok("late")
    }));
    let session = endpoint.session();
    let call = endpoint.start(1, in_session(&session, &call(1, "t", json!({}))));
    let events = call.head().events();
    waiting.recv().unwrap();
    assert!(waiting.recv_timeout(Duration::from_millis(100)).is_err());
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    endpoint.send(in_session(&session, &cancel));
    call.worker.join().unwrap();
    assert_eq!(events.rest().len(), 1);
}

/// Lifecycle, "Timeouts": the client need not go on with a question whose answer nobody waits for.
#[test]
fn questions_that_nobody_waits_for_any_more_are_cancelled() {
    let endpoint = serving(tool("ask").handler(|context, _: NoArguments| {
        let ask = |key: &str| InputRequest::elicitation(key, "?", &json!({ "type": "object" }));
        context.ask_all(["a", "b", "c"].map(ask).into()).map(|answers| answers.len().to_string())
    }));
    let session = endpoint.session();
    let accept = || json!({ "result": { "action": "accept", "content": {} } });
    let answer = |id: &Value, mut answer: Value| {
        (answer["jsonrpc"], answer["id"]) = ("2.0".into(), id.clone());
        assert_eq!(endpoint.send(in_session(&session, &answer)).status, 202);
    };
    let asked = || {
        let events = endpoint.send(in_session(&session, &call(1, "ask", json!({})))).events();
        let ids = [events.json(), events.json(), events.json()].map(|question| question["id"].clone());
        answer(&ids[0], accept());
        (events, ids)
    };
    let (events, ids) = asked();
    answer(&ids[1], json!({ "error": { "code": -1, "message": "No" } }));
    let cancelled = json!({ "method": "notifications/cancelled", "params": { "requestId": ids[2] } });
    let said = events.json();
    assert_eq!(json!({ "method": said["method"], "params": said["params"] }), cancelled);
    assert_eq!(events.json()["result"]["isError"], true);
    answer(&ids[2], accept()); // too late
    let (events, ids) = asked();
    answer(&ids[1], json!({ "result": { "action": "decline" } }));
    answer(&ids[2], accept());
    assert_eq!(events.json()["result"]["content"][0]["text"], "3");
}

/// Content that an older client would refuse, or every client, becomes text.
#[test]
fn content_that_clients_refuse_is_sent_as_text() {
    let check = |result: fn() -> ToolResult, expected: Value| {
        let endpoint = serving(tool("t").handler(move |_, _: NoArguments| Ok(result())));
        let session = endpoint.session();
        let answer = endpoint.send(in_session(&session, &call(1, "t", json!({}))));
        assert_eq!(answer.json()["result"], expected);
    };
    let text = |text: &str| json!({ "content": [{ "type": "text", "text": text }] });
    check(|| ToolResult::structured(json!([1])), text("[1]"));
    check(|| ToolResult::structured(Value::Null), text("null"));
    check(|| Content::resource("bare".into()).into(), text("bare"));
    check(
        || Content::resource(ResourceContents::from("x").with("uri", "a:b")).into(),
        json!({ "content": [{ "type": "resource", "resource": { "text": "x", "uri": "a:b" } }] }),
    );
}

/// A refused response has the id of a request of this server: a client must not take the refusal for the answer to its own of that id.
#[test]
fn the_refusal_of_a_response_has_no_id() {
    let endpoint = conformance();
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}"#,
        r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
    ] {
        let answer = endpoint.send(post_text(text));
        assert_eq!((answer.status, answer.json().get("id")), (400, None), "{text}");
    }
    let response = post_text(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    let refused = endpoint.send(response.with("MCP-Protocol-Version", "2026-07-28"));
    assert_eq!((refused.status, refused.json().get("id")), (400, None));
}
