//! The bridge behind the MCP endpoint: clients of both eras in front, a scripted peer behind.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::base::fake::principal;
use crate::http::{Request, Responder, Stream};

mod access;
mod interests;
mod isolation;
mod refusals;
mod rig;
mod rounds;

use self::rig::{Answer, Rig, legacy, modern, modern_peer, next, post, rig, until, usual};

#[test]
fn a_client_sees_the_peers_own_description() {
    let rig = rig(usual);
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let result = rig
        .send(post(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })))
        .json()["result"]
        .clone();
    assert_eq!(result["serverInfo"], json!({ "name": "peer", "version": "7", "x": 1.0 }));
    assert_eq!(result["instructions"], "Be gentle.");
    assert_eq!(
        result["capabilities"],
        json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true }, "completions": {}, "logging": {} })
    );
    let discovered = rig.send(modern("server/discover", json!({}))).json()["result"].clone();
    assert_eq!(
        (&discovered["instructions"], &discovered["capabilities"]["tools"]),
        (&json!("Be gentle."), &json!({ "listChanged": true }))
    );
    assert_eq!(
        rig.send(modern("prompts/list", json!({}))).json()["error"]["code"],
        -32601,
        "the peer has none"
    );
    assert_eq!(rig.peers.all.lock().len(), 1);
}

/// Byte for byte: big integers, floats, order, escapes, unknown members, in results and in errors, in both eras.
#[test]
fn answers_pass_as_they_are() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let call = |name: &str| json!({ "name": name, "arguments": {} });
    assert_eq!(
        rig.send(legacy(&session, "tools/call", call("numbers"))).last(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"z":18446744073709551615,"content":[{"type":"text","text":"\u00e4\/"}],"a":1.10e+2,"isError":true}}"#
    );
    let modern_answer = rig.send(modern("tools/call", call("numbers"))).last();
    for part in [
        r#""z":18446744073709551615,"content":[{"type":"text","text":"\u00e4\/"}],"a":1.10e+2"#,
        r#""resultType":"complete""#,
    ] {
        assert!(modern_answer.contains(part), "{modern_answer}");
    }
    let error = r#""error":{"code":-5,"message":"no","data":[9007199254740993,1.10]}"#;
    assert!(rig.send(legacy(&session, "tools/call", call("refuse"))).last().contains(error));
    assert!(rig.send(modern("tools/call", call("refuse"))).last().contains(error));
    let list = rig.send(legacy(&session, "tools/list", json!({ "cursor": "c" }))).last();
    assert!(
        list.contains(
            r#"{"tools":[{"name":"any", "inputSchema":{"type":"object","z":1.10}}],"nextCursor":"opaque"}"#
        ),
        "{list}"
    );
    assert!(rig.peer(0).sent().iter().any(|sent| sent.contains(r#""params":{"cursor":"c"}"#)));
}

#[test]
fn a_resource_that_is_not_there_is_said_in_the_words_of_each_era() {
    for script in [usual as rig::Script, modern_peer] {
        let rig = rig(script);
        let session = rig.session_as(1);
        let read = json!({ "uri": "x://y" });
        let error = rig.send(legacy(&session, "resources/read", read.clone())).json()["error"].clone();
        assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(-32002), &json!("x://y")));
        let error = rig.send(modern("resources/read", read)).json()["error"].clone();
        assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(-32602), &json!("x://y")));
    }
}

#[test]
fn progress_and_log_messages_come_on_the_calls_stream() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let params = json!({ "name": "report", "_meta": { "progressToken": "mine" } });
    let messages = rig.send(legacy(&session, "tools/call", params)).messages();
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":9007199254740993,"progressToken":"mine"}}"#;
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","logger":"l","data":1.10}}"#;
    assert!(messages.iter().any(|message| message == progress), "{messages:?}");
    assert!(messages.iter().any(|message| message == log), "{messages:?}");
    assert!(messages.last().unwrap().contains("reported"));
    let messages = rig.send(modern("tools/call", json!({ "name": "report", "token": "mine" }))).messages();
    assert!(messages.contains(&progress.to_owned()) && messages.contains(&log.to_owned()), "{messages:?}");
    assert!(!messages.iter().any(|message| message.contains("debug")), "below the level of the request");
}

