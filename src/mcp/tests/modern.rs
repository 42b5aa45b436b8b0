//! Requests of the modern era, which describe themselves.

use super::*;
use crate::base::limits;

const VERSION: &str = "2026-07-28";

pub(super) fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": { "sampling": {}, "elicitation": {}, "roots": {} },
    })
}

/// The body of a request with `_meta`.
fn body(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    if params.get("_meta").is_none() {
        params["_meta"] = meta();
    }
    request(id, method, params)
}

/// A request with the headers that belong to its body.
fn with_headers(body: &Value) -> Request {
    let params = &body["params"];
    let request =
        post(body).with("MCP-Protocol-Version", VERSION).with("Mcp-Method", body["method"].as_str().unwrap());
    let name = ["name", "uri", "taskId"].into_iter().find_map(|member| params[member].as_str());
    match name {
        Some(name) => request.with("Mcp-Name", name),
        None => request,
    }
}

pub(super) fn plain(method: &str, params: Value) -> Request {
    with_headers(&body(1, method, params))
}

pub(super) fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Request {
    with_headers(&body(id, "tools/call", json!({ "name": tool, "arguments": arguments })))
}

pub(super) fn listen(id: impl Into<Value>, filter: Value) -> Request {
    with_headers(&body(id, "subscriptions/listen", json!({ "notifications": filter })))
}

#[test]
fn discovery_tells_what_the_server_is() {
    let endpoint = conformance();
    let answer = endpoint.send(plain("server/discover", json!({})));
    assert_eq!((answer.status, answer.session.as_deref()), (200, None));
    let result = &answer.json()["result"];
    assert_eq!(result["supportedVersions"], json!([VERSION]));
    assert_eq!(result["capabilities"]["tools"], json!({ "listChanged": true }));
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
    assert!(result["ttlMs"].is_u64());
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "conformance");
}

/// M16: every result has its type; a cacheable one has its lifetime and is private to its user.
#[test]
fn results_carry_their_type_and_cache_hints() {
    let endpoint = conformance();
    let check = |method: &str, params: Value, cached: bool| {
        let answer = endpoint.send(plain(method, params));
        let result = &answer.json()["result"];
        assert_eq!((answer.status, &result["resultType"]), (200, &json!("complete")), "{method}");
        assert_eq!(result["ttlMs"].is_u64(), cached, "{method}");
        assert_eq!(result["cacheScope"] == "private", cached, "{method}");
    };
    check("tools/list", json!({}), true);
    check("prompts/list", json!({}), true);
    check("resources/list", json!({}), true);
    check("resources/templates/list", json!({}), true);
    check("resources/read", json!({ "uri": "test://static-text" }), true);
    check("tools/call", json!({ "name": "test_simple_text" }), false);
    check("prompts/get", json!({ "name": "test_simple_prompt" }), false);
}

/// M12: `_meta` must be complete.
#[test]
fn an_incomplete_meta_is_refused() {
    let endpoint = conformance();
    let check = |edit: fn(&mut Value), status| {
        let mut body = body(1, "tools/list", json!({}));
        edit(&mut body["params"]);
        let answer = endpoint.send(with_headers(&body));
        assert_eq!(answer.status, status, "{body}");
        if status == 400 {
            assert_eq!(answer.error_code(), -32602);
            assert_eq!(answer.json()["id"], 1);
        }
    };
    check(|params| drop(params.as_object_mut().unwrap().remove("_meta")), 400);
    check(|params| params["_meta"] = json!(null), 400);
    check(|params| params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(null), 400);
    check(|params| params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!(null), 400);
    check(|params| params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!([]), 400);
    check(|params| params["_meta"] = json!([VERSION, {}]), 400);
    check(|params| params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!([null]), 400);
    check(|params| params["_meta"]["io.modelcontextprotocol/logLevel"] = json!("loud"), 400);
    check(
        |params| drop(params["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientInfo")),
        200,
    );
}

/// M12: an unknown version is refused with the list of supported ones.
#[test]
fn an_unknown_version_is_refused_with_the_known_ones() {
    let endpoint = conformance();
    for version in ["v999.0.0", "2025-11-25"] {
        let mut body = body(1, "tools/list", json!({}));
        body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(version);
        let request = post(&body).with("MCP-Protocol-Version", version).with("Mcp-Method", "tools/list");
        let answer = endpoint.send(request);
        assert_eq!((answer.status, answer.error_code()), (400, -32022));
        assert_eq!(answer.json()["error"]["data"], json!({ "supported": [VERSION], "requested": version }));
    }
}

