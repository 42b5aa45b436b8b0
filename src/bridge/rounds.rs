//! Peers of 2026-07-28 that ask (MRTR): their questions, and the requests that bring the answers.

use std::collections::BTreeMap;
use std::sync::Weak;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::message::{self, OnBehalf};
use super::peer::Peer;
use crate::mcp::{CallError, Capability, ClientCapabilities, Context, Error, InputRequest, Level, Members};

/// The answers and the state that a client of 2026-07-28 brings back.
#[derive(Serialize, Deserialize)]
pub(super) enum Remembered {
    /// Names the parked call of a peer that waits.
    Ticket(String),
    /// The state of a peer of 2026-07-28, which does not, if it gave one.
    State(Option<String>),
}

/// One request at the peer.
#[derive(Clone, Default)]
pub(super) struct PeerRound {
    /// How many there were before.
    pub(super) number: usize,
    /// Where it runs, and its id there.
    pub(super) request: Option<(Weak<Peer>, u64)>,
    /// The client's answers.
    pub(super) input_responses: Option<Box<RawValue>>,
    /// The peer's own state.
    pub(super) request_state: Option<String>,
}

/// The questions of a result that asks, and the peer's state.
pub(super) type AskedByPeer = (Vec<InputRequest>, Option<String>);

/// The questions and the state in a result that asks; `None` if it cannot be read.
///
/// # Errors
/// A question that the client did not say it can answer, or that is not passed on.
pub(super) fn questions(
    result: &Members,
    client: &ClientCapabilities,
) -> Result<Option<AskedByPeer>, CallError> {
    #[derive(Deserialize)]
    struct AskedOfClient {
        method: String,
        params: Option<Box<RawValue>>,
    }
    let asked = result.read::<BTreeMap<String, AskedOfClient>>("inputRequests");
    let (Ok(asked), Ok(state)) = (asked, result.read("requestState")) else { return Ok(None) };
    if asked.is_none() && state.is_none() {
        return Ok(None);
    }
    let mut requests = Vec::new();
    for (key, AskedOfClient { method, params }) in asked.unwrap_or_default() {
        let Some(capability) = Capability::of_method(&method) else { return Ok(None) };
        if capability == Capability::Roots || !client.supports(capability) {
            return Err(CallError::MissingCapability(capability));
        }
        let Some(params) = params else { return Ok(None) };
        requests.push(InputRequest { key, capability, params });
    }
    Ok(Some((requests, state)))
}

/// The answers to these questions, as the peer wants them.
pub(super) fn responses(requests: &[InputRequest], answers: Vec<Box<RawValue>>) -> Option<Box<RawValue>> {
    let keys = requests.iter().map(|request| request.key.as_str());
    to_raw_value(&keys.zip(answers).collect::<BTreeMap<_, _>>()).ok()
}

/// A request's description of its client: capabilities as far as they are passed on, in the client's own words where they came with the call.
pub(super) fn on_behalf(context: &Context, round: PeerRound) -> OnBehalf {
    let meta = context.call().params.object("_meta").unwrap_or_default();
    let mut capabilities = meta.object("io.modelcontextprotocol/clientCapabilities").unwrap_or_default();
    capabilities.retain(|name| matches!(name, "sampling" | "elicitation"));
    for capability in [Capability::Sampling, Capability::Elicitation] {
        if context.client().supports(capability) && capabilities.get(capability.name()).is_none() {
            capabilities = capabilities.with(capability.name(), &Members::default()).unwrap_or_default();
        }
    }
    // A client of an older version that has not said which messages it wants gets some.
    let log_level = context.log_level().or_else(|| context.wants_log(Level::Info).then_some(Level::Info));
    let PeerRound { input_responses, request_state, .. } = round;
    OnBehalf { capabilities, log_level, input_responses, request_state, mirrored: Vec::new() }
}

/// The capability that a client needs for a question of a peer; `None` if it is put to nobody.
pub(super) fn capability(method: &str, params: &RawValue) -> Option<Capability> {
    // An elicitation that wants a URL to be opened needs another capability.
    let asks_for_url = message::member::<String>(params, "mode").as_deref() == Some("url");
    match Capability::of_method(method)? {
        Capability::Roots => None,
        Capability::Elicitation if asks_for_url => None,
        capability @ (Capability::Sampling | Capability::Elicitation) => Some(capability),
    }
}

/// The answer to a question that comes while its call belongs to no request of the client.
pub(super) fn not_now() -> Error {
    Error::new(Error::INTERNAL, "The client did not answer an earlier question, or the call is over")
}
