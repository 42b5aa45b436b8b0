//! The MCP endpoint in both eras, with the tools of the demo.

use serde_json::{Value, json};

use crate::support::github::FakeGitHub;
use crate::support::server::Server;
use crate::support::walk::{in_session, modern, reply};

fn names(result: &Value) -> Vec<&str> {
    result["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[test]
fn a_session_lists_and_calls_tools() {
    let server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let call = |method: &str, params: Value| {
        let message = json!({"jsonrpc": "2.0", "id": "a", "method": method, "params": params});
        let answer = in_session(&message, &session).bearer(&tokens.access).send(server.authority()).unwrap();
        let reply = reply(&answer.expect(200));
        assert_eq!(reply["id"], "a");
        reply["result"].clone()
    };
    let tools = call("tools/list", json!({}));
    for name in ["greet", "multi-greet", "start-notification-stream", "whoami"] {
        assert!(names(&tools).contains(&name), "{tools}");
    }
    let greeting = call("tools/call", json!({"name": "greet", "arguments": {"name": "Ada"}}));
    assert_eq!(greeting["content"][0]["text"], "Hello, Ada!");
    let resource = call("resources/read", json!({"uri": "https://example.com/greetings/default"}));
    assert_eq!(resource["contents"][0]["text"], "Hello, world!");
    let prompt = call("prompts/get", json!({"name": "greeting-template", "arguments": {"name": "Ada"}}));
    assert!(prompt["messages"][0]["content"]["text"].as_str().unwrap().contains("Ada"));
}

#[test]
fn the_stateless_era_needs_no_session() {
    let server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let call = |method: &str, params: Value| {
        let answer =
            modern(method, params).bearer(&tokens.access).send(server.authority()).unwrap().expect(200);
        assert_eq!(answer.field("mcp-session-id"), None);
        let reply = reply(&answer);
        assert_eq!((&reply["id"], &reply["result"]["resultType"]), (&json!(7), &json!("complete")));
        reply["result"].clone()
    };
    let versions = call("server/discover", json!({}))["supportedVersions"].clone();
    assert!(versions.as_array().unwrap().contains(&json!("2026-07-28")), "{versions}");
    assert!(names(&call("tools/list", json!({}))).contains(&"greet"));
    let greeting = call("tools/call", json!({"name": "greet", "arguments": {"name": "Ada"}}));
    assert_eq!(greeting["content"][0]["text"], "Hello, Ada!");
}

/// Messages of a running tool come before its result, on the stream of its own request.
#[test]
fn notifications_come_while_the_tool_runs() {
    let server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "multi-greet", "arguments": {"name": "Ada"}, "_meta": {"progressToken": "p"}},
    });
    let reading = in_session(&call, &session).bearer(&tokens.access).open(server.authority()).unwrap();
    let messages: Vec<Value> = reading.messages().collect();
    let (last, before) = messages.split_last().unwrap();
    assert_eq!(last["result"]["content"][0]["text"], "Good morning, Ada!");
    assert!(
        before.iter().filter(|message| message["method"] == "notifications/message").count() >= 2,
        "{messages:?}"
    );
    assert!(before.iter().all(|message| message.get("result").is_none()));
}

/// A tool learns its caller from the token, and from nothing that the caller sends.
#[test]
fn a_tool_knows_its_caller() {
    let github = FakeGitHub::start();
    let server = Server::start(&github);
    let (_, tokens) = server.login();
    let call = modern("tools/call", json!({"name": "whoami", "arguments": {}}));
    let result = reply(&call.bearer(&tokens.access).send(server.authority()).unwrap().expect(200));
    assert!(result.to_string().contains("octocat"), "{result}");
}
