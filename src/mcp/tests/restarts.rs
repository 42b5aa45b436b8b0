//! Sessions that are not in this process: after a restart, after they were unused, and in a second process with the same keys.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::base::limits;

fn in_session(request: Request, session: &str) -> Request {
    request.with("Mcp-Session-Id", session)
}

fn ping(session: &str) -> Request {
    in_session(post(&request(1, "ping", json!({}))), session)
}

fn delete(session: &str) -> Request {
    in_session(crate::http::fake::request("DELETE", "/mcp"), session)
}

fn ask(endpoint: &Endpoint, session: &str) -> (Events, Value) {
    let body = call("asking", "test_elicitation", json!({ "message": "?" }));
    let events = endpoint.send(in_session(post(&body), session)).events();
    let mut first = events.next().unwrap();
    if first.data.is_empty() {
        first = events.next().unwrap();
    }
    let id = first.json()["id"].clone();
    (events, id)
}

fn decline(id: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "decline" } })
}

/// M6: a client is served without another `initialize`, by POST and by GET; another grant is not.
#[test]
fn a_session_outlives_a_restart_and_a_rest() {
    let before = conformance();
    let session = before.session();
    let set = request(1, "logging/setLevel", json!({ "level": "emergency" }));
    assert_eq!(before.send(in_session(post(&set), &session)).status, 200);
    let after = before.restarted();
    assert_eq!(after.send(ping(&session)).status, 200);
    // Its log level is the default again.
    let logged = after.send(in_session(post(&call(1, "test_tool_with_logging", json!({}))), &session));
    assert_eq!(logged.events().rest().len(), 4);
    // The client's capabilities are known without a new `initialize`.
    let (asking, id) = ask(&after, &session);
    assert_eq!(after.send(in_session(post(&decline(&id)), &session)).status, 202);
    assert_eq!(asking.rest().len(), 1);

    after.clock.advance(limits::SESSION_IDLE);
    after.mcp.sweep();
    assert_eq!(after.mcp.counts().sessions, 0);
    assert!(after.send(in_session(get(), &session)).events().is_silent());
    assert_eq!(after.mcp.counts().sessions, 1);

    let next = after.restarted();
    for request in [ping(&session), in_session(get(), &session), delete(&session)] {
        let answer = next.send_as(2, request);
        assert_eq!((answer.status, answer.error_code()), (404, -32001));
    }
    assert_eq!(next.mcp.counts().sessions, 0);
}

/// M6: the client's capabilities and version are those that it had declared.
#[test]
fn a_session_comes_back_with_its_clients_abilities_and_version() {
    let before = conformance();
    let client = json!({ "name": "c", "version": "1" });
    let params =
        json!({ "protocolVersion": "2025-11-25", "capabilities": { "roots": {} }, "clientInfo": client });
    let session = before.send(post(&request(0, "initialize", params))).session.unwrap();
    let after = before.restarted();
    let refused = after.send(in_session(post(&call(1, "test_sampling", json!({ "prompt": "?" }))), &session));
    assert_eq!(refused.error_code(), -32600);
    let prime = after.send(in_session(get(), &session)).events().next().unwrap();
    assert_eq!((prime.data.as_str(), prime.retry), ("", Some(1000)), "streams of 2025-11-25 are primed");
}

/// M8: an event id from before is unknown afterwards, although streams and events are numbered from the start again. That of a
/// call's stream is refused and leaves the session's own stream to its reader, since clients open both again.
#[test]
fn an_event_id_from_before_a_restart_replays_nothing() {
    let before = conformance();
    let session = before.session();
    let logging = || in_session(post(&call(1, "test_tool_with_logging", json!({}))), &session);
    let resume =
        |endpoint: &Endpoint, id: &str| endpoint.send(in_session(get(), &session).with("Last-Event-ID", id));
    let id = |events: &[Event]| events[0].id.clone().unwrap();
    let of_call = id(&before.send(logging()).events().rest());
    before.mcp.0.publisher().tools_changed();
    let standalone = id(&[before.send(in_session(get(), &session)).events().next().unwrap()]);
    let after = before.restarted();
    let fresh = resume(&after, &standalone).events();
    let new = after.send(logging()).events().rest();
    assert_eq!(resume(&after, &id(&new)).events().rest(), new[1..]);
    assert_eq!(resume(&after, &of_call).status, 400);
    assert!(fresh.is_silent());
    after.mcp.0.publisher().tools_changed();
    assert_eq!(fresh.json()["method"], "notifications/tools/list_changed");
}

