//! Addressees of messages, and the end of peers and sessions, if several clients share a peer or each session has its own.

use serde_json::{Value, json};

use super::rig::{Answer, Rig, legacy, modern, next, rig_of, usual};
use super::*;

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

impl Rig {
    /// A session's GET stream.
    fn listen(&self, user: u64, session: &str) -> Stream {
        let request = crate::http::fake::request("GET", "/mcp").with("Accept", "text/event-stream");
        self.send_as(user, request.with("Mcp-Session-Id", session)).stream()
    }

    fn call(&self, user: u64, session: &str, tool: &str) -> Answer {
        self.send_as(user, legacy(session, "tools/call", json!({ "name": tool })))
    }
}

/// Messages of a shared peer about a call go to its client, those about itself to all; a question whose client is unknown is
/// refused at once.
#[test]
fn messages_of_a_shared_peer_reach_only_the_client_concerned() {
    let rig = rig_of(Isolation::Shared, usual);
    let sessions = [1, 2].map(|user| rig.session_as(user));
    let hanging = rig.call(1, &sessions[0], "hang").stream();
    assert!(next(&hanging).unwrap().contains("started"), "it is the only one that runs");
    let params = json!({ "name": "report", "_meta": { "progressToken": "mine" } });
    let report = rig.send_as(2, legacy(&sessions[1], "tools/call", params)).messages();
    assert!(report[0].contains(r#""progressToken":"mine""#), "{report:?}");
    assert!(
        !report.iter().any(|message| message.contains("notifications/message")),
        "whose it is, is unclear"
    );
    let (responder, _waiter) = Responder::pair();
    rig.mcp
        .handle(legacy(&sessions[1], "tools/call", json!({ "name": "sample" })), principal(2), responder)
        .into_iter()
        .for_each(|rest| rest());
    assert!(rig.wait_for(0, r#""id":"s1""#).contains("calls of several clients"));
    let streams = [(1, &sessions[0]), (2, &sessions[1])].map(|(user, session)| rig.listen(user, session));
    rig.peer(0).say(CHANGED);
    assert!(streams.iter().all(|stream| next(stream).as_deref() == Some(CHANGED)));
    assert_eq!(rig.peers.all.lock().len(), 1);
    rig.mcp.end_grant(principal(1).grant, None);
    rig.wait_for(0, "notifications/cancelled");
    assert!(!*rig.peer(0).has_ended.lock(), "others use it");
}

#[test]
fn each_session_has_a_peer_and_hears_of_it_alone() {
    let rig = rig_of(Isolation::Session, usual);
    let sessions = [(); 2].map(|()| rig.session_as(1));
    sessions.iter().for_each(|session| drop(rig.call(1, session, "report").last()));
    rig.send(modern("tools/call", json!({ "name": "report" }))).last();
    assert_eq!(rig.peers.all.lock().len(), 3, "clients of 2026-07-28 have one for their grant");
    let streams = sessions.each_ref().map(|session| rig.listen(1, session));
    rig.peer(1).say(CHANGED);
    assert_eq!(next(&streams[1]).as_deref(), Some(CHANGED));
    let delete = crate::http::fake::request("DELETE", "/mcp").with("Mcp-Session-Id", &sessions[1]);
    assert_eq!(rig.send(delete).status, 204);
    assert_eq!([0, 1, 2].map(|peer| *rig.peer(peer).has_ended.lock()), [false, true, false]);
    rig.mcp.close();
    assert_eq!(next(&streams[0]), None, "the other heard nothing");
}

/// The session's state has ended with its program: the client has to start a new session, also after a restart of this server.
#[test]
fn a_session_whose_peer_has_died_is_unknown() {
    let rig = rig_of(Isolation::Session, usual);
    let session = rig.session_as(1);
    let ping = |rig: &Rig| rig.send(legacy(&session, "ping", json!({}))).status;
    assert_eq!(ping(&rig), 200);
    rig.call(1, &session, "report").last();
    rig.peer(0).die();
    assert_eq!(ping(&rig), 404);
    let answer: Value = rig.send(legacy(&session, "tools/list", json!({}))).json();
    assert_eq!(answer["error"]["message"], "Session not found");
    let session = rig.session_as(1);
    assert!(rig.call(1, &session, "report").last().contains("reported"));
    let restarted = rig_of(Isolation::Session, usual);
    assert_eq!(restarted.send(legacy(&session, "ping", json!({}))).status, 404);
    let restarted = rig_of(Isolation::Grant, usual);
    assert_eq!(restarted.send(legacy(&session, "ping", json!({}))).status, 200);
}

/// Requests per person are limited, so that others still reach a peer that they share.
#[test]
fn one_user_cannot_occupy_a_shared_peer() {
    let rig = rig_of(Isolation::Shared, usual);
    let never_answered = || modern("resources/templates/list", json!({}));
    let begin = |_| {
        let (responder, waiter) = Responder::pair();
        rig.mcp.handle(never_answered(), principal(1), responder).into_iter().for_each(|rest| rest());
        waiter
    };
    let waiting: Vec<_> = (0..limits::LISTS.0).map(begin).collect();
    let busy = rig.send(never_answered()).json();
    assert_eq!(busy["error"]["code"], 429, "{busy}");
    let call = modern("tools/call", json!({ "name": "report" }));
    assert!(rig.send_as(2, call).last().contains("reported"));
    drop(waiting);
}

/// A grant may be deleted without a notice, or while a list is read for it: the sweep ends it all the same.
#[test]
fn the_lists_of_an_ended_grant_are_forgotten() {
    let rig = rig(usual);
    let grant = principal(1).grant;
    rig.send(modern("tools/list", json!({}))).last();
    rig.peer(0).die();
    // A grant with recorded lists alone is returned in turns: every second time, if it is the only one.
    let looks = || [(); 2].map(|()| rig.mcp.grants().contains(&grant));
    until(|| matches!(looks(), [true, false] | [false, true]));
    rig.mcp.end_grant(grant, None);
    assert_eq!(looks(), [false, false]);
}
