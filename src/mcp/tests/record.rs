//! Log lines of calls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::{AccessRules, limits};
use crate::http::{CallEnding, CallNote, CallOutcome, Witness};

/// The calls to one request's witness: the method, the target, and the last outcome.
#[derive(Default)]
struct Seen(Mutex<(&'static str, Option<String>, Option<CallOutcome>)>);

impl Witness for Seen {
    fn identify(&self, _: &Principal) {}

    fn called(&self, CallNote { method, target, .. }: CallNote<'_>) -> bool {
        let mut seen = self.0.lock().unwrap();
        (seen.0, seen.1) = (method, target.map(str::to_owned));
        true
    }

    fn ended(&self, (outcome, _): CallEnding) {
        self.0.lock().unwrap().2 = Some(outcome);
    }

    fn answered(&self, _: u16) {}
}

impl Endpoint {
    /// Sends a request with a witness; its handler runs on a thread of its own.
    fn seen(&self, request: Request) -> (Waiting, Arc<Seen>) {
        let (mut responder, waiter) = Responder::pair();
        let seen = Arc::new(Seen::default());
        responder.witness = Some(Arc::clone(&seen) as _);
        let mcp = self.mcp.clone();
        let worker = std::thread::spawn(move || {
            mcp.handle(request, principal(1), responder).into_iter().for_each(|rest| rest())
        });
        (Waiting { waiter, worker }, seen)
    }

    fn check(&self, request: Request, expected: (&str, Option<&str>, CallOutcome)) {
        let (waiting, seen) = self.seen(request);
        if let Said::Events(events) = waiting.head().body {
            events.rest();
        }
        waiting.worker.join().unwrap();
        let seen = seen.0.lock().unwrap();
        let (method, target, outcome) = expected;
        assert_eq!((seen.0, seen.1.as_deref(), seen.2), (method, target, Some(outcome)));
    }
}

/// L2: method, tool (or prompt, or resource) and outcome of a call are in the server's spelling in both eras; names that only a client
/// uses are not logged.
#[test]
fn a_call_is_logged_with_names_known_to_the_server_only() {
    use CallOutcome::{Ok as Done, ProtocolError, ToolError};
    let endpoint = conformance();
    let session = endpoint.session();
    let check = |method: &str, params: Value, expected: (&str, Option<&str>, CallOutcome)| {
        let legacy = post(&request(1, method, params.clone())).with("Mcp-Session-Id", &session);
        endpoint.check(legacy, expected);
        endpoint.check(modern::plain(method, params), expected);
    };
    let tool = |name: &str| json!({ "name": name, "arguments": {} });
    let call = "tools/call";
    check(call, tool("test_simple_text"), (call, Some("test_simple_text"), Done));
    check(call, tool("test_error_handling"), (call, Some("test_error_handling"), ToolError));
    check(call, tool("test_tool_with_progress"), (call, Some("test_tool_with_progress"), Done));
    check(call, tool("mallory"), (call, None, ProtocolError("invalid_params")));
    check("tools/list", json!({}), ("tools/list", None, Done));
    let prompt = json!({ "name": "test_simple_prompt" });
    check("prompts/get", prompt, ("prompts/get", Some("test_simple_prompt"), Done));
    let read = "resources/read";
    let uri = |uri: &str| json!({ "uri": uri });
    check(read, uri("test://static-text"), (read, Some("test://static-text"), Done));
    check(read, uri("test://template/7/data"), (read, Some("test://template/{id}/data"), Done));
    check("mallory/x", json!({}), ("unknown", None, ProtocolError("method_not_found")));

    let legacy = |method, params| post(&request(2, method, params)).with("Mcp-Session-Id", &session);
    endpoint.check(legacy("ping", json!({})), ("ping", None, Done));
    let subscribed = (uri("test://static-text"), "resources/subscribe");
    endpoint.check(legacy(subscribed.1, subscribed.0), (subscribed.1, Some("test://static-text"), Done));
    let nobodys = post(&request(1, "ping", json!({}))).with("Mcp-Session-Id", "mallory");
    endpoint.check(nobodys, ("ping", None, ProtocolError("session_not_found")));
    endpoint.check(modern::plain("server/discover", json!({})), ("server/discover", None, Done));
    let mismatch = modern::plain(call, tool("test_simple_text")).with("Mcp-Name", "other");
    endpoint.check(mismatch, (call, Some("test_simple_text"), ProtocolError("header_mismatch")));
}

/// A21, A7: the log distinguishes a call that a rule closes from one whose subject does not exist; the answer does not.
#[test]
fn a_call_that_a_rule_closes_is_noted_as_such() {
    use CallOutcome::ProtocolError;
    let endpoint = conformance();
    let rules = json!([{ "allow": ["any"], "tools": ["test_error*"] }]);
    endpoint.mcp.0.settings.access.replace(AccessRules::read(&rules).unwrap());
    let session = endpoint.session();
    let check = |method: &str, params: Value, target: Option<&str>, word: &'static str| {
        let expected = (method, target, ProtocolError(word));
        let legacy = post(&request(1, method, params.clone())).with("Mcp-Session-Id", &session);
        endpoint.check(legacy, expected);
        endpoint.check(modern::plain(method, params), expected);
    };
    let closed = "closed_by_rule";
    let tool = json!({ "name": "test_simple_text", "arguments": {} });
    check("tools/call", tool, Some("test_simple_text"), closed);
    let prompt = json!({ "name": "test_simple_prompt" });
    check("prompts/get", prompt, Some("test_simple_prompt"), closed);
    check("resources/read", json!({ "uri": "test://static-text" }), Some("test://static-text"), closed);
    let subscribed = request(1, "resources/subscribe", json!({ "uri": "test://static-text" }));
    let subscribed = post(&subscribed).with("Mcp-Session-Id", &session);
    endpoint.check(subscribed, ("resources/subscribe", Some("test://static-text"), ProtocolError(closed)));
    let argument = json!({ "name": "a", "value": "" });
    let reference = |text: &str| json!({ "ref": { "type": "ref/prompt", text: "x" }, "argument": argument });
    check("completion/complete", reference("name"), None, closed);
    let other = json!({ "ref": { "type": "ref/tool", "name": "x" }, "argument": argument });
    check("completion/complete", other, None, closed);
    check("completion/complete", reference("uri"), None, "invalid_params");
    check("tools/call", json!({ "name": "test_error_mallory" }), None, "invalid_params");
}

/// L2: a call ends with its whole answer, not with the head; one that is cancelled or given up is logged as cancelled.
#[test]
fn the_end_of_a_call_is_noted_when_it_has_ended() {
    let endpoint = conformance();
    let session = endpoint.session();
    let ask = |id: u64| {
        let body = call(id, "test_elicitation", json!({ "message": "?" }));
        let (waiting, seen) = endpoint.seen(post(&body).with("Mcp-Session-Id", &session));
        let events = waiting.head().events();
        let question = events.json()["id"].clone();
        assert_eq!(seen.0.lock().unwrap().2, None, "the answer has begun, the call has not ended");
        (waiting, seen, events, question)
    };
    let send = |message: Value| endpoint.send(post(&message).with("Mcp-Session-Id", &session));

    let (waiting, seen, events, question) = ask(1);
    send(json!({ "jsonrpc": "2.0", "id": question, "result": { "action": "decline" } }));
    assert_eq!(events.json()["id"], 1);
    assert_eq!(seen.0.lock().unwrap().2, Some(CallOutcome::Ok));
    waiting.worker.join().unwrap();

    let (waiting, seen, _events, _) = ask(2);
    let cancelled = json!({ "requestId": 2 });
    send(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled }));
    waiting.worker.join().unwrap();
    assert_eq!(seen.0.lock().unwrap().2, Some(CallOutcome::Cancelled));

    let (waiting, seen, events, _) = ask(3);
    endpoint.mcp.give_up();
    assert!(events.json()["error"].is_object());
    assert_eq!(seen.0.lock().unwrap().2, Some(CallOutcome::Cancelled));
    waiting.worker.join().unwrap();
}

