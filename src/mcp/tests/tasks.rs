//! Calls that become tasks: their client gets a handle, polls them, answers their questions, and cancels them.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::*;
use crate::base::fake::subject;
use crate::base::limits;

/// A request of a client that supports tasks.
pub(super) fn ask(method: &str, params: Value) -> Request {
    ask_with(
        method,
        params,
        json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }),
    )
}

fn ask_with(method: &str, mut params: Value, capabilities: Value) -> Request {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    modern::plain(method, params)
}

fn run(tool: &str, arguments: Value) -> Request {
    ask("tools/call", json!({ "name": tool, "arguments": arguments }))
}

/// A task and the worker that its handler runs on.
struct Begun {
    id: String,
    worker: std::thread::JoinHandle<()>,
}

impl Endpoint {
    fn begin_as(&self, user: u64, request: Request) -> Begun {
        let waiting = self.start(user, request);
        let answer = waiting.head();
        let result = &answer.json()["result"];
        assert_eq!(result["resultType"], "task", "{answer:?}");
        Begun { id: result["taskId"].as_str().unwrap().to_owned(), worker: waiting.worker }
    }

    fn begin(&self, request: Request) -> Begun {
        self.begin_as(1, request)
    }

    fn task(&self, id: &str) -> Value {
        let answer = self.send(ask("tasks/get", json!({ "taskId": id })));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["result"].clone()
    }

    /// Polls until the task has this status.
    fn until(&self, id: &str, status: &str) -> Value {
        let deadline = clock::instant() + SOON;
        loop {
            let task = self.task(id);
            if task["status"] == status {
                return task;
            }
            assert!(clock::instant() < deadline, "{task}");
            std::thread::yield_now();
        }
    }

    fn update(&self, id: &str, answers: Value) -> Answer {
        self.send(ask("tasks/update", json!({ "taskId": id, "inputResponses": answers })))
    }
}

/// A server whose only tool returns the next text that the test sends on the channel.
fn gated() -> (Endpoint, Sender<String>) {
    let (open, gate): (_, Receiver<String>) = bounded(limits::TASKS);
    let tool = Tool::new("gated", "t", json!({ "type": "object" }));
    let tool = tool.tasks(TaskSupport::Optional).handler(move |_, _: NoArguments| Ok(gate.recv().unwrap()));
    (endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap()), open)
}

#[test]
fn a_task_outlives_its_request() {
    let (endpoint, gate) = gated();
    let begun = endpoint.begin(run("gated", json!({})));
    let working = endpoint.task(&begun.id);
    assert_eq!((&working["resultType"], &working["status"]), (&json!("complete"), &json!("working")));
    assert_eq!(working["createdAt"], "2026-01-01T00:00:00Z");
    assert_eq!(working["ttlMs"], json!(3_600_000));
    assert!(working.get("result").is_none());
    endpoint.clock.advance(Duration::from_secs(2));
    gate.send("done".to_owned()).unwrap();
    begun.worker.join().unwrap();
    let over = endpoint.task(&begun.id);
    assert_eq!(
        (&over["status"], &over["lastUpdatedAt"]),
        (&json!("completed"), &json!("2026-01-01T00:00:02Z"))
    );
    assert_eq!(over["result"]["content"][0]["text"], "done");
    assert_eq!(endpoint.mcp.counts(), Counts { sessions: 0, listeners: 0, calls: 0, tasks: 1 });
}

#[test]
fn a_task_ends_as_its_call_would() {
    let endpoint = conformance();
    let check = |tool: &str, status: &str, expected: fn(&Value) -> bool| {
        let begun = endpoint.begin(run(tool, json!({})));
        begun.worker.join().unwrap();
        let over = endpoint.task(&begun.id);
        assert!(over["status"] == status && expected(&over), "{over}");
    };
    check("slow_compute", "completed", |over| over["result"].get("isError").is_none());
    check("failing_job", "completed", |over| over["result"]["isError"] == true);
    check("protocol_error_job", "failed", |over| {
        over["error"]["code"] == -32603 && over["statusMessage"].is_string() && over.get("result").is_none()
    });
}

