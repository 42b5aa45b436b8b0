//! The handshake with a peer: `initialize`, or `server/discover` of 2026-07-28; if one is refused, the other.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::message::{self, ClientInfo};
use super::peer::{Peer, Requester, Settled};
use super::transport::Receiver;
use super::unavailable::Unavailable;
use crate::base::{json, limits};
use crate::mcp::{self, Description, Era, LEGACY_VERSIONS, MODERN_VERSION, Members, TASKS_EXTENSION};

/// A peer's description of itself.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    pub(super) era: Era,
    /// The negotiated protocol version.
    pub(super) version: String,
    pub(super) description: Arc<Description>,
    /// Whether it has refused the other era.
    pub(super) is_only_era: bool,
}

/// Capabilities that are passed on. Others, such as the tasks of 2025-11-25, have methods that are not passed on.
const CARRIED: [&str; 6] = ["tools", "prompts", "resources", "completions", "logging", "extensions"];

/// Handles the outcome. It has to ignore a second one, which is possible if the peer ends while it is sent a request.
type Done = Arc<dyn Fn(Result<Greeting, Unavailable>) + Send + Sync>;

/// Starts the handshake in the era `first`; `done` is called on the thread that reads the peer, or on this one if the
/// request cannot be sent.
pub(super) fn start(peer: &Arc<Peer>, client_info: ClientInfo, (first, done): (Era, Done)) {
    Handshake { peer: Arc::clone(peer), era: first, refusal: None, client_info, done }.send();
}

#[derive(Clone)]
struct Handshake {
    peer: Arc<Peer>,
    /// The era of the current request.
    era: Era,
    /// Once the peer has answered the request of the other era with an error: whether that was a refusal of the era.
    refusal: Option<bool>,
    client_info: ClientInfo,
    done: Done,
}

impl Handshake {
    fn send(self) {
        let (method, params) = match self.era {
            Era::Legacy => ("initialize", self.initialize_params()),
            Era::Modern => ("server/discover", Members::default()),
        };
        self.peer.introduce((self.era == Era::Modern).then_some(self.client_info));
        let (peer, this) = (Arc::clone(&self.peer), Arc::new(self));
        if peer.request(method, &params, Arc::clone(&this) as Arc<dyn Requester>).is_err() {
            let how = this.peer.how_it_ended().unwrap_or_else(|| "it was ended".to_owned());
            (this.done)(Err(Unavailable::Died(how)));
        }
    }

    fn initialize_params(&self) -> Members {
        // Capabilities that can be carried to clients. Not `roots`: they are directories of the client's machine, but servers apply them to
        // their own; the official filesystem server would let a client replace the directories that the operator named.
        let capabilities = json!({ "sampling": {}, "elicitation": {} });
        let [latest, ..] = LEGACY_VERSIONS;
        let params = Members::default()
            .with("protocolVersion", &latest)
            .and_then(|params| params.with("capabilities", &capabilities))
            .and_then(|params| params.with("clientInfo", &self.client_info));
        params.unwrap_or_default() // all of it is valid JSON
    }
}

impl Requester for Handshake {
    fn answer(self: Arc<Self>, answer: Settled<'_>, _: &dyn Receiver) {
        let outcome = match (self.era, answer) {
            (Era::Legacy, Settled::Answered(Ok(result))) => initialized(result)
                .inspect(|_| self.peer.notify("notifications/initialized", Members::default())),
            (Era::Modern, Settled::Answered(Ok(result))) => discovered(result),
            (_, Settled::Answered(Err(error))) if self.refusal.is_some() => {
                Err(Unavailable::Refused(words(error)))
            }
            // It may support the other era.
            (era, Settled::Answered(Err(error))) => {
                let era = if era == Era::Legacy { Era::Modern } else { Era::Legacy };
                // An internal error says nothing about the era. A failed exchange with an upstream is one as well.
                let refusal = Some(message::member(error, "code") != Some(mcp::Error::INTERNAL));
                return Handshake { era, refusal, ..Handshake::clone(&self) }.send();
            }
            (_, Settled::Ended(how)) => Err(Unavailable::Died(how.to_owned())),
        };
        (self.done)(outcome.map(|found| Greeting { is_only_era: self.refusal == Some(true), ..found }));
    }
}

fn initialized(result: &RawValue) -> Result<Greeting, Unavailable> {
    let result = read(result)?;
    let version: String = result.require("protocolVersion")?;
    if !LEGACY_VERSIONS.contains(&version.as_str()) {
        return Err(Unavailable::Version(echoed(&version)));
    }
    let description = describe(&result, result.read("serverInfo")?)?;
    Ok(Greeting { era: Era::Legacy, version, description, is_only_era: false })
}

fn discovered(result: &RawValue) -> Result<Greeting, Unavailable> {
    let result = read(result)?;
    let versions: Vec<String> = result.require("supportedVersions")?;
    if !versions.iter().any(|version| version == MODERN_VERSION) {
        return Err(Unavailable::Version(echoed(&versions.join(", "))));
    }
    let info = result.object("_meta")?.read("io.modelcontextprotocol/serverInfo")?;
    let description = describe(&result, info)?;
    Ok(Greeting { era: Era::Modern, version: MODERN_VERSION.to_owned(), description, is_only_era: false })
}

/// Reads a result, of bounded size because it is kept for each caller.
fn read(result: &RawValue) -> Result<Members, Unavailable> {
    let is_short = result.get().len() <= limits::bridge::GREETING_BYTES
        && json::check(result.get(), limits::bridge::GREETING_VALUES, |_| false).is_ok();
    let result = is_short.then(|| serde_json::from_str(result.get()).ok()).flatten();
    result.ok_or(Unavailable::Unreadable)
}

/// The members of a server's description in both eras.
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

/// A member is missing or of the wrong type.
impl From<mcp::Error> for Unavailable {
    fn from(_: mcp::Error) -> Unavailable {
        Unavailable::Unreadable
    }
}

/// The text of an error, for display.
fn words(error: &RawValue) -> String {
    let words: Option<String> = message::member(error, "message");
    words.map_or_else(|| "an error".to_owned(), |words| echoed(&words))
}

/// A peer's text, truncated, for clients and the operator.
fn echoed(words: &str) -> String {
    words.chars().take(limits::ECHOED_CHARS).collect()
}

#[cfg(test)]
mod tests;
