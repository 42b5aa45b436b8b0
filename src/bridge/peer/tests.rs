use serde_json::{Value, json};

use super::*;
use crate::bridge::fake::{FakeRequester, FakeTransport, Nobody, raw, receive};

/// A peer whose transport records the messages.
fn peer() -> (Arc<Peer>, Arc<FakeTransport>) {
    let (peer, transport) = (Peer::new(), Arc::new(FakeTransport::default()));
    peer.connect(Arc::clone(&transport) as Arc<dyn Transport>);
    (peer, transport)
}

fn call(peer: &Peer, params: &str, waiter: &Arc<FakeRequester>) -> u64 {
    peer.request(
        "tools/call",
        &serde_json::from_str(params).unwrap(),
        Arc::clone(waiter) as Arc<dyn Requester>,
    )
    .unwrap()
}

#[test]
fn requests_get_own_ids_and_results_are_forwarded_verbatim() {
    let (peer, transport) = peer();
    let waiters = [FakeRequester::of(1), FakeRequester::of(1)];
    let ids = [call(&peer, r#"{"a":1.0}"#, &waiters[0]), call(&peer, "{}", &waiters[1])];
    assert_eq!(transport.take()[0], r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":1.0}}"#);
    assert!(receive(
        &peer,
        &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"n":9007199254740993, "f":1.10}}}}"#, ids[1])
    ));
    assert!(receive(
        &peer,
        &format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-1,"data":1.0}}}}"#, ids[0])
    ));
    assert_eq!(waiters[1].take(), [r#"result {"n":9007199254740993, "f":1.10}"#]);
    assert_eq!(waiters[0].take(), [r#"error {"code":-1,"data":1.0}"#]);
    assert_eq!(peer.running(), 0);
}

/// A question of the bridge itself that is not answered takes no place from later requests.
#[test]
fn an_unanswered_question_is_cancelled() {
    let (peer, transport) = peer();
    assert_eq!(peer.ask("tools/list", &Members::default()).unwrap_err(), "no answer in time");
    assert!(peer.state.lock().running.is_empty());
    assert!(transport.take()[1].contains("notifications/cancelled"));
}

/// P3: unknown, forged, repeated and late answers are dropped.
#[test]
fn answers_that_nobody_waits_for_are_dropped() {
    let (peer, transport) = peer();
    let waiter = FakeRequester::of(1);
    let id = call(&peer, "{}", &waiter);
    for forged in ["2", "0", "-1", "\"1\"", "1.0", "null", "18446744073709551616"] {
        assert!(receive(&peer, &format!(r#"{{"jsonrpc":"2.0","id":{forged},"result":{{}}}}"#)));
    }
    assert_eq!((waiter.take(), peer.running()), (vec![], 1));
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    assert!(receive(&peer, &answer) && receive(&peer, &answer));
    assert_eq!(waiter.take(), ["result {}"]);
    let late = call(&peer, "{}", &waiter);
    peer.cancel(late, "nobody waits");
    assert!(receive(&peer, &format!(r#"{{"jsonrpc":"2.0","id":{late},"result":{{}}}}"#)));
    assert_eq!(waiter.take(), Vec::<String>::new());
    let cancelled = transport.take().pop().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&cancelled).unwrap(),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": late, "reason": "nobody waits"}})
    );
    peer.cancel(late, "again");
    assert_eq!(transport.take(), Vec::<String>::new());
}

/// P3: a peer that several clients share may ask on behalf of a cancelled call. Nobody else gets that question.
#[test]
fn a_late_question_reaches_no_other_client() {
    let (peer, transport) = peer();
    let (first, second) = (FakeRequester::of(1), FakeRequester::of(2));
    let cancelled = call(&peer, "{}", &first);
    peer.cancel(cancelled, "nobody waits");
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#;
    let again = call(&peer, "{}", &first);
    assert!(receive(&peer, question) && !first.take().is_empty(), "their own client is asked");
    peer.cancel(again, "nobody waits");
    call(&peer, "{}", &second);
    transport.take();
    assert!(receive(&peer, question));
    assert!(transport.take()[0].contains("calls of several clients"));
    assert_eq!(second.take(), Vec::<String>::new());
}

#[test]
fn progress_reaches_its_request() {
    let (peer, transport) = peer();
    let (first, second, quiet) = (FakeRequester::of(1), FakeRequester::of(2), FakeRequester::of(3));
    let same = r#"{"_meta":{"progressToken":"t"}}"#;
    let (a, b, c) = (call(&peer, same, &first), call(&peer, same, &second), call(&peer, "{}", &quiet));
    assert!(transport.take()[1].ends_with(&format!(r#""params":{{"_meta":{{"progressToken":{b}}}}}}}"#)));
    let report = |token: &str| {
        let text = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":TOKEN,"progress":9007199254740993,"total":1.10}}"#;
        assert!(receive(&peer, &text.replace("TOKEN", token)));
    };
    report(&b.to_string());
    assert_eq!(second.take(), [r#"progress {"progress":9007199254740993,"total":1.10}"#]);
    [c.to_string(), "99".to_owned(), "\"t\"".to_owned(), "null".to_owned()]
        .iter()
        .for_each(|token| report(token));
    assert_eq!((first.take(), second.take(), quiet.take()), (vec![], vec![], vec![]));
    assert!(receive(&peer, &format!(r#"{{"jsonrpc":"2.0","id":{a},"result":{{}}}}"#)));
    report(&a.to_string());
    assert_eq!(first.take(), ["result {}"], "nothing after the answer");
}

/// Log messages and questions name no request: they are passed to a client only if it is unambiguous.
#[test]
fn messages_without_a_request_go_to_the_only_client_with_a_call() {
    let (peer, transport) = peer();
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","logger":"l","data":1.0}}"#;
    let ask = r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{"n":1.0}}"#;
    assert!(receive(&peer, log) && receive(&peer, ask));
    assert!(transport.take().pop().unwrap().contains("no client that can be asked"), "nobody calls");
    let (old, new, other) = (FakeRequester::of(1), FakeRequester::of(1), FakeRequester::of(2));
    call(&peer, "{}", &old);
    call(&peer, "{}", &new);
    transport.take();
    assert!(receive(&peer, log) && receive(&peer, ask));
    assert_eq!(
        new.take(),
        [r#"log {"level":"info","logger":"l","data":1.0}"#, r#"sampling/createMessage {"n":1.0}"#]
    );
    new.question().answer(&raw(r#"{"model":"m", "x":1.0}"#));
    assert_eq!(transport.take(), [r#"{"jsonrpc":"2.0","id":"q","result":{"model":"m", "x":1.0}}"#]);
    call(&peer, "{}", &other);
    transport.take();
    assert!(receive(&peer, log) && receive(&peer, ask));
    assert_eq!((old.take(), new.take(), other.take()), (vec![], vec![], vec![]));
    assert!(transport.take()[0].contains("-32603"), "it is unclear whom to ask");
}

#[test]
fn every_request_of_a_peer_is_answered() {
    let (peer, transport) = peer();
    let waiter = FakeRequester::of(1);
    call(&peer, "{}", &waiter);
    transport.take();
    let send = |id: usize, method: &str| {
        assert!(receive(&peer, &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#)))
    };
    send(1, "ping");
    send(2, "tasks/list");
    assert_eq!(
        transport.take(),
        [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}"#,
        ]
    );
    send(3, "roots/list");
    drop(waiter.question());
    assert!(transport.take()[0].contains(r#""id":3,"error":{"code":-32603"#), "forgotten questions too");
    (0..limits::bridge::QUESTIONS).for_each(|id| send(10 + id, "elicitation/create"));
    assert_eq!(transport.take(), Vec::<String>::new());
    send(50, "elicitation/create");
    assert!(transport.take()[0].contains(r#""id":50,"error":{"code":429"#), "limit plus one");
    waiter.question().answer(&raw("{}"));
    transport.take();
    send(51, "elicitation/create");
    assert_eq!(transport.take(), Vec::<String>::new());
}

#[test]
fn the_end_of_a_peer_fails_its_running_requests() {
    let (peer, _transport) = peer();
    let waiter = FakeRequester::of(1);
    call(&peer, "{}", &waiter);
    peer.ended("it was killed by signal 9", &Nobody);
    assert_eq!((waiter.take(), peer.running()), (vec!["ended it was killed by signal 9".to_owned()], 0));
    let late = peer.request("tools/call", &Members::default(), waiter as Arc<dyn Requester>);
    assert_eq!(late, Err(Undelivered::Ended));
}

/// P3: running requests are bounded, and a request that could not be sent does not run.
#[test]
fn running_requests_per_peer_are_bounded() {
    let (peer, transport) = peer();
    let waiter = FakeRequester::of(1);
    let ids: Vec<u64> = (0..limits::bridge::REQUESTS).map(|_| call(&peer, "{}", &waiter)).collect();
    assert_eq!(ids.len(), peer.running());
    let more = |waiter: &Arc<FakeRequester>| {
        peer.request("m", &Members::default(), Arc::clone(waiter) as Arc<dyn Requester>)
    };
    assert_eq!(more(&waiter), Err(Undelivered::Full));
    assert!(receive(&peer, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    transport.refuse(Undelivered::Full);
    assert_eq!((more(&waiter), peer.running()), (Err(Undelivered::Full), limits::bridge::REQUESTS - 1));
}

/// P3: a question is kept until its client answers; at the limit and one past it.
#[test]
fn a_question_has_a_limit() {
    let (peer, transport) = peer();
    let waiter = FakeRequester::of(1);
    call(&peer, "{}", &waiter);
    transport.take();
    let ask = |length: usize| {
        let params = format!(r#"{{"message":"{}"}}"#, "x".repeat(length - r#"{"message":""}"#.len()));
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{params}}}"#);
        assert!(receive(&peer, &text));
        (waiter.take().len(), transport.take().concat().contains("one above 1 MiB"))
    };
    assert_eq!(ask(limits::STREAM_BYTES), (1, false));
    assert_eq!(ask(limits::STREAM_BYTES + 1), (0, true));
}
