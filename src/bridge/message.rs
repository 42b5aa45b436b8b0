//! JSON-RPC with a peer. Incoming messages are split into members whose text is otherwise unchanged; outgoing ones are the
//! client's text except for the id, the progress token and those members of `_meta` that concern one hop.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::base::json::{AtMost, Text};
use crate::base::limits;
use crate::mcp::jsonrpc::{self, Envelope};
use crate::mcp::{self, Level, MODERN_VERSION, Members, Mirrored};

/// One message of a peer.
#[derive(Debug)]
pub(super) enum PeerMessage<'a> {
    /// A request of the peer.
    Request { id: &'a RawValue, method: Cow<'a, str>, params: Option<&'a RawValue> },
    /// A notification of the peer.
    Notification { method: Cow<'a, str>, params: Option<&'a RawValue> },
    /// The answer to a request of ours.
    Answer { id: u64, answer: PeerAnswer<'a> },
    /// JSON-RPC that cannot be matched: an answer with an id that was never ours, a request without a usable id.
    Stray,
}

/// A result or an error, as the peer wrote it.
pub(super) type PeerAnswer<'a> = Result<&'a RawValue, &'a RawValue>;

/// The messages of a text: one, or those of a batch (2025-03-26). Empty if it is not JSON-RPC, or a batch that is too long.
pub(super) fn parse(text: &str) -> Vec<PeerMessage<'_>> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('[') {
        let batch = serde_json::from_str::<AtMost<&RawValue, { limits::bridge::BATCH }>>(text);
        return batch.into_iter().flat_map(|batch| batch.0).filter_map(|each| message(each.get())).collect();
    }
    message(text).into_iter().collect()
}

fn message(text: &str) -> Option<PeerMessage<'_>> {
    // serde would accept an array, too, and read the members by position.
    let envelope = text.starts_with('{').then(|| serde_json::from_str::<Envelope<'_>>(text).ok())??;
    let Envelope { jsonrpc, id, method, params, result, error } = envelope;
    if jsonrpc != "2.0" {
        return None;
    }
    let is_id = |id: &&RawValue| {
        id.get().len() <= limits::REQUEST_ID_BYTES
            && id.get().starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
    };
    let method = method.map(|method| serde_json::from_str(method.get())).transpose().ok()?;
    let method = method.map(|Text(method)| method);
    let id = id.filter(|id| id.get() != "null");
    Some(match (method, id) {
        (Some(method), None) => PeerMessage::Notification { method, params },
        (Some(method), Some(id)) if is_id(&id) => PeerMessage::Request { id, method, params },
        (Some(_), Some(_)) => PeerMessage::Stray,
        (None, id) => match (id.and_then(|id| id.get().parse().ok()), error, result) {
            (Some(id), Some(error), _) => PeerMessage::Answer { id, answer: Err(error) },
            (Some(id), None, Some(result)) => PeerMessage::Answer { id, answer: Ok(result) },
            (None, None, None) => return None,
            (None, ..) | (Some(_), None, None) => PeerMessage::Stray,
        },
    })
}

/// The description of the client on whose behalf a request is made.
#[derive(Default)]
pub(super) struct OnBehalf {
    pub(super) capabilities: Members,
    pub(super) log_level: Option<Level>,
    /// The answers to the peer's questions of the previous round.
    pub(super) input_responses: Option<Box<RawValue>>,
    /// The peer's `requestState` of that round.
    pub(super) request_state: Option<String>,
    /// The arguments that are mirrored in headers, if any.
    pub(super) mirrored: Vec<Mirrored>,
}

/// The `clientInfo` that we send to peers.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ClientInfo {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

/// The prefix of `_meta` members that concern one hop.
const OF_HOP: &str = "io.modelcontextprotocol/";

/// The client's progress token.
pub(super) fn progress_token(params: &Members) -> Option<Box<RawValue>> {
    let meta = params.object("_meta").ok()?;
    meta.get("progressToken").map(ToOwned::to_owned)
}

/// A client's params as sent to the peer: with our progress token if the client asked for progress, and for peers of
/// [`MODERN_VERSION`] with our `clientInfo` and the client's capabilities.
pub(super) fn for_peer(
    params: &Members,
    progress_token: Option<u64>,
    introduction: Option<(ClientInfo, OnBehalf)>,
) -> Result<Members, mcp::Error> {
    // The client's answers, a state that is sealed by this server, and the request for a task: tasks are not passed on.
    let mut params = params.clone().without("inputResponses").without("requestState").without("task");
    let mut meta = params.object("_meta").unwrap_or_default().without("progressToken");
    // In any case: a peer that ignores case would report progress to the token of another client's call.
    let is_token = |name: &str| Members::is_variant(name, &["progressToken"]);
    meta.retain(|name| !name.to_lowercase().starts_with(OF_HOP) && !is_token(name));
    meta = meta.with_some("progressToken", progress_token)?;
    if let Some((client_info, client)) = introduction {
        meta = meta
            .with("io.modelcontextprotocol/protocolVersion", &MODERN_VERSION)?
            .with("io.modelcontextprotocol/clientInfo", &client_info)?
            .with("io.modelcontextprotocol/clientCapabilities", &client.capabilities)?
            .with_some("io.modelcontextprotocol/logLevel", client.log_level)?;
        params = params
            .with_some("inputResponses", client.input_responses)?
            .with_some("requestState", client.request_state)?;
    }
    let params = params.without("_meta");
    if meta.is_empty() { Ok(params) } else { params.with("_meta", &meta) }
}

/// A message to a peer, with the metadata that transports need.
#[derive(Clone, Debug, Default)]
pub(super) struct OutgoingMessage {
    pub(super) text: String,
    /// Empty for a response.
    pub(super) method: String,
    pub(super) params: Members,
    /// The id of a request that expects an answer.
    pub(super) request: Option<u64>,
    /// The arguments that are mirrored in headers, if any.
    pub(super) mirrored: Vec<Mirrored>,
}

/// A request with this id.
pub(super) fn request(id: u64, method: &str, params: Members) -> OutgoingMessage {
    let text = jsonrpc::request(&id, method, &params);
    OutgoingMessage { text, method: method.to_owned(), params, request: Some(id), mirrored: Vec::new() }
}

pub(super) fn notification(method: &str, params: Members) -> OutgoingMessage {
    let stated = (!params.is_empty()).then_some(&params);
    let text = jsonrpc::notification(method, stated);
    OutgoingMessage { text, method: method.to_owned(), params, ..OutgoingMessage::default() }
}

/// The answer to a request, whose id is repeated unchanged.
pub(super) fn answer(id: impl Serialize, answer: Result<impl Serialize, &mcp::Error>) -> OutgoingMessage {
    let text = match answer {
        Ok(result) => jsonrpc::result(&id, &result),
        Err(error) => jsonrpc::error(&id, error),
    };
    OutgoingMessage { text, ..OutgoingMessage::default() }
}

/// A member of params or of an error, if it is present and of this type.
pub(super) fn member<T: DeserializeOwned>(object: &RawValue, name: &str) -> Option<T> {
    serde_json::from_str::<Members>(object.get()).ok()?.read(name).ok()?
}

#[cfg(test)]
mod tests;
