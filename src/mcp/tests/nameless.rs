//! Hosted clients that never send the `Mcp-Session-Id` that `initialize` gave them.

use super::*;

fn ping(id: u64) -> Request {
    post(&request(id, "ping", json!({})))
}

/// M13: a missing session id is an error, except for a grant with a session that no request has ever named.
#[test]
fn a_client_that_never_sends_a_session_id_is_served() {
    let endpoint = conformance();
    assert_eq!(endpoint.send(ping(1)).status, 400);
    let session = endpoint.session();
    assert_eq!(
        endpoint.send(post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))).status,
        202
    );
    assert_eq!(endpoint.send(ping(1)).status, 200);
    assert_eq!(
        endpoint.send(post(&call(2, "test_simple_text", json!({})))).text(),
        "This is a simple text response for testing."
    );
    // The exception covers neither another user's client nor a GET.
    assert_eq!(endpoint.send_as(2, ping(1)).status, 400);
    assert_eq!(endpoint.send(get()).status, 400);
    // A client that has named it once must do so always.
    assert_eq!(endpoint.send(ping(3).with("Mcp-Session-Id", &session)).status, 200);
    assert_eq!(endpoint.send(ping(4)).status, 400);
}

#[test]
fn two_conversations_without_session_id_may_use_the_same_request_id() {
    let started = CancelToken::new();
    let go = CancelToken::new();
    let (mark, wait) = (started.clone(), go.clone());
    let tool = Tool::new("slow", "t", json!({ "type": "object" })).handler(move |_, _: NoArguments| {
        mark.trip();
        assert!(wait.wait(SOON));
        Ok("slow")
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    endpoint.session();
    let first = endpoint.start(1, post(&call(1, "slow", json!({}))));
    assert!(started.wait(SOON));
    let second = endpoint.start(1, post(&call(1, "slow", json!({}))));
    go.trip();
    assert_eq!([first, second].map(|each| each.answer().text()), ["slow", "slow"]);
}

/// The answer of such a client could belong to another conversation, so questions to it fail at once.
#[test]
fn a_client_without_session_id_is_sent_no_requests() {
    let endpoint = conformance();
    endpoint.session();
    let answer = endpoint.send(post(&call(1, "test_elicitation", json!({ "message": "?" }))));
    assert_eq!(answer.error_code(), -32600);
}

/// The session by which such a client is recognized lives as long as it is used.
#[test]
fn a_session_without_session_id_lives_while_it_is_used() {
    let endpoint = conformance();
    endpoint.session();
    for _ in 0..3 {
        endpoint.clock.advance(crate::base::limits::SESSION_IDLE - Duration::from_secs(1));
        endpoint.mcp.sweep();
        assert_eq!(endpoint.send(ping(1)).status, 200);
    }
}
