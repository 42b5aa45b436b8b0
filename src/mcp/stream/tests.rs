use super::super::budgets::Budgets;
use super::*;
use crate::base::fake::subject;
use crate::http::Next;

fn resumable(is_primed: bool) -> EventStream {
    EventStream::resumable(Budgets::new().of(subject(1)), Replay { incarnation: 7, stream: 3, is_primed })
}

fn read(body: &Stream) -> String {
    let mut text = String::new();
    while let Next::Chunk(chunk) = body.next(Duration::ZERO) {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

fn check(after: Option<u64>, expected: &str) {
    let events = resumable(false);
    for data in ["a", "b", "c"] {
        events.publish(data);
    }
    assert_eq!(read(&events.attach(after, None)), expected);
}

#[test]
fn a_reader_gets_what_it_missed() {
    check(Some(1), "id: 7-3-2\ndata: b\n\nid: 7-3-3\ndata: c\n\n");
    check(Some(3), "");
    check(Some(9), "");
    check(None, "id: 7-3-1\ndata: a\n\nid: 7-3-2\ndata: b\n\nid: 7-3-3\ndata: c\n\n");
}

#[test]
fn a_new_reader_takes_over_and_sees_nothing_twice() {
    let events = resumable(false);
    let first = events.attach(None, None);
    events.publish("a");
    let second = events.attach(None, None);
    events.publish("b");
    assert_eq!(read(&first), "id: 7-3-1\ndata: a\n\n");
    assert!(matches!(first.next(Duration::ZERO), Next::End));
    assert_eq!(read(&second), "id: 7-3-2\ndata: b\n\n");
}

#[test]
fn a_priming_event_names_the_place_to_resume_from() {
    let events = resumable(true);
    events.publish("a");
    assert_eq!(read(&events.attach(Some(1), None)), "id: 7-3-1\nretry: 1000\ndata: \n\n");
}

/// M8: the replay ring is bounded by events and bytes.
#[test]
fn the_replay_ring_is_bounded_in_events_and_bytes() {
    let events = resumable(true);
    for _ in 0..limits::REPLAY_EVENTS * 2 {
        events.publish("x");
    }
    assert_eq!(events.state.lock().ring.len(), limits::REPLAY_EVENTS);
    let whole = events.attach(Some(0), None);
    assert!(events.has_reader(), "a new reader has room for all that is kept");
    assert_eq!(read(&whole).matches("data: x").count(), limits::REPLAY_EVENTS);
    let large = "x".repeat(limits::REPLAY_BYTES / 2);
    for _ in 0..5 {
        events.publish(&large);
    }
    assert!(events.state.lock().ring_bytes <= limits::REPLAY_BYTES);
    events.publish(&"x".repeat(limits::REPLAY_BYTES + 1));
    assert_eq!(events.state.lock().ring_bytes, 0);
}

/// M17: at the limit and one event above; the events of one user do not reduce the budget of another.
#[test]
fn the_streams_of_a_user_keep_no_more_than_their_share() {
    let budgets = Budgets::new();
    let stream = |user| {
        EventStream::resumable(
            budgets.of(subject(user)),
            Replay { incarnation: 7, stream: 1, is_primed: false },
        )
    };
    let _all_but_one_event =
        budgets.of(subject(1)).replay.hold(limits::REPLAY_BYTES_KEPT.0 - 20 - ENTRY).unwrap();
    let (first, second, other) = (stream(1), stream(1), stream(2));
    for stream in [&first, &second, &other] {
        stream.publish("a");
    }
    assert_eq!([&first, &second, &other].map(|stream| stream.state.lock().ring.len()), [1, 0, 1]);
    drop(first);
    second.publish("c");
    assert_eq!(second.state.lock().ring.len(), 1);
}

/// M17: a reader whose user leaves too many bytes unread loses its connection; kept events are not lost.
#[test]
fn a_user_who_reads_nothing_loses_the_connection() {
    let budgets = Budgets::new();
    let events = EventStream::resumable(
        budgets.of(subject(1)),
        Replay { incarnation: 7, stream: 3, is_primed: false },
    );
    let unread = budgets.of(subject(1)).unread;
    let body = events.attach(None, None);
    let elsewhere = unread.hold(limits::UNREAD_BYTES.0).unwrap();
    events.publish("a");
    assert!(!events.has_reader());
    drop((elsewhere, body));
    assert_eq!(read(&events.attach(None, None)), "id: 7-3-1\ndata: a\n\n");
}

/// M17: a slow reader loses its stream and never blocks a publisher.
#[test]
fn a_slow_reader_loses_its_connection() {
    let events = resumable(false);
    let body = events.attach(None, None);
    for _ in 0..=limits::STREAM_EVENTS {
        events.publish("x");
    }
    assert!(!events.has_reader());
    assert_eq!(read(&body).matches("data").count(), limits::STREAM_EVENTS);
}

#[test]
fn a_finished_stream_is_forgotten_after_a_while() {
    let events = resumable(false);
    events.publish("a");
    assert!(!events.is_over(Duration::ZERO));
    events.finish();
    events.publish("b");
    assert!(!events.is_over(Duration::from_secs(1)));
    let body = events.attach(Some(0), None);
    assert_eq!(read(&body), "id: 7-3-1\ndata: a\n\n");
    assert!(events.is_over(Duration::from_secs(1) + limits::REPLAY_TIME));
}

#[test]
fn an_event_id_has_one_spelling() {
    assert_eq!(parse_event_id("7-3-17"), Some((7, 3, 17)));
    for bad in
        ["", "7", "7-3", "7-3-", "-3-1", "7--1", "07-3-1", "7-+3-1", "7-3-1 ", "7-3-1-1", "4294967296-3-1"]
    {
        assert_eq!(parse_event_id(bad), None, "{bad:?}");
    }
}
