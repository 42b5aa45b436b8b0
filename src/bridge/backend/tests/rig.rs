//! A bridge with a scripted peer, and clients of both eras.

use std::io;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::super::*;
use crate::base::fake::principal;
use crate::base::{Capacity, CountedRandom, ManualClock, Mutex, ServerAccess, clock};
use crate::bridge::instances::InstanceSettings;
use crate::bridge::message::{ClientInfo, OutgoingMessage};
use crate::bridge::pool::InstancePool;
use crate::bridge::transport::{Launcher, Receiver, Transport, Undelivered};
use crate::http::{Body, Next, Request, Responder, Response, Stream};
use crate::mcp::{Mcp, Settings};
use crate::seal::fake::keyring;

const SOON: Duration = Duration::from_secs(20);

/// The answers of a peer to a message.
pub(super) type Script = fn(&Value) -> Vec<String>;

/// A scripted peer, which answers at once and on the calling thread.
pub(super) struct ScriptedPeer {
    pub(super) script: Script,
    pub(super) receiver: Weak<dyn Receiver>,
    pub(super) sent: Mutex<Vec<String>>,
    pub(super) has_ended: Mutex<bool>,
    pub(super) is_full: Mutex<bool>,
}

impl ScriptedPeer {
    pub(super) fn say(&self, text: &str) {
        if let Some(receiver) = self.receiver.upgrade() {
            assert!(receiver.receive(text), "{text}");
        }
    }

    pub(super) fn die(&self) {
        *self.has_ended.lock() = true;
        self.receiver.upgrade().unwrap().ended("it was killed by signal 9");
    }

    pub(super) fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock())
    }
}

impl Transport for ScriptedPeer {
    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered> {
        if *self.has_ended.lock() {
            return Err(Undelivered::Ended);
        }
        if *self.is_full.lock() {
            return Err(Undelivered::Full);
        }
        let answers = (self.script)(&serde_json::from_str(&message.text).unwrap());
        self.sent.lock().push(message.text);
        answers.iter().for_each(|answer| self.say(answer));
        Ok(())
    }

    fn end(&self) {
        *self.has_ended.lock() = true;
    }
}

#[derive(Clone)]
pub(super) struct Peers {
    pub(super) script: Script,
    pub(super) mirrors_era: bool,
    pub(super) all: Arc<Mutex<Vec<Arc<ScriptedPeer>>>>,
    /// Keeps receivers alive, as the program's thread does.
    pub(super) receivers: Arc<Mutex<Vec<Arc<dyn Receiver>>>>,
}

impl Launcher for Peers {
    fn mirrors_era(&self) -> bool {
        self.mirrors_era
    }