/// M12: the headers must match the body.
#[test]
fn headers_that_differ_from_the_body_are_refused() {
    let endpoint = conformance();
    let body = body(1, "tools/call", json!({ "name": "test_simple_text" }));
    let check = |headers: &[(&str, &str)], expected: Option<i64>| {
        let request = headers.iter().fold(post(&body), |request, (name, value)| request.with(name, value));
        let answer = endpoint.send(request);
        assert_eq!(answer.status, if expected.is_some() { 400 } else { 200 }, "{headers:?}");
        assert_eq!(answer.json()["error"]["code"].as_i64(), expected, "{headers:?}");
    };
    let (version, method, name) =
        (("MCP-Protocol-Version", VERSION), ("Mcp-Method", "tools/call"), ("Mcp-Name", "test_simple_text"));
    check(&[version, method, name], None);
    check(
        &[
            ("mcp-protocol-version", VERSION),
            ("MCP-METHOD", "tools/call"),
            ("mcp-name", "  test_simple_text  "),
        ],
        None,
    );
    check(&[version, method, ("Mcp-Name", "=?base64?dGVzdF9zaW1wbGVfdGV4dA==?=")], None);
    check(&[version, method, name, ("Mcp-Session-Id", "x"), ("Last-Event-ID", "1-1")], None);
    for headers in [
        vec![method, name],
        vec![version, ("MCP-Protocol-Version", "2025-11-25"), method, name],
        vec![("MCP-Protocol-Version", "2026-07-28, 2025-11-25"), method, name],
        vec![("MCP-Protocol-Version", "v999.0.0"), method, name],
        vec![version, name],
        vec![version, ("Mcp-Method", "TOOLS/CALL"), name],
        vec![version, ("Mcp-Method", "tools/list"), name],
        vec![version, method, method, name],
        vec![version, method],
        vec![version, method, ("Mcp-Name", "test_image_content")],
        vec![version, method, ("Mcp-Name", "=?base64?!?=")],
        vec![version, method, name, name],
    ] {
        check(&headers, Some(-32020));
    }
}

/// M12: arguments that a tool's schema mirrors must be repeated in headers.
#[test]
fn a_mirrored_argument_needs_its_header() {
    let endpoint = conformance();
    let check = |arguments: Value, header: Option<&str>, status| {
        let request = call(1, "test_x_mcp_header", arguments);
        let request = match header {
            Some(value) => request.with("Mcp-Param-Region", value),
            None => request,
        };
        assert_eq!(endpoint.send(request).status, status);
    };
    check(json!({}), None, 200);
    check(json!({ "region": "eu" }), Some("eu"), 200);
    check(json!({ "region": "eu" }), Some("=?base64?ZXU=?="), 200);
    check(json!({ "region": "eu" }), None, 400);
    check(json!({ "region": "eu" }), Some("us"), 400);
    check(json!({ "region": "eu" }), Some("=?base64?***?="), 400);
    check(json!({}), Some("eu"), 400);
}

#[test]
fn methods_of_the_other_era_are_unknown() {
    let endpoint = conformance();
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "unknown/method",
    ] {
        let answer = endpoint.send(plain(method, json!({})));
        assert_eq!((answer.status, answer.error_code()), (404, -32601), "{method}");
        assert_eq!(answer.json()["id"], 1);
    }
}

#[test]
fn a_notification_is_accepted_and_a_response_is_not() {
    let endpoint = conformance();
    let notification =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    assert_eq!(endpoint.send(post(&notification).with("MCP-Protocol-Version", VERSION)).status, 202);
    let response = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    assert_eq!(endpoint.send(post(&response).with("MCP-Protocol-Version", VERSION)).status, 400);
}

#[test]
fn an_unknown_resource_is_an_invalid_param() {
    let answer = conformance().send(plain("resources/read", json!({ "uri": "test://unheard-of" })));
    assert_eq!((answer.status, answer.error_code()), (400, -32602));
    assert_eq!(answer.json()["error"]["data"], json!({ "uri": "test://unheard-of" }));
}

#[test]
fn a_missing_capability_is_named() {
    let mut body = body(1, "tools/call", json!({ "name": "test_missing_capability" }));
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "elicitation": {} });
    let answer = conformance().send(with_headers(&body));
    assert_eq!((answer.status, answer.error_code()), (400, -32021));
    assert_eq!(answer.json()["error"]["data"], json!({ "requiredCapabilities": { "sampling": {} } }));
}

