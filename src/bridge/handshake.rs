//! The handshake with a peer: `initialize`, or `server/discover` of 2026-07-28, and where the one is refused, the other.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::message::{self, ClientInfo};
use super::peer::{Peer, Requester, Settled};
use super::unavailable::Unavailable;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::mcp::{self, Description, LEGACY_VERSIONS, MODERN_VERSION, Members, TASKS_EXTENSION};

/// What a peer says of itself.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    /// Whether it is of 2026-07-28, whose results have members of their own.
    pub(super) is_modern: bool,
    /// The version of the protocol that it is spoken to in.
    pub(super) version: String,
    pub(super) description: Arc<Description>,
}

/// Capabilities that are passed on. Others, like the tasks of 2025-11-25, have methods that are not.
const CARRIED: [&str; 6] = ["tools", "prompts", "resources", "completions", "logging", "extensions"];

type Done = Box<dyn FnOnce(Result<Greeting, Unavailable>) + Send>;

/// Starts the handshake with this step; `done` is called once, from the thread that reads the peer.
pub(super) fn start(peer: &Arc<Peer>, client_info: ClientInfo, (first, done): (HandshakeStep, Done)) {
    let done = Arc::new(Mutex::new(Some(done)));
    Handshake { peer: Arc::clone(peer), step: first, refused: None, client_info, done }.send();
}

/// A way to begin with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeStep {
    Initialize,
    Discover,
}

/// The only era of a server's peers, once one has refused the other era: the next one is begun in it.
#[derive(Default)]
pub(super) struct OnlyEra {
    /// Guards whether it is that of 2026-07-28.
    is_modern: Mutex<Option<bool>>,
}

impl OnlyEra {
    pub(super) fn is_known(&self) -> bool {
        self.is_modern.lock().is_some()
    }

    /// Where to begin, if 2026-07-28 is `wanted` or not.
    pub(super) fn first_step(&self, wanted: bool) -> HandshakeStep {
        let is_modern = self.is_modern.lock().unwrap_or(wanted);
        if is_modern { HandshakeStep::Discover } else { HandshakeStep::Initialize }
    }

    /// Notes what came of a handshake.
    pub(super) fn note(&self, wanted: bool, is_modern: bool) {
        let mut only = self.is_modern.lock();
        let is_known = wanted != is_modern || *only == Some(is_modern);
        *only = is_known.then_some(is_modern);
    }
}

struct Handshake {
    peer: Arc<Peer>,
    step: HandshakeStep,
    /// The step before, which the peer has refused.
    refused: Option<HandshakeStep>,
    client_info: ClientInfo,
    /// Guards who is told of the outcome; taken by the first.
    done: Arc<Mutex<Option<Done>>>,
}

impl Handshake {
    fn send(self) {
        let (method, params) = match self.step {
            HandshakeStep::Initialize => ("initialize", self.initialize_params()),
            HandshakeStep::Discover => ("server/discover", Members::default()),
        };
        self.peer.introduce((self.step == HandshakeStep::Discover).then_some(self.client_info));
        let (peer, this) = (Arc::clone(&self.peer), Arc::new(self));
        if peer.request(method, &params, Arc::clone(&this) as Arc<dyn Requester>).is_err() {
            let how = this.peer.how_it_ended().unwrap_or_else(|| "it was ended".to_owned());
            this.finish(Err(Unavailable::Died(how)));
        }
    }

    fn initialize_params(&self) -> Members {
        // What we can carry to clients. Not `roots`: they are directories of the client's machine, and servers take them for their own;
        // the official filesystem server would let a client replace the directories that the operator named.
        let capabilities = json!({ "sampling": {}, "elicitation": {} });
        let [latest, ..] = LEGACY_VERSIONS;
        let params = Members::default()
            .with("protocolVersion", &latest)
            .and_then(|params| params.with("capabilities", &capabilities))
            .and_then(|params| params.with("clientInfo", &self.client_info));
        params.unwrap_or_default() // all of it is JSON
    }

    fn finish(&self, outcome: Result<Greeting, Unavailable>) {
        let done = self.done.lock().take();
        if let Some(done) = done {
            done(outcome);
        }
    }

