//! Behaviour of the demo's tools, prompt and resource.

use std::sync::Arc;

use super::*;
use crate::base::{Capacity, CountedRandom, Principal, SystemClock, UpstreamToken, UserId, clock, fake};
use crate::http::{Body, Next, Responder};
use crate::mcp::{Mcp, Settings};
use crate::seal;

/// A profile look-up that accepts one token.
fn one_profile(token: &Secret<String>) -> Result<Profile, ProviderError> {
    if !token.matches(b"gho_good") {
        return Err(ProviderError::Refused);
    }
    let scopes = vec!["read:org".to_owned()];
    Ok(Profile { id: UserId(583_231), login: "octocat".into(), name: None, scopes })
}

struct Kept(&'static str);

impl UpstreamToken for Kept {
    fn token(&self) -> Option<Secret<String>> {
        Some(Secret::new(self.0.to_owned()))
    }

    fn is_good(&self) -> bool {
        true
    }
}

fn caller(token: &'static str) -> Principal {
    Principal { upstream: Arc::new(Kept(token)), ..fake::principal(1) }
}

/// Every message of the answer to a 2026-07-28 request that wants all log messages, the response last.
fn ask(principal: Principal, method: &str, name: (&str, &str), arguments: Value) -> Vec<Value> {
    let mcp = Mcp::new(Settings {
        backend: Arc::new(server(one_profile).unwrap()),
        keys: Arc::new(seal::fake::keyring(1)),
        clock: Arc::new(SystemClock),
        random: Arc::new(CountedRandom::default()),
        capacity: Capacity::default(),
        resource: "https://mcp.example.com/mcp".into(),
        access: Arc::default(),
        insufficient_scope: std::sync::Arc::new(|_| crate::http::Response::new(403)),
    });
    let (member, name) = name;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/logLevel": "debug",
        "progressToken": "p",
    });
    let params = json!({ member: name, "arguments": arguments, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let request = crate::http::fake::request("POST", "/mcp")
        .with("Content-Type", "application/json")
        .with("MCP-Protocol-Version", "2026-07-28")
        .with("Mcp-Method", method)
        .with("Mcp-Name", name)
        .body(body.to_string());
    let (responder, waiter) = Responder::pair();
    let worker = std::thread::spawn(move || {
        mcp.handle(request, principal, responder).into_iter().for_each(|rest| rest())
    });
    let response = waiter.wait(clock::instant() + Duration::from_secs(60)).unwrap();
    let messages = match response.into_body() {
        Body::Bytes(bytes) => vec![serde_json::from_slice(&bytes).unwrap()],
        Body::Stream(stream) => std::iter::from_fn(|| match stream.next(Duration::from_secs(60)) {
            Next::Chunk(chunk) => {
                let text = std::str::from_utf8(&chunk).unwrap();
                Some(serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap())
            }
            Next::Silence | Next::End => None,
        })
        .collect(),
    };
    worker.join().unwrap();
    messages
}

fn check(principal: Principal, tool: &str, arguments: Value, expected: &str) {
    let messages = ask(principal, "tools/call", ("name", tool), arguments);
    assert_eq!(messages.last().unwrap()["result"]["content"][0]["text"], expected, "{messages:?}");
}

#[test]
fn greet_greets() {
    check(caller("x"), "greet", json!({ "name": "Ada" }), "Hello, Ada!");
    check(caller("x"), "greet", json!({}), "Invalid arguments: missing field `name`");
}

#[test]
fn multi_greet_logs_and_reports_progress_on_the_way() {
    let messages = ask(caller("x"), "tools/call", ("name", "multi-greet"), json!({ "name": "Ada" }));
    let said: Vec<_> = messages
        .iter()
        .map(|each| (each["params"]["level"].as_str(), each["params"]["progress"].as_f64()))
        .collect();
    let (debug, info) = ((Some("debug"), None), (Some("info"), None));
    assert_eq!(said, [debug, info, (None, Some(1.0)), info, (None, Some(2.0)), (None, None)]);
    assert_eq!(messages[5]["result"]["content"][0]["text"], "Good morning, Ada!");
}

#[test]
fn notifications_come_as_many_as_asked_for() {
    let count = |arguments: Value| {
        ask(caller("x"), "tools/call", ("name", "start-notification-stream"), arguments).len() - 1
    };
    assert_eq!(count(json!({ "interval": 1, "count": 3 })), 3);
    assert_eq!(count(json!({ "interval": 1, "count": limits::DEMO_NOTIFICATIONS + 1 })), 0);
    assert_eq!(count(json!({ "interval": 0, "count": 1 })), 0);
    assert_eq!(count(json!({ "interval": limits::DEMO_INTERVAL_MILLIS + 1, "count": 1 })), 0);
}

#[test]
fn whoami_asks_github_as_the_caller() {
    let expected = json!({ "login": "octocat", "id": 583_231, "scopes": ["read:org"] });
    let messages = ask(caller("gho_good"), "tools/call", ("name", "whoami"), json!({}));
    assert_eq!(messages[0]["result"]["structuredContent"], expected);
    check(caller("gho_old"), "whoami", json!({}), "GitHub does not accept your token any more: log in again");
    let none = "No GitHub token was kept for this login, so GitHub cannot be asked";
    check(fake::principal(1), "whoami", json!({}), none);
}

#[test]
fn the_prompt_and_the_resource_are_there() {
    let prompt = ask(caller("x"), "prompts/get", ("name", "greeting-template"), json!({ "name": "Ada" }));
    let text = &prompt[0]["result"]["messages"][0]["content"]["text"];
    assert_eq!(text, "Please greet Ada in a friendly manner.");
    let uri = "https://example.com/greetings/default";
    let resource = ask(caller("x"), "resources/read", ("uri", uri), json!({}));
    assert_eq!(
        resource[0]["result"]["contents"],
        json!([{ "uri": uri, "mimeType": "text/plain", "text": "Hello, world!" }])
    );
}