/// A21: the end of a call that panics, or runs for too long, is logged when its client gets the answer.
#[test]
fn a_call_that_fails_by_itself_is_noted_at_once() {
    let released = CancelToken::new();
    let release = released.clone();
    let tool = |name| Tool::new(name, "", json!({ "type": "object" }));
    let stuck = tool("stuck").handler(move |_, _: NoArguments| Ok(released.wait(SOON).to_string()));
    let panics = tool("panics").handler(|_, _: NoArguments| -> Result<String, CallError> { panic!("a bug") });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(stuck).tool(panics).build().unwrap());
    let check = |name: &str, end: &dyn Fn(), expected: CallOutcome| {
        let (waiting, seen) =
            endpoint.seen(modern::plain("tools/call", json!({ "name": name, "arguments": {} })));
        end();
        waiting.head();
        assert_eq!(seen.0.lock().unwrap().2, Some(expected));
        // Nothing else holds the witness, whose drop writes the line, although the handler may still run.
        assert_eq!(Arc::strong_count(&seen), 1);
        waiting.worker
    };
    check("panics", &|| {}, CallOutcome::ProtocolError("internal_error")).join().unwrap_err();
    let take_too_long = || {
        while endpoint.mcp.counts().calls == 0 {
            std::thread::yield_now();
        }
        endpoint.clock.advance(limits::CALL);
        endpoint.mcp.sweep();
    };
    let worker = check("stuck", &take_too_long, CallOutcome::Cancelled);
    release.trip();
    worker.join().unwrap();
}

