//! Log levels and subscriptions of clients, forwarded to the peer.

use super::rig::{modern_peer, rig_idle, rig_of};
use super::*;
use crate::base::clock;
use crate::bridge::unavailable::Unavailable;

/// The peer's messages of these methods since the last call.
fn told(rig: &Rig, index: usize, methods: &[&str]) -> Vec<Value> {
    let sent: Vec<Value> =
        rig.peer(index).sent().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let is_one =
        |message: &&Value| message["method"].as_str().is_some_and(|method| methods.contains(&method));
    sent.iter().filter(is_one).map(|message| message["params"].clone()).collect()
}

fn level(rig: &Rig, index: usize) -> Vec<Value> {
    told(rig, index, &["logging/setLevel"]).iter().map(|params| params["level"].clone()).collect()
}

#[test]
fn a_peer_is_told_the_lowest_log_level_and_told_again_after_its_restart() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let report = || rig.send(modern("tools/call", json!({ "name": "report" }))).last();
    rig.send(legacy(&session, "tools/list", json!({}))).last();
    assert_eq!(level(&rig, 0), Vec::<Value>::new(), "nobody has said");
    assert_eq!(
        rig.send(legacy(&session, "logging/setLevel", json!({ "level": "error" }))).json()["result"],
        json!({})
    );
    assert_eq!(level(&rig, 0), [json!("error")]);
    report();
    report();
    assert_eq!(level(&rig, 0), [json!("info")], "that of the call, which is lower, once");
    rig.send(legacy(&session, "logging/setLevel", json!({ "level": "alert" }))).last();
    assert_eq!(level(&rig, 0), [json!("alert")]);
    rig.peer(0).die();
    rig.send(legacy(&session, "tools/list", json!({}))).last();
    assert_eq!(level(&rig, 1), [json!("alert")]);
}

fn get(rig: &Rig, user: u64, session: &str) -> Stream {
    let request = crate::http::fake::request("GET", "/mcp").with("Accept", "text/event-stream");
    rig.send_as(user, request.with("Mcp-Session-Id", session)).stream()
}

/// A log message outside of calls goes to the sessions of the grant.
#[test]
fn log_messages_outside_of_calls_reach_sessions_that_want_them() {
    let rig = rig(usual);
    let sessions = [rig.session_as(1), rig.session_as(1)];
    rig.send(legacy(&sessions[1], "logging/setLevel", json!({ "level": "error" }))).last();
    let streams = sessions.each_ref().map(|session| get(&rig, 1, session));
    let log = |level: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1.10}}}}"#
        )
    };
    rig.peer(0).say(&log("info"));
    rig.peer(0).say(&log("error"));
    assert_eq!(next(&streams[0]), Some(log("info")));
    assert_eq!(next(&streams[1]), Some(log("error")));
}

fn resources(rig: &Rig, index: usize) -> Vec<String> {
    let methods = [("resources/subscribe", "+"), ("resources/unsubscribe", "-")];
    let sent = rig.peer(index).sent();
    let said = |text: &String| {
        let message: Value = serde_json::from_str(text).unwrap();
        let (_, sign) = methods.iter().find(|(method, _)| message["method"] == *method)?;
        Some(format!("{sign}{}", message["params"]["uri"].as_str()?))
    };
    sent.iter().filter_map(said).collect()
}

fn listen(uris: &[&str]) -> Request {
    modern("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": uris } }))
}

/// Subscriptions of several clients to one resource are one at the peer, which gets it again after its restart.
#[test]
fn subscriptions_of_many_clients_share_one_at_the_peer() {
    let rig = rig(usual);
    let sessions = [rig.session_as(1), rig.session_as(1)];
    let subscribe = |session: &str, method: &str, uri: &str| {
        let answer = rig.send(legacy(session, method, json!({ "uri": uri }))).json();
        assert_eq!(answer["result"], json!({}), "{answer}");
    };
    subscribe(&sessions[0], "resources/subscribe", "x://a");
    subscribe(&sessions[1], "resources/subscribe", "x://a");
    let stream = rig.send(listen(&["x://a", "x://b"])).stream();
    assert!(next(&stream).unwrap().contains("acknowledged"));
    assert_eq!(resources(&rig, 0), ["+x://a", "+x://b"]);
    subscribe(&sessions[0], "resources/unsubscribe", "x://a");
    assert_eq!(resources(&rig, 0), Vec::<String>::new());
    let updated = |uri: &str| json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    let streams = sessions.each_ref().map(|session| get(&rig, 1, session));
    ["x://b", "x://a"].iter().for_each(|uri| rig.peer(0).say(&updated(uri).to_string()));
    assert!(next(&stream).unwrap().contains("x://b"));
    assert!(next(&streams[1]).unwrap().contains("x://a"));
    rig.peer(0).die();
    rig.send(legacy(&sessions[0], "tools/list", json!({}))).last();
    assert_eq!(resources(&rig, 1), ["+x://a", "+x://b"]);
    let changed: Vec<String> = (0..3).map(|_| next(&streams[0]).unwrap()).collect();
    assert!(changed[0].contains("tools/list_changed"), "nothing before: {changed:?}");
    drop(stream);
    subscribe(&sessions[1], "resources/unsubscribe", "x://a");
    let mut removed = resources(&rig, 1);
    removed.sort();
    assert_eq!(removed, ["-x://a", "-x://b"]);
}

