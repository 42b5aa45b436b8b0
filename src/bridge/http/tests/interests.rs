//! Clients' interests outside of calls, sent to an upstream.

use super::*;

/// M17: updates of interests have a bounded part of the queue, so that a client that repeats them delays no call of others.
#[test]
fn interests_leave_room_for_calls() {
    let (upstream, _ended) = holding(true);
    let client = Client::of(&upstream);
    client.initialize();
    let params = json!({ "uri": "a" });
    let subscribe =
        json!({ "jsonrpc": "2.0", "id": "told", "method": "resources/subscribe", "params": params });
    let tell = |_| client.http.send(outgoing(&subscribe));
    let told = (0..limits::bridge::MESSAGES).map(tell).take_while(Result::is_ok).count();
    assert!((1..=limits::bridge::PASSED.0 + 1).contains(&told), "{told}"); // one may be in transit
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call" }));
    client.end();
}

/// A proxy between this server and the upstream ends streams after a while.
#[test]
fn the_end_of_a_subscription_stream_is_no_failure() {
    let upstream = FakeUpstream::start(|_, stream| answer_events(stream, ": open\n\n"));
    let client = Client::of(&upstream);
    assert!(client.ask(1, "subscriptions/listen", json!({}))["error"].is_object());
    assert_eq!(client.failed.try_iter().count(), 0);
    client.failure(2, "t");
    assert_eq!(client.failed.try_iter().count(), 1);
    client.end();
}