/// L2: the logged outcome of a call that becomes a task is that of the task.
#[test]
fn a_task_is_noted_when_it_is_over() {
    let released = CancelToken::new();
    let release = released.clone();
    let tool = Tool::new("t", "Fails late", json!({ "type": "object" })).tasks(TaskSupport::Required);
    let tool = tool.handler(move |_, _: NoArguments| -> Result<String, CallError> {
        assert!(released.wait(SOON));
        Err("it failed".into())
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let mut meta = modern::meta();
    let tasks = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    meta["io.modelcontextprotocol/clientCapabilities"] = tasks;
    let call = modern::plain("tools/call", json!({ "name": "t", "arguments": {}, "_meta": meta }));
    let (waiting, seen) = endpoint.seen(call);
    assert_eq!(waiting.head().json()["result"]["resultType"], "task");
    release.trip();
    waiting.worker.join().unwrap();
    let seen = seen.0.lock().unwrap();
    assert_eq!((seen.1.as_deref(), seen.2), (Some("t"), Some(CallOutcome::ToolError)));
}

/// H12: a panic while a tool's code runs is logged as the tool's.
#[test]
fn the_trace_knows_when_code_of_a_tool_runs() {
    let tool = Tool::new("t", "", json!({ "type": "object" }))
        .handler(|_, _: NoArguments| Ok(trace::is_in_tool().to_string()));
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    assert_eq!(endpoint.send(modern::call(1, "t", json!({}))).text(), "true");
    assert!(!trace::is_in_tool());
}

/// A witness whose line must be written, and cannot be.
struct Unwritable;

impl Witness for Unwritable {
    fn identify(&self, _: &Principal) {}

    fn called(&self, _: CallNote<'_>) -> bool {
        false
    }

    fn ended(&self, _: CallEnding) {}

    fn answered(&self, _: u16) {}
}

/// A21: a call that must be recorded and cannot be is refused before it runs, in both eras.
#[test]
fn a_call_that_cannot_be_recorded_does_not_run() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let tool = Tool::new("t", "", json!({ "type": "object" })).handler(move |_, _: NoArguments| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok("")
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let session = endpoint.session();
    let legacy = post(&call(1, "t", json!({}))).with("Mcp-Session-Id", &session);
    for request in [legacy, modern::call(1, "t", json!({}))] {
        let (mut responder, waiter) = Responder::pair();
        responder.witness = Some(Arc::new(Unwritable));
        let rest = endpoint.mcp.handle(request, principal(1), responder);
        let worker = std::thread::spawn(move || rest.into_iter().for_each(|rest| rest()));
        let answer = Waiting { waiter, worker }.answer();
        assert_eq!((answer.status, answer.error_code()), (503, Error::BUSY));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}
