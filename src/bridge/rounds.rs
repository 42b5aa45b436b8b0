//! Questions of peers of 2026-07-28 (MRTR), and the requests that bring the answers.

use std::collections::BTreeMap;
use std::sync::Weak;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::message::{self, OnBehalf};
use super::peer::Peer;
use crate::mcp::{CallError, Capability, ClientCapabilities, Context, InputRequest, Level, Members};

/// The answers and the state that a client of 2026-07-28 sends.
#[derive(Serialize, Deserialize)]
pub(super) enum Remembered {
    /// The ticket of a parked call, whose peer waits for the answer.
    Ticket(String),
    /// The `requestState` of a peer of 2026-07-28, whose request has ended; `None` if it sent none.
    State(Option<String>),
}

/// One request to the peer.
#[derive(Clone, Default)]
pub(super) struct PeerRound {
    /// The number of requests before it.
    pub(super) number: usize,
    /// The peer, and the request's id there.
    pub(super) request: Option<(Weak<Peer>, u64)>,
    /// The client's answers.
    pub(super) input_responses: Option<Box<RawValue>>,
    /// The peer's `requestState`.
    pub(super) request_state: Option<String>,
}

/// The questions of an `input_required` result, and the peer's state.
pub(super) type AskedByPeer = (Vec<InputRequest>, Option<String>);

/// The questions and the state of an `input_required` result; `None` if it cannot be parsed.
///
/// # Errors
/// A question beyond the client's declared capabilities, or one that is not passed on.
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
    let is_there = asked.is_some() || state.is_some();
    let mut requests = Vec::new();
    for (key, AskedOfClient { method, params }) in asked.unwrap_or_default() {
        let Some(capability) = needed(&method, params.as_deref()) else { return Ok(None) };
        if capability == Capability::Roots || !client.supports(capability) {
            return Err(CallError::MissingCapability(capability));
        }
        let Some(params) = params else { return Ok(None) };
        requests.push(InputRequest { key, capability, params });
    }
    Ok(is_there.then_some((requests, state)))
}

/// The answers to these questions, in the form that the peer expects.
pub(super) fn responses(requests: &[InputRequest], answers: Vec<Box<RawValue>>) -> Option<Box<RawValue>> {
    let keys = requests.iter().map(|request| request.key.as_str());
    to_raw_value(&keys.zip(answers).collect::<BTreeMap<_, _>>()).ok()
}

/// The client on whose behalf a request is made: the capabilities that are passed on, verbatim if they came with the call.
pub(super) fn on_behalf(context: &Context, round: PeerRound) -> OnBehalf {
    let meta = context.call().params.object("_meta").unwrap_or_default();
    let mut capabilities = meta.object("io.modelcontextprotocol/clientCapabilities").unwrap_or_default();
    capabilities.retain(|name| matches!(name, "sampling" | "elicitation"));
    for capability in [Capability::Sampling, Capability::Elicitation] {
        if context.client().supports(capability) && capabilities.get(capability.name()).is_none() {
            capabilities = capabilities.with(capability.name(), &Members::default()).unwrap_or_default();
        }
    }
    // For a client of an older version that has set no log level, the level is `info`, if it wants such messages.
    let log_level = context.log_level().or_else(|| context.wants_log(Level::Info).then_some(Level::Info));
    let PeerRound { input_responses, request_state, .. } = round;
    OnBehalf { capabilities, log_level, input_responses, request_state, mirrored: Vec::new() }
}

/// The capability that a client needs for a question of a peer; `None` if it is never passed on.
pub(super) fn capability(method: &str, params: &RawValue) -> Option<Capability> {
    // An elicitation in URL mode needs another capability.
    let asks_for_url = message::member::<String>(params, "mode").as_deref() == Some("url");
    let needed = needed(method, Some(params))?;
    let is_passed = needed != Capability::Roots && !(needed == Capability::Elicitation && asks_for_url);
    is_passed.then_some(needed)
}

/// The capability that a question needs (sampling, "Tools in Sampling").
fn needed(method: &str, params: Option<&RawValue>) -> Option<Capability> {
    let has = |name| params.and_then(|params| message::member::<Box<RawValue>>(params, name)).is_some();
    let needed = Capability::of_method(method)?;
    let with_tools = needed == Capability::Sampling && (has("tools") || has("toolChoice"));
    Some(if with_tools { Capability::SamplingTools } else { needed })
}
