//! Broken and resumed streams, and the limits on streams.

use super::*;
use crate::base::{GrantId, limits};

fn in_session(request: Request, session: &str) -> Request {
    request.with("Mcp-Session-Id", session)
}

fn resume(endpoint: &Endpoint, session: &str, last_event_id: &str) -> Events {
    endpoint.send(in_session(get(), session).with("Last-Event-ID", last_event_id)).events()
}

/// A broken POST stream is resumed where it broke, and its call goes on (M14: in this era a disconnect cancels nothing).
#[test]
fn a_broken_stream_is_resumed() {
    let endpoint = conformance();
    let session = endpoint.session();
    let events =
        endpoint.send(in_session(post(&call(1, "test_tool_with_logging", json!({}))), &session)).events();
    let first = events.next().unwrap();
    drop(events);
    let rest = resume(&endpoint, &session, first.id.as_deref().unwrap()).rest();
    let data: Vec<_> = rest.iter().map(|event| event.json()["params"]["data"].clone()).collect();
    assert_eq!(data[..2], [json!("Tool processing data"), json!("Tool execution completed")]);
    assert_eq!(rest[2].json()["result"]["content"][0]["text"], "logged");
    // A finished stream can be replayed any number of times.
    let replayed = resume(&endpoint, &session, first.id.as_deref().unwrap()).rest();
    assert_eq!(replayed, rest);
}

/// M9: any text of a tool is one event with one line of data.
#[test]
fn text_with_line_ends_stays_one_event() {
    let text = "a\r\n\r\nid: 9\ndata: x\u{2028}\0";
    let tool = Tool::new("t", "", json!({ "type": "object" })).handler(move |context, _: NoArguments| {
        context.log(Level::Info, &text);
        Ok(text)
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let session = endpoint.session();
    let events = endpoint.send(in_session(post(&call(1, "t", json!({}))), &session)).events().rest();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].json()["params"]["data"], text);
    assert_eq!(events[1].json()["result"]["content"][0]["text"], text);
}

/// A tool cannot close the connection of a client that would not resume the stream.
#[test]
fn a_connection_is_kept_where_streams_cannot_be_resumed() {
    let endpoint = conformance();
    let session = endpoint.session_as(1, "2025-06-18");
    let answer = endpoint.send(in_session(post(&call(1, "test_reconnection", json!({}))), &session));
    assert_eq!(answer.text(), "Reconnected");
    assert_eq!(endpoint.send(modern::call(1, "test_reconnection", json!({}))).text(), "Reconnected");
}

/// M8: an event id is unknown in another session, and an unknown one replays no foreign event.
#[test]
fn a_foreign_or_unknown_event_id_replays_nothing() {
    let endpoint = conformance();
    let (mine, other) = (endpoint.session_as(1, "2025-06-18"), endpoint.session_as(2, "2025-06-18"));
    let logging = post(&call(1, "test_tool_with_logging", json!({})));
    let events = endpoint.send(in_session(logging, &mine)).events().rest();
    let id = events[0].id.as_deref().unwrap();
    assert_eq!(endpoint.send_as(2, in_session(get(), &other).with("Last-Event-ID", id)).status, 400);
    for unknown in ["99-1", "nonsense", ""] {
        assert!(resume(&endpoint, &mine, unknown).is_silent());
    }
}

/// SEP-1699: from 2025-11-25 on a stream starts with an empty event from which it can be resumed.
#[test]
fn streams_of_2025_11_25_are_primed() {
    let endpoint = conformance();
    let session = endpoint.session_as(1, "2025-11-25");
    let events = endpoint.send(in_session(post(&call(1, "test_reconnection", json!({}))), &session)).events();
    let prime = events.next().unwrap();
    assert_eq!((prime.data.as_str(), prime.retry), ("", Some(1000)));
    assert_eq!(events.next(), None, "the server ends the connection, not the call");
    let resumed = resume(&endpoint, &session, prime.id.as_deref().unwrap());
    assert_eq!(resumed.next().unwrap().data, "");
    assert_eq!(resumed.json()["result"]["content"][0]["text"], "Reconnected");
    assert_eq!(resumed.next(), None);

    let older = endpoint.session_as(1, "2025-06-18");
    assert!(endpoint.send(in_session(get(), &older)).events().is_silent());
}

