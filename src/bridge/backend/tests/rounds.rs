//! Peers of 2026-07-28 that ask (MRTR), and clients of both eras.

use super::rig::{modern_peer, rig_at_upstream};
use serde_json::value::to_raw_value;

use super::*;
use crate::base::clock;
use crate::bridge::rounds;
use crate::mcp::Capability;

/// Asks two questions, and repeats unanswered ones. The result repeats what arrived.
fn asking(message: &Value) -> Vec<String> {
    let params = &message["params"];
    let asked = |keys: &[&str], state: Option<&str>| {
        let question = |method: &str| json!({ "method": method, "params": { "message": "?", "requestedSchema": { "type": "object" } } });
        let method = |key: &str| {
            if key == "dirs" {
                "roots/list"
            } else if key == "model" {
                "sampling/createMessage"
            } else {
                "elicitation/create"
            }
        };
        let questions: serde_json::Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), question(method(key)))).collect();
        let mut result = json!({ "resultType": "input_required" });
        if !questions.is_empty() {
            result["inputRequests"] = questions.into();
        }
        if let Some(state) = state {
            result["requestState"] = state.into();
        }
        vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string()]
    };
    let answers = &params["inputResponses"];
    match params["name"].as_str().filter(|_| message["method"] == "tools/call") {
        Some("two") if answers["a"].is_null() => asked(&["a", "b"], Some("s1")),
        Some("two") if answers["b"].is_null() => asked(&["b"], None),
        Some("two") | Some("later") if !answers.is_null() || params["requestState"] == "later" => {
            let came = json!({ "resultType": "complete", "content": [], "answers": answers, "state": params["requestState"], "meta": params["_meta"] });
            vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": came }).to_string()]
        }
        Some("later") => asked(&[], Some("later")),
        Some("nothing") => asked(&[], None),
        Some("endless") => asked(&["a"], Some("s")),
        Some("many") => {
            let keys = (0..params["arguments"]["count"].as_u64().unwrap()).map(|key| key.to_string());
            asked(&keys.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>(), None)
        }
        Some("long") => asked(&["a"], Some(&"s".repeat(limits::STREAM_BYTES))),
        Some("roots") => asked(&["dirs"], None),
        Some("sample") => asked(&["model"], None),
        Some("quiet") => vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "content": [], "meta": params["_meta"] } }).to_string()],
        _ => modern_peer(message),
    }
}

fn call(rig: &Rig, request: Request) -> Value {
    rig.send(request).json()
}

/// The round that answers `asked`.
fn round(tool: &str, asked: &Value, answers: Value) -> Request {
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let state = &asked["requestState"];
    modern("tools/call", json!({ "name": tool, "inputResponses": answers, "requestState": state }))
}

