//! The GET stream, on which an upstream sends messages unasked.

use super::*;

#[test]
fn the_get_stream_is_read_and_resumed() {
    let upstream = FakeUpstream::start(|seen, stream| {
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        match (seen.what(), seen.header("last-event-id")) {
            ("GET", "") => answer_events(stream, &format!("id: g-1\nretry: 100\n{}", event(&changed))),
            ("GET", "g-1") => {
                answer_events(stream, &event(&changed));
                wait_for_end(stream);
            }
            _ => assert!(served(seen, "s-1", stream)),
        }
    });
    let client = Client::of(&upstream);
    client.initialize();
    assert_eq!(
        (&client.next()["method"], &client.next()["method"]),
        (&json!("notifications/tools/list_changed"), &json!("notifications/tools/list_changed"))
    );
    client.end();
}

/// An unreadable GET stream is opened again, unlike a response that is no event stream.
#[test]
fn a_get_stream_with_an_event_too_large_is_opened_again() {
    let opened = AtomicUsize::new(0);
    let upstream = FakeUpstream::start(move |seen, stream| match seen.what() {
        "GET" if opened.fetch_add(1, Ordering::SeqCst) == 0 => {
            answer_events(stream, &format!("data: {}\n", "x".repeat(limits::bridge::LINE_BYTES)));
        }
        "GET" => {
            let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
            answer_events(stream, &event(&changed));
            wait_for_end(stream);
        }
        _ => assert!(served(seen, "s-1", stream)),
    });
    let client = Client::of(&upstream);
    client.initialize();
    assert_eq!(client.next()["method"], "notifications/tools/list_changed");
    client.end();
}

/// A proxy answers for an upstream that restarts; an upstream without such a stream answers 405.
#[test]
fn a_get_stream_is_opened_again_after_a_proxys_error() {
    let opened = AtomicUsize::new(0);
    let upstream = FakeUpstream::start(move |seen, stream| match seen.what() {
        "GET" => match opened.fetch_add(1, Ordering::SeqCst) {
            0 => answer_events(stream, "retry: 100\n\n"),
            1 => answer(stream, "502 Bad Gateway\nContent-Type: text/html", "<h1>502</h1>"),
            2 => {
                let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
                answer_events(stream, &event(&changed));
            }
            _ => answer(stream, "405 Method Not Allowed", ""),
        },
        _ => assert!(served(seen, "s-1", stream)),
    });
    let client = Client::of(&upstream);
    client.initialize();
    assert_eq!(client.next()["method"], "notifications/tools/list_changed");
    client.end();
}

/// An upstream that loses its session at each request, and reuses the id, has one GET stream. It gets a session a second: clients that
/// read the lists again after each would otherwise cause any number.
#[test]
fn a_renewed_session_has_one_standing_stream() {
    let (opens, opened) = unbounded();
    let upstream = FakeUpstream::start(move |seen, stream| match seen.what() {
        "GET" => {
            answer_events(stream, ": wait\n\n");
            opens.send(true).unwrap();
            wait_for_end(stream);
            let _ = opens.send(false); // fails after the end of a test
        }
        "tools/call" => answer(stream, "404 Not Found", ""),
        _ => assert!(served(seen, "s-1", stream)),
    });
    let client = Client::of(&upstream);
    client.initialize();
    assert!(opened.recv_timeout(SOON).unwrap());
    let begun = clock::instant();
    for id in 2..5 {
        client.failure(id, "lost");
        let mut change = [opened.recv_timeout(SOON).unwrap(), opened.recv_timeout(SOON).unwrap()];
        change.sort_unstable();
        assert_eq!(change, [false, true], "one takes the place of the other");
    }
    assert!(begun.elapsed() >= limits::bridge::PAUSE * 2);
    // Longer than the pause of a thread whose stream has ended.
    let more = opened.recv_timeout(limits::bridge::PAUSE * 3);
    assert!(more.is_err(), "an earlier thread came back");
    client.end();
}
