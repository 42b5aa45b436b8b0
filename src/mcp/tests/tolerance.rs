//! Requests that violate the protocol: those that are served nevertheless, and those that are refused.

use super::*;

const VERSION: &str = "MCP-Protocol-Version";

fn with_version(request: Request, version: &str) -> Request {
    request.with(VERSION, version)
}

/// A modern body, and no header except the version.
fn mixed(method: &str, mut params: Value, version: &str) -> Request {
    params["_meta"] = modern::meta();
    with_version(post(&request(1, method, params)), version)
}

fn greet() -> Value {
    json!({ "name": "test_simple_text", "arguments": {} })
}

/// Hosted connectors use the transport of 2025-11-25 with bodies of 2026-07-28. That combination is served; the headers that its
/// transport does not have may be absent, and must match the body if present.
#[test]
fn a_modern_body_under_a_legacy_version_is_served() {
    let endpoint = conformance();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let answer = endpoint.send(mixed("tools/call", greet(), version));
        assert_eq!((answer.status, &answer.json()["result"]["resultType"]), (200, &json!("complete")));
    }
    let call = || mixed("tools/call", greet(), "2025-11-25");
    let discover = endpoint.send(mixed("server/discover", json!({}), "2025-11-25"));
    assert_eq!(discover.json()["result"]["supportedVersions"], json!(["2026-07-28"]));
    let session = endpoint.session();
    let (session, unknown) = (call().with("Mcp-Session-Id", &session), call().with("Mcp-Session-Id", "x"));
    assert_eq!([session, unknown].map(|request| endpoint.send(request).status), [200, 200]);
    let named = call().with("Mcp-Method", "tools/call").with("Mcp-Name", "test_simple_text");
    assert_eq!(endpoint.send(named).status, 200);
    for contradiction in [
        call().with("Mcp-Method", "tools/list"),
        call().with("Mcp-Name", "test_image_content"),
        mixed("tools/call", greet(), "v999.0.0"),
        mixed("tools/call", greet(), "2024-10-07"),
        with_version(call(), "2025-06-18"),
        mixed(
            "tools/call",
            json!({ "name": "test_x_mcp_header", "arguments": { "region": "eu" } }),
            "2025-11-25",
        ),
    ] {
        let answer = endpoint.send(contradiction);
        assert_eq!((answer.status, answer.error_code()), (400, -32020));
    }
    assert_eq!(endpoint.mcp.tolerated(), [("modern_body_under_legacy_version", 8)]);
}

/// In no other combination may a header be missing or differ.
#[test]
fn other_pairs_of_versions_stay_refused() {
    let endpoint = conformance();
    let body = |version: &str| {
        let mut params = greet();
        params["_meta"] = modern::meta();
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(version);
        post(&request(1, "tools/call", params))
    };
    let check = |request: Request, code| {
        let answer = endpoint.send(request);
        assert_eq!((answer.status, answer.error_code()), (400, code));
    };
    check(with_version(body("v999.0.0"), "2026-07-28"), -32020);
    check(with_version(body("v999.0.0"), "2025-11-25"), -32020);
    check(with_version(body("2025-06-18"), "2025-11-25"), -32020);
    check(with_version(body("2026-07-28"), "2026-07-28"), -32020); // without Mcp-Method
    check(body("2026-07-28"), -32020);
    assert_eq!(endpoint.mcp.tolerated(), []);
}

/// A client that sends its own latest version instead of the negotiated one is served in its session.
#[test]
fn a_session_is_served_under_any_version_that_is_spoken() {
    let endpoint = conformance();
    let session = endpoint.session_as(1, "2025-06-18");
    let progress = json!({ "name": "test_simple_text", "_meta": { "progressToken": 1 } });
    let requests = || {
        [
            post(&request(1, "ping", json!({}))),
            post(&request(1, "tools/call", progress.clone())),
            post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })),
            post(&json!({ "jsonrpc": "2.0", "id": 7, "result": {} })),
            get(),
        ]
    };
    for version in ["2024-11-05", "2025-11-25", "2026-07-28"] {
        for request in requests() {
            let status =
                endpoint.send(with_version(request, version).with("Mcp-Session-Id", &session)).status;
            assert!(matches!(status, 200 | 202), "{version}: {status}");
        }
    }
    assert_eq!(endpoint.mcp.tolerated(), [("modern_version_in_session", 5)]);
    // Not in a session of another user, or in one that has ended.
    let stranger =
        with_version(post(&request(1, "ping", json!({}))), "2026-07-28").with("Mcp-Session-Id", &session);
    assert_eq!(endpoint.send_as(2, stranger.clone()).status, 404);
    let delete = crate::http::fake::request("DELETE", "/mcp").with("Mcp-Session-Id", &session);
    assert_eq!(endpoint.send(with_version(delete, "2026-07-28")).status, 204);
    assert_eq!(endpoint.send(stranger).status, 404);
    assert_eq!(endpoint.send(with_version(get(), "2026-07-28").with("Mcp-Session-Id", &session)).status, 404);
}

