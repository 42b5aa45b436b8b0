//! The queue of a session.

use super::*;

#[test]
fn a_session_that_is_idle_for_too_long_is_ended_at_the_upstream() {
    let upstream = FakeUpstream::start(|seen, stream| assert!(served(seen, "s-1", stream)));
    let client = Client::of(&upstream);
    client.initialize();
    client.is_idle.store(true, Ordering::SeqCst);
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" }));
    assert_eq!(client.ended.recv_timeout(SOON).expect("it ends"), SESSION_ENDED);
    assert_eq!(upstream.wait_for("DELETE", 1).header("mcp-session-id"), "s-1");
}

/// M17: calls beyond the queue are refused; nobody waits for a session that is stuck.
#[test]
fn a_full_queue_refuses_calls() {
    let (_upstream, client) = stuck();
    client.http.send(text("{}")).unwrap();
    let call =
        |id| client.http.send(outgoing(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call" })));
    let refused = (2..limits::bridge::MESSAGES + 4).find_map(|id| call(id).err());
    assert_eq!(refused, Some(Undelivered::Full));
    client.end();
}
