//! The effects of the server's end on calls and streams.

use super::*;

fn in_session(request: Request, session: &str) -> Request {
    request.with("Mcp-Session-Id", session)
}

/// An endpoint whose only tool logs `started`, then waits for the token or for its cancellation.
fn slow() -> (Endpoint, CancelToken) {
    let released = CancelToken::new();
    let release = released.clone();
    let tool = Tool::new("slow", "Waits", json!({ "type": "object" })).tasks(TaskSupport::Optional);
    let tool = tool.handler(move |context, _: NoArguments| {
        context.log(Level::Alert, &"started");
        while !released.wait(Duration::from_millis(1)) {
            if context.cancel().is_tripped() {
                return Err(CallError::Cancelled);
            }
        }
        Ok("done")
    });
    (endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap()), release)
}

/// A call of that tool in the modern era, whose client wants log messages.
fn modern_call(more: &Value) -> Request {
    let mut meta = modern::meta();
    meta["io.modelcontextprotocol/logLevel"] = "debug".into();
    meta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    modern::plain("tools/call", json!({ "name": "slow", "arguments": {}, "_meta": meta }))
}

/// H13: the end of a stream is announced where the protocol has a message for it.
#[test]
fn closing_ends_the_streams_that_belong_to_no_call() {
    let endpoint = conformance();
    let session = endpoint.session();
    let stream = endpoint.send(in_session(get(), &session)).events();
    let listening = endpoint.send(modern::listen("l", json!({ "toolsListChanged": true }))).events();
    listening.json();
    endpoint.mcp.close();
    assert_eq!(stream.next(), None);
    let goodbye = listening.json();
    assert_eq!(
        goodbye,
        json!({ "jsonrpc": "2.0", "id": "l", "result": {
            "resultType": "complete", "_meta": { "io.modelcontextprotocol/subscriptionId": "l" } } })
    );
    assert_eq!(listening.next(), None);
    assert_eq!(endpoint.mcp.counts(), Counts { sessions: 1, listeners: 0, calls: 0, tasks: 0 });
}

/// H13: a call that runs when the server begins to stop is still answered, over every transport.
#[test]
fn a_call_that_runs_at_the_end_delivers_its_answer() {
    let (endpoint, release) = slow();
    let session = endpoint.session();
    let http_sse = endpoint.open();
    let silent = endpoint.start(1, modern::call(1, "slow", json!({})));
    let modern = endpoint.start(1, modern_call(&json!({})));
    let legacy = endpoint.start(1, in_session(post(&call(1, "slow", json!({}))), &session));
    let paired = endpoint.send_http_sse(1, http_sse::to(&http_sse.place, &call(1, "slow", json!({}))));
    let (modern_events, legacy_events) = (modern.head().events(), legacy.head().events());
    for events in [&modern_events, &legacy_events, &http_sse.events] {
        assert_eq!(events.json()["params"]["data"], "started");
    }
    assert_eq!(paired.head().status, 202);
    while endpoint.mcp.counts().calls < 4 {
        std::thread::yield_now();
    }

    endpoint.mcp.close();
    endpoint.mcp.sweep();
    assert!(modern_events.is_silent() && http_sse.events.is_silent());
    release.trip();
    let text = |answer: &Value| answer["result"]["content"][0]["text"].clone();
    assert_eq!(silent.answer().text(), "done");
    assert_eq!((text(&modern_events.json()), modern_events.next()), ("done".into(), None));
    assert_eq!((text(&legacy_events.json()), legacy_events.next()), ("done".into(), None));
    assert_eq!(text(&http_sse.events.json()), "done");
    paired.worker.join().unwrap();
    endpoint.mcp.sweep();
    assert!(http_sse.events.has_ended());
}

/// H13: a call that runs for too long is cancelled, and its caller gets the reason; so does a caller of a later call.
#[test]
fn a_call_that_outlasts_the_end_is_told_why() {
    let (endpoint, _release) = slow();
    let session = endpoint.session();
    let silent = endpoint.start(1, modern::call(1, "slow", json!({})));
    let modern = endpoint.start(1, modern_call(&json!({})));
    let legacy = endpoint.start(1, in_session(post(&call(1, "slow", json!({}))), &session));
    let (modern_events, legacy_events) = (modern.head().events(), legacy.head().events());
    for events in [&modern_events, &legacy_events] {
        assert_eq!(events.json()["params"]["data"], "started");
    }
    while endpoint.mcp.counts().calls < 3 {
        std::thread::yield_now();
    }
    endpoint.mcp.close();
    endpoint.mcp.give_up();
    let words = "The server is stopping: call again in a moment";
    let check = |answer: &Value| assert_eq!(answer["error"]["message"], words, "{answer}");
    for events in [&modern_events, &legacy_events] {
        check(&events.json());
        assert_eq!(events.next(), None);
    }
    // These end only when their handlers have seen the cancellation.
    check(silent.answer().json());
    modern.worker.join().unwrap();
    legacy.worker.join().unwrap();
    check(endpoint.send(modern::call(1, "slow", json!({}))).json());
    assert_eq!(endpoint.mcp.counts().calls, 0);
}

/// H13: a request that waited for a worker when the server began to stop opens no stream that would delay the end, and a call
/// becomes no task, whose result no client could fetch.
#[test]
fn streams_opened_during_shutdown_end_at_once() {
    let (endpoint, release) = slow();
    let session = endpoint.session();
    endpoint.mcp.close();
    assert!(endpoint.send(in_session(get(), &session)).events().next().is_none());
    let listening = endpoint.send(modern::listen(1, json!({ "toolsListChanged": true }))).events();
    assert_eq!(listening.rest().len(), 2);
    let http_sse = endpoint.open();
    endpoint.mcp.sweep();
    assert!(http_sse.events.has_ended());

    let tasks = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let task =
        endpoint.start(1, modern_call(&json!({ "io.modelcontextprotocol/clientCapabilities": tasks })));
    release.trip();
    assert_eq!(task.answer().text(), "done");
}

/// A request that was on its way when its session ended is refused, and is not left in flight.
#[test]
fn a_request_that_meets_the_end_of_its_session_does_not_begin() {
    let endpoint = conformance();
    let id = endpoint.session();
    let sessions = &endpoint.mcp.0.subscribers.sessions;
    let session = sessions.find(&id, &principal(1)).unwrap();
    sessions.end(&session);
    let begun = session.begin(&RequestId::Integer(1), &CancelToken::new());
    assert_eq!(begun.unwrap_err().code, Error::SESSION_NOT_FOUND);
}
