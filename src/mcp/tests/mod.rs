//! The endpoint from a client's view: requests in, responses and events out, in one process and without a socket.

mod access;
mod arguments;
mod bounds;
mod call;
mod cancelling;
mod ending;
mod grants;
mod http_sse;
mod intake;
mod jsonrpc;
mod legacy;
mod messages;
mod modern;
mod nameless;
mod offers;
mod quick;
mod record;
mod restarts;
mod servers;
mod streams;
mod tasks;
mod tolerance;
mod transcripts;
mod uri_template;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::base::fake::principal;
use crate::base::{Capacity, Clock, CountedRandom, ManualClock, Random, clock};
use crate::http::{Body, Next, Request, Stream};
use crate::seal::Keyring;
use crate::seal::fake::keyring;

const SOON: Duration = Duration::from_secs(20);
/// The lifetime of the token of [`short_lived`].
const TOKEN: Duration = Duration::from_secs(60);

/// User `id` at the start of the clock, with a token that expires.
fn short_lived(id: u64) -> Principal {
    Principal { expires: ManualClock::START.plus(TOKEN), ..principal(id) }
}

/// An endpoint and its dependencies.
struct Endpoint {
    mcp: Mcp,
    clock: Arc<ManualClock>,
    random: Arc<CountedRandom>,
    backend: Arc<dyn Backend>,
}

/// A response, read and parsed.
#[derive(Debug)]
struct Answer {
    status: u16,
    session: Option<String>,
    allow: Option<String>,
    needed: Option<String>,
    body: Said,
}

#[derive(Debug)]
enum Said {
    Nothing,
    Json(Value),
    Events(Events),
}

/// A stream that is read event by event.
#[derive(Debug)]
struct Events(Stream);

/// One event.
#[derive(Debug, Default, Clone, PartialEq)]
struct Event {
    name: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    data: String,
}

fn endpoint(backend: impl Backend + 'static) -> Endpoint {
    started(Arc::new(backend), Arc::new(ManualClock::new()), (Arc::default(), keyring(1)))
}

fn started(
    backend: Arc<dyn Backend>,
    clock: Arc<ManualClock>,
    (random, keys): (Arc<CountedRandom>, Keyring),
) -> Endpoint {
    let mcp = Mcp::new(Settings {
        backend: Arc::clone(&backend),
        keys: Arc::new(keys),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        random: Arc::clone(&random) as Arc<dyn Random>,
        capacity: Capacity::default(),
        resource: "https://mcp.example.com/mcp".into(),
        access: Arc::default(),
        insufficient_scope: Arc::new(|needed| Response::new(403).header("Needed", needed.to_string())),
    });
    Endpoint { mcp, clock, random, backend }
}

/// An endpoint with the tools of the official conformance suite.
fn conformance() -> Endpoint {
    endpoint(super::conformance_tools::server().unwrap())
}

fn get() -> Request {
    crate::http::fake::request("GET", "/mcp").with("Accept", "text/event-stream")
}

fn post(body: &Value) -> Request {
    post_text(&body.to_string())
}

fn post_text(body: &str) -> Request {
    crate::http::fake::request("POST", "/mcp")
        .with("Accept", "application/json, text/event-stream")
        .with("Content-Type", "application/json")
        .body(body)
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params })
}

fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    request(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
}

impl Endpoint {
    /// The server after a restart: with the same clients, which still have their tokens.
    fn restarted(&self) -> Endpoint {
        self.restarted_with(keyring(1))
    }

    fn restarted_with(&self, keys: Keyring) -> Endpoint {
        self.mcp.close();
        self.mcp.give_up();
        started(Arc::clone(&self.backend), Arc::clone(&self.clock), (Arc::clone(&self.random), keys))
    }

    /// Sends a request as user `user`, whose handler runs on a thread of its own as it would on a worker.
    fn start(&self, user: u64, request: Request) -> Waiting {
        self.start_as(principal(user), request)
    }

    fn start_as(&self, principal: Principal, request: Request) -> Waiting {
        let (responder, waiter) = Responder::pair();
        let mcp = self.mcp.clone();
        let worker = std::thread::spawn(move || {
            mcp.handle(request, principal, responder).into_iter().for_each(|rest| rest())
        });
        Waiting { waiter, worker }
    }

    /// Sends a request as user 1 and waits for the head of the answer.
    fn send(&self, request: Request) -> Answer {
        self.send_as(1, request)
    }