#[test]
fn only_a_client_that_takes_tasks_gets_one() {
    let endpoint = conformance();
    let call = |tool: &str| ask_with("tools/call", json!({ "name": tool, "arguments": {} }), json!({}));
    assert_eq!(endpoint.send(call("slow_compute")).json()["result"]["resultType"], "complete");
    for request in [call("failing_job"), ask_with("tasks/get", json!({ "taskId": "x" }), json!({}))] {
        let refused = endpoint.send(request);
        let needed = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        assert_eq!((refused.status, refused.error_code()), (400, -32021));
        assert_eq!(refused.json()["error"]["data"]["requiredCapabilities"], needed);
    }
    let session = endpoint.session();
    let legacy = |tool: &str| post(&super::call(1, tool, json!({}))).with("Mcp-Session-Id", &session);
    assert_eq!(endpoint.send(legacy("slow_compute")).text(), ": computed for 0 s");
    assert_eq!(endpoint.send(legacy("failing_job")).error_code(), -32600);
}

#[test]
fn a_server_without_tasks_does_not_know_their_methods() {
    let endpoint = endpoint(ToolServer::builder("n", "1").build().unwrap());
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let answer = endpoint.send(ask(method, json!({ "taskId": "x" })));
        assert_eq!((answer.status, answer.error_code()), (404, -32601), "{method}");
    }
}

/// M12: the header names the task as the body does.
#[test]
fn the_header_must_name_the_task() {
    let endpoint = conformance();
    let request = ask("tasks/get", json!({ "taskId": "x" })).with("Mcp-Name", "y");
    assert_eq!(endpoint.send(request).error_code(), -32020);
}

#[test]
fn questions_of_a_task_are_answered_one_by_one() {
    let endpoint = conformance();
    let begun = endpoint.begin(run("multi_input", json!({})));
    let asked = endpoint.until(&begun.id, "input_required");
    let keys = |task: &Value| task["inputRequests"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&asked), ["first", "second"]);
    assert_eq!(asked["inputRequests"]["first"]["method"], "elicitation/create");
    let yes = json!({ "action": "accept", "content": { "value": "x" } });
    for ignored in [json!({}), json!({ "third": yes }), json!({ "first": 7 })] {
        let answer = endpoint.update(&begun.id, ignored);
        assert_eq!((answer.status, &answer.json()["result"]["resultType"]), (200, &json!("complete")));
        assert_eq!(keys(&endpoint.task(&begun.id)).len(), 2);
    }
    endpoint.update(&begun.id, json!({ "first": yes }));
    assert_eq!(keys(&endpoint.task(&begun.id)), ["second"]);
    endpoint.update(&begun.id, json!({ "second": yes }));
    begun.worker.join().unwrap();
    assert_eq!(endpoint.task(&begun.id)["result"]["content"][0]["text"], "2 answers");
    assert_eq!(endpoint.update(&begun.id, json!({ "second": yes })).status, 200);
}