/// A version that is sent twice, or joined by a proxy, is one version if both are equal; other headers have no such exception.
#[test]
fn a_repeated_version_counts_as_one() {
    let endpoint = conformance();
    let session = endpoint.session();
    let ping = || post(&request(1, "ping", json!({}))).with("Mcp-Session-Id", &session);
    let two = |request: Request, one: &str, other: &str| with_version(with_version(request, one), other);
    for request in [
        two(ping(), "2025-06-18", "2025-06-18"),
        with_version(ping(), "2025-06-18, 2025-06-18"),
        with_version(ping(), "2025-06-18 ,2025-06-18"),
        two(get().with("Mcp-Session-Id", &session), "2025-06-18", " 2025-06-18"),
        with_version(modern::plain("tools/list", json!({})), "2026-07-28"),
    ] {
        assert_eq!(endpoint.send(request).status, 200);
    }
    assert_eq!(endpoint.mcp.tolerated(), [("repeated_version", 5)]);
    for request in [
        two(ping(), "2025-06-18", "2025-11-25"),
        with_version(ping(), "2025-06-18,2025-11-25"),
        with_version(ping(), "2025-06-18,"),
        with_version(ping(), "x, x").with("Accept", "*/*"),
        with_version(modern::plain("tools/list", json!({})), "2025-11-25"),
        modern::plain("tools/list", json!({})).with("Mcp-Method", "tools/list"),
    ] {
        assert_eq!(endpoint.send(request).status, 400);
    }
}

/// A client of 2024-11-05 over Streamable HTTP keeps its version.
#[test]
fn a_client_of_2024_11_05_is_served() {
    let endpoint = conformance();
    let session = endpoint.session_as(1, "2024-11-05");
    let call = post(&call(1, "test_simple_text", json!({}))).with("Mcp-Session-Id", &session);
    assert_eq!(endpoint.send(with_version(call, "2024-11-05")).status, 200);
    let stream = endpoint.send(with_version(get(), "2024-11-05").with("Mcp-Session-Id", &session)).events();
    assert!(stream.is_silent(), "no empty event, which such a client takes for a broken message");
}

/// A server that returns the params of each call.
fn echo() -> Endpoint {
    struct Echo(ToolServer);
    impl Backend for Echo {
        fn consent(&self) -> &Consent {
            self.0.consent()
        }

        fn description(&self, caller: &Principal) -> Result<Arc<Description>, Error> {
            self.0.description(caller)
        }

        fn call(&self, context: Context) {
            let reply = Reply::default().with("params", &context.call().params).unwrap();
            context.complete(Ok(reply));
        }

        fn tool_rules(&self, _: &Principal, _: &str) -> Option<Arc<ToolRules>> {
            None
        }
    }
    let tool = Tool::new("t", "", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok(""));
    let server = ToolServer::builder("echo", "1").tool(tool).build().unwrap();
    endpoint(Echo(server))
}

