//! The memory that one user can take, at the limit and one above (M17), without a loss for others.

use super::*;
use crate::base::fake::subject;
use crate::base::{Quota, limits};

/// A server whose only tool answers with the requested number of bytes.
fn talkative() -> Endpoint {
    #[derive(serde::Deserialize)]
    struct Size {
        bytes: usize,
    }
    let tool = Tool::new("talk", "t", json!({ "type": "object" }))
        .handler(|_, Size { bytes }| Ok("x".repeat(bytes)));
    endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap())
}

fn talk(bytes: usize) -> Request {
    modern::call(1, "talk", json!({ "bytes": bytes }))
}

#[test]
fn the_documented_limits_are_the_enforced_ones() {
    let (running, of_all) = limits::TASKS_RUNNING;
    let minutes = |time: Duration| time.as_secs() / 60;
    let rows = [
        format!(
            "calls that run at once | {} of one person, {} in all |",
            limits::CALLS_PER_USER,
            limits::CALLS
        ),
        format!("lists that run at once | {} of one person, {} in all |", limits::LISTS.0, limits::LISTS.1),
        format!("| {} of one person | further results come without", limits::ANSWERS_PER_USER),
        format!("| {} minutes | cancelled |", minutes(limits::CALL)),
        format!(
            "| {} of one person, {running} of them running; {of_all} running in all |",
            limits::TASKS_PER_USER
        ),
        format!("| {} MiB | 413,", limits::MCP_BYTES / 1024 / 1024),
        format!(
            "| {} minutes; {} in 2026-07-28 |",
            minutes(limits::ASK),
            minutes(limits::REQUEST_STATE_LIFETIME)
        ),
        format!("| {} KiB |", limits::REQUEST_STATE_BYTES / 1024),
        format!("| {} | left out; `hasMore` is true |", limits::COMPLETION_VALUES),
        format!("| {} | an error |", limits::SUBSCRIPTIONS),
    ];
    for row in rows {
        assert!(include_str!("../mod.rs").contains(&row), "{row}");
    }
    assert_eq!((limits::MCP_BYTES, minutes(limits::TASK_LIFETIME)), (limits::ANSWER_BYTES, 60));
}

#[test]
fn an_answer_is_bounded() {
    let endpoint = talkative();
    let around = endpoint.send(talk(0)).json().to_string().len();
    assert_eq!(endpoint.send(talk(limits::ANSWER_BYTES - around)).json()["result"]["resultType"], "complete");
    assert_eq!(endpoint.send(talk(limits::ANSWER_BYTES - around + 1)).error_code(), -32603);
}

/// Each member of params costs an allocation that lasts as long as the call.
#[test]
fn members_of_params_are_bounded() {
    let endpoint = talkative();
    let session = endpoint.session();
    let request = |members: usize| {
        let mut params = json!({ "name": "talk", "arguments": { "bytes": 1 } });
        (2..members).for_each(|number| params[format!("member-{number}")] = 0.into());
        post(&request(1, "tools/call", params)).with("Mcp-Session-Id", &session)
    };
    assert_eq!(endpoint.send(request(limits::MEMBERS)).text(), "x");
    let refused = endpoint.send(request(limits::MEMBERS + 1));
    assert_eq!((refused.error_code(), &refused.json()["id"]), (-32602, &json!(1)));
}

/// Unread answers are counted, except small ones.
#[test]
fn large_answers_that_nobody_reads_are_bounded() {
    let endpoint = talkative();
    let answer_to = |user, bytes| {
        let waiting = endpoint.start(user, talk(bytes));
        let response = waiting.waiter.wait(clock::instant() + SOON).unwrap();
        waiting.worker.join().unwrap();
        response
    };
    let size = limits::ANSWER_BYTES - 1000;
    let unread: Vec<_> =
        (0..limits::UNREAD_BYTES.0 / limits::ANSWER_BYTES).map(|_| answer_to(1, size)).collect();
    assert!(unread.iter().all(|response| response.status() == 200));
    let refused = answer_to(1, size);
    assert_eq!((refused.status(), refused.header_value("Retry-After")), (429, Some("1")));
    assert_eq!(answer_to(1, limits::SMALL_ANSWER_BYTES / 2).status(), 200);
    assert_eq!(answer_to(2, size).status(), 200);
    drop(unread);
    assert_eq!(answer_to(1, size).status(), 200);
}

/// M17: a client that does not read the streams of its finished calls gets further results without a stream, before it has taken the streams of all.
#[test]
fn unread_streams_of_finished_calls_are_bounded() {
    let endpoint = conformance();
    let sessions = [1, 2].map(|user| endpoint.session_as(user, "2025-06-18"));
    let send = |user| {
        let [mine, other] = &sessions;
        let session = if user == 1 { mine } else { other };
        let request = post(&call(1, "test_tool_with_logging", json!({}))).with("Mcp-Session-Id", session);
        let waiting = endpoint.start(user, request);
        let answer = waiting.head();
        waiting.worker.join().unwrap(); // the call has ended
        answer
    };
    for _ in 0..2 {
        let mut unread: Vec<_> = (0..limits::ANSWERS_PER_USER).map(|_| send(1).events()).collect();
        assert_eq!(
            send(1).json()["result"]["content"][0]["text"],
            "logged",
            "the result without the messages"
        );
        assert_eq!(send(2).text(), "logged");
        assert_eq!(unread.pop().unwrap().rest().len(), 4, "three messages, the result");
        assert_eq!(send(1).text(), "logged");
    }
}