#[test]
fn a_question_is_asked_on_the_calls_stream_of_a_legacy_client() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let stream = rig.send(legacy(&session, "tools/call", json!({ "name": "ask" }))).stream();
    let question: Value = loop {
        let message: Value = serde_json::from_str(&next(&stream).unwrap()).unwrap();
        if message["method"] == "elicitation/create" {
            break message;
        }
    };
    assert_eq!(question["params"]["message"], "Who?");
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": { "n": 1.5 } } });
    assert_eq!(rig.send(post(&answer).with("Mcp-Session-Id", &session)).status, 202);
    let told = rig.wait_for(0, r#""id":"q1/"#);
    assert!(told.contains(r#""result":{"action":"accept","content":{"n":1.5}}"#), "{told}");
}

/// A question that cannot be passed on is answered with an error at once.
#[test]
fn a_question_that_cannot_be_asked_is_refused() {
    let rig = rig(usual);
    let (responder, _waiter) = Responder::pair();
    rig.session_as(1);
    let rest = rig.mcp.handle(modern("tools/call", json!({ "name": "sample" })), principal(1), responder);
    rest.into_iter().for_each(|rest| rest());
    assert!(rig.wait_for(0, r#""id":"s1""#).contains("The client does not support sampling"));
}

/// The round of MRTR that answers `asked`, the result of an earlier one, with these answers.
fn next_round(tool: &str, asked: &Value, answers: &[(&str, Value)]) -> Request {
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let responses: Value = answers.iter().map(|(key, answer)| ((*key).to_owned(), answer.clone())).collect();
    modern(
        "tools/call",
        json!({ "name": tool, "inputResponses": responses, "requestState": asked["requestState"] }),
    )
}

/// The question of a peer without MRTR becomes `input_required`, and the next request brings the answer.
#[test]
fn a_question_becomes_input_required_for_a_modern_client() {
    let rig = rig(usual);
    let call = |request: Request| rig.send(request).json()["result"].clone();
    let asked = call(modern("tools/call", json!({ "name": "ask" })));
    assert_eq!(asked["inputRequests"]["question-0"]["method"], "elicitation/create", "{asked}");
    assert_eq!(asked["inputRequests"]["question-0"]["params"]["message"], "Who?");
    let again = call(next_round("ask", &asked, &[]));
    assert_eq!(again["inputRequests"], asked["inputRequests"], "what was not answered is asked again");
    let answer = json!({ "action": "accept", "content": { "n": 1.5 } });
    let result = call(next_round("ask", &again, &[("question-0", answer.clone())]));
    assert_eq!((&result["answered"], &result["resultType"]), (&answer, &json!("complete")));
    assert_eq!(
        rig.peer(0).sent().iter().filter(|sent| sent.contains("tools/call")).count(),
        1,
        "the peer was called once"
    );
}

#[test]
fn questions_after_one_another_are_rounds_after_one_another() {
    let rig = rig(usual);
    let call = |request: Request| rig.send(request).json()["result"].clone();
    let first = call(modern("tools/call", json!({ "name": "ask_twice" })));
    let answers = [json!({ "action": "decline" }), json!({ "action": "cancel" })];
    let second = call(next_round("ask_twice", &first, &[("question-0", answers[0].clone())]));
    assert!(second["inputRequests"]["question-1"].is_object(), "{second}");
    let result = call(next_round("ask_twice", &second, &[("question-1", answers[1].clone())]));
    assert_eq!(result["answered"], answers[1]);
}

/// A question during the client's absence waits until it returns.
#[test]
fn questions_at_once_are_rounds_after_one_another() {
    let rig = rig(usual);
    let call = |request: Request| rig.send(request).json()["result"].clone();
    let accept = json!({ "action": "accept" });
    let first = call(modern("tools/call", json!({ "name": "ask_both" })));
    let second = call(next_round("ask_both", &first, &[("question-0", accept.clone())]));
    assert!(second["inputRequests"]["question-1"].is_object(), "{second}");
    let result = call(next_round("ask_both", &second, &[("question-1", accept.clone())]));
    assert_eq!(result["answered"], accept);
}

/// A state is valid once, for its own grant, and while the call waits.
#[test]
fn a_state_that_comes_again_is_refused() {
    let rig = rig(usual);
    let asked = rig.send(modern("tools/call", json!({ "name": "ask" }))).json()["result"].clone();
    let answer = [("question-0", json!({ "action": "accept" }))];
    let round = || next_round("ask", &asked, &answer);
    assert!(rig.send_as(2, round()).json()["error"].is_object(), "another person's");
    assert!(rig.send(round()).json()["result"].is_object());
    let again = rig.send(round()).json()["error"].clone();
    assert!(again["message"].as_str().unwrap().contains("answered already"), "{again}");
}

/// An answer of the peer during the client's absence is delivered when it returns.
#[test]
fn a_peer_that_dies_while_it_waits_for_an_answer_is_told_to_the_next_round() {
    let rig = rig(usual);
    let asked = rig.send(modern("tools/call", json!({ "name": "ask" }))).json()["result"].clone();
    rig.peer(0).die();
    let error = rig.send(next_round("ask", &asked, &[("question-0", json!({ "action": "accept" }))])).json()
        ["error"]
        .clone();
    assert!(error["message"].as_str().unwrap().contains("killed by signal 9"), "{error}");
}

/// The result of a call that is answered by a stream with a question, and the stream, which its client still reads.
fn asked_on_a_stream(rig: &Rig, tool: &str) -> (Value, Stream) {
    let stream = rig.send(modern("tools/call", json!({ "name": tool }))).stream();
    assert!(next(&stream).unwrap().contains("started"));
    let asked: Value = serde_json::from_str(&next(&stream).unwrap()).unwrap();
    (asked["result"].clone(), stream)
}

/// The door drops the stream that brought the question: this does not count as a disconnected client.
#[test]
fn a_question_at_the_end_of_a_stream_waits_for_its_answer() {
    let rig = rig(usual);
    let (asked, stream) = asked_on_a_stream(&rig, "log_ask");
    assert_eq!(next(&stream), None);
    drop(stream);
    let answer = json!({ "action": "accept" });
    let result = rig.send(next_round("log_ask", &asked, &[("question-0", answer.clone())])).json();
    assert_eq!(result["result"]["answered"], answer, "{result}");
    assert!(!rig.peer(0).sent().iter().any(|sent| sent.contains("cancelled")));
}

/// The end of a request that has been followed by another cancels nothing; the end of the follower does.
#[test]
fn a_call_is_cancelled_by_its_latest_request_only() {
    let rig = rig(usual);
    let (asked, first) = asked_on_a_stream(&rig, "log_ask_log");
    let round = next_round("log_ask_log", &asked, &[("question-0", json!({ "action": "accept" }))]);
    let second = rig.send(round).stream();
    assert!(next(&second).unwrap().contains("started"));
    drop(first);
    assert!(!rig.peer(0).sent.lock().iter().any(|sent| sent.contains("cancelled")));
    drop(second);
    rig.wait_for(0, "notifications/cancelled");
}

/// A person's maximum of open questions leaves room for the requests that bring the answers.
#[test]
fn calls_waiting_for_input_do_not_count_against_the_call_limit() {
    let rig = rig(usual);
    let ask = || rig.send(modern("tools/call", json!({ "name": "ask" }))).json()["result"].clone();
    let asked: Vec<Value> = (0..limits::CALLS_PER_USER).map(|_| ask()).collect();
    until(|| rig.mcp.counts().calls == 0);
    let answer = json!({ "action": "accept" });
    let result = rig.send(next_round("ask", &asked[0], &[("question-0", answer.clone())])).json();
    assert_eq!(result["result"]["answered"], answer, "{result}");
}

#[test]
fn the_end_of_a_grant_ends_its_parked_calls() {
    let rig = rig(usual);
    let ask = || rig.send(modern("tools/call", json!({ "name": "ask" }))).json()["result"].clone();
    let asked: Vec<Value> = (0..limits::bridge::QUESTIONS_WAITING.0).map(|_| ask()).collect();
    assert!(asked.iter().all(|asked| asked["resultType"] == "input_required"), "{asked:?}");
    rig.mcp.end_grant(principal(1).grant, None);
    let late = rig.send(next_round("ask", &asked[0], &[("question-0", json!({ "action": "accept" }))]));
    assert!(late.last().contains("nobody waits"));
    // The places of the questions are free again.
    until(|| ask()["resultType"] == "input_required");
}

#[test]
fn the_end_of_the_server_ends_parked_calls() {
    let rig = rig(usual);
    let asked = rig.send(modern("tools/call", json!({ "name": "ask" }))).json()["result"].clone();
    rig.mcp.close();
    rig.wait_for(0, "The client did not answer");
    let late = rig.send(next_round("ask", &asked, &[("question-0", json!({ "action": "accept" }))]));
    assert!(late.last().contains("nobody waits"));
}

/// The places of a changed server's parked calls are free at once, not after the time for an answer.
#[test]
fn the_end_of_a_servers_description_ends_parked_calls() {
    let rig = rig(usual);
    let asked = rig.send(modern("tools/call", json!({ "name": "ask" }))).json()["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    rig.bridge.instances.retire();
    until(|| rig.bridge.instances.settings.pool.questions.held() == 0);
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_peer() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let stream = rig.send(legacy(&session, "tools/call", json!({ "name": "hang" }))).stream();
    let sent = rig.wait_for(0, r#""name":"hang""#);
    let id = serde_json::from_str::<Value>(&sent).unwrap()["id"].clone();
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    assert_eq!(rig.send(post(&cancelled).with("Mcp-Session-Id", &session)).status, 202);
    assert!(rig.wait_for(0, "notifications/cancelled").contains(&format!(r#""requestId":{id}"#)));
    let rest: Vec<String> = std::iter::from_fn(|| next(&stream)).collect();
    assert!(rest.len() == 1 && rest[0].contains("started"), "no response: {rest:?}");
}

#[test]
fn a_dead_peer_fails_its_calls_and_the_next_call_starts_another() {
    let rig = rig(usual);
    let session = rig.session_as(1);
    let stream = rig.send(legacy(&session, "tools/call", json!({ "name": "hang" }))).stream();
    rig.wait_for(0, r#""name":"hang""#);
    rig.peer(0).die();
    let last = std::iter::from_fn(|| next(&stream)).last().unwrap();
    assert!(last.contains("it was killed by signal 9. The next call starts it again"), "{last}");
    assert!(
        rig.send(legacy(&session, "tools/call", json!({ "name": "report" }))).last().contains("reported")
    );
    assert_eq!(rig.peers.all.lock().len(), 2);
}

#[test]
fn an_answer_that_cannot_be_forwarded_fails_only_its_call() {
    let rig = rig(usual);
    let call = |name: &str| {
        rig.send(modern("tools/call", json!({ "name": name }))).json()["error"]["message"].clone()
    };
    assert_eq!(call("large"), "The result is too large to be sent");
    assert_eq!(call("nonsense"), "The server \"test\" answered with no result");
    assert_eq!(rig.peers.all.lock().len(), 1);
}

/// P2: equal ids of two persons never collide; each person has a peer of their own.
#[test]
fn two_persons_have_two_peers_and_hear_of_their_own_changes() {
    let rig = rig(usual);
    let sessions = [1, 2].map(|user| rig.session_as(user));
    let get = |user: u64, session: &str| {
        let request = crate::http::fake::request("GET", "/mcp").with("Accept", "text/event-stream");
        rig.send_as(user, request.with("Mcp-Session-Id", session)).stream()
    };
    for (user, session) in [(1, &sessions[0]), (2, &sessions[1])] {
        rig.send_as(user, legacy(session, "tools/list", json!({}))).last();
    }
    let streams = [get(1, &sessions[0]), get(2, &sessions[1])];
    rig.peer(1).say(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    assert_eq!(
        next(&streams[1]).as_deref(),
        Some(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)
    );
    rig.mcp.close();
    assert_eq!(next(&streams[0]), None, "the other hears nothing");
}

#[test]
fn a_revoked_grant_ends_its_peer() {
    let rig = rig(usual);
    rig.session_as(1);
    let grant = principal(1).grant;
    assert!(rig.mcp.grants().contains(&grant));
    rig.mcp.end_grant(grant, None);
    assert!(*rig.peer(0).has_ended.lock());
}

/// A call that waits for a start ends with its grant, and starts nothing more.
#[test]
fn nothing_is_started_for_a_revoked_grant() {
    fn starts_once(message: &Value) -> Vec<String> {
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        let is_start = message["method"] == "initialize" && STARTS.fetch_add(1, Ordering::SeqCst) > 0;
        if is_start { Vec::new() } else { usual(message) }
    }
    let rig = rig(starts_once);
    let session = rig.session_as(1);
    rig.peer(0).die();
    let (responder, _waiter) = Responder::pair();
    let call = legacy(&session, "tools/call", json!({ "name": "report" }));
    rig.mcp.handle(call, principal(1), responder).into_iter().for_each(|rest| rest());
    assert_eq!(rig.peers.all.lock().len(), 2);
    rig.mcp.end_grant(principal(1).grant, None);
    assert!(*rig.peer(1).has_ended.lock());
    assert_eq!(rig.peers.all.lock().len(), 2);
    assert_eq!(rig.mcp.counts().calls, 0);
}

#[test]
fn a_peer_that_does_not_start_is_said_in_words() {
    let rig = rig(|_| Vec::new());
    let waiting = std::thread::spawn({
        let peers = rig.peers.clone();
        move || {
            while peers.all.lock().is_empty() {
                std::thread::yield_now();
            }
            let peer = Arc::clone(&peers.all.lock()[0]);
            peer.die();
        }
    });
    let error = rig.send(modern("server/discover", json!({}))).json()["error"]["message"].clone();
    assert_eq!(
        error,
        "The server \"test\" is not available: it did not answer initialize: it was killed by signal 9"
    );
    waiting.join().unwrap();
}

/// A peer of 2026-07-28: the members that its era adds to a result are replaced by those of our era, but for the lifetime of a list.
#[test]
fn a_modern_peer_serves_both_eras() {
    let rig = rig(modern_peer);
    let session = rig.session_as(1);
    let result = rig.send(legacy(&session, "tools/call", json!({ "name": "t" }))).json()["result"].clone();
    assert_eq!(result, json!({ "version": "2026-07-28", "content": [] }));
    let result = rig.send(modern("tools/call", json!({ "name": "t" }))).json()["result"].clone();
    assert_eq!((&result["version"], &result["resultType"]), (&json!("2026-07-28"), &json!("complete")));
    assert!(result["cacheScope"] != "public");
    let ttl = |rig: &Rig| rig.send(modern("tools/list", json!({}))).json()["result"]["ttlMs"].clone();
    assert_eq!([ttl(&rig), ttl(&rig::rig(usual))], [json!(5), json!(0)]);
}

/// A program of an older version writes members of 2026-07-28: no client of that version gets them twice.
#[test]
fn result_members_are_not_duplicated() {
    let rig = rig(usual);
    let call = json!({ "name": "from_2026", "arguments": {} });
    let answer = rig.send(modern("tools/call", call)).last();
    for (member, times) in [("resultType", 1), ("ttlMs", 0), ("cacheScope", 0), ("ttl", 1)] {
        assert_eq!(answer.matches(&format!("\"{member}\":")).count(), times, "{member}: {answer}");
    }
    assert!(answer.contains(r#""resultType":"complete""#) && answer.contains(r#""ttl":1.10"#), "{answer}");
}

/// L2: the log names tools in the server's spelling, and nothing that a client made up.
#[test]
fn only_listed_names_are_logged() {
    let rig = rig(usual);
    let known = |caller: &Principal, operation, name: &str| {
        rig.bridge.known(caller, operation, name).map(Cow::into_owned)
    };
    let (reader, other) = (principal(1), principal(2));
    assert_eq!(known(&reader, Operation::CallTool, "any"), None);
    rig.send(modern("tools/list", json!({}))).last();
    assert_eq!(known(&reader, Operation::CallTool, "any").as_deref(), Some("any"));
    assert_eq!(known(&reader, Operation::GetPrompt, "any"), None);
    assert_eq!(known(&reader, Operation::CallTool, "canary"), None);
    assert_eq!(known(&other, Operation::CallTool, "any"), None, "their program may list other tools");
}