#[test]
fn a_notification_without_a_listener_is_delivered_to_the_next_one() {
    let endpoint = conformance();
    let session = endpoint.session();
    endpoint.mcp.0.publisher().tools_changed();
    let first = endpoint.send(in_session(get(), &session)).events();
    assert_eq!(first.json()["method"], "notifications/tools/list_changed");
    let second = endpoint.send(in_session(get(), &session)).events();
    assert!(first.has_ended(), "the newest connection is the one that is told");
    assert!(second.is_silent());
}

/// A tool may send more, and faster, than its client reads.
#[test]
fn a_chatty_tool_is_slowed_down_to_its_reader() {
    const MESSAGES: usize = limits::STREAM_EVENTS * 4;
    let tool = Tool::new("t", "", json!({ "type": "object" })).handler(|context, _: NoArguments| {
        (0..MESSAGES).for_each(|number| context.log(Level::Info, &number));
        Ok("said all")
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let session = endpoint.session();
    let events = endpoint.send(in_session(post(&call(1, "t", json!({}))), &session)).events().rest();
    assert_eq!(events.len(), MESSAGES + 1);
    assert_eq!(events[MESSAGES].json()["result"]["content"][0]["text"], "said all");
}

/// A slow call without messages becomes a stream, so that its client gets the head of the answer.
#[test]
fn a_slow_call_becomes_a_stream() {
    let (started, go) = (CancelToken::new(), CancelToken::new());
    let (start, gone) = (started.clone(), go.clone());
    let tool = Tool::new("slow", "", json!({ "type": "object" })).handler(move |_, _: NoArguments| {
        start.trip();
        assert!(gone.wait(SOON));
        Ok("at last")
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let session = endpoint.session();
    let waiting = endpoint.start(1, in_session(post(&call(1, "slow", json!({}))), &session));
    assert!(started.wait(SOON));
    waiting.waiter.run_slow_hook();
    let events = waiting.head().events();
    assert!(events.is_silent());
    go.trip();
    assert_eq!(events.json()["result"]["content"][0]["text"], "at last");
    assert_eq!(events.next(), None);
}

/// A call that waits for its client, and its stream.
fn asking(endpoint: &Endpoint, session: &str) -> Events {
    let body = call("asking", "test_elicitation", json!({ "message": "?" }));
    let events = endpoint.send(in_session(post(&body), session)).events();
    assert_eq!(events.json()["method"], "elicitation/create");
    events
}

/// Waits until no call is running.
fn until_no_call_runs(endpoint: &Endpoint) {
    let start = clock::instant();
    while endpoint.mcp.counts().calls > 0 {
        assert!(start.elapsed() < SOON, "a call is still running");
        std::thread::yield_now();
    }
}

/// M17: a call whose client disconnects and does not return loses its place.
#[test]
fn a_call_that_nobody_reads_is_given_up() {
    let endpoint = conformance();
    let session = endpoint.session();
    drop(asking(&endpoint, &session));
    endpoint.mcp.sweep();
    endpoint.clock.advance(limits::REPLAY_TIME - Duration::from_secs(1));
    endpoint.mcp.sweep();
    assert_eq!(endpoint.mcp.counts().calls, 1);
    endpoint.clock.advance(Duration::from_secs(1));
    endpoint.mcp.sweep();
    until_no_call_runs(&endpoint);
}

/// M17: a call that runs for too long loses its place, and its client gets an error.
#[test]
fn a_call_has_a_deadline() {
    let endpoint = conformance();
    let session = endpoint.session();
    let events = asking(&endpoint, &session);
    endpoint.clock.advance(limits::CALL - Duration::from_secs(1));
    endpoint.mcp.sweep();
    assert!(events.is_silent());
    endpoint.clock.advance(Duration::from_secs(1));
    endpoint.mcp.sweep();
    assert_eq!(events.json()["error"]["message"], "The call took too long");
    assert_eq!(events.next(), None);
    until_no_call_runs(&endpoint);
}

/// M17: streams are bounded per session and per user.
#[test]
fn too_many_streams_are_refused() {
    let endpoint = conformance();
    let sessions: Vec<_> = (0..=limits::STREAMS_PER_USER).map(|_| endpoint.session()).collect();
    let open = |session: &String| endpoint.send(in_session(get(), session));
    let (last, others) = sessions.split_last().unwrap();
    let streams: Vec<_> = others.iter().map(|session| open(session).events()).collect();
    let refused = open(last);
    assert_eq!((refused.status, refused.error_code()), (429, 429));
    drop(streams);
    assert_eq!(open(last).status, 200);
}

/// M17: sessions are bounded in total, and a user with more sessions cannot lock out one with fewer.
#[test]
fn a_full_server_evicts_a_session_of_the_user_with_most() {
    let endpoint = conformance();
    let client = json!({ "name": "c", "version": "1" });
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    let initialize = |user: usize| {
        let (responder, waiter) = Responder::pair();
        let principal = principal(u64::try_from(user).unwrap());
        endpoint
            .mcp
            .handle(post(&request(0, "initialize", params.clone())), principal, responder)
            .into_iter()
            .for_each(|rest| rest());
        waiter.wait(clock::instant()).unwrap().status()
    };
    assert!((1..limits::SESSIONS).all(|user| initialize(user) == 200));
    assert_eq!(initialize(1), 200);
    assert_eq!(initialize(2), 503, "who would then have as many");
    assert_eq!(initialize(limits::SESSIONS), 200);
    assert_eq!(initialize(limits::SESSIONS + 1), 503, "everybody has one");
    assert_eq!(endpoint.mcp.counts().sessions, limits::SESSIONS);
}

/// M17: sessions are bounded per user; at the limit, the least recently used one is ended.
#[test]
fn the_oldest_session_of_a_user_makes_room() {
    let endpoint = conformance();
    let other = endpoint.session_as(2, "2025-06-18");
    let sessions: Vec<_> = (0..limits::SESSIONS_PER_USER)
        .map(|_| {
            endpoint.clock.advance(Duration::from_secs(1));
            endpoint.session()
        })
        .collect();
    let ping = |user, session: &str| {
        endpoint.send_as(user, in_session(post(&request(1, "ping", json!({}))), session)).status
    };
    endpoint.clock.advance(Duration::from_secs(1));
    assert_eq!(ping(1, &sessions[0]), 200);
    let newest = endpoint.session();
    let is_there = |user, id: &str| endpoint.mcp.0.subscribers.sessions.find(id, &principal(user)).is_some();
    assert!(!is_there(1, &sessions[1]), "the least recently used");
    assert!(is_there(1, &sessions[0]) && is_there(1, &newest) && is_there(2, &other));
}

/// M17: of a person's clients, the one with most sessions loses one, not the others.
#[test]
fn one_client_of_a_person_does_not_push_out_the_sessions_of_their_others() {
    let endpoint = conformance();
    let session = endpoint.session();
    let rogue = Principal { grant: GrantId([9; 16]), ..principal(1) };
    let client = json!({ "name": "r", "version": "1" });
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    for id in 0..limits::SESSIONS_PER_USER {
        endpoint.clock.advance(Duration::from_secs(1));
        let answer =
            endpoint.start_as(rogue.clone(), post(&request(id, "initialize", params.clone()))).answer();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(endpoint.mcp.counts().sessions, limits::SESSIONS_PER_USER);
    assert_eq!(endpoint.send(in_session(post(&request(1, "ping", json!({}))), &session)).status, 200);
}

#[test]
fn idle_sessions_end_and_used_ones_stay() {
    let endpoint = conformance();
    let (idle, used, read) = (endpoint.session(), endpoint.session(), endpoint.session());
    let stream = endpoint.send(in_session(get(), &read)).events();
    let ping =
        |session: &str| endpoint.send(in_session(post(&request(1, "ping", json!({}))), session)).status;
    endpoint.clock.advance(limits::SESSION_IDLE - Duration::from_secs(1));
    assert_eq!(ping(&used), 200);
    endpoint.mcp.sweep();
    assert_eq!(endpoint.mcp.counts().sessions, 3);
    endpoint.clock.advance(Duration::from_secs(1));
    endpoint.mcp.sweep();
    let sessions = &endpoint.mcp.0.subscribers.sessions;
    let is_there = |id: &String| sessions.find(id, &principal(1)).is_some();
    assert_eq!([&idle, &used, &read].map(is_there), [false, true, true]);
    assert!(stream.is_silent());
}

/// Every malformed body is answered.
#[test]
fn every_broken_body_is_answered() {
    let endpoint = conformance();
    let session = endpoint.session();
    let legacy = call(1, "test_simple_text", json!({ "a": ["\u{e9}", 1.5e3, null] })).to_string();
    let modern = modern::call("x", "test_simple_text", json!({})).body;
    for body in [legacy.into_bytes(), modern] {
        for place in 0..body.len() {
            for byte in [b'"', b'{', b'}', b'\\', b'0', b' ', 0x00, 0xff] {
                let mut broken = body.clone();
                broken[place] = byte;
                let request = post_text("").body(broken).with("Mcp-Session-Id", &session);
                let (responder, waiter) = Responder::pair();
                endpoint.mcp.handle(request, principal(1), responder).into_iter().for_each(|rest| rest());
                let status = waiter.wait(clock::instant()).unwrap().status();
                assert!(matches!(status, 200 | 202 | 400 | 404), "{status} for {byte:#x} at {place}");
            }
        }
    }
}

/// M17: the rate at which a user opens sessions is limited; other users are not affected.
#[test]
fn sessions_have_a_rate() {
    let endpoint = conformance();
    let client = json!({ "name": "c", "version": "1" });
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    let initialize = |user| {
        let (responder, waiter) = Responder::pair();
        endpoint
            .mcp
            .handle(post(&request(0, "initialize", params.clone())), principal(user), responder)
            .into_iter()
            .for_each(|rest| rest());
        waiter.wait(clock::instant()).unwrap().status()
    };
    assert!((0..limits::OPENINGS).all(|_| initialize(1) == 200));
    assert_eq!((initialize(1), initialize(2)), (429, 200));
    endpoint.clock.advance(Duration::from_secs(1));
    assert_eq!(initialize(1), 200);
}

/// A change can be limited to one user or to one grant, in both eras.
#[test]
fn a_change_is_told_to_its_recipients_only() {
    let endpoint = conformance();
    let other_grant = || Principal { grant: GrantId([9; 16]), ..principal(1) };
    let session = endpoint.session_as(2, "2025-06-18");
    let standalone = endpoint.send_as(2, get().with("Mcp-Session-Id", &session)).events();
    let listen = || modern::listen(1, json!({ "toolsListChanged": true }));
    let listening = [principal(1), other_grant(), principal(2)]
        .map(|principal| endpoint.start_as(principal, listen()).answer().events());
    listening.iter().for_each(|events| drop(events.json()));
    let told = || {
        let is_told = |events: &Events| !events.is_silent();
        [&listening[0], &listening[1], &listening[2], &standalone].map(is_told)
    };
    let publisher = endpoint.mcp.0.publisher();
    publisher.for_subject(principal(1).subject).tools_changed();
    assert_eq!(told(), [true, true, false, false]);
    publisher.for_grant(other_grant().grant).tools_changed();
    assert_eq!(told(), [false, true, false, false]);
    publisher.for_subject(principal(2).subject).tools_changed();
    assert_eq!(told(), [false, false, true, true]);
    publisher.tools_changed();
    assert_eq!(told(), [true; 4]);
}

/// A backend in front of another server passes its notifications on byte for byte.
#[test]
fn a_forwarded_notification_stays_as_it_is() {
    let params = r#"{"progressToken":"t","progress":9007199254740993,"total":1.10}"#;
    let tool =
        Tool::new("t", "Forwards", json!({ "type": "object" })).handler(move |context, _: NoArguments| {
            let params = serde_json::value::RawValue::from_string(params.to_owned()).unwrap();
            context.forward("notifications/progress", &params);
            Ok("done")
        });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let session = endpoint.session();
    let events = endpoint.send(post(&call(1, "t", json!({}))).with("Mcp-Session-Id", &session)).events();
    let expected = format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#);
    assert!(events.rest().iter().any(|event| event.data == expected));
}
