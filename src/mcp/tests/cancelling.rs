//! Backends that serve a call without a waiting thread: their actions when a call is cancelled, and when it is not.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::limits;

/// A backend that runs `act` for each call.
struct Acting<F> {
    consent: Consent,
    description: Arc<Description>,
    act: F,
}

impl<F: Fn(Arc<Context>) + Send + Sync> Backend for Acting<F> {
    fn consent(&self) -> &Consent {
        &self.consent
    }

    fn description(&self, _: &Principal) -> Result<Arc<Description>, Error> {
        Ok(Arc::clone(&self.description))
    }

    fn call(&self, context: Context) {
        (self.act)(Arc::new(context));
    }

    fn tool_rules(&self, _: &Principal, _: &str) -> Option<Arc<ToolRules>> {
        None
    }
}

fn acting(act: impl Fn(Arc<Context>) + Send + Sync + 'static) -> Endpoint {
    let capabilities = serde_json::from_value(json!({ "tools": {}, "logging": {} })).unwrap();
    let description = Description { capabilities, has_tasks: true, ..Description::default() };
    endpoint(Acting { consent: Consent::default(), description: Arc::new(description), act })
}

/// Counts the calls that are cancelled.
#[derive(Clone, Default)]
struct Cancelled(Arc<AtomicUsize>);

impl Cancelled {
    fn watch(&self, context: &Context) {
        let count = Arc::clone(&self.0);
        context.on_cancel(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The `_meta` of a client that supports tasks and wants log messages.
fn meta_of_tasks() -> Value {
    let mut meta = modern::meta();
    meta["io.modelcontextprotocol/logLevel"] = "debug".into();
    meta["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    meta
}

fn call_of_a_task() -> Request {
    modern::plain("tools/call", json!({ "name": "a", "arguments": {}, "_meta": meta_of_tasks() }))
}

/// M17: the action may hold the context, and so the call's place.
#[test]
fn an_action_that_holds_the_context_keeps_no_place_after_completion() {
    let endpoint = acting(|context| {
        let kept = Arc::clone(&context);
        context.on_cancel(move || kept.complete(Err(CallError::Cancelled)));
        context.complete(Ok(Reply::default()));
        let kept = Arc::clone(&context);
        context.on_cancel(move || kept.complete(Err(CallError::Cancelled)));
    });
    for id in 0..=limits::CALLS_PER_USER {
        assert_eq!(endpoint.send(modern::call(id, "a", json!({}))).status, 200);
    }
    assert_eq!(endpoint.mcp.counts().calls, 0);
}

/// M17: a list of a server that never answers it ends like a call.
#[test]
fn a_list_has_a_deadline_and_a_limit() {
    let contexts = crate::base::Mutex::new(Vec::new());
    let endpoint = acting(move |context| contexts.lock().push(context));
    let list = || endpoint.start(1, modern::plain("tools/list", json!({})));
    let lists: Vec<_> = (0..limits::LISTS.0).map(|_| list()).collect();
    lists.iter().for_each(|list| while !list.worker.is_finished() {});
    assert_eq!(list().head().error_code(), 429);
    endpoint.clock.advance(limits::CALL);
    endpoint.mcp.sweep();
    for list in lists {
        assert_eq!(list.head().json()["error"]["message"], "The call took too long");
    }
}

#[test]
fn a_panicking_cancel_action_does_not_stop_the_end_of_a_grant() {
    let cancelled = Cancelled::default();
    let (watcher, contexts) = (cancelled.clone(), crate::base::Mutex::new(Vec::new()));
    let endpoint = acting(move |context| {
        watcher.watch(&context);
        context.on_cancel(|| panic!("on purpose"));
        contexts.lock().push(context);
    });
    let session = endpoint.session();
    let stream = endpoint.send(get().with("Mcp-Session-Id", &session)).events();
    let calls = [1, 2, 3].map(|id| endpoint.start(1, modern::call(id, "a", json!({}))));
    calls.into_iter().for_each(|call| call.worker.join().unwrap());
    endpoint.mcp.end_grant(principal(1).grant, None);
    assert_eq!((cancelled.count(), endpoint.mcp.counts().sessions), (3, 0));
    assert!(stream.has_ended());
}

/// T17: a handler may ignore its cancellation. The holder of the ended token gets nothing of what it still sends.
#[test]
fn the_stream_of_a_call_ends_with_its_grant() {
    let contexts = Arc::new(crate::base::Mutex::new(Vec::new()));
    let kept = Arc::clone(&contexts);
    let endpoint = acting(move |context| {
        context.log(Level::Alert, &"started");
        kept.lock().push(context);
    });
    let session = endpoint.session();
    let legacy = post(&call(1, "a", json!({}))).with("Mcp-Session-Id", &session);
    for request in [legacy, call_of_a_task()] {
        let events = endpoint.send(request).events();
        assert_eq!(events.json()["params"]["data"], "started");
        endpoint.mcp.end_grant(principal(1).grant, None);
        let context = contexts.lock().pop().unwrap();
        assert!(context.cancel().is_tripped());
        context.log(Level::Alert, &"secret");
        assert_eq!(events.json()["error"]["message"], "The login or service token has ended");
        assert_eq!(events.next(), None);
        context.complete(Ok(Reply::default()));
    }
    assert_eq!(endpoint.mcp.counts(), Counts::default());
}

/// The door drops a stream that has ended, and its token with it.
#[test]
fn a_client_that_has_read_the_result_cancels_nothing() {
    let cancelled = Cancelled::default();
    let watcher = cancelled.clone();
    let endpoint = acting(move |context| {
        watcher.watch(&context);
        context.log(Level::Alert, &"started");
        context.complete(Ok(Reply::default()));
    });
    let events = endpoint.send(call_of_a_task()).events();
    assert_eq!(events.rest().len(), 2);
    drop(events);
    assert_eq!(cancelled.count(), 0);
}

#[test]
fn a_cancel_action_moves_with_the_call_to_its_task() {
    let cancelled = Cancelled::default();
    let (watcher, contexts) = (cancelled.clone(), crate::base::Mutex::new(Vec::new()));
    let endpoint = acting(move |context| {
        watcher.watch(&context);
        context.log(Level::Alert, &"started");
        assert!(context.become_task().unwrap());
        contexts.lock().push(context);
    });
    let events = endpoint.send(call_of_a_task()).events();
    let handle = events.rest().pop().unwrap().json();
    drop(events);
    assert_eq!(cancelled.count(), 0, "the client has its handle");
    let params = json!({ "taskId": handle["result"]["taskId"], "_meta": meta_of_tasks() });
    assert_eq!(endpoint.send(modern::plain("tasks/cancel", params)).status, 200);
    assert_eq!(cancelled.count(), 1);
}