/// The peer's state is sealed on its way, questions and answers are unchanged; a repeated question is passed on again.
#[test]
fn rounds_of_a_modern_peer_are_passed_to_a_modern_client() {
    let rig = rig(asking);
    let accept = json!({ "action": "accept", "content": { "n": 1 } });
    let asked = call(&rig, modern("tools/call", json!({ "name": "two" })))["result"].clone();
    assert_eq!(asked["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(asked["inputRequests"]["a"]["method"], "elicitation/create");
    assert!(asked["requestState"].as_str().unwrap().starts_with("mcp_state_"), "{asked}");
    let again = call(&rig, round("two", &asked, json!({ "a": accept })))["result"].clone();
    assert_eq!(again["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    assert!(rig.peer(0).sent().last().unwrap().contains(r#""requestState":"s1""#));
    let result = call(&rig, round("two", &again, json!({ "a": accept, "b": accept })))["result"].clone();
    assert_eq!(result["answers"], json!({ "a": accept, "b": accept }));
    assert_eq!(result["state"], Value::Null, "the peer gave none in its last round");
}

/// A state is valid for its own person, tool and server only, and the peer sees no other.
#[test]
fn a_request_state_of_another_user_does_not_reach_the_peer() {
    let rig = rig(asking);
    let asked = call(&rig, modern("tools/call", json!({ "name": "two" })))["result"].clone();
    rig.peer(0).sent();
    let others = rig.send_as(2, round("two", &asked, json!({}))).json();
    let forged = call(&rig, modern("tools/call", json!({ "name": "two", "requestState": "s1" })));
    let moved = call(&rig, round("later", &asked, json!({})));
    for refused in [others, forged, moved] {
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    assert_eq!(rig.peer(0).sent(), Vec::<String>::new());
}

#[test]
fn a_request_state_without_input_requests_is_forwarded() {
    let rig = rig(asking);
    let asked = call(&rig, modern("tools/call", json!({ "name": "later" })))["result"].clone();
    assert_eq!(asked.get("inputRequests"), None);
    let result = call(&rig, round("later", &asked, json!({})))["result"].clone();
    assert_eq!(result["state"], "later");
}

/// A client that waits is asked on the call's stream, and the peer is called again.
#[test]
fn a_legacy_client_is_asked_on_the_calls_stream() {
    let rig = rig(asking);
    let session = rig.session_as(1);
    let stream = rig.send(legacy(&session, "tools/call", json!({ "name": "two" }))).stream();
    for n in [1, 2] {
        let question: Value = serde_json::from_str(&next(&stream).unwrap()).unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": { "n": n } } });
        assert_eq!(rig.send(post(&answer).with("Mcp-Session-Id", &session)).status, 202);
    }
    let result: Value = serde_json::from_str(&next(&stream).unwrap()).unwrap();
    assert_eq!(result["result"]["answers"]["b"]["content"], json!({ "n": 2 }), "{result}");
    assert_eq!(result["result"]["state"], "s1");
    assert_eq!(
        rig.send(legacy(&session, "tools/call", json!({ "name": "later" }))).json()["result"]["state"],
        "later"
    );
    let error =
        rig.send(legacy(&session, "tools/call", json!({ "name": "nothing" }))).json()["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("no result"), "{error}");
}

/// The rounds of a client that waits are limited.
#[test]
fn the_number_of_questions_per_call_is_bounded() {
    let rig = rig(asking);
    let session = rig.session_as(1);
    let stream = rig.send(legacy(&session, "tools/call", json!({ "name": "endless" }))).stream();
    for _ in 0..limits::bridge::ROUNDS {
        let question: Value = serde_json::from_str(&next(&stream).unwrap()).unwrap();
        let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "cancel" } });
        assert_eq!(rig.send(post(&answer).with("Mcp-Session-Id", &session)).status, 202);
    }
    assert!(next(&stream).unwrap().contains("asks too much"));
}

/// Questions at once are bounded for clients of both eras, however long the list is.
#[test]
fn a_peer_that_asks_much_at_once_is_given_up() {
    let rig = rig(asking);
    let session = rig.session_as(1);
    let much = |count: usize| json!({ "name": "many", "arguments": { "count": count } });
    let questions = limits::bridge::QUESTIONS;
    let asked = call(&rig, modern("tools/call", much(questions)))["result"].clone();
    assert_eq!(asked["inputRequests"].as_object().unwrap().len(), questions);
    for count in [questions + 1, 2000] {
        for request in [modern("tools/call", much(count)), legacy(&session, "tools/call", much(count))] {
            let error = call(&rig, request)["error"].clone();
            assert!(error["message"].as_str().unwrap().contains("asks too much"), "{error}");
        }
    }
}

/// P3: questions and state are kept while a client of an older version is asked.
#[test]
fn a_peer_that_asks_at_length_is_given_up() {
    let rig = rig(asking);
    let session = rig.session_as(1);
    let long = json!({ "name": "long" });
    for request in [modern("tools/call", long.clone()), legacy(&session, "tools/call", long)] {
        let error = call(&rig, request)["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("asks too much"), "{error}");
    }
}

/// A client is asked only in accordance with its declared capabilities, and never for `roots`.
#[test]
fn a_question_that_cannot_be_passed_is_a_missing_capability() {
    let rig = rig(asking);
    for (tool, capability) in [("roots", "roots"), ("sample", "sampling")] {
        let error = call(&rig, modern("tools/call", json!({ "name": tool })))["error"].clone();
        assert_eq!(error["code"], -32021, "{error}");
        assert_eq!(error["data"], json!({ "requiredCapabilities": { capability: {} } }));
    }
    let session = rig.session_as(1);
    let error = rig.send(legacy(&session, "tools/call", json!({ "name": "sample" }))).json()["error"].clone();
    assert_eq!(error["message"], "The client does not support sampling");
}

/// Sampling, "Tools in Sampling": a peer of either era may use tools only if the client has declared that.
#[test]
fn a_question_with_tools_needs_a_client_that_takes_them() {
    const SAMPLE: &str = "sampling/createMessage";
    let table = [
        (json!({ "messages": [], "tools": null }), Capability::Sampling),
        (json!({ "tools": [] }), Capability::SamplingTools),
        (json!({ "toolChoice": {} }), Capability::SamplingTools),
    ];
    for (params, needed) in table {
        assert_eq!(rounds::capability(SAMPLE, &to_raw_value(&params).unwrap()), Some(needed), "{params}");
        let asked = json!({ "inputRequests": { "q": { "method": SAMPLE, "params": params } } }).to_string();
        let asked = serde_json::from_str(&asked).unwrap();
        let is_passed = |sampling: Value| {
            let client = serde_json::from_value(json!({ "sampling": sampling })).unwrap();
            rounds::questions(&asked, &client).is_ok()
        };
        assert!(is_passed(json!({ "tools": {} })));
        assert_eq!(is_passed(json!({})), needed == Capability::Sampling, "{params}");
    }
}

/// A client of 2026-07-28 that has read the list mirrors arguments in headers; tools that it has not read are not checked.
#[test]
fn mirrored_arguments_are_checked_by_the_list_that_the_client_has_read() {
    fn script(message: &Value) -> Vec<String> {
        let tools = json!([{ "name": "quiet", "inputSchema": { "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } } }]);
        match message["method"].as_str() {
            Some("tools/list") => {
                vec![json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "tools": tools, "nextCursor": "endless" } }).to_string()]
            }
            _ => asking(message),
        }
    }
    let rig = rig(script);
    let code = |header: Option<&str>| {
        let request = modern("tools/call", json!({ "name": "quiet", "arguments": { "region": "grüße" } }));
        let request = match header {
            Some(value) => request.with("Mcp-Param-Region", value),
            None => request,
        };
        call(&rig, request)["error"]["code"].as_i64()
    };
    assert_eq!(code(Some("eu")), None);
    rig.send(modern("tools/list", json!({}))).last();
    assert_eq!(code(Some("eu")), Some(-32020));
    assert_eq!(code(None), Some(-32020));
    assert_eq!(code(Some("=?base64?Z3LDvMOfZQ==?=")), None);
    assert_eq!(rig.peer(0).sent().iter().filter(|sent| sent.contains("tools/list")).count(), 1);
}

/// The peer gets the client's capabilities and log level with each call.
#[test]
fn a_modern_peer_is_told_of_the_client_with_each_call() {
    let rig = rig(asking);
    let session = rig.session_as(1);
    let told = |answer: Answer| {
        let meta = answer.json()["result"]["meta"].clone();
        (
            meta["io.modelcontextprotocol/clientCapabilities"].clone(),
            meta["io.modelcontextprotocol/logLevel"].clone(),
        )
    };
    let quiet = || json!({ "name": "quiet" });
    assert_eq!(told(rig.send(modern("tools/call", quiet()))), (json!({ "elicitation": {} }), json!("info")));
    assert_eq!(
        told(rig.send(legacy(&session, "tools/call", quiet()))),
        (json!({ "elicitation": {} }), json!("info"))
    );
    rig.send(legacy(&session, "logging/setLevel", json!({ "level": "error" }))).last();
    assert_eq!(told(rig.send(legacy(&session, "tools/call", quiet()))).1, json!("error"));
}

/// The capabilities that were sent to each peer in its handshake.
fn begun(rig: &Rig) -> Vec<Vec<String>> {
    let method =
        |text: &String| serde_json::from_str::<Value>(text).unwrap()["method"].as_str().map(str::to_owned);
    let is_handshake = |method: &String| matches!(&**method, "initialize" | "server/discover");
    let of_peer = |index| rig.peer(index).sent().iter().filter_map(method).filter(is_handshake).collect();
    let peers = rig.peers.all.lock().len();
    (0..peers).map(of_peer).collect()
}

/// If the peer supports both eras, each client gets its own; an era that was refused is not tried again.
#[test]
fn an_upstream_is_begun_in_the_era_of_its_client() {
    fn both(message: &Value) -> Vec<String> {
        if message["method"] == "server/discover" { modern_peer(message) } else { usual(message) }
    }
    let list = |rig: &Rig, user: u64| {
        let session = rig.session_as(user);
        rig.send_as(user, legacy(&session, "tools/list", json!({}))).last();
        rig.send_as(user, modern("tools/list", json!({}))).last();
    };
    let steps = |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>();
    let rig = rig_at_upstream(both);
    list(&rig, 1);
    assert_eq!(begun(&rig), [steps(&["initialize"]), steps(&["server/discover"])]);
    fn old(message: &Value) -> Vec<String> {
        if message["method"] != "server/discover" {
            return usual(message);
        }
        vec![
            json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": -32601, "message": "no" } })
                .to_string(),
        ]
    }
    let rig = rig_at_upstream(old);
    list(&rig, 1);
    list(&rig, 2);
    let refused = steps(&["server/discover", "initialize"]);
    assert_eq!(begun(&rig), [steps(&["initialize"]), refused, steps(&["initialize"])], "remembered");
    let rig = rig_at_upstream(old);
    for _ in 0..2 {
        rig.send_as(1, modern("tools/list", json!({}))).last();
    }
    let refused = steps(&["server/discover", "initialize"]);
    assert_eq!(begun(&rig), [refused], "the client that was first stays in its session");
    let rig = rig_at_upstream(asking);
    list(&rig, 1);
    assert_eq!(begun(&rig), [steps(&["initialize", "server/discover"])], "both clients share it");
}

/// An internal error, as of an upstream that is overloaded, is no refusal: the next start tries that era again.
#[test]
fn a_passing_failure_does_not_decide_the_era() {
    fn failing(era: &str, message: &Value, other: fn(&Value) -> Vec<String>) -> Vec<String> {
        if message["method"] != era {
            return other(message);
        }
        let error = json!({ "code": -32603, "message": "it failed (status 503)" });
        vec![json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }).to_string()]
    }
    let steps = |steps: [&str; 2]| steps.map(str::to_owned).to_vec();
    let rig = rig_at_upstream(|message| failing("server/discover", message, usual));
    [1, 2].iter().for_each(|user| drop(rig.send_as(*user, modern("tools/list", json!({}))).last()));
    assert_eq!(begun(&rig), [0; 2].map(|_| steps(["server/discover", "initialize"])));
    let rig = rig_at_upstream(|message| failing("initialize", message, modern_peer));
    [1, 2].iter().for_each(|user| drop(rig.session_as(*user)));
    assert_eq!(begun(&rig), [0; 2].map(|_| steps(["initialize", "server/discover"])));
}

#[test]
fn a_modern_program_is_started_with_server_discover_the_next_time() {
    let rig = rig(asking);
    [1, 2].iter().for_each(|user| drop(rig.session_as(*user)));
    let sent = begun(&rig);
    assert_eq!((sent[0].len(), &*sent[1]), (2, &["server/discover".to_owned()][..]));
}

/// Each request of a client has its own progress token.
#[test]
fn progress_after_an_answer_has_the_token_of_the_request_that_brought_it() {
    let rig = rig(usual);
    let ask = |more: Value| {
        let mut params = json!({ "name": "ask_report", "token": "first" });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rig.send(modern("tools/call", params)).messages()
    };
    let asked: Value = serde_json::from_str(&ask(json!({}))[0]).unwrap();
    let state = &asked["result"]["requestState"];
    let answers = json!({ "question-0": { "action": "accept" } });
    let messages = ask(json!({ "token": "second", "requestState": state, "inputResponses": answers }));
    let report = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.10,"progressToken":"second"}}"#;
    assert!(messages.contains(&report.to_owned()), "{messages:?}");
}

/// M17: the memory of a message is accounted for as long as its text is kept: while the answer streams, and while the call is parked.
#[test]
fn a_call_holds_the_share_of_its_request_until_it_is_over() {
    let rig = rig(usual);
    let begin = |name: &str| {
        let (share, (mut responder, waiter)) = (Arc::new(()), Responder::pair());
        responder.held = Some(Arc::clone(&share) as _);
        let call = modern("tools/call", json!({ "name": name }));
        let rest = rig.mcp.handle(call, principal(1), responder);
        rest.into_iter().for_each(|rest| rest());
        (share, waiter)
    };
    let held = |share: &Arc<()>| Arc::strong_count(share) > 1;
    let (streaming, waiter) = begin("hang");
    waiter.run_slow_hook();
    let _stream = waiter.wait(clock::instant() + limits::ASK).expect("its head");
    let (parked, waiter) = begin("ask");
    waiter.wait(clock::instant() + limits::ASK).expect("the question");
    until(|| rig.mcp.counts().calls == 1);
    assert!(held(&streaming) && held(&parked));
    rig.mcp.end_grant(principal(1).grant, None);
    until(|| !held(&streaming) && !held(&parked));
}