#[test]
fn log_messages_are_sent_only_on_request() {
    let endpoint = conformance();
    let check = |level: Option<&str>, expected: usize| {
        let mut body = body(1, "tools/call", json!({ "name": "test_logging_tool" }));
        if let Some(level) = level {
            body["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!(level);
        }
        let messages = match endpoint.send(with_headers(&body)).body {
            Said::Events(events) => {
                let all = events.rest();
                assert!(all.iter().all(|event| event.id.is_none()), "these streams cannot be resumed");
                all.len() - 1
            }
            Said::Json(_) | Said::Nothing => 0,
        };
        assert_eq!(messages, expected, "{level:?}");
    };
    check(None, 0);
    check(Some("debug"), 3);
    check(Some("info"), 3);
    check(Some("warning"), 0);
}

/// M14: a disconnect cancels the call, before the head of the answer and after it.
#[test]
fn a_client_that_goes_away_cancels_its_call() {
    let (told, tell) = (CancelToken::new(), CancelToken::new());
    let tripped = told.clone();
    let endless = Tool::new("endless", "Never ends by itself", json!({ "type": "object" })).handler(
        move |context, _: NoArguments| {
            context.log(Level::Info, &"running");
            tell.trip();
            if context.cancel().wait(SOON) {
                tripped.trip();
            }
            Err::<ToolResult, _>(CallError::Cancelled)
        },
    );
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(endless).build().unwrap());
    let mut loud = body(1, "tools/call", json!({ "name": "endless" }));
    loud["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!("info");
    let waiting = endpoint.start(1, with_headers(&loud));
    let events = waiting.head().events();
    events.json();
    drop(events);
    waiting.worker.join().unwrap();
    assert!(told.is_tripped());

    let silent = endpoint.start(1, call(2, "endless", json!({})));
    silent.waiter.client_has_gone();
    silent.worker.join().unwrap();
    assert_eq!(endpoint.mcp.counts().calls, 0);
}

#[test]
fn a_listener_gets_only_the_notifications_of_its_filter() {
    let endpoint = conformance();
    let filter = json!({ "toolsListChanged": true, "promptsListChanged": false, "resourceSubscriptions": ["test://a"] });
    let events = endpoint.send(listen(7, filter)).events();
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": 7 });
    assert_eq!(
        events.json(),
        json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
            "_meta": meta, "notifications": { "toolsListChanged": true, "resourceSubscriptions": ["test://a"] } } })
    );
    endpoint.send(call(1, "test_trigger_prompt_change", json!({})));
    endpoint.mcp.0.publisher().resource_updated("test://b");
    assert!(events.is_silent());
    endpoint.send(call(2, "test_trigger_tool_change", json!({})));
    endpoint.mcp.0.publisher().resource_updated("test://a#part");
    assert_eq!(
        events.json(),
        json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": { "_meta": meta } })
    );
    assert_eq!(
        events.json(),
        json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "_meta": meta, "uri": "test://a#part" } })
    );
    assert_eq!(endpoint.mcp.counts().listeners, 1);
    drop(events);
    endpoint.mcp.sweep();
    assert_eq!(endpoint.mcp.counts().listeners, 0);
}

/// M17: listeners are bounded like other streams, and so is the number of subscriptions of one.
#[test]
fn listeners_are_bounded() {
    let endpoint = conformance();
    let uris: Vec<String> = (0..=limits::SUBSCRIPTIONS).map(|n| format!("test://{n}")).collect();
    let answer = endpoint.send(listen(1, json!({ "resourceSubscriptions": uris })));
    assert_eq!((answer.status, answer.error_code()), (400, -32602));
    let open: Vec<_> =
        (0..limits::STREAMS_PER_USER).map(|id| endpoint.send(listen(id, json!({}))).events()).collect();
    assert_eq!(endpoint.send(listen("x", json!({}))).status, 429);
    drop(open);
    assert_eq!(endpoint.send(listen("x", json!({}))).status, 200);
}

/// A `tools/call` that is repeated with answers and, if there was one, the state.
pub(super) fn retry(tool: &str, responses: Value, state: Option<&Value>) -> Request {
    let mut params = json!({ "name": tool, "arguments": {}, "inputResponses": responses });
    if let Some(state) = state {
        params["requestState"] = state.clone();
    }
    with_headers(&body(2, "tools/call", params))
}