    fn launch(&self, _: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>> {
        let peer = ScriptedPeer {
            script: self.script,
            receiver: Arc::downgrade(&receiver),
            sent: Mutex::default(),
            has_ended: Mutex::new(false),
            is_full: Mutex::new(false),
        };
        let peer = Arc::new(peer);
        self.receivers.lock().push(receiver);
        self.all.lock().push(Arc::clone(&peer));
        Ok(peer)
    }
}

/// An endpoint whose backend is a bridge.
pub(super) struct Rig {
    pub(super) mcp: Mcp,
    pub(super) bridge: Arc<Bridge>,
    pub(super) peers: Peers,
    pub(super) access: Arc<ServerAccess>,
}

/// The usual peer, whose behaviour depends on the tool's name.
pub(super) fn usual(message: &Value) -> Vec<String> {
    let id = message["id"].to_string();
    let result = |result: &str| vec![format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)];
    let text = |text: &str| result(&json!({ "content": [{ "type": "text", "text": text }] }).to_string());
    match (message["method"].as_str(), message["params"]["name"].as_str()) {
        (Some("initialize"), _) => result(
            r#"{"protocolVersion":"2025-11-25","serverInfo":{"name":"peer","version":"7","x":1.0},"instructions":"Be gentle.","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"completions":{},"tasks":{"list":{}},"logging":{}}}"#,
        ),
        (Some("tools/list"), _) => result(
            r#"{"tools":[{"name":"any", "inputSchema":{"type":"object","z":1.10}}],"nextCursor":"opaque"}"#,
        ),
        (Some("completion/complete"), _) => result(r#"{"completion":{"values":["a"]}}"#),
        (Some("resources/read"), _) => {
            vec![format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32002,"message":"gone","data":{{"uri":"x://y","n":1.10}}}}}}"#
            )]
        }
        (Some("tools/call"), Some("numbers")) => result(
            r#"{"z":18446744073709551615,"content":[{"type":"text","text":"\u00e4\/"}],"a":1.10e+2,"isError":true}"#,
        ),
        (Some("tools/call"), Some("refuse")) => {
            vec![format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-5,"message":"no","data":[9007199254740993,1.10]}}}}"#
            )]
        }
        (Some("tools/call"), Some("report")) => {
            let token = &message["params"]["_meta"]["progressToken"];
            let mut all = vec![
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":9007199254740993,"progressToken":{token}}}}}"#),
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","logger":"l","data":1.10}}"#.to_owned(),
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":2}}"#.to_owned(),
            ];
            all.extend(text("reported"));
            all
        }
        (Some("tools/call"), Some("large")) => text(&"x".repeat(limits::ANSWER_BYTES)),
        (Some("tools/call"), Some("from_2026")) => {
            result(r#"{"resultType":"partial","ttlMs":5,"cacheScope":"public","content":[],"ttl":1.10}"#)
        }
        (Some("tools/call"), Some("nonsense")) => result("7"),
        (Some("tools/call"), Some("ask")) => vec![elicitation(&format!("q1/{id}"))],
        (Some("tools/call"), Some("ask_report")) => vec![elicitation(&format!("qp/{id}"))],
        (Some("tools/call"), Some("hang")) => vec![LOG.to_owned()],
        (Some("tools/call"), Some("log_ask")) => vec![LOG.to_owned(), elicitation(&format!("q1/{id}"))],
        (Some("tools/call"), Some("log_ask_log")) => vec![LOG.to_owned(), elicitation(&format!("q2/{id}"))],
        (Some("tools/call"), Some("sample")) => {
            vec![r#"{"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{}}"#.to_owned()]
        }
        (Some("tools/call"), Some("ask_both")) => {
            vec![elicitation(&format!("qx/{id}")), elicitation(&format!("qy/{id}"))]
        }
        (Some("tools/call"), Some("ask_twice")) => vec![elicitation(&format!("qa/{id}"))],
        // A question's id names the call that it belongs to.
        (None, _) => match message["id"].as_str().and_then(|id| id.split_once('/')) {
            Some(("qa", call)) => vec![elicitation(&format!("qb/{call}"))],
            // Two threads send them, in either order; only one test uses them.
            Some(("qx" | "qy", _)) if BOTH_ANSWERED.fetch_add(1, Ordering::SeqCst) == 0 => Vec::new(),
            Some(("q2", _)) => vec![LOG.to_owned()],
            Some((question, call)) => {
                let answered = json!({ "content": [], "answered": message["result"] });
                let answer = format!(r#"{{"jsonrpc":"2.0","id":{call},"result":{answered}}}"#);
                // Our progress token is the id of the call.
                let report = || {
                    format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{call},"progress":1.10}}}}"#
                    )
                };
                (question == "qp").then(report).into_iter().chain([answer]).collect()
            }
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A peer that speaks 2026-07-28 only.
pub(super) fn modern_peer(message: &Value) -> Vec<String> {
    let id = message["id"].to_string();
    let version = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    vec![match message["method"].as_str() {
        Some("initialize") => {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no"}}}}"#)
        }
        Some("server/discover") if version == "2026-07-28" => {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{{"tools":{{"listChanged":true}},"resources":{{"subscribe":true}}}}}}}}"#
            )
        }
        Some("subscriptions/listen") | None => return Vec::new(),
        Some("resources/read") => {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"gone","data":{{"uri":"x://y","n":1.10}}}}}}"#
            )
        }
        Some(method) if method.starts_with("notifications/") => return Vec::new(),
        Some(_) => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","ttlMs":5,"cacheScope":"public","version":{version},"content":[]}}}}"#
        ),
    }]
}

static BOTH_ANSWERED: AtomicUsize = AtomicUsize::new(0);

const LOG: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"alert","data":"started"}}"#;

fn elicitation(id: &str) -> String {
    let params = json!({ "message": "Who?", "requestedSchema": { "type": "object", "properties": {} } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params }).to_string()
}

pub(super) fn rig(script: Script) -> Rig {
    rig_of(Isolation::Grant, script)
}

pub(super) fn rig_of(isolation: Isolation, script: Script) -> Rig {
    rig_with(isolation, Peers { script, mirrors_era: false, all: Arc::default(), receivers: Arc::default() })
}

/// A rig with a peer over HTTP, which may support both eras.
pub(super) fn rig_at_upstream(script: Script) -> Rig {
    let peers = Peers { script, mirrors_era: true, all: Arc::default(), receivers: Arc::default() };
    rig_with(Isolation::Grant, peers)
}

/// A rig whose peers end once they have been idle for this time.
pub(super) fn rig_idle(script: Script, idle: Duration) -> Rig {
    let peers = Peers { script, mirrors_era: false, all: Arc::default(), receivers: Arc::default() };
    rig_for(Isolation::Grant, peers, idle)
}

fn rig_with(isolation: Isolation, peers: Peers) -> Rig {
    rig_for(isolation, peers, Duration::from_secs(600))
}