/// Interests that did not fit into a full pipe are sent before the next call.
#[test]
fn subscriptions_that_met_a_full_pipe_are_sent_before_the_next_call() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    *rig.peer(0).is_full.lock() = true;
    rig.send(legacy(&session, "resources/subscribe", json!({ "uri": "x://a" }))).last();
    assert_eq!(resources(&rig, 0), Vec::<String>::new());
    *rig.peer(0).is_full.lock() = false;
    rig.send(legacy(&session, "tools/list", json!({}))).last();
    assert_eq!(resources(&rig, 0), ["+x://a"]);
}

/// A peer of 2026-07-28 has one stream with the current filter; a stream that ends at once is reopened with the next call.
#[test]
fn a_modern_peer_has_one_stream_of_changes() {
    let rig = rig(modern_peer);
    let session = rig.session_as(1);
    let opened = told(&rig, 0, &["subscriptions/listen"]);
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(opened[0]["notifications"], json!({ "toolsListChanged": true }), "what it has");
    rig.send(legacy(&session, "resources/subscribe", json!({ "uri": "x://a" }))).last();
    let sent: Vec<Value> =
        rig.peer(0).sent().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let [listen, cancel] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(listen["params"]["notifications"]["resourceSubscriptions"], json!(["x://a"]));
    assert_eq!(cancel["method"], "notifications/cancelled");
    rig.peer(0).say(&json!({ "jsonrpc": "2.0", "id": listen["id"], "result": {} }).to_string());
    rig.send(legacy(&session, "tools/list", json!({}))).last();
    assert_eq!(told(&rig, 0, &["subscriptions/listen"]).len(), 1);
}

/// The lists of which a stream reports a change until the end of the server.
fn changed(rig: &Rig, stream: &Stream) -> Vec<String> {
    rig.mcp.close();
    let messages = std::iter::from_fn(|| next(stream));
    let list =
        |message: String| Some(message.split_once("\"notifications/")?.1.split_once('/')?.0.to_owned());
    messages.filter_map(list).collect()
}

/// Two client programs of one person have instances of their own.
#[test]
fn a_change_is_told_to_the_clients_of_its_grant() {
    let rig = rig(usual);
    let callers = [1, 2].map(|grant| Principal { grant: GrantId([grant; 16]), ..principal(1) });
    let listen = || modern("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let streams = callers.map(|caller| rig.send_of(caller, listen()).stream());
    assert!(streams.iter().all(|stream| next(stream).unwrap().contains("acknowledged")));
    assert_eq!(rig.peers.all.lock().len(), 2);
    rig.peer(0).say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert_eq!(streams.each_ref().map(|stream| changed(&rig, stream)), [vec!["tools".to_owned()], vec![]]);
}

/// After a restart or change by the operator the server may differ. Each earlier caller is notified once.
#[test]
fn clients_are_notified_once_of_a_restart_by_the_operator() {
    let rig = rig(usual);
    let list =
        |user: u64, session: &str| drop(rig.send_as(user, legacy(session, "tools/list", json!({}))).last());
    let session = rig.session_as(1);
    let stream = get(&rig, 1, &session);
    list(1, &session);
    rig.bridge.instances.restart();
    assert!(rig.bridge.instances.description(&principal(1)).is_none(), "it may be described otherwise");
    rig.bridge.instances.restart();
    list(1, &session);
    let other = rig.session_as(2);
    let other_stream = get(&rig, 2, &other);
    list(2, &other);
    assert_eq!(rig.peers.all.lock().len(), 3);
    assert_eq!(changed(&rig, &stream), ["tools", "prompts", "resources"]);
    assert_eq!(changed(&rig, &other_stream), Vec::<String>::new());
}

/// An upstream that has lost its session gets everything again, and clients read their lists again.
#[test]
fn a_renewed_session_is_told_everything_again() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let stream = get(&rig, 1, &session);
    rig.send(legacy(&session, "resources/subscribe", json!({ "uri": "x://a" }))).last();
    assert_eq!(resources(&rig, 0), ["+x://a"]);
    rig.peer(0).receiver.upgrade().unwrap().renewed();
    assert_eq!(resources(&rig, 0), ["+x://a"]);
    assert_eq!(changed(&rig, &stream), ["tools", "prompts", "resources"]);
}

#[test]
fn a_peer_whose_client_waits_for_changes_does_not_time_out() {
    let rig = rig_idle(usual, Duration::from_millis(20));
    let session = rig.session_as(1);
    let set = |method: &str| drop(rig.send(legacy(&session, method, json!({ "uri": "x://a" }))).last());
    set("resources/subscribe");
    let receiver = rig.peer(0).receiver.upgrade().unwrap();
    let deadline = clock::instant() + Duration::from_millis(40);
    while clock::instant() < deadline {
        assert!(!receiver.patience().is_zero());
    }
    set("resources/unsubscribe");
    until(|| receiver.patience().is_zero());
}

/// Any number of updates during a start leaves room for the calls that wait for it.
#[test]
fn updates_during_a_start_do_not_keep_calls_out() {
    let rig = rig_of(Isolation::Shared, |_| Vec::new());
    let person = principal(1);
    (0..=limits::bridge::REQUESTS).for_each(|_| rig.bridge.interests_changed(&person));
    let (sender, found) = crossbeam_channel::bounded(1);
    rig.bridge.instances.with(&person, Box::new(move |found| sender.send(found.err()).unwrap()));
    assert!(found.try_recv().is_err(), "it waits");
    rig.peer(0).die();
    assert!(matches!(found.recv().unwrap(), Some(Unavailable::Died(_))));
}