/// Null, and the `[]` that PHP writes for an empty object, count as absent where an object is optional: in both eras, and a backend
/// gets neither.
#[test]
fn null_and_empty_arrays_in_place_of_objects_reach_no_tool() {
    let endpoint = echo();
    let session = endpoint.session();
    let send = |method: &str, params: &str, expected: Value| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let answer = endpoint.send(post_text(&body).with("Mcp-Session-Id", &session));
        assert_eq!(answer.json()["result"]["params"], expected, "{params}");
    };
    for absent in ["null", "[]", "[ \n ]"] {
        send("tools/list", absent, json!({}));
    }
    let check = |params: &str, expected: Value| send("tools/call", params, expected);
    check(r#"{"name":"t","arguments":null,"_meta":null}"#, json!({ "name": "t" }));
    check(r#"{"name":"t","arguments":[],"_meta":[],"task":[ ]}"#, json!({ "name": "t" }));
    let kept =
        json!({ "name": "t", "arguments": { "a": null, "b": [], "c": [null] }, "_meta": { "x": null } });
    check(&kept.to_string(), kept);
    let modern = endpoint
        .send(modern::plain("tools/call", json!({ "name": "t", "arguments": [], "inputResponses": null })));
    assert_eq!(modern.json()["result"]["params"], json!({ "name": "t", "_meta": modern::meta() }));
}

#[test]
fn null_and_php_objects_are_read_as_absent_everywhere() {
    let endpoint = conformance();
    let send = |text: &str| endpoint.send(post_text(text));
    let start = |capabilities: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1.0,"method":"initialize","params":{{"protocolVersion":"2025-06-18","capabilities":{capabilities},"clientInfo":[],"_meta":null}}}}"#
        );
        let answer = send(&body);
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(1)), "{capabilities}");
        answer.session.unwrap()
    };
    for capabilities in ["null", "[]", r#"{"experimental":[],"extensions":[],"roots":null}"#] {
        start(capabilities);
    }
    let session = start(r#"{"elicitation":[],"sampling":[],"roots":[]}"#);
    let say = |text: &str| endpoint.send(post_text(text).with("Mcp-Session-Id", &session));
    assert_eq!(say(r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":null}"#).status, 202);
    assert_eq!(
        say(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[],"result":null,"error":null}"#).status,
        200
    );
    assert_eq!(say(r#"{"jsonrpc":"2.0","id":1,"method":null,"result":{},"error":null}"#).status, 202);
    let list = say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":null,"_meta":[]}}"#);
    assert!(list.json()["result"]["tools"].is_array());
    let complete = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"test_prompt_with_arguments"},"argument":{"name":"arg1","value":"t"},"context":{"arguments":[]}}}"#;
    for arguments in ["[]", "null", "{}"] {
        let answer = say(&complete.replace(r#""arguments":[]"#, &format!(r#""arguments":{arguments}"#)));
        assert_eq!(answer.json()["result"]["completion"]["values"], json!(["test-one", "test-two"]));
    }
    // A form without fields, filled in by a client in PHP.
    let asking = say(r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"test_elicitation","arguments":{"message":"?"}}}"#).events();
    let id = asking.json()["id"].clone();
    say(&format!(r#"{{"jsonrpc":"2.0","id":{id}.0,"result":{{"action":"accept","content":[]}}}}"#));
    assert!(
        asking.json()["result"]["content"][0]["text"].as_str().unwrap().starts_with("User response: accept")
    );
    let filter =
        json!({ "toolsListChanged": null, "promptsListChanged": true, "resourceSubscriptions": null });
    let listening = endpoint.send(modern::listen(1, filter)).events();
    assert_eq!(listening.json()["params"]["notifications"], json!({ "promptsListChanged": true }));
}

/// Ids and progress tokens that are integers written as floats are read as those integers, also in comparisons.
#[test]
fn integral_floats_are_integers_in_ids_and_progress_tokens() {
    let endpoint = conformance();
    let session = endpoint.session();
    let say = |text: &str| endpoint.send(post_text(text).with("Mcp-Session-Id", &session));
    let call = |id: &str, token: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"test_tool_with_progress","_meta":{{"progressToken":{token}}}}}}}"#
        )
    };
    let events = say(&call("7.0", "9007199254740992.0")).events().rest();
    assert_eq!(events[0].json()["params"]["progressToken"], json!(9_007_199_254_740_992_i64));
    assert_eq!(events[3].json()["id"], json!(7));
    assert_eq!(say(&call("1", "1.5")).error_code(), -32602);
    let asking = say(r#"{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"test_elicitation","arguments":{"message":"?"}}}"#).events();
    asking.json();
    assert_eq!(say(&call("8.0", "1")).error_code(), -32600, "the id is in flight");
    say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8.0}}"#);
    assert_eq!(asking.next(), None);
}