/// M17: a user who opens many streams at the same time gets exactly the limit.
#[test]
fn streams_opened_at_once_are_counted_one_by_one() {
    let endpoint = conformance();
    let waiting: Vec<_> = (0..3 * limits::STREAMS_PER_USER)
        .map(|id| endpoint.start(1, modern::listen(id, json!({ "toolsListChanged": true }))))
        .collect();
    let answers: Vec<_> = waiting.into_iter().map(Waiting::answer).collect();
    let open = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(open, limits::STREAMS_PER_USER);
    drop(answers);
    assert!(endpoint.mcp.0.streams.is_unused(), "a place is free as soon as its stream is");
}

/// An error repeats an unknown name of a client, but not megabytes of it.
#[test]
fn an_error_repeats_only_the_start_of_a_long_name() {
    let endpoint = talkative();
    let long = "x".repeat(1024 * 1024);
    let said = |request| {
        let answer = endpoint.send(request).json().to_string();
        assert!(answer.len() < 1000, "{} bytes", answer.len());
        answer
    };
    let session = endpoint.session();
    let unknown = said(post(&call(1, &long, json!({}))).with("Mcp-Session-Id", &session));
    assert!(unknown.contains("Unknown tool: xxx"), "{unknown}");
    let wrong = said(modern::call(1, "talk", json!({ "bytes": long })));
    assert!(wrong.contains("expected usize"), "{wrong}");
}

/// M17: users get notifications of changes even if a few others have used up the budget.
#[test]
fn a_few_users_cannot_exhaust_the_shared_unread_budget() {
    let endpoint = conformance();
    let budgets = &endpoint.mcp.0.budgets;
    let users = 10..10 + u64::try_from(limits::UNREAD_BYTES.1 / limits::UNREAD_BYTES.0).unwrap();
    let _hoards: Vec<_> =
        users.map(|user| budgets.of(subject(user)).unread.hold(limits::UNREAD_BYTES.0).unwrap()).collect();
    let listening = endpoint.send(modern::listen(1, json!({ "toolsListChanged": true }))).events();
    listening.json();
    endpoint.mcp.0.publisher().tools_changed();
    assert_eq!(listening.json()["method"], "notifications/tools/list_changed");
}

/// Subscriptions of listeners and sessions count against the user's budget of kept bytes.
#[test]
fn subscriptions_are_bounded_in_bytes() {
    let endpoint = conformance();
    let session = endpoint.session();
    let kept = |user| endpoint.mcp.0.budgets.of(subject(user)).kept;
    let all_but_ten = kept(1).hold(limits::KEPT_BYTES.0 - 10).unwrap();
    let subscribe = |uri: &str| {
        let body = request(uri, "resources/subscribe", json!({ "uri": uri }));
        endpoint.send(post(&body).with("Mcp-Session-Id", &session))
    };
    let listen = |user, uri: &str| {
        endpoint.send_as(user, modern::listen(1, json!({ "resourceSubscriptions": [uri] })))
    };
    assert!(subscribe("a:456789").json()["result"].is_object());
    assert!(subscribe("a:456789").json()["result"].is_object(), "the same again");
    assert_eq!(subscribe("b:3").error_code(), -32602);
    let listening = listen(1, "c:").events();
    assert_eq!(listen(1, "d:").status, 429);
    assert_eq!(listen(2, "d:").status, 200);
    drop(listening);
    endpoint.mcp.sweep();
    assert_eq!(listen(1, "d:").status, 200);
    endpoint.mcp.end_grant(principal(1).grant, None);
    drop(all_but_ten);
    assert!(kept(1).hold(limits::KEPT_BYTES.0).is_some());
}

/// After the end of calls and streams, dropped and resumed ones included, and after their lifetime, all of their memory is returned.
#[test]
fn finished_calls_and_streams_leave_no_memory_behind() {
    let endpoint = conformance();
    let session = endpoint.session_as(1, "2025-11-25");
    let send = |request: Request| endpoint.send(request.with("Mcp-Session-Id", &session));
    for id in 0..2 * limits::REPLAY_STREAMS {
        let waiting = endpoint
            .start(1, post(&call(id, "test_tool_with_logging", json!({}))).with("Mcp-Session-Id", &session));
        let dropped = waiting.head().events();
        let first = dropped.next().unwrap().id.unwrap();
        drop(dropped);
        let again = send(get().with("Last-Event-ID", &first)).events();
        waiting.worker.join().unwrap();
        assert_eq!(again.rest().len(), 5, "the place, three messages, the result");
    }
    let whole = |budget: &Arc<Quota<Subject>>, (each, _): (usize, usize)| {
        budget.share(subject(1)).hold(each).is_some()
    };
    let budgets = &endpoint.mcp.0.budgets;
    assert!(!whole(&budgets.replay, limits::REPLAY_BYTES_KEPT));
    for _ in 0..2 {
        endpoint.mcp.sweep();
        endpoint.clock.advance(limits::REPLAY_TIME);
    }
    assert!(whole(&budgets.replay, limits::REPLAY_BYTES_KEPT), "though the session lives");
    assert!(whole(&budgets.unread, limits::UNREAD_BYTES) && whole(&budgets.kept, limits::KEPT_BYTES));
    assert_eq!(endpoint.mcp.counts(), Counts { sessions: 1, listeners: 0, calls: 0, tasks: 0 });
}
