//! Messages that are served at once, on the thread of their connection, and those that are left to a worker because they may block.

use super::*;

fn sum() -> Tool {
    #[derive(serde::Deserialize)]
    struct Sum {
        a: i64,
        b: i64,
    }
    let number = json!({ "type": "integer" });
    let schema = json!({ "type": "object", "properties": { "a": number, "b": number } });
    Tool::new("sum", "", schema).quick_handler(|caller, Sum { a, b }| match a.checked_add(b) {
        Some(sum) => Ok(format!("{sum}, {}", caller.login)),
        None => Err("the sum is too large".into()),
    })
}

fn server() -> Endpoint {
    let schema = json!({ "type": "object" });
    let slow = Tool::new("slow", "", schema.clone()).handler(|_, _: Value| Ok("done"));
    let again = Tool::new("again", "", schema).quick_handler(|_, _: Value| Ok("done"));
    let server = ToolServer::builder("n", "1")
        .tool(sum())
        .tool(slow)
        .tool(again.handler(|_, _: Value| Ok("done")))
        .prompt(Prompt::new("prompt", "").handler(|_, _: Value| Ok("text")))
        .resource(Resource::new("file:///a", "a").text("text"));
    endpoint(server.build().unwrap())
}

impl Endpoint {
    /// Whether the whole of this request is served at once.
    fn is_served_at_once(&self, request: Request) -> bool {
        let (responder, waiter) = Responder::pair();
        let rest = self.mcp.handle(request, principal(1), responder);
        let is_answered = waiter.wait(clock::instant()).is_some();
        assert_eq!(is_answered, rest.is_none(), "what is not answered is left to a worker");
        is_answered
    }
}

#[test]
fn requests_that_may_block_are_left_to_a_worker() {
    let server = server();
    let check = |body: Value, at_once: bool| {
        assert_eq!(server.is_served_at_once(post(&body)), at_once, "{body}");
    };
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    check(request(1, "initialize", params), true);
    for method in ["ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
        check(request(1, method, json!({})), true);
    }
    check(request(1, "no/such", json!({})), true);
    check(call(1, "sum", json!({ "a": 1, "b": 2 })), true);
    check(call(1, "no such", json!({})), true);
    check(call(1, "slow", json!({})), false);
    check(call(1, "again", json!({})), false);
    check(request(1, "prompts/get", json!({ "name": "prompt" })), false);
    check(request(1, "resources/read", json!({ "uri": "file:///a" })), false);
    check(
        request(1, "completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "prompt" } })),
        false,
    );
    check(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }), true);
    check(json!({ "jsonrpc": "2.0", "id": 1, "result": {} }), true);
    check(json!({ "jsonrpc": "1.0" }), true);
}

#[test]
fn a_backend_runs_on_workers_by_default() {
    struct Other;
    impl Backend for Other {
        fn consent(&self) -> &Consent {
            unreachable!("only the login asks")
        }
        fn description(&self, _: &Principal) -> Result<Arc<Description>, Error> {
            unreachable!("a worker would ask")
        }
        fn call(&self, _: Context) {}
        fn tool_rules(&self, _: &Principal, _: &str) -> Option<Arc<ToolRules>> {
            None
        }
    }
    let server = endpoint(Other);
    assert!(!server.is_served_at_once(super::modern::plain("server/discover", json!({}))));
    assert!(!server.is_served_at_once(super::modern::plain("tools/list", json!({}))));
}

#[test]
fn a_quick_tool_gets_its_caller_and_arguments() {
    let server = server();
    let answer = |arguments: Value| server.send(super::modern::call(1, "sum", arguments)).text();
    assert_eq!(answer(json!({ "a": 1, "b": 2 })), "3, user1");
    assert_eq!(answer(json!({ "a": i64::MAX, "b": 2 })), "the sum is too large");
    assert!(answer(json!({ "a": "1", "b": 2 })).starts_with("Invalid arguments: a: "));
}