/// A refusal names the wrong member.
#[test]
fn a_refusal_names_the_member() {
    let endpoint = conformance();
    let check = |text: &str, id: Value, message: &str| {
        let answer = endpoint.send(post_text(text));
        let error = answer.json();
        assert_eq!((answer.status, &error["error"]["message"]), (400, &json!(message)), "{text}");
        assert_eq!(error["id"], id, "{text}");
    };
    let no = "Not a JSON-RPC 2.0 message: ";
    check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, Value::Null, "Batches are not supported");
    check(
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        Value::Null,
        &format!("{no}id must be a short string or an integer"),
    );
    check(
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        Value::Null,
        &format!("{no}id must be a short string or an integer"),
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
        json!(1),
        &format!("{no}params must be an object"),
    );
    check(r#"{"jsonrpc":"2.0","id":1,"method":7}"#, json!(1), &format!("{no}method must be a string"));
    check(
        r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#,
        json!("a"),
        &format!("{no}jsonrpc must be \"2.0\""),
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"x"}"#,
        Value::Null,
        &format!("{no}method: two members have one name"),
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#,
        json!(1),
        &format!("{no}Method: a member has a name that is not allowed here"),
    );
}

/// A client that finds its id in no answer waits until it gives up, unless the status is an error.
#[test]
fn broken_params_of_a_request_without_a_readable_id_are_a_400() {
    let endpoint = conformance();
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{,}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{"a":1,"a":2}}"#,
    ] {
        let answer = endpoint.send(with_version(post_text(body), "2025-06-18"));
        assert_eq!((answer.status, &answer.json()["id"]), (400, &Value::Null), "{body}");
    }
}

