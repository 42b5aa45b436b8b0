//! Sessions and their requests.

use super::*;

fn with_session(request: Request, session: &str) -> Request {
    request.with("Mcp-Session-Id", session).with("MCP-Protocol-Version", "2025-06-18")
}

fn in_session(session: &str, body: &Value) -> Request {
    with_session(post(body), session)
}

fn notification(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

#[test]
fn versions_are_negotiated() {
    let endpoint = conformance();
    let check = |requested: &str, expected: &str| {
        let params = json!({ "protocolVersion": requested, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
        let answer = endpoint
            .send(post(&request("a", "initialize", params)).with("MCP-Protocol-Version", "2026-07-28"));
        assert_eq!(answer.status, 200);
        let result = &answer.json()["result"];
        assert_eq!(result["protocolVersion"], expected);
        assert_eq!(result["serverInfo"], json!({ "name": "conformance", "version": "1.0.0" }));
        assert_eq!(
            result["capabilities"],
            json!({
                "tools": { "listChanged": true },
                "resources": { "subscribe": true, "listChanged": true },
                "prompts": { "listChanged": true },
                "logging": {},
                "completions": {},
            })
        );
    };
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        check(version, version);
    }
    for version in ["2024-10-07", "2026-07-28", "1.0", ""] {
        check(version, "2025-11-25");
    }
}

/// M6: a session id is sealed, short enough for every client, visible ASCII, and unique.
#[test]
fn session_ids_are_sealed_and_differ() {
    let endpoint = conformance();
    let (one, two) = (endpoint.session(), endpoint.session());
    for id in [&one, &two] {
        assert!((43..=128).contains(&id.len()), "{id}");
        assert!(id.starts_with("mcp_session_") && id.bytes().all(|b| b.is_ascii_graphic()), "{id}");
    }
    assert_ne!(one, two);
}

/// M1, M11: a request that is not MCP is refused before any session is looked up.
#[test]
fn method_accept_and_content_type_are_checked_first() {
    let endpoint = conformance();
    let plain = || crate::http::fake::request("POST", "/mcp").body(request(1, "ping", json!({})).to_string());
    let check = |request: Request, status| assert_eq!(endpoint.send(request).status, status);
    check(plain().with("Content-Type", "text/plain"), 415);
    check(plain(), 415);
    let json = || plain().with("Content-Type", "application/json; charset=utf-8");
    check(json().with("Content-Type", "application/json"), 400);
    check(json().with("Accept", "application/json"), 406);
    check(json().with("Accept", "text/event-stream"), 406);
    check(json().with("Accept", "application/json, text/event-stream;q=0"), 406);
    check(json().with("Accept", "text/event-stream, application/json"), 400);
    check(json().with("Accept", "application/*").with("Accept", "text/*;q=0.5"), 400);
    check(json().with("Accept", "*/*"), 400);
    check(json(), 400);
    check(crate::http::fake::request("GET", "/mcp").with("Accept", "text/html"), 406);
    for method in ["PUT", "HEAD", "OPTIONS", "PATCH"] {
        let answer = endpoint.send(crate::http::fake::request(method, "/mcp"));
        assert_eq!((answer.status, answer.allow.as_deref()), (405, Some("GET, POST, DELETE")), "{method}");
    }
    assert_eq!(endpoint.mcp.counts().sessions, 0);
}

/// M10: a body that is not one message is a 400.
#[test]
fn a_body_that_is_no_message_is_a_400() {
    let endpoint = conformance();
    let check = |body: &str, code| {
        let answer = endpoint.send(post_text(body));
        assert_eq!((answer.status, answer.error_code()), (400, code), "{body}");
        assert_eq!(answer.json().get("id"), None);
    };
    check("{", -32700);
    check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600);
    check(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600);
}

/// M13: no session is a 400, an unknown one a 404, an unknown version a 400; for POST, GET and DELETE alike.
#[test]
fn a_message_needs_a_session_that_lives() {
    let endpoint = conformance();
    let session = endpoint.session();
    let named = endpoint.send(with_session(post(&request(6, "ping", json!({}))), &session));
    assert_eq!(named.status, 200);
    let requests =
        || [post(&request(7, "ping", json!({}))), get(), crate::http::fake::request("DELETE", "/mcp")];
    for request in requests() {
        assert_eq!(endpoint.send(request).status, 400);
    }
    for request in requests() {
        let answer = endpoint.send(with_session(request, "unknown"));
        assert_eq!((answer.status, answer.error_code()), (404, -32001));
    }
    for request in requests() {
        let request = request.with("Mcp-Session-Id", &session).with("MCP-Protocol-Version", "2024-10-07");
        assert_eq!(endpoint.send(request).status, 400);
    }
    for request in requests() {
        let request = with_session(request, &session);
        assert_eq!(endpoint.send(request.clone().with("Mcp-Session-Id", &session)).status, 400);
        assert_eq!(endpoint.send(request.with("MCP-Protocol-Version", "2025-11-25")).status, 400);
    }
    // Without the version header the rules are those of 2025-03-26.
    let answer = endpoint.send(post(&request(7, "ping", json!({}))).with("Mcp-Session-Id", &session));
    assert_eq!(answer.json(), &json!({ "jsonrpc": "2.0", "id": 7, "result": {} }));
}

/// M6: the session of another grant is answered like an unknown one, for every message.
#[test]
fn a_foreign_session_is_a_404() {
    let endpoint = conformance();
    let session = endpoint.session_as(1, "2025-06-18");
    for request in [
        in_session(&session, &request(1, "ping", json!({}))),
        in_session(&session, &json!({ "jsonrpc": "2.0", "id": 1, "result": {} })),
        with_session(get(), &session),
        with_session(crate::http::fake::request("DELETE", "/mcp"), &session),
    ] {
        let answer = endpoint.send_as(2, request);
        assert_eq!((answer.status, answer.error_code()), (404, -32001));
    }
    assert_eq!(endpoint.send(in_session(&session, &request(1, "ping", json!({})))).status, 200);
}

#[test]
fn a_deleted_session_is_gone() {
    let endpoint = conformance();
    let session = endpoint.session();
    let stream = endpoint.send(with_session(get(), &session)).events();
    let delete = || with_session(crate::http::fake::request("DELETE", "/mcp"), &session);
    assert_eq!(endpoint.send(delete()).status, 204);
    assert_eq!(stream.next(), None);
    assert_eq!(endpoint.send(delete()).status, 404);
    assert_eq!(endpoint.send(in_session(&session, &request(1, "ping", json!({})))).status, 404);
}

#[test]
fn notifications_and_responses_are_accepted_without_a_body() {
    let endpoint = conformance();
    let session = endpoint.session();
    for body in [
        notification("notifications/initialized", json!({})),
        notification("notifications/unheard/of", json!({})),
        notification("notifications/cancelled", json!({ "requestId": 99 })),
        notification("notifications/cancelled", json!({})),
        json!({ "jsonrpc": "2.0", "id": 99, "result": {} }),
        json!({ "jsonrpc": "2.0", "id": "x", "error": { "code": 1, "message": "no" } }),
    ] {
        let answer = endpoint.send(in_session(&session, &body));
        assert!(matches!((answer.status, answer.body), (202, Said::Nothing)), "{body}");
    }
}

#[test]
fn a_json_rpc_error_is_an_http_200() {
    let endpoint = conformance();
    let session = endpoint.session();
    let check = |method: &str, params: Value, code| {
        let answer = endpoint.send(in_session(&session, &request("e", method, params)));
        assert_eq!((answer.status, answer.error_code()), (200, code), "{method}");
        assert_eq!(answer.json()["id"], "e");
    };
    check("unheard/of", json!({}), -32601);
    check("server/discover", json!({}), -32601);
    check("subscriptions/listen", json!({}), -32601);
    check("tools/call", json!({}), -32602);
    check("tools/call", json!({ "name": "unheard_of" }), -32602);
    check("tools/call", json!({ "name": "test_simple_text", "_meta": { "progressToken": {} } }), -32602);
    check("tools/list", json!({ "cursor": "x" }), -32602);
    check("prompts/get", json!({ "name": "test_prompt_with_arguments" }), -32602);
    check("tools/call", json!({ "name": "test_simple_text", "_meta": ["token"] }), -32602);
    check("resources/read", json!({ "uri": "test://unheard-of" }), -32002);
    check("logging/setLevel", json!({ "level": "loud" }), -32602);
    check("completion/complete", json!({}), -32602);
    let argument = json!({ "name": "arg1", "value": "" });
    check(
        "completion/complete",
        json!({ "ref": ["ref/prompt", "test_prompt_with_arguments"], "argument": argument }),
        -32602,
    );
}

#[test]
fn a_quick_call_is_answered_in_json() {
    let endpoint = conformance();
    let session = endpoint.session();
    let answer = endpoint
        .send(in_session(&session, &request("x", "tools/call", json!({ "name": "test_simple_text" }))));
    let text = json!([{ "type": "text", "text": "This is a simple text response for testing." }]);
    assert_eq!(answer.json(), &json!({ "jsonrpc": "2.0", "id": "x", "result": { "content": text } }));
}

#[test]
fn a_tools_failure_is_a_result() {
    let endpoint = conformance();
    let session = endpoint.session();
    let answer = endpoint.send(in_session(&session, &call(1, "test_error_handling", json!({}))));
    assert_eq!(answer.json()["result"]["isError"], true);
    assert_eq!(answer.text(), "This tool intentionally returns an error for testing");
    // The error lets a model correct its arguments.
    let answer = endpoint.send(in_session(&session, &call(1, "test_sampling", json!({ "prompt": 7 }))));
    assert_eq!(answer.json()["result"]["isError"], true);
    assert_eq!(answer.text(), "Invalid arguments: prompt: invalid type: integer `7`, expected a string");
}

#[test]
fn resources_templates_and_completions_are_served() {
    let endpoint = conformance();
    let session = endpoint.session();
    let result = |method: &str, params: Value| {
        endpoint.send(in_session(&session, &request(1, method, params))).json()["result"].clone()
    };
    assert_eq!(
        result("resources/read", json!({ "uri": "test://template/a%20b/data" })),
        json!({ "contents": [{
            "uri": "test://template/a%20b/data",
            "mimeType": "application/json",
            "text": r#"{"data":"Data for ID: a b","id":"a b","templateTest":true}"#,
        }] })
    );
    let reference = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    let complete = |name: &str| {
        result(
            "completion/complete",
            json!({ "ref": reference, "argument": { "name": name, "value": "test" } }),
        )
    };
    assert_eq!(
        complete("arg1"),
        json!({ "completion": { "values": ["test-one", "test-two"], "total": 2, "hasMore": false } })
    );
    assert_eq!(complete("arg2"), json!({ "completion": { "values": [], "total": 0, "hasMore": false } }));
    let tools = result("tools/list", json!({}));
    assert_eq!(tools["tools"][0]["name"], "test_simple_text");
    assert!(tools["tools"].as_array().unwrap().iter().all(|tool| tool["inputSchema"]["type"] == "object"));
}

#[test]
fn log_messages_below_the_sessions_level_are_not_sent() {
    let endpoint = conformance();
    let session = endpoint.session();
    let set = |level: &str| {
        let answer =
            endpoint.send(in_session(&session, &request(1, "logging/setLevel", json!({ "level": level }))));
        assert_eq!(answer.json()["result"], json!({}));
    };
    set("info");
    let events =
        endpoint.send(in_session(&session, &call(2, "test_tool_with_logging", json!({})))).events().rest();
    assert_eq!(events.len(), 4);
    assert_eq!(
        events[0].json(),
        json!({ "jsonrpc": "2.0", "method": "notifications/message",
            "params": { "level": "info", "data": "Tool execution started" } })
    );
    set("notice");
    let answer = endpoint.send(in_session(&session, &call(3, "test_tool_with_logging", json!({}))));
    assert_eq!(answer.text(), "logged");
}

#[test]
fn progress_is_reported_under_the_callers_token() {
    let endpoint = conformance();
    let session = endpoint.session();
    for token in [json!(7), json!("seven")] {
        let params = json!({ "name": "test_tool_with_progress", "_meta": { "progressToken": token } });
        let events = endpoint.send(in_session(&session, &request(1, "tools/call", params))).events().rest();
        let progress: Vec<Value> = events[..3].iter().map(|event| event.json()["params"].clone()).collect();
        for (found, expected) in progress.iter().zip([0.0, 50.0, 100.0]) {
            assert_eq!(found, &json!({ "progressToken": token, "progress": expected, "total": 100.0 }));
        }
        assert_eq!(events[3].json()["id"], 1);
    }
    let answer = endpoint.send(in_session(&session, &call(1, "test_tool_with_progress", json!({}))));
    assert!(matches!(answer.body, Said::Json(_)), "without a token there is nothing to say");
}

#[test]
fn a_tool_asks_on_its_own_stream_and_the_session_goes_on() {
    let endpoint = conformance();
    let session = endpoint.session();
    let events =
        endpoint.send(in_session(&session, &call(1, "test_sampling", json!({ "prompt": "Hi" })))).events();
    let question = events.json();
    assert_eq!(question["method"], "sampling/createMessage");
    assert_eq!(
        question["params"],
        json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": "Hi" } }], "maxTokens": 100 })
    );
    assert_eq!(endpoint.send(in_session(&session, &request(2, "ping", json!({})))).status, 200);
    let content =
        json!({ "role": "assistant", "content": { "type": "text", "text": "Hello" }, "model": "m" });
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": content });
    assert_eq!(endpoint.send(in_session(&session, &answer)).status, 202);
    assert_eq!(events.json()["result"]["content"][0]["text"], "LLM response: Hello");
    assert_eq!(events.next(), None);
}

#[test]
fn a_client_that_refuses_to_answer_fails_the_tool() {
    let endpoint = conformance();
    let session = endpoint.session();
    let events =
        endpoint.send(in_session(&session, &call(1, "test_elicitation", json!({ "message": "?" })))).events();
    let question = events.json();
    let refusal = json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": -1, "message": "No" } });
    endpoint.send(in_session(&session, &refusal));
    let result = events.json()["result"].clone();
    assert_eq!(result["isError"], true);
    assert_eq!(result["content"][0]["text"], "The client answered with an error: No");
}

#[test]
fn a_client_is_not_asked_for_what_it_cannot_do() {
    let endpoint = conformance();
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let session = endpoint.send(post(&request(0, "initialize", params))).session.unwrap();
    let answer = endpoint.send(in_session(&session, &call(1, "test_sampling", json!({ "prompt": "Hi" }))));
    assert_eq!(answer.error_code(), -32600);
}

/// M7, the seed's fault "shares one server object between sessions": equal ids in two sessions do not interfere.
#[test]
fn sessions_do_not_share_a_server_object() {
    let endpoint = conformance();
    let (one, two) = (endpoint.session_as(1, "2025-06-18"), endpoint.session_as(2, "2025-06-18"));
    let ask = |user, session: &str, message: &str| {
        let body = call(1, "test_elicitation", json!({ "message": message }));
        let events = endpoint.send_as(user, in_session(session, &body)).events();
        let question = events.json();
        assert_eq!(question["params"]["message"], message);
        (events, question["id"].clone())
    };
    let (first, first_id) = ask(1, &one, "for the first");
    let (second, second_id) = ask(2, &two, "for the second");
    assert!(first_id.is_i64() && first_id != second_id, "each session counts from a place of its own");

    let answer = |user, session: &str, id: &Value, name: &str| {
        let content = json!({ "action": "accept", "content": { "username": name } });
        let body = json!({ "jsonrpc": "2.0", "id": id, "result": content });
        assert_eq!(endpoint.send_as(user, in_session(session, &body)).status, 202);
    };
    answer(2, &two, &first_id, "second");
    assert!(first.is_silent() && second.is_silent(), "an id is worth nothing in another session");
    answer(2, &two, &second_id, "second");
    assert_eq!(
        second.json()["result"]["content"][0]["text"],
        r#"User response: accept, {"username":"second"}"#
    );
    assert!(first.is_silent(), "the second session's answer must not reach the first");
    // A setting of one session changes nothing in another.
    endpoint.send_as(2, in_session(&two, &request(2, "logging/setLevel", json!({ "level": "emergency" }))));
    answer(1, &one, &first_id, "first");
    assert_eq!(
        first.json()["result"]["content"][0]["text"],
        r#"User response: accept, {"username":"first"}"#
    );
    let logged = endpoint.send_as(1, in_session(&one, &call(2, "test_tool_with_logging", json!({}))));
    assert_eq!(logged.events().rest().len(), 4);
}

/// M7: an id that is in flight in this session is refused; it is free again afterwards.
#[test]
fn a_duplicate_id_in_flight_is_refused() {
    let endpoint = conformance();
    let session = endpoint.session();
    let events =
        endpoint.send(in_session(&session, &call(1, "test_elicitation", json!({ "message": "?" })))).events();
    let question = events.json();
    let again = endpoint.send(in_session(&session, &call(1, "test_simple_text", json!({}))));
    assert_eq!((again.status, again.error_code()), (200, -32600));
    let other = endpoint.send(in_session(&session, &call("1", "test_simple_text", json!({}))));
    assert!(other.json().get("result").is_some(), "a string is not a number");
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "decline" } });
    endpoint.send(in_session(&session, &answer));
    assert_eq!(events.rest().len(), 1);
    let free = endpoint.send(in_session(&session, &call(1, "test_simple_text", json!({}))));
    assert!(free.json().get("result").is_some());
}