fn rig_for(isolation: Isolation, peers: Peers, idle: Duration) -> Rig {
    let settings = InstanceSettings {
        server: Arc::from("test"),
        start: Duration::from_secs(60),
        idle,
        isolation,
        client_info: ClientInfo { name: "us", version: "1" },
        pool: InstancePool::new((8, 64)),
    };
    let access = Arc::<ServerAccess>::default();
    let bridge = Arc::new(Bridge {
        kind: "program",
        digest: [0; 32],
        access: Arc::clone(&access),
        consent: Consent::default(),
        instances: Instances::new(settings, Box::new(peers.clone())),
    });
    let mcp = Mcp::new(Settings {
        backend: Arc::clone(&bridge) as Arc<dyn Backend>,
        keys: Arc::new(keyring(1)),
        clock: Arc::new(ManualClock::new()),
        random: Arc::new(CountedRandom::default()),
        capacity: Capacity::default(),
        resource: "https://mcp.example.com/mcp".into(),
        access: Arc::clone(&access),
        insufficient_scope: std::sync::Arc::new(|_| Response::new(403)),
    });
    Rig { mcp, bridge, peers, access }
}

/// An answer: its status and its messages, which are read as they arrive.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) session: Option<String>,
    pub(super) body: Body,
}

impl Answer {
    pub(super) fn messages(self) -> Vec<String> {
        match self.body {
            Body::Bytes(bytes) => vec![String::from_utf8(bytes).unwrap()],
            Body::Stream(stream) => std::iter::from_fn(|| next(&stream)).collect(),
        }
    }

    pub(super) fn last(self) -> String {
        self.messages().pop().unwrap()
    }

    pub(super) fn json(self) -> Value {
        serde_json::from_str(&self.last()).unwrap()
    }

    pub(super) fn stream(self) -> Stream {
        match self.body {
            Body::Stream(stream) => stream,
            Body::Bytes(bytes) => panic!("{}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// Waits until a condition holds.
pub(super) fn until(holds: impl Fn() -> bool) {
    let deadline = clock::instant() + SOON;
    while !holds() {
        assert!(clock::instant() < deadline, "not within the time");
        std::thread::yield_now();
    }
}

/// The next message of a stream.
pub(super) fn next(stream: &Stream) -> Option<String> {
    loop {
        let Next::Chunk(chunk) = stream.next(SOON) else { return None };
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        let data = text.lines().find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
        if data.as_ref().is_some_and(|data| !data.is_empty()) {
            return data;
        }
    }
}

pub(super) fn post(body: &Value) -> Request {
    crate::http::fake::request("POST", "/mcp")
        .with("Accept", "application/json, text/event-stream")
        .with("Content-Type", "application/json")
        .body(body.to_string())
}

pub(super) fn legacy(session: &str, method: &str, params: Value) -> Request {
    post(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
        .with("Mcp-Session-Id", session)
}

pub(super) fn modern(method: &str, mut params: Value) -> Request {
    let mut meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        "io.modelcontextprotocol/logLevel": "info",
    });
    if let Some(token) = params.get("token").cloned() {
        meta["progressToken"] = token;
    }
    params["_meta"] = meta;
    let name = ["name", "uri"].iter().find_map(|member| params[member].as_str()).map(str::to_owned);
    let request = post(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
        .with("MCP-Protocol-Version", "2026-07-28")
        .with("Mcp-Method", method);
    match name {
        Some(name) => request.with("Mcp-Name", &name),
        None => request,
    }
}

impl Rig {
    pub(super) fn send_as(&self, user: u64, request: Request) -> Answer {
        self.send_of(principal(user), request)
    }

    pub(super) fn send_of(&self, caller: Principal, request: Request) -> Answer {
        let (responder, waiter) = Responder::pair();
        let mcp = self.mcp.clone();
        std::thread::spawn(move || {
            mcp.handle(request, caller, responder).into_iter().for_each(|rest| rest())
        });
        let response = waiter.wait(clock::instant() + SOON).expect("an answer within the time");
        let session = response.header_value("Mcp-Session-Id").map(str::to_owned);
        Answer { status: response.status(), session, body: response.into_body() }
    }

    pub(super) fn send(&self, request: Request) -> Answer {
        self.send_as(1, request)
    }

    pub(super) fn session_as(&self, user: u64) -> String {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} }, "clientInfo": { "name": "c", "version": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        self.send_as(user, post(&body)).session.unwrap()
    }

    pub(super) fn peer(&self, index: usize) -> Arc<ScriptedPeer> {
        Arc::clone(&self.peers.all.lock()[index])
    }

    /// Waits until the peer gets a message that contains this.
    pub(super) fn wait_for(&self, index: usize, words: &str) -> String {
        let deadline = clock::instant() + SOON;
        loop {
            if let Some(found) = self.peer(index).sent.lock().iter().find(|message| message.contains(words)) {
                return found.clone();
            }
            assert!(clock::instant() < deadline, "{words} was not sent: {:?}", self.peer(index).sent());
            std::thread::yield_now();
        }
    }
}