/// A model's text may end in the middle of an emoji. Its client waits for an answer to that very request, and clients of the
/// legacy era for one with status 200.
#[test]
fn a_request_with_broken_params_is_answered_under_its_id() {
    let endpoint = conformance();
    let check = |arguments: &str, code: i64, message: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"t","arguments":{arguments}}},"id":"x"}}"#
        );
        for (version, status) in [("2025-06-18", 200), ("2026-07-28", 400)] {
            let answer = endpoint.send(with_version(post_text(&body), version));
            assert_eq!(
                (answer.status, answer.error_code(), &answer.json()["id"]),
                (status, code, &json!("x"))
            );
            let said = answer.json()["error"]["message"].as_str().unwrap();
            assert!(said.contains(message), "{said}");
            let in_session = with_version(post_text(&body), version).with("Mcp-Session-Id", "any");
            assert_eq!(endpoint.send(in_session).status, 200, "a session has the legacy era's statuses");
        }
    };
    check(r#"{"text":"a\ud83d"}"#, -32700, "params.arguments.text: ");
    check(r#"{"text":"\ude00"}"#, -32700, "params.arguments.text: ");
    check(r#"{"a":[{"text":"\ud83dx"}]}"#, -32700, "params.arguments.a[0].text: ");
    check(r#"{"a\ud83d":1}"#, -32700, "params.arguments");
    check(r#"{"a":1,"a":2}"#, -32600, "params.arguments.a: two members have one name");
    check(&format!("{}1{}", "[".repeat(100), "]".repeat(100)), -32600, "too deep");
    check("1e999", -32700, "params.arguments");

    let said = |body: &[u8]| {
        let answer = endpoint.send(
            crate::http::fake::request("POST", "/mcp").with("Content-Type", "application/json").body(body),
        );
        assert_eq!(answer.status, 400);
        answer.json()["id"].clone()
    };
    assert_eq!(said(b"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\",\"params\":{\"a\":\"\xff\"}}"), 3);
    assert_eq!(said(br#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#), Value::Null);
    assert_eq!(said(br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#), Value::Null);
    assert_eq!(said(br#"{"jsonrpc":"2.0","id":1,"method":"ping""#), Value::Null);
}

/// serde_json parses the string of such a member as JSON, which no check has covered.
#[test]
fn json_inside_a_string_is_never_unpacked() {
    let endpoint = conformance();
    for name in [
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        r"\u0024serde_json::private::RawV\u0061lue",
    ] {
        let hidden = format!(r#"{{"{name}":"{{\"a\":1,\"a\":\"\\ud800\"}}"}}"#);
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        for rest in [
            format!(r#""method":"tools/call","params":{{"name":"t","arguments":{hidden}}}"#),
            format!(r#""method":"tools/call","params":{{"name":"t","arguments":{{"a":[{hidden}]}}}}"#),
            format!(r#""method":"initialize","params":{{"capabilities":{{"elicitation":{hidden}}}}}"#),
            format!(r#""method":"initialize","params":{{"capabilities":{{"extensions":{hidden}}}}}"#),
            format!(r#""method":"tools/list","params":{{"_meta":{{{version},"x":{hidden}}}}}"#),
            format!(r#""method":"ping","params":{hidden}"#),
            format!(r#""error":{{"code":1,"message":"no","data":{hidden}}}"#),
        ] {
            let answer = endpoint.send(post_text(&format!(r#"{{"jsonrpc":"2.0","id":1,{rest}}}"#)));
            let (has_id, is_request) = (answer.json().get("id").is_some(), rest.starts_with(r#""method""#));
            assert_eq!((answer.error_code(), has_id), (-32600, is_request), "{rest}");
            assert!(answer.json().to_string().contains("a member has a name that is not allowed here"));
        }
    }
}

/// An array is not accepted as an object: serde alone would read it by the order of the fields.
#[test]
fn arrays_are_not_read_by_position() {
    #[derive(serde::Deserialize)]
    struct Nested {
        filter: Filter,
    }
    #[derive(serde::Deserialize)]
    struct Filter {
        topic: String,
    }
    let tool = Tool::new("t", "t", json!({ "type": "object" }))
        .handler(|_, Nested { filter: Filter { topic } }| Ok(topic));
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let answer = |filter: Value| endpoint.send(modern::call(1, "t", json!({ "filter": filter }))).text();
    assert_eq!(answer(json!({ "topic": "law" })), "law");
    assert_eq!(
        answer(json!(["law"])),
        "Invalid arguments: filter: invalid type: sequence, expected struct Filter"
    );
    let listen = endpoint.send(modern::listen(1, json!([true])));
    assert_eq!((listen.status, listen.error_code()), (400, -32602));
    let meta = json!(["2026-07-28", {}]);
    let mut params = greet();
    params["_meta"] = meta;
    let call = post(&request(1, "tools/call", params));
    assert_eq!(endpoint.send(with_version(call.clone(), "2026-07-28")).error_code(), -32602);
    assert_eq!(endpoint.send(call).status, 400, "no version, so no modern request, and no session");
}

/// Only a server whose lists may change declares `listChanged`.
#[test]
fn list_changes_are_promised_where_lists_change() {
    let server = |changes: bool| {
        let tool = Tool::new("t", "", json!({ "type": "object" })).handler(|_, _: NoArguments| Ok(""));
        let builder = ToolServer::builder("n", "1").tool(tool).resource(Resource::new("a:b", "r").text("x"));
        endpoint(if changes { builder.lists_change() } else { builder }.build().unwrap())
    };
    let check = |endpoint: &Endpoint, tools: Value, resources: Value, granted: Value| {
        let discovered = endpoint.send(modern::plain("server/discover", json!({})));
        let initialized =
            endpoint.send(post(&request(1, "initialize", json!({ "protocolVersion": "2025-06-18" }))));
        for answer in [discovered, initialized] {
            let capabilities = &answer.json()["result"]["capabilities"];
            assert_eq!((&capabilities["tools"], &capabilities["resources"]), (&tools, &resources));
        }
        let filter =
            json!({ "toolsListChanged": true, "resourcesListChanged": true, "promptsListChanged": true });
        let listening = endpoint.send(modern::listen(1, filter)).events();
        assert_eq!(listening.json()["params"]["notifications"], granted);
    };
    check(&server(false), json!({}), json!({ "subscribe": true }), json!({}));
    let granted = json!({ "toolsListChanged": true, "resourcesListChanged": true });
    let resources = json!({ "subscribe": true, "listChanged": true });
    check(&server(true), json!({ "listChanged": true }), resources, granted);
}