/// M7: an answer to a question from before does not answer a later one.
#[test]
fn an_answer_to_a_question_from_before_a_restart_is_ignored() {
    let before = conformance();
    let session = before.session();
    let (_, old) = ask(&before, &session);
    let after = before.restarted();
    let (asking, new) = ask(&after, &session);
    assert_ne!(old, new);
    assert_eq!(after.send(in_session(post(&decline(&old)), &session)).status, 202);
    assert!(asking.is_silent());
    after.send(in_session(post(&decline(&new)), &session));
    assert_eq!(asking.rest().len(), 1);
}

/// M13: a session that its client has ended stays ended, also if another process has issued it.
#[test]
fn a_session_that_its_client_has_ended_does_not_come_back() {
    let before = conformance();
    let session = before.session();
    let after = before.restarted();
    assert_eq!(after.send(delete(&session)).status, 204);
    assert_eq!(after.mcp.counts().sessions, 0);
    for request in [ping(&session), in_session(get(), &session), delete(&session)] {
        let answer = after.send(request);
        assert_eq!((answer.status, answer.error_code()), (404, -32001));
    }
    assert_eq!(after.mcp.counts().sessions, 0);
}

/// Concurrent requests of one client restart one common session.
#[test]
fn requests_that_bring_a_session_back_at_once_share_it() {
    let before = conformance();
    let session = before.session();
    let after = before.restarted();
    let (asking, id) = ask(&after, &session);
    let waiting: Vec<_> = (0..8).map(|_| after.start(1, ping(&session))).collect();
    assert!(waiting.into_iter().all(|each| each.answer().status == 200));
    assert_eq!(after.mcp.counts().sessions, 1);
    assert_eq!(after.send(in_session(post(&decline(&id)), &session)).status, 202);
    assert_eq!(asking.rest().len(), 1);
}

/// M17: restarted sessions count against the rate of openings and the limit of sessions.
#[test]
fn sessions_that_come_back_are_bounded() {
    let before = conformance();
    let sessions: Vec<_> = (0..=limits::SESSIONS_PER_USER).map(|_| before.session()).collect();
    let after = before.restarted();
    assert!(sessions.iter().all(|session| after.send(ping(session)).status == 200));
    assert_eq!(after.mcp.counts().sessions, limits::SESSIONS_PER_USER);
    let last = &sessions[0];
    let mut refused = 0;
    for _ in 0..limits::OPENINGS {
        after.mcp.0.subscribers.sessions.end_where(|_| true);
        refused = after.send(ping(last)).status;
    }
    assert_eq!(refused, 429);
    assert_eq!(after.mcp.counts().sessions, 0);
}

/// A client that sends its own version instead of the negotiated one gets the error for its session, so that it begins another or
/// waits, and not an error for an invalid modern request.
#[test]
fn the_state_of_a_named_session_is_reported_under_any_version() {
    let before = conformance();
    let (session, ended) = (before.session(), before.session());
    let after = before.restarted();
    assert_eq!(after.send(delete(&ended)).status, 204);
    let modern = |session: &str| ping(session).with("MCP-Protocol-Version", "2026-07-28");
    let check = |user: u64, session: &str, status: u16, code: i64| {
        let answer = after.send_as(user, modern(session));
        assert_eq!((answer.status, answer.error_code()), (status, code));
    };
    check(1, &ended, 404, -32001);
    check(1, "x", 404, -32001);
    check(2, &session, 404, -32001);
    assert_eq!(after.send(modern(&session)).status, 200);
    for _ in 0..limits::OPENINGS {
        after.mcp.0.subscribers.sessions.end_where(|_| true);
        after.send(ping(&session));
    }
    check(1, &session, 429, 429);
    after.clock.advance(Duration::from_secs(60));
    let others = 2..u64::try_from(limits::SESSIONS).unwrap() + 2;
    others.for_each(|user| drop(after.session_as(user, "2025-06-18")));
    check(1, &session, 503, 429);
    assert_eq!(after.send(modern(&session).with("Mcp-Session-Id", &session)).status, 400, "two of them");
}