#[test]
fn a_question_ends_the_call_and_the_answer_completes_it() {
    let endpoint = conformance();
    let tool = "test_input_required_result_elicitation";
    let asked = endpoint.send(call(1, tool, json!({})));
    let result = &asked.json()["result"];
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result.get("requestState"), None, "there is nothing to remember");
    assert_eq!(
        result["inputRequests"],
        json!({ "user_name": { "method": "elicitation/create", "params": {
            "message": "What is your name?",
            "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] },
        } } })
    );
    let alice = json!({ "action": "accept", "content": { "name": "Alice" } });
    let completed = endpoint.send(retry(tool, json!({ "user_name": alice, "more": 7 }), None));
    assert_eq!(completed.json()["result"]["resultType"], "complete");
    assert_eq!(completed.text(), "Hello, Alice!");
    for useless in [json!({ "wrong_key": alice }), json!({ "user_name": 12345 }), json!(null), json!({})] {
        let again = endpoint.send(retry(tool, useless, None));
        assert_eq!(again.json()["result"]["resultType"], "input_required");
    }
    let nonsense = endpoint.send(retry(tool, json!([1]), None));
    assert_eq!((nonsense.status, nonsense.error_code()), (400, -32602));
}

#[test]
fn earlier_answers_travel_in_the_state() {
    let endpoint = conformance();
    let tool = "test_input_required_result_multi_round";
    let first = endpoint.send(call(1, tool, json!({})));
    let first_state = &first.json()["result"]["requestState"];
    let step1 = json!({ "step1": { "action": "accept", "content": { "name": "Alice" } } });
    let second = endpoint.send(retry(tool, step1, Some(first_state)));
    let result = &second.json()["result"];
    assert_eq!(result["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["step2"]);
    let second_state = &result["requestState"];
    assert_ne!(first_state, second_state);
    let step2 = json!({ "step2": { "action": "accept", "content": { "color": "blue" } } });
    assert_eq!(endpoint.send(retry(tool, step2, Some(second_state))).text(), "Alice likes blue");
}

/// M15: a forged, foreign or expired state is refused, with any answers.
#[test]
fn a_state_that_is_not_ours_is_refused() {
    let endpoint = conformance();
    let tool = "test_input_required_result_tampered_state";
    let state = endpoint.send(call(1, tool, json!({}))).json()["result"]["requestState"].clone();
    let yes = || json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
    assert_eq!(endpoint.send(retry(tool, yes(), Some(&state))).text(), "state-ok");
    let refused = |user, tool: &str, state: &Value| {
        let answer = endpoint.send_as(user, retry(tool, yes(), Some(state)));
        assert_eq!((answer.status, answer.error_code()), (400, -32602));
    };
    refused(1, tool, &json!(format!("{}-TAMPERED", state.as_str().unwrap())));
    refused(2, tool, &state);
    refused(1, "test_input_required_result_request_state", &state);
    endpoint.clock.advance(limits::REQUEST_STATE_LIFETIME);
    refused(1, tool, &state);
}

#[test]
fn only_input_requests_within_the_clients_capabilities_are_sent() {
    let endpoint = conformance();
    let mut body = body(1, "tools/call", json!({ "name": "test_input_required_result_capabilities" }));
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "sampling": {} });
    let answer = endpoint.send(with_headers(&body));
    let asked = answer.json()["result"]["inputRequests"].as_object().unwrap().clone();
    let methods: Vec<_> = asked.values().map(|each| each["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["sampling/createMessage"]);
}

#[test]
fn prompts_can_ask_too_and_lists_cannot() {
    let endpoint = conformance();
    let answer = endpoint.send(plain("prompts/get", json!({ "name": "test_input_required_result_prompt" })));
    assert_eq!(answer.json()["result"]["resultType"], "input_required");
    let listed = endpoint.send(plain("tools/list", json!({ "inputResponses": {} })));
    assert_eq!(listed.json()["result"]["resultType"], "complete");
}

#[test]
fn nothing_is_remembered_between_requests() {
    let endpoint = conformance();
    for _ in 0..3 {
        assert_eq!(endpoint.send(call(1, "test_simple_text", json!({}))).session, None);
    }
    assert_eq!(endpoint.mcp.counts(), Counts { sessions: 0, listeners: 0, calls: 0, tasks: 0 });
}
