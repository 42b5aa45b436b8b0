//! Multi-round-trip requests (2026-07-28, patterns, "MRTR"): a call that needs answers ends with the questions, and comes
//! back with them. What was answered before travels with the client in `requestState`, sealed (M15), so that a handler can
//! be written as if it had asked and waited.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::call::{Call, CallError, Capability, InputRequest};
use super::intake::is_object;
use super::jsonrpc::Error;
use super::members::is_absent;
use crate::base::clock::Timestamp;
use crate::base::encoding::{base64url, sha256};
use crate::base::identity::{ClientFingerprint, Principal, UserId};
use crate::base::lock::Mutex;
use crate::base::random::Random;
use crate::base::{json, limits};
use crate::seal::{self, Keyring, Sealed};

/// `inputResponses`: the client's answers by the keys of their questions.
pub(super) type Answers = BTreeMap<String, Box<RawValue>>;

/// The client's response to a request of ours.
pub(super) type ClientAnswer = Result<Box<RawValue>, Error>;

/// Waits for a response of the client, [`limits::ASK`] at most.
pub(super) fn wait_for(answer: &Receiver<ClientAnswer>) -> Result<Box<RawValue>, CallError> {
    match answer.recv_timeout(limits::ASK) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => {
            Err(CallError::Tool(format!("The client answered with an error: {}", error.message)))
        }
        Err(RecvTimeoutError::Timeout) => Err("The client did not answer in time".into()),
        Err(RecvTimeoutError::Disconnected) => Err(CallError::Cancelled),
    }
}

/// The contents of a `requestState`.
#[derive(Serialize, Deserialize)]
struct RequestState {
    user: UserId,
    client: ClientFingerprint,
    /// The digest of operation, name and arguments: a state is good for the request that it was made for.
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

/// The digest of what a state is bound to: operation, name and arguments, however these are spaced and ordered.
fn digest(call: &Call) -> String {
    let arguments = call.params.get("arguments");
    let arguments = arguments.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let parts = (call.operation.method(), &call.subject, arguments);
    base64url(&sha256(&serde_json::to_vec(&parts).unwrap_or_default()))
}

/// The means of opening and sealing states.
pub(super) struct Sealing<'a> {
    pub(super) keys: &'a Keyring,
    pub(super) random: &'a dyn Random,
    pub(super) now: Timestamp,
}

/// One round of a call.
pub(super) struct Round {
    /// Of this request and of earlier rounds.
    answers: Answers,
    remembered: Option<Box<RawValue>>,
    /// Guards the contents of the next state.
    next: Mutex<NextRound>,
}

#[derive(Default)]
struct NextRound {
    answers: Answers,
    remembered: Option<Box<RawValue>>,
}

impl Round {
    /// The round that a request begins.
    ///
    /// # Errors
    /// [`Error::INVALID_PARAMS`] if the state is not one that we made for this user, client and request, or is too old. Which
    /// of these it was is not told.
    pub(super) fn begin(
        principal: &Principal,
        call: &Call,
        (fresh, state): (Answers, Option<&str>),
        sealing: &Sealing<'_>,
    ) -> Result<Round, Error> {
        let invalid = || Error::invalid_params("Invalid requestState");
        let (mut answers, remembered) = match state {
            None => (Answers::new(), None),
            Some(text) if text.len() > limits::REQUEST_STATE_BYTES => return Err(invalid()),
            Some(text) => {
                let state: RequestState =
                    seal::open(sealing.keys, text, sealing.now).map_err(|_| invalid())?;
                let ours = state.user == principal.user
                    && state.client == principal.client
                    && state.digest == digest(call);
                if !ours {
                    return Err(invalid());
                }
                (state.answers, state.remembered)
            }
        };
        answers.extend(fresh);
        Ok(Round { answers, remembered, next: Mutex::default() })
    }

    /// The answers to these questions, if all are there; else the call ends with those that are open.
    pub(super) fn ask(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let answers: Vec<_> = requests.iter().map(|request| self.answer(request)).collect();
        {
            let mut next = self.next.lock();
            for (request, answer) in requests.iter().zip(&answers) {
                if let Some(answer) = answer {
                    next.answers.insert(request.key.clone(), answer.clone());
                }
            }
        }
        if answers.iter().all(Option::is_some) {
            return Ok(answers.into_iter().flatten().collect());
        }
        let open = requests.into_iter().zip(answers).filter(|(_, answer)| answer.is_none());
        Err(CallError::InputRequired(open.map(|(request, _)| request).collect()))
    }

    pub(super) fn remembered(&self) -> Option<&RawValue> {
        self.remembered.as_deref()
    }

    pub(super) fn remember(&self, value: Box<RawValue>) {
        self.next.lock().remembered = Some(value);
    }

    /// The state for the next round; `None` if there is nothing to know.
    pub(super) fn next_state(
        &self,
        principal: &Principal,
        call: &Call,
        sealing: &Sealing<'_>,
    ) -> Option<String> {
        let next = std::mem::take(&mut *self.next.lock());
        let remembered = next.remembered.or_else(|| self.remembered.clone());
        if next.answers.is_empty() && remembered.is_none() {
            return None;
        }
        let state = RequestState {
            user: principal.user,
            client: principal.client.clone(),
            digest: digest(call),
            expires: sealing.now.plus(limits::REQUEST_STATE_LIFETIME),
            answers: next.answers,
            remembered,
        };
        Some(seal::seal(sealing.keys, &state, sealing.random))
    }

    /// An answer of the right shape. Questions with any other answer are asked again.
    fn answer(&self, request: &InputRequest) -> Option<Box<RawValue>> {
        let answer = self.answers.get(&request.key)?;
        has_shape(request.capability, answer).then(|| answer.clone())
    }
}

/// Whether an answer has the members that the result of its method must have.
pub(super) fn has_shape(capability: Capability, answer: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct AnswerMembers<'a> {
        #[serde(borrow)]
        action: Option<&'a RawValue>,
        #[serde(borrow)]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        role: Option<&'a RawValue>,
        #[serde(borrow)]
        roots: Option<&'a RawValue>,
    }
    let Ok(AnswerMembers { action, content, role, roots }) = json::read(answer.get()) else { return false };
    match capability {
        Capability::Elicitation => {
            let action = action.and_then(|action| json::read::<String>(action.get()).ok());
            matches!(action.as_deref(), Some("accept" | "decline" | "cancel"))
                && content.is_none_or(|content| is_object(content) || is_absent(content))
        }
        Capability::Sampling => role.is_some() && content.is_some(),
        Capability::Roots => roots.is_some_and(|roots| roots.get().starts_with('[')),
    }
}

#[cfg(test)]
mod tests;