/// M14: `notifications/cancelled` reaches the caller's own requests, and a cancelled request has no response.
#[test]
fn a_cancelled_call_ends_without_a_response() {
    let endpoint = conformance();
    let (session, other) = (endpoint.session(), endpoint.session());
    let events =
        endpoint.send(in_session(&session, &call(1, "test_elicitation", json!({ "message": "?" })))).events();
    events.json();
    let cancel = notification("notifications/cancelled", json!({ "requestId": 1, "reason": "enough" }));
    endpoint.send(in_session(&other, &cancel));
    assert!(events.is_silent(), "another session's request is not reached");
    endpoint.send(in_session(&session, &cancel));
    assert_eq!(events.next(), None);
}

#[test]
fn changes_are_told_on_the_sessions_stream() {
    let endpoint = conformance();
    let session = endpoint.session();
    let stream = endpoint.send(with_session(get(), &session)).events();
    let subscribe = |method: &str| {
        let answer = endpoint
            .send(in_session(&session, &request(1, method, json!({ "uri": "test://watched-resource" }))));
        assert_eq!(answer.json()["result"], json!({}));
    };
    endpoint.mcp.0.publisher().resource_updated("test://watched-resource");
    assert!(stream.is_silent());
    subscribe("resources/subscribe");
    endpoint.mcp.0.publisher().resource_updated("test://watched-resource");
    endpoint.mcp.0.publisher().resource_updated("test://static-text");
    endpoint.mcp.0.publisher().resource_updated("test://watched-resources");
    endpoint.mcp.0.publisher().resource_updated("test://watched-resource/part");
    for uri in ["test://watched-resource", "test://watched-resource/part"] {
        assert_eq!(
            stream.json(),
            json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } })
        );
    }
    subscribe("resources/unsubscribe");
    endpoint.mcp.0.publisher().resource_updated("test://watched-resource");
    endpoint.send(in_session(&session, &call(2, "test_trigger_tool_change", json!({}))));
    assert_eq!(stream.json(), json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
    assert!(stream.is_silent());
}