#[test]
fn questions_and_their_last_answer_change_when_a_task_was_updated() {
    let (open, gate) = bounded::<()>(1);
    let tool = Tool::new("curious", "t", json!({ "type": "object" })).tasks(TaskSupport::Required);
    let tool = tool.handler(move |context, _: NoArguments| {
        let question = |key| InputRequest::elicitation(key, "?", &json!({ "type": "object" }));
        gate.recv().unwrap();
        context.ask_all(vec![question("first"), question("second")])?;
        gate.recv().unwrap();
        Ok("asked")
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let begun = endpoint.begin(run("curious", json!({})));
    let check = |status: &str, second: u8| {
        let task = endpoint.until(&begun.id, status);
        assert_eq!(task["lastUpdatedAt"], format!("2026-01-01T00:00:0{second}Z"));
        endpoint.clock.advance(Duration::from_secs(1));
    };
    let answer = |key: &str| endpoint.update(&begun.id, json!({ key: { "action": "decline" } }));
    check("working", 0);
    open.send(()).unwrap();
    check("input_required", 1);
    answer("first");
    check("input_required", 1);
    answer("second");
    check("working", 3);
    open.send(()).unwrap();
    begun.worker.join().unwrap();
    check("completed", 4);
}

#[test]
fn a_question_key_cannot_be_used_twice() {
    let tool = Tool::new("twice", "t", json!({ "type": "object" })).tasks(TaskSupport::Required);
    let tool = tool.handler(|context, _: NoArguments| {
        let question = || InputRequest::elicitation("same", "?", &json!({ "type": "object" }));
        let _: Value = context.ask(question())?;
        let _: Value = context.ask(question())?;
        Ok("asked twice")
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let begun = endpoint.begin(run("twice", json!({})));
    endpoint.until(&begun.id, "input_required");
    endpoint.update(&begun.id, json!({ "same": { "action": "decline" } }));
    begun.worker.join().unwrap();
    assert_eq!(endpoint.task(&begun.id)["error"]["code"], -32603);
}

#[test]
fn a_cancelled_task_stops_and_stays_cancelled() {
    let endpoint = conformance();
    for (tool, arguments) in [("slow_compute", json!({ "seconds": 600 })), ("multi_input", json!({}))] {
        let begun = endpoint.begin(run(tool, arguments));
        let cancel = || endpoint.send(ask("tasks/cancel", json!({ "taskId": begun.id })));
        let done = cancel();
        assert_eq!(done.json()["result"]["resultType"], "complete");
        assert!(done.json()["result"].get("taskId").is_none());
        assert_eq!(endpoint.task(&begun.id)["status"], "cancelled");
        assert_eq!(cancel().status, 200);
        begun.worker.join().unwrap();
        assert_eq!(endpoint.task(&begun.id)["status"], "cancelled");
    }
    let begun = endpoint.begin(run("slow_compute", json!({})));
    begun.worker.join().unwrap();
    endpoint.send(ask("tasks/cancel", json!({ "taskId": begun.id })));
    assert_eq!(endpoint.task(&begun.id)["status"], "completed");
}

/// A call may be a stream before it is a task; a disconnect after that cancels nothing.
#[test]
fn a_stream_ends_when_its_call_becomes_a_task() {
    let (open, gate) = bounded::<()>(1);
    let tool = Tool::new("late", "t", json!({ "type": "object" })).tasks(TaskSupport::ByHandler);
    let tool = tool.handler(move |context, _: NoArguments| {
        context.progress(&Progress { progress: 1.0, total: None, message: None });
        assert!(context.become_task()? && context.become_task()?);
        context.progress(&Progress { progress: 2.0, total: None, message: None });
        gate.recv().unwrap();
        Ok(if context.cancel().is_tripped() { "cancelled" } else { "went on" })
    });
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let mut body = json!({ "name": "late", "arguments": {} });
    body["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
        "progressToken": 1,
    });
    let waiting = endpoint.start(1, modern::plain("tools/call", body));
    let said = waiting.head().events().rest();
    let [progress, handle] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(progress.json()["method"], "notifications/progress");
    open.send(()).unwrap();
    waiting.worker.join().unwrap();
    let over = endpoint.task(handle.json()["result"]["taskId"].as_str().unwrap());
    assert_eq!(over["result"]["content"][0]["text"], "went on");
}

/// M17: a user's tasks leave places for calls. A task that was cancelled but whose handler goes on still counts. A call beyond the
/// limit on tasks runs as a call.
#[test]
fn tasks_that_run_leave_calls_their_places() {
    let (open, gate) = bounded::<()>(limits::CALLS);
    let tool = |name, tasks| Tool::new(name, "t", json!({ "type": "object" })).tasks(tasks);
    let quick = |_: &Context, _: NoArguments| Ok("done");
    let server = ToolServer::builder("n", "1")
        .tool(tool("gated", TaskSupport::Required).handler(move |_, _: NoArguments| {
            gate.recv().unwrap();
            Ok("done")
        }))
        .tool(tool("only", TaskSupport::Required).handler(quick))
        .tool(tool("either", TaskSupport::Optional).handler(quick));
    let endpoint = endpoint(server.build().unwrap());
    let tasks: Vec<_> =
        (0..limits::TASKS_RUNNING.0).map(|_| endpoint.begin(run("gated", json!({})))).collect();
    for task in &tasks {
        endpoint.send(ask("tasks/cancel", json!({ "taskId": task.id })));
    }
    let refused = endpoint.send(run("only", json!({})));
    assert_eq!((refused.status, refused.error_code()), (429, 429));
    let others = endpoint.begin_as(2, run("gated", json!({})));
    assert_eq!(endpoint.send(run("either", json!({}))).json()["result"]["resultType"], "complete");
    (0..=tasks.len()).for_each(|_| open.send(()).unwrap());
    tasks.into_iter().chain([others]).for_each(|task| task.worker.join().unwrap());
    endpoint.begin(run("either", json!({}))).worker.join().unwrap();
}

/// M6: a token that may not call the tool has no access to its tasks, although it belongs to the same grant.
#[test]
fn a_token_without_the_tools_scope_cannot_reach_its_tasks() {
    let tool = Tool::new("costly", "t", json!({ "type": "object" })).tasks(TaskSupport::Required).scopes("a");
    let tool = tool.handler(|_, _: NoArguments| Ok("secret"));
    let endpoint = endpoint(ToolServer::builder("n", "1").tool(tool).build().unwrap());
    let wide = Principal { scopes: Arc::new(Scopes::parse("a mcp").unwrap()), ..principal(1) };
    let waiting = endpoint.start_as(wide.clone(), run("costly", json!({})));
    let id = waiting.head().json()["result"]["taskId"].clone();
    waiting.worker.join().unwrap();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let request = || ask(method, json!({ "taskId": id, "inputResponses": {} }));
        let refused = endpoint.send(request());
        assert_eq!((refused.status, refused.needed.as_deref()), (403, Some("a mcp")), "{method}");
        assert_eq!(endpoint.start_as(wide.clone(), request()).answer().status, 200, "{method}");
    }
}

/// M6: a task is accessible to its owner only; to others it is answered like an unknown one.
#[test]
fn a_task_belongs_to_its_grant() {
    let endpoint = conformance();
    let begun = endpoint.begin(run("multi_input", json!({})));
    endpoint.until(&begun.id, "input_required");
    let params = json!({ "taskId": begun.id, "inputResponses": {} });
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let foreign = endpoint.send_as(2, ask(method, params.clone()));
        let unknown = endpoint.send(ask(method, json!({ "taskId": "x", "inputResponses": {} })));
        assert_eq!((foreign.status, foreign.json()), (unknown.status, unknown.json()), "{method}");
        assert_eq!(foreign.error_code(), -32602);
    }
    endpoint.mcp.end_grant(principal(2).grant, None);
    assert_eq!(endpoint.task(&begun.id)["status"], "input_required");
    endpoint.mcp.end_grant(principal(1).grant, None);
    begun.worker.join().unwrap();
    assert_eq!(endpoint.mcp.counts(), Counts { sessions: 0, listeners: 0, calls: 0, tasks: 0 });
}

#[test]
fn a_task_is_forgotten_after_its_time() {
    let endpoint = conformance();
    let over = endpoint.begin(run("slow_compute", json!({})));
    let running = endpoint.begin(run("slow_compute", json!({ "seconds": 600 })));
    over.worker.join().unwrap();
    endpoint.clock.advance(limits::TASK_LIFETIME - Duration::from_secs(1));
    endpoint.mcp.sweep();
    assert_eq!(endpoint.mcp.counts().tasks, 2);
    endpoint.clock.advance(Duration::from_secs(1));
    endpoint.mcp.sweep();
    running.worker.join().unwrap();
    assert_eq!(endpoint.mcp.counts().tasks, 0);
    assert_eq!(endpoint.send(ask("tasks/get", json!({ "taskId": over.id }))).error_code(), -32602);
}

/// M17: a user's oldest finished task is removed for a new one.
#[test]
fn tasks_are_bounded_per_user() {
    let (endpoint, gate) = gated();
    let mut ids = Vec::new();
    for _ in 0..=limits::TASKS_PER_USER {
        endpoint.clock.advance(Duration::from_secs(1));
        gate.send("done".to_owned()).unwrap();
        let begun = endpoint.begin(run("gated", json!({})));
        begun.worker.join().unwrap();
        ids.push(begun.id);
    }
    assert_eq!(endpoint.mcp.counts().tasks, limits::TASKS_PER_USER);
    let is_there = |id: &String| endpoint.send(ask("tasks/get", json!({ "taskId": id }))).status == 200;
    let there: Vec<bool> = ids.iter().map(is_there).collect();
    assert!(!there[0] && there[1..].iter().all(|there| *there), "{there:?}");
    // Another user has a limit of their own.
    gate.send("done".to_owned()).unwrap();
    endpoint.begin_as(2, run("gated", json!({}))).worker.join().unwrap();
}

/// M17: results that are kept for `tasks/get` are bounded, each and together.
#[test]
fn results_are_bounded() {
    let (endpoint, gate) = gated();
    let end_with = |bytes: usize| {
        gate.send("x".repeat(bytes)).unwrap();
        let begun = endpoint.begin(run("gated", json!({})));
        begun.worker.join().unwrap();
        endpoint.task(&begun.id)["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(end_with(limits::ANSWER_BYTES), "failed");
    let most = limits::ANSWER_BYTES - 100;
    for _ in 0..limits::KEPT_BYTES.0 / limits::ANSWER_BYTES {
        assert_eq!(end_with(most), "completed");
    }
    assert_eq!(end_with(most), "failed");
    assert!(endpoint.mcp.0.budgets.of(subject(2)).kept.hold(limits::KEPT_BYTES.0).is_some());
    endpoint.mcp.end_grant(principal(1).grant, None);
    assert_eq!(end_with(most), "completed");
}

/// No notifications of tasks are sent, and the acknowledgement grants none; a client that does not support tasks must not ask for them.
#[test]
fn task_ids_are_ignored_in_subscriptions() {
    let endpoint = conformance();
    let filter = json!({ "notifications": { "taskIds": ["x"], "toolsListChanged": true } });
    let refused = endpoint.send(ask_with("subscriptions/listen", filter.clone(), json!({})));
    assert_eq!((refused.status, refused.error_code()), (400, -32021));
    let events = endpoint.send(ask("subscriptions/listen", filter)).events();
    assert_eq!(events.json()["params"]["notifications"], json!({ "toolsListChanged": true }));
}

/// A call that is over, or whose result nobody wants, becomes no task; one that was made for it has ended.
#[test]
fn a_call_that_is_over_becomes_no_task() {
    let (tell, told) = bounded(1);
    let tool = |name: &str, end: fn(&Context)| {
        let tell = tell.clone();
        let tool = Tool::new(name, "t", json!({ "type": "object" })).tasks(TaskSupport::ByHandler);
        tool.handler(move |context, _: NoArguments| {
            end(context);
            tell.send(context.become_task()).unwrap();
            Ok("")
        })
    };
    let server = ToolServer::builder("n", "1")
        .tool(tool("answered", |context| context.complete(Ok(Reply::default()))))
        .tool(tool("cancelled", |context| context.cancel().trip()));
    let endpoint = endpoint(server.build().unwrap());
    let became = |tool: &str| {
        let waiting = endpoint.start(1, run(tool, json!({})));
        let became = told.recv_timeout(SOON).unwrap();
        waiting.worker.join().unwrap();
        became
    };
    assert!(matches!(became("answered"), Ok(false)));
    let tasks = endpoint.mcp.0.tasks.all();
    assert!(tasks.iter().all(|task| task.cancel.is_tripped()), "no client knows it");
    assert!(matches!(became("cancelled"), Err(CallError::Cancelled)));
    assert_eq!(endpoint.mcp.counts().tasks, tasks.len());
}
