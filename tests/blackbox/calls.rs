//! Calls in the log and the metrics: caller, target, outcome and duration.

use serde_json::{Value, json};

use crate::support::github::FakeGitHub;
use crate::support::http::Request;
use crate::support::server::{Server, sample};
use crate::support::walk::{in_session, modern};

/// L2: one line per call, written when the answer is complete, with the time to its end and nothing that a client made up.
#[test]
fn a_call_is_logged_with_its_target_its_outcome_and_the_time_to_its_end() {
    let server = Server::start_with(&FakeGitHub::start(), &[("MCP_LOG_FORMAT", "json")]);
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let call = |request: Request| {
        let answer = request.bearer(&tokens.access).open(server.authority()).unwrap();
        answer.messages().last()
    };
    let slow = json!({"name": "start-notification-stream", "arguments": {"interval": 400, "count": 1}});
    let legacy = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": slow});
    assert!(call(in_session(&legacy, &session)).unwrap()["result"].is_object());
    assert!(call(modern("tools/call", slow)).unwrap()["result"].is_object());
    let send = |method: &str, params: Value, status: u16| {
        let request = modern(method, params).bearer(&tokens.access);
        request.send(server.authority()).unwrap().expect(status);
    };
    send("tools/call", json!({"name": "start-notification-stream", "arguments": {"count": 0}}), 200);
    send("tools/call", json!({"name": "canary", "arguments": {}}), 400);
    send("canary/method", json!({}), 404);
    let uri = "https://example.com/greetings/default";
    let read = modern("resources/read", json!({"uri": uri})).with("Mcp-Name", uri);
    read.bearer(&tokens.access).send(server.authority()).unwrap().expect(200);

    let log = server.wait_for_log(uri);
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let calls: Vec<Value> = lines.filter(|line| line["rpc"].is_string()).collect();
    let said: Vec<_> = calls
        .iter()
        .map(|line| ["rpc", "target", "outcome", "reason"].map(|field| line[field].as_str().unwrap_or("-")))
        .collect();
    let stream = "start-notification-stream";
    assert_eq!(
        said,
        [
            ["initialize", "-", "ok", "-"],
            ["tools/call", stream, "ok", "-"],
            ["tools/call", stream, "ok", "-"],
            ["tools/call", stream, "tool_error", "-"],
            ["tools/call", "-", "protocol_error", "invalid_params"],
            ["unknown", "-", "protocol_error", "method_not_found"],
            ["resources/read", uri, "ok", "-"],
        ]
    );
    for line in &calls {
        assert!(line["user"] == "github:583231" && line["client"].is_string(), "{line}");
    }
    assert!(calls[1..3].iter().all(|line| line["ms"].as_u64().unwrap() >= 400), "{calls:?}");
    assert!(!log.contains("canary"), "{log}");

    let page = server.metrics();
    for line in [
        r#"mcp_calls_total{method="tools/call",outcome="ok"} 2"#,
        r#"mcp_calls_total{method="tools/call",outcome="tool_error"} 1"#,
        r#"mcp_calls_total{method="unknown",outcome="protocol_error"} 1"#,
        &format!(r#"mcp_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")),
        "mcp_grants 1",
    ] {
        assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
    }
    assert!(sample(&page, "process_start_time_seconds") > 1_700_000_000);
}

/// L2: a refusal at the token endpoint is logged with the client and the cause, which the client is not told.
#[test]
fn a_refused_refresh_is_logged_with_client_and_cause() {
    let server = Server::start_with(&FakeGitHub::start(), &[("MCP_LOG_FORMAT", "json")]);
    let (client, _) = server.login();
    let answer = server.refresh(&client, "mcp_rt_forged").expect(400);
    assert_eq!(answer.json()["error"], "invalid_grant");
    let log = server.wait_for_log("refresh_token_unknown");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = lines.iter().find(|line| line["reason"] == "refresh_token_unknown").unwrap();
    let issued = lines.iter().find(|line| line["event"] == "token.issued").unwrap();
    assert_eq!((&refused["route"], &refused["client"]), (&json!("token"), &issued["client"]));
}
