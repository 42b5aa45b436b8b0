//! What an upstream is told of its clients' interests, beside their calls.

use super::*;

/// M17: what clients want to be told has a part of the queue, so that one who changes it again and again keeps no call of others out.
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
    assert!((1..=limits::bridge::PASSED.0 + 1).contains(&told), "{told}"); // one may be on its way
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call" }));
    client.end();
}