    /// The peer refuses a step: it may know the other.
    fn refused(&self, error: &RawValue) {
        if self.refused.is_some() {
            return self.finish(Err(Unavailable::Refused(words(error))));
        }
        let step = match self.step {
            HandshakeStep::Initialize => HandshakeStep::Discover,
            HandshakeStep::Discover => HandshakeStep::Initialize,
        };
        let (peer, done) = (Arc::clone(&self.peer), Arc::clone(&self.done));
        Handshake { peer, step, refused: Some(self.step), client_info: self.client_info, done }.send();
    }
}

impl Requester for Handshake {
    fn answer(self: Arc<Self>, answer: Settled<'_>) {
        match (self.step, answer) {
            (HandshakeStep::Initialize, Settled::Answered(Ok(result))) => {
                let greeting = initialized(result);
                if greeting.is_ok() {
                    self.peer.notify("notifications/initialized", Members::default());
                }
                self.finish(greeting);
            }
            (HandshakeStep::Discover, Settled::Answered(Ok(result))) => self.finish(discovered(result)),
            (_, Settled::Answered(Err(error))) => self.refused(error),
            (_, Settled::Ended(end)) => self.finish(Err(Unavailable::Died(end.to_string()))),
        }
    }
}

fn initialized(result: &RawValue) -> Result<Greeting, Unavailable> {
    let result = read(result)?;
    let version: String = result.require("protocolVersion")?;
    if !LEGACY_VERSIONS.contains(&version.as_str()) {
        return Err(Unavailable::Version(echoed(&version)));
    }
    let description = describe(&result, result.read("serverInfo")?)?;
    Ok(Greeting { is_modern: false, version, description })
}

fn discovered(result: &RawValue) -> Result<Greeting, Unavailable> {
    let result = read(result)?;
    let versions: Vec<String> = result.require("supportedVersions")?;
    if !versions.iter().any(|version| version == MODERN_VERSION) {
        return Err(Unavailable::Version(echoed(&versions.join(", "))));
    }
    let info = result.object("_meta")?.read("io.modelcontextprotocol/serverInfo")?;
    let description = describe(&result, info)?;
    Ok(Greeting { is_modern: true, version: MODERN_VERSION.to_owned(), description })
}

/// Reads a result that is kept for each caller, so it has a limit.
fn read(result: &RawValue) -> Result<Members, Unavailable> {
    let is_short = result.get().len() <= limits::bridge::GREETING_BYTES;
    let result = is_short.then(|| serde_json::from_str(result.get()).ok()).flatten();
    result.ok_or(Unavailable::Unreadable)
}

/// What both eras say of a server.
fn describe(result: &Members, info: Option<Map<String, Value>>) -> Result<Arc<Description>, Unavailable> {
    let mut capabilities: Map<String, Value> = result.read("capabilities")?.unwrap_or_default();
    capabilities.retain(|name, value| CARRIED.contains(&name.as_str()) && value.is_object());
    if let Some(extensions) = capabilities.get_mut("extensions").and_then(Value::as_object_mut) {
        extensions.remove(TASKS_EXTENSION);
    }
    let unnamed =
        || Map::from_iter([("name".to_owned(), json!("unnamed")), ("version".to_owned(), json!("0"))]);
    let info = info.filter(|info| info.get("name").is_some_and(Value::is_string)).unwrap_or_else(unnamed);
    let instructions = result.read("instructions")?;
    Ok(Arc::new(Description { info, instructions, capabilities, has_tasks: false }))
}

/// A member is missing, or has another form.
impl From<mcp::Error> for Unavailable {
    fn from(_: mcp::Error) -> Unavailable {
        Unavailable::Unreadable
    }
}

/// What an error says to people.
fn words(error: &RawValue) -> String {
    let words: Option<String> = message::member(error, "message");
    words.map_or_else(|| "an error".to_owned(), |words| echoed(&words))
}

/// A peer's words as they are repeated to clients, and kept for the operator: the start of a text of any length.
fn echoed(words: &str) -> String {
    words.chars().take(limits::ECHOED_CHARS).collect()
}

#[cfg(test)]
mod tests;