/// M6: only a complete id from this server is valid.
#[test]
fn a_changed_or_foreign_id_is_unknown() {
    let before = conformance();
    let session = before.session();
    let after = before.restarted();
    let body = session.strip_prefix("mcp_session_").unwrap();
    let long = format!("{session}{}", "A".repeat(limits::HEADER_VALUE_BYTES));
    let other = format!("mcp_state_{body}");
    for id in [&session[..session.len() - 1], body, &other, &long, &session.to_uppercase(), "", "x"] {
        assert_eq!(after.send(ping(id)).status, 404, "{id}");
    }
    assert_eq!(before.restarted_with(keyring(2)).send(ping(&session)).status, 404);
}

/// One step of a client, the clock or the operator; sessions are numbered in the order of their `initialize`.
#[derive(Clone, Copy, Debug)]
enum Step {
    Initialize { user: u64 },
    Ping { user: u64, session: usize },
    Read { user: u64, session: usize, event: usize },
    Delete { user: u64, session: usize },
    Rest,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (user, session) = (1..=2_u64, 0..6_usize);
    prop_oneof![
        2 => user.clone().prop_map(|user| Step::Initialize { user }),
        4 => (user.clone(), session.clone()).prop_map(|(user, session)| Step::Ping { user, session }),
        3 => (user.clone(), session.clone(), 0..6_usize)
            .prop_map(|(user, session, event)| Step::Read { user, session, event }),
        2 => (user, session).prop_map(|(user, session)| Step::Delete { user, session }),
        1 => Just(Step::Rest),
        1 => Just(Step::Restart),
    ]
}

/// M6, M8, M13: after any sequence of steps, an id is valid for its grant until that has ended it in this process, and the event id
/// of one process replays nothing in another.
#[test]
fn sessions_do_what_the_model_says() {
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(step(), 1..40), |steps| {
        let mut endpoint = conformance();
        // The model: the owner of each session, the sessions that were ended in this process, the events of each process.
        let mut sessions: Vec<(u64, String)> = Vec::new();
        let mut ended = HashSet::new();
        let mut events: Vec<(usize, usize, String)> = Vec::new();
        let mut process = 0;
        for step in steps {
            let expected = |user: u64, session: usize, ended: &HashSet<usize>| {
                let is_good = sessions.get(session).is_some_and(|(owner, _)| *owner == user);
                is_good && !ended.contains(&session)
            };
            let id = |session: usize| sessions.get(session).map_or("unknown", |(_, id)| id).to_owned();
            match step {
                Step::Initialize { user } => sessions.push((user, endpoint.session_as(user, "2025-06-18"))),
                Step::Ping { user, session } => {
                    let status = endpoint.send_as(user, ping(&id(session))).status;
                    prop_assert_eq!(status, if expected(user, session, &ended) { 200 } else { 404 });
                }
                Step::Read { user, session, event } => {
                    let old = events.get(event).cloned();
                    let request = match &old {
                        Some((.., event)) => in_session(get(), &id(session)).with("Last-Event-ID", event),
                        None => in_session(get(), &id(session)),
                    };
                    let answer = endpoint.send_as(user, request);
                    if !expected(user, session, &ended) {
                        prop_assert_eq!(answer.status, 404);
                        continue;
                    }
                    match old {
                        Some((at, of, _)) if at != process || of != session => {
                            prop_assert_eq!(answer.status, 400);
                        }
                        old => prop_assert_eq!(answer.events().is_silent(), old.is_none()),
                    }
                    let logging =
                        in_session(post(&call(1, "test_tool_with_logging", json!({}))), &id(session));
                    let said = endpoint.send_as(user, logging).events().rest();
                    events.push((process, session, said[0].id.clone().unwrap()));
                }
                Step::Delete { user, session } => {
                    let status = endpoint.send_as(user, delete(&id(session))).status;
                    prop_assert_eq!(status, if expected(user, session, &ended) { 204 } else { 404 });
                    if status == 204 {
                        ended.insert(session);
                    }
                }
                Step::Rest => {
                    endpoint.clock.advance(limits::SESSION_IDLE + limits::REPLAY_TIME);
                    endpoint.mcp.sweep();
                    process += 1; // kept events are lost as well
                }
                Step::Restart => {
                    endpoint = endpoint.restarted();
                    ended.clear();
                    process += 1;
                }
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn an_unreadable_initialize_opens_no_session() {
    let endpoint = conformance();
    let answer = endpoint.send(post(&request(0, "initialize", json!({ "protocolVersion": 7 }))));
    assert_eq!((answer.error_code(), answer.session), (-32602, None));
    assert_eq!(endpoint.mcp.counts().sessions, 0);
}