    fn send_as(&self, user: u64, request: Request) -> Answer {
        self.start(user, request).answer()
    }

    /// Opens a session of `version` as `user`, whose client declares all capabilities.
    fn session_as(&self, user: u64, version: &str) -> String {
        let capabilities = json!({ "sampling": {}, "elicitation": {}, "roots": {} });
        let client = json!({ "name": "test", "version": "1" });
        let params =
            json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": client });
        let answer = self.send_as(user, post(&request(0, "initialize", params)));
        assert_eq!(answer.json()["result"]["protocolVersion"], version);
        answer.session.unwrap()
    }

    fn session(&self) -> String {
        self.session_as(1, "2025-06-18")
    }
}

/// A request in flight.
struct Waiting {
    waiter: crate::http::Waiter,
    worker: std::thread::JoinHandle<()>,
}

impl Waiting {
    /// The head of the answer, once it is there.
    fn head(&self) -> Answer {
        let response = self.waiter.wait(clock::instant() + SOON).expect("an answer within the time");
        let text = |name: &str| response.header_value(name).map(str::to_owned);
        let (status, session, allow) = (response.status(), text("Mcp-Session-Id"), text("Allow"));
        let needed = text("Needed");
        let kind = text("Content-Type");
        if kind.is_some() {
            assert_eq!(text("Cache-Control").as_deref(), Some("no-store"), "M16");
        }
        let body = match response.into_body() {
            Body::Bytes(bytes) if bytes.is_empty() => Said::Nothing,
            Body::Bytes(bytes) if kind.as_deref() == Some("text/plain; charset=utf-8") => {
                assert!(bytes.ends_with(b".\n"), "one plain sentence");
                Said::Nothing
            }
            Body::Bytes(bytes) => {
                assert_eq!(kind.as_deref(), Some("application/json"));
                Said::Json(serde_json::from_slice(&bytes).unwrap())
            }
            Body::Stream(stream) => Said::Events(Events(stream)),
        };
        Answer { status, session, allow, needed, body }
    }

    fn answer(self) -> Answer {
        let answer = self.head();
        // A call that streams may go on; any other has ended with its answer.
        if !matches!(answer.body, Said::Events(_)) {
            self.worker.join().unwrap();
        }
        answer
    }
}

impl Answer {
    fn json(&self) -> &Value {
        match &self.body {
            Said::Json(value) => value,
            other @ (Said::Nothing | Said::Events(_)) => panic!("expected JSON, found {other:?}"),
        }
    }

    fn events(self) -> Events {
        match self.body {
            Said::Events(events) => events,
            other @ (Said::Nothing | Said::Json(_)) => panic!("expected events, found {other:?}"),
        }
    }

    /// The text of a tool's result, whether it came as JSON or at the end of a stream.
    fn text(self) -> String {
        let result = match self.body {
            Said::Json(value) => value,
            Said::Events(events) => events.rest().pop().unwrap().json(),
            Said::Nothing => panic!("expected a result"),
        };
        result["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
    }

    fn error_code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("{:?}", self.body))
    }
}

impl Events {
    /// The next event; `None` at the end of the stream.
    fn next(&self) -> Option<Event> {
        match self.0.next(SOON) {
            Next::Chunk(chunk) => Some(Event::parse(std::str::from_utf8(&chunk).unwrap())),
            Next::Silence => panic!("no event within the time"),
            Next::End => None,
        }
    }

    fn json(&self) -> Value {
        self.next().expect("an event").json()
    }

    /// Every event until the end.
    fn rest(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Whether there is no unread event.
    fn is_silent(&self) -> bool {
        matches!(self.0.next(Duration::ZERO), Next::Silence)
    }

    fn has_ended(&self) -> bool {
        matches!(self.0.next(Duration::ZERO), Next::End)
    }
}

impl Event {
    fn parse(text: &str) -> Event {
        let mut event = Event::default();
        for line in text.strip_suffix("\n\n").unwrap().split('\n') {
            match line.split_once(": ").unwrap() {
                ("event", name) => event.name = Some(name.to_owned()),
                ("id", id) => event.id = Some(id.to_owned()),
                ("retry", retry) => event.retry = retry.parse().ok(),
                ("data", data) => event.data.push_str(data),
                other => panic!("{other:?}"),
            }
        }
        event
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|_| panic!("{self:?}"))
    }
}
