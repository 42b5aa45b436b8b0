//! Multi-round-trip requests (2026-07-28, patterns, "MRTR"): a call that needs answers ends with the questions, and the client repeats
//! it with the answers. Earlier answers are a part of the sealed `requestState` (M15), so that a handler can be written as if it had
//! asked and waited.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::call::{Call, CallError, Capability, InputRequest};
use super::jsonrpc::Error;
use super::members::{Members, is_absent, is_object};
use crate::base::{GrantId, Mutex, Random, Timestamp, base64url, json, limits, sha256};
use crate::seal::{self, Keyring, Sealed};

/// `inputResponses`: the client's answers by the keys of their questions.
pub(super) type Answers = BTreeMap<String, Box<RawValue>>;

/// The client's response to a request of this server.
pub(super) type ClientAnswer = Result<Box<RawValue>, Error>;

/// Waits for a response of the client, at most [`limits::ASK`].
pub(super) fn wait_for(answer: &Receiver<ClientAnswer>) -> Result<Box<RawValue>, CallError> {
    match answer.recv_timeout(limits::ASK) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(CallError::Protocol(error)),
        Err(RecvTimeoutError::Timeout) => Err("The client did not answer in time".into()),
        Err(RecvTimeoutError::Disconnected) => Err(CallError::Cancelled),
    }
}

/// The contents of a `requestState`.
#[derive(Serialize, Deserialize)]
struct RequestState {
    /// The grant: a person with one client, at one server, or a service token.
    grant: GrantId,
    /// The digest of server, operation, name and arguments: a state is only valid for its request.
    digest: String,
    expires: Timestamp,
    answers: Answers,
    remembered: Option<Box<RawValue>>,
}

impl Sealed for RequestState {
    const PREFIX: &'static str = "mcp_state_";

    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }
}

/// The digest of server, operation, name and arguments, to which a state is bound. Independent of spacing and order of the arguments.
fn digest(call: &Call) -> String {
    let arguments = call.params.get("arguments");
    let arguments = arguments.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let parts = (&*call.principal.resource, call.operation.method(), &call.subject, arguments);
    base64url(&sha256(&serde_json::to_vec(&parts).unwrap_or_default()))
}

/// One round of a call.
pub(super) struct Round {
    /// Of this request and of earlier rounds.
    answers: Answers,
    remembered: Option<Box<RawValue>>,
    /// Guards the value that replaces `remembered` in the next round.
    next: Mutex<Option<Box<RawValue>>>,
}

impl Round {
    /// The round that a request begins.
    ///
    /// # Errors
    /// [`Error::INVALID_PARAMS`] if the state was not made for this grant and request, or has expired. The error is the same for all
    /// reasons.
    pub(super) fn begin(call: &Call, keys: &Keyring, now: Timestamp) -> Result<Round, Error> {
        let fresh = call.params.read::<Answers>("inputResponses")?.unwrap_or_default();
        let Some(state) = call.params.read::<String>("requestState")? else {
            return Ok(Round { answers: fresh, remembered: None, next: Mutex::default() });
        };
        let state = Some(state).filter(|state| state.len() <= limits::REQUEST_STATE_BYTES);
        let state = state.and_then(|state| seal::open::<RequestState>(keys, &state, now).ok());
        let is_ours =
            |state: &RequestState| state.grant == call.principal.grant && state.digest == digest(call);
        let state = state.filter(is_ours).ok_or_else(|| Error::invalid_params("Invalid requestState"))?;
        let RequestState { mut answers, remembered, .. } = state;
        answers.extend(fresh);
        Ok(Round { answers, remembered, next: Mutex::default() })
    }

    /// The answers to these questions, if all are present; otherwise the call ends with the open questions. A question whose answer
    /// is malformed is open.
    pub(super) fn ask(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let answer = |request: &InputRequest| {
            self.answers.get(&request.key).filter(|answer| has_shape(request.capability, answer))
        };
        let answers: Vec<_> = requests.iter().filter_map(answer).cloned().collect();
        if answers.len() == requests.len() {
            return Ok(answers);
        }
        let open = requests.into_iter().filter(|request| answer(request).is_none());
        Err(CallError::InputRequired(open.collect()))
    }

    pub(super) fn remembered(&self) -> Option<&RawValue> {
        self.remembered.as_deref()
    }

    pub(super) fn remember(&self, value: Box<RawValue>) {
        *self.next.lock() = Some(value);
    }

    /// The state for the next round; `None` if it would be empty.
    pub(super) fn next_state(
        &self,
        call: &Call,
        keys: &Keyring,
        random: &dyn Random,
        now: Timestamp,
    ) -> Option<String> {
        let remembered = self.next.lock().take().or_else(|| self.remembered.clone());
        if self.answers.is_empty() && remembered.is_none() {
            return None;
        }
        let state = RequestState {
            grant: call.principal.grant,
            digest: digest(call),
            expires: now.plus(limits::REQUEST_STATE_LIFETIME),
            answers: self.answers.clone(),
            remembered,
        };
        Some(seal::seal(keys, &state, random))
    }
}

/// Whether an answer has the members that the result of its method must have.
pub(super) fn has_shape(capability: Capability, answer: &RawValue) -> bool {
    let Ok(members) = json::read::<Members>(answer.get()) else { return false };
    let has = |name| members.get(name).is_some_and(|value| value.get() != "null");
    match capability {
        Capability::Elicitation => {
            let action = members.read::<String>("action").unwrap_or_default();
            matches!(action.as_deref(), Some("accept" | "decline" | "cancel"))
                && members.get("content").is_none_or(|content| is_object(content) || is_absent(content))
        }
        Capability::Sampling | Capability::SamplingTools => has("role") && has("content"),
        Capability::Roots => members.get("roots").is_some_and(|roots| roots.get().starts_with('[')),
    }
}

#[cfg(test)]
mod tests;
