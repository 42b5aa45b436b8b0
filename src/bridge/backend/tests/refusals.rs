//! Calls that cannot be passed on, and questions that come to nothing: the client, and the peer, are told why.

use super::*;
use crate::base::clock;

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

fn report(session: &str) -> Request {
    legacy(session, "tools/call", json!({ "name": "report" }))
}

/// M17: the calls of a person are bounded across their requests.
#[test]
fn a_call_beyond_the_limit_of_its_user_is_refused() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let calls = &rig.bridge.instances.settings.pool.calls;
    let _others: Vec<_> = std::iter::from_fn(|| calls.take(principal(1).subject)).collect();
    assert_eq!(rig.send(report(&session)).json()["error"]["code"], 429);
    let session = rig.session_as(2);
    assert!(rig.send_as(2, report(&session)).last().contains("reported"), "another person's calls go on");
}

#[test]
fn a_call_of_a_peer_that_reads_nothing_is_told_to_wait() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    *rig.peer(0).is_full.lock() = true;
    let answer = rig.send(report(&session)).json();
    assert_eq!(answer["error"]["code"], 429);
    assert_eq!(message(&answer), "The server \"test\" is too busy: try again in a moment");
}

/// The call is tried again, once.
#[test]
fn a_call_of_a_peer_whose_end_is_not_known_yet_is_told_to_call_again() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    *rig.peer(0).has_ended.lock() = true;
    let answer = rig.send(report(&session)).json();
    assert_eq!(message(&answer), "The server \"test\" is not available: it was ended: call again");
}

#[test]
fn a_call_that_finds_no_instance_is_told_why() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    rig.bridge.instances.close();
    let answer = rig.send(report(&session)).json();
    let why = "The server \"test\" is not available: this server is stopping: call again in a moment";
    assert_eq!(message(&answer), why);
}

/// A call that was cancelled while its peer started does not reach it.
#[test]
fn a_call_that_is_cancelled_during_a_start_is_not_sent() {
    fn starts_once(message: &Value) -> Vec<String> {
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        let is_start = message["method"] == "initialize" && STARTS.fetch_add(1, Ordering::SeqCst) > 0;
        if is_start { Vec::new() } else { usual(message) }
    }
    let rig = rig(starts_once);
    let session = rig.session_as(1);
    rig.peer(0).die();
    let (responder, waiter) = Responder::pair();
    rig.mcp.handle(report(&session), principal(1), responder).into_iter().for_each(|rest| rest());
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    assert_eq!(rig.send(post(&cancelled).with("Mcp-Session-Id", &session)).status, 202);
    let start: Value = serde_json::from_str(&rig.wait_for(1, "initialize")).unwrap();
    let greeting = usual(&start);
    greeting.iter().for_each(|answer| rig.peer(1).say(answer));
    assert!(!rig.peer(1).sent().iter().any(|sent| sent.contains("tools/call")));
    assert!(waiter.wait(clock::instant() + limits::ASK).is_some());
    assert_eq!(rig.mcp.counts().calls, 0);
}

/// A peer of 2026-07-28 may ask in place of some results only.
#[test]
fn a_result_of_an_unknown_kind_is_not_passed_on() {
    fn odd(message: &Value) -> Vec<String> {
        let kind = match message["method"].as_str() {
            Some("tools/call") => "partial",
            Some("tools/list") => "input_required",
            _ => return modern_peer(message),
        };
        vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "resultType": kind } }).to_string()]
    }
    let rig = rig(odd);
    for request in [modern("tools/call", json!({ "name": "t" })), modern("tools/list", json!({}))] {
        assert_eq!(message(&rig.send(request).json()), "The server \"test\" answered with no result");
    }
}

/// The answer of a client that answers a question with an error.
fn refuse_question(rig: &Rig, session: &str, stream: &Stream) {
    let question = loop {
        let message: Value = serde_json::from_str(&next(stream).unwrap()).unwrap();
        if message["method"] == "elicitation/create" {
            break message["id"].clone();
        }
    };
    let error =
        json!({ "code": -1, "message": "nobody is here", "data": { "big": 12_345_678_901_234_567_890_u64 } });
    let refused = json!({ "jsonrpc": "2.0", "id": question, "error": error });
    assert_eq!(rig.send(post(&refused).with("Mcp-Session-Id", session)).status, 202);
}

#[test]
fn a_peer_gets_its_clients_error_unchanged() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let stream = rig.send(legacy(&session, "tools/call", json!({ "name": "ask" }))).stream();
    refuse_question(&rig, &session, &stream);
    let told = rig.wait_for(0, r#""id":"q1/"#);
    let error = r#""error":{"code":-1,"message":"nobody is here","data":{"big":12345678901234567890}}"#;
    assert!(told.contains(error), "{told}");
}

/// MRTR has no errors in place of answers: the call ends.
#[test]
fn a_call_of_a_modern_peer_ends_with_its_clients_error() {
    fn asks(message: &Value) -> Vec<String> {
        if message["method"] != "tools/call" {
            return modern_peer(message);
        }
        let params = json!({ "message": "?", "requestedSchema": { "type": "object" } });
        let asked = json!({ "q": { "method": "elicitation/create", "params": params } });
        let result = json!({ "resultType": "input_required", "inputRequests": asked });
        vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string()]
    }
    let rig = rig(asks);
    let session = rig.session_as(1);
    let stream = rig.send(legacy(&session, "tools/call", json!({ "name": "t" }))).stream();
    refuse_question(&rig, &session, &stream);
    let last = next(&stream).unwrap();
    assert!(last.contains("The client answered with an error: nobody is here"), "{last}");
    until(|| rig.bridge.instances.settings.pool.questions.held() == 0);
}

/// A client is never asked for its directories or to visit a URL, nor in methods that nobody knows.
#[test]
fn a_question_that_is_never_passed_on_is_an_unknown_method() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let _stream = rig.send(legacy(&session, "tools/call", json!({ "name": "hang" }))).stream();
    for (id, method, params) in [
        ("r", "roots/list", json!({})),
        ("u", "elicitation/create", json!({ "mode": "url", "url": "https://a.example", "message": "?" })),
        ("n", "mallory/ask", json!({})),
    ] {
        rig.peer(0)
            .say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        let told = rig.wait_for(0, &format!(r#""id":"{id}""#));
        assert!(told.contains("-32601"), "{told}");
    }
}
