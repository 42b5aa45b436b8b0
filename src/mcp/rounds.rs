//! Multi-round-trip requests (2026-07-28, patterns, "MRTR"): a call that needs answers ends with the questions, and comes
//! back with them. What was answered before travels with the client in `requestState`, sealed (M15), so that a handler can
//! be written as if it had asked and waited.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::call::{CallError, Capability, InputRequest, Operation};
use super::intake::{is_absent, is_object};
use super::jsonrpc::Error;
use crate::base::clock::Timestamp;
use crate::base::encoding::{base64url, sha256};
use crate::base::identity::{ClientFingerprint, Principal, UserId};
use crate::base::lock::Mutex;
use crate::base::random::Random;
use crate::base::{json, limits};
use crate::seal::{self, Keyring, Sealed};

/// The client's answers by the keys of their questions.
pub(super) type Answers = BTreeMap<String, Box<RawValue>>;

/// What a `requestState` holds.
#[derive(Serialize, Deserialize)]
struct RequestState {
    user: UserId,
    client: ClientFingerprint,
    /// Of what is called with which arguments: a state is good for the request that it was made for.
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

/// What is called, as far as a state is bound to it.
pub(super) struct Subject {
    pub(super) operation: Operation,
    /// The name or the URI.
    pub(super) name: String,
    pub(super) arguments: Option<Box<RawValue>>,
}

impl Subject {
    /// The same for the same arguments, however they are spaced and ordered.
    fn digest(&self) -> String {
        let arguments = self.arguments.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let parts = (self.operation.method(), &self.name, arguments);
        base64url(&sha256(&serde_json::to_vec(&parts).unwrap_or_default()))
    }
}

/// What opens and seals states.
pub(super) struct Sealing<'a> {
    pub(super) keys: &'a Keyring,
    pub(super) random: &'a dyn Random,
    pub(super) now: Timestamp,
}

/// One round of a call.
pub(super) struct Round {
    user: UserId,
    client: ClientFingerprint,
    subject: Subject,
    /// What this request brought.
    fresh: Answers,
    /// What earlier rounds left.
    earlier: Answers,
    remembered: Option<Box<RawValue>>,
    /// Guards what the next round is to know.
    next: Mutex<Next>,
}

#[derive(Default)]
struct Next {
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
        subject: Subject,
        (fresh, state): (Answers, Option<&str>),
        sealing: &Sealing<'_>,
    ) -> Result<Round, Error> {
        let invalid = || Error::invalid_params("Invalid requestState");
        let (earlier, remembered) = match state {
            None => (Answers::new(), None),
            Some(text) if text.len() > limits::REQUEST_STATE_BYTES => return Err(invalid()),
            Some(text) => {
                let state: RequestState =
                    seal::open(sealing.keys, text, sealing.now).map_err(|_| invalid())?;
                let ours = state.user == principal.user
                    && state.client == principal.client
                    && state.digest == subject.digest();
                if !ours {
                    return Err(invalid());
                }
                (state.answers, state.remembered)
            }
        };
        Ok(Round {
            user: principal.user,
            client: principal.client.clone(),
            subject,
            fresh,
            earlier,
            remembered,
            next: Mutex::default(),
        })
    }

    /// The answers to these questions, if all are there; else the call ends with those that are open.
    pub(super) fn ask(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let answers: Vec<_> = requests.iter().map(|request| self.answer(request)).collect();
        {
            let mut next = self.lock();
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

    /// What the call is for: the name of its tool or prompt, or its URI.
    pub(super) fn name(&self) -> &str {
        &self.subject.name
    }

    pub(super) fn remembered(&self) -> Option<&RawValue> {
        self.remembered.as_deref()
    }

    pub(super) fn remember(&self, value: Box<RawValue>) {
        self.lock().remembered = Some(value);
    }

    /// The state for the next round; `None` if there is nothing to know.
    pub(super) fn next_state(&self, sealing: &Sealing<'_>) -> Option<String> {
        let next = std::mem::take(&mut *self.lock());
        let remembered = next.remembered.or_else(|| self.remembered.clone());
        if next.answers.is_empty() && remembered.is_none() {
            return None;
        }
        let state = RequestState {
            user: self.user,
            client: self.client.clone(),
            digest: self.subject.digest(),
            expires: sealing.now.plus(limits::REQUEST_STATE_LIFETIME),
            answers: next.answers,
            remembered,
        };
        Some(seal::seal(sealing.keys, &state, sealing.random))
    }

    /// An answer of the right shape; another is as good as none, and asked for again.
    fn answer(&self, request: &InputRequest) -> Option<Box<RawValue>> {
        let answer = self.fresh.get(&request.key).or_else(|| self.earlier.get(&request.key))?;
        has_shape(request.capability, answer).then(|| answer.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock()
    }
}

/// Whether an answer has what the result of its method must have.
pub(super) fn has_shape(capability: Capability, answer: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[allow(dead_code)] // read by serde only
    enum Action {
        #[serde(rename = "accept")]
        Accept,
        #[serde(rename = "decline")]
        Decline,
        #[serde(rename = "cancel")]
        Cancel,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)] // read by serde only
    struct Elicited {
        action: Action,
        content: Option<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)] // read by serde only
    struct Sampled {
        role: IgnoredAny,
        content: IgnoredAny,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)] // read by serde only
    struct Roots {
        roots: Vec<IgnoredAny>,
    }
    let text = answer.get();
    match capability {
        Capability::Elicitation => json::read::<Elicited>(text).is_ok_and(|Elicited { content, .. }| {
            content.is_none_or(|content| is_object(&content) || is_absent(&content))
        }),
        Capability::Sampling => json::read::<Sampled>(text).is_ok(),
        Capability::Roots => json::read::<Roots>(text).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::identity::fake::principal;
    use crate::base::random::CountedRandom;
    use crate::seal::fake::keyring;

    fn subject(name: &str, arguments: &str) -> Subject {
        let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
        Subject { operation: Operation::CallTool, name: name.to_owned(), arguments: Some(arguments) }
    }

    fn question(key: &str) -> InputRequest {
        InputRequest::elicitation(key, "?", &serde_json::json!({"type": "object", "properties": {}})).unwrap()
    }

    fn accepted(key: &str) -> Answers {
        let answer = RawValue::from_string(r#"{"action":"accept"}"#.to_owned()).unwrap();
        Answers::from([(key.to_owned(), answer)])
    }

    /// A state made for user 1, tool `a`, arguments `{"x":1,"y":2}` at the clock's start; whether this request may use it.
    fn check(user: u64, subject: Subject, edit: impl Fn(String) -> String, seconds: u64, expected: bool) {
        let (keys, random) = (keyring(1), CountedRandom::default());
        let sealing = |now| Sealing { keys: &keys, random: &random, now };
        let made = self::subject("a", r#"{"x":1,"y":2}"#);
        let start = sealing(ManualClock::START);
        let first = Round::begin(&principal(1), made, (accepted("one"), None), &start).unwrap();
        assert!(first.ask(vec![question("one"), question("two")]).is_err());
        let state = edit(first.next_state(&start).unwrap());

        let later = sealing(Timestamp(ManualClock::START.0 + seconds));
        let second = Round::begin(&principal(user), subject, (accepted("two"), Some(&state)), &later);
        let answered = second.map(|round| round.ask(vec![question("one"), question("two")]).is_ok());
        assert_eq!(answered.map_err(|error| error.code), if expected { Ok(true) } else { Err(-32602) });
    }

    /// M15: a state is bound to the user, the request and the time, and cannot be forged.
    #[test]
    fn a_state_is_good_for_its_user_request_and_time_only() {
        let same = || subject("a", r#"{ "y":2, "x":1 }"#);
        check(1, same(), |state| state, 0, true);
        check(2, same(), |state| state, 0, false);
        check(1, subject("b", r#"{"x":1,"y":2}"#), |state| state, 0, false);
        check(1, subject("a", r#"{"x":1,"y":3}"#), |state| state, 0, false);
        check(1, same(), |state| format!("{state}-TAMPERED"), 0, false);
        check(1, same(), |state| state.replacen("mcp_state_", "mcp_", 1), 0, false);
        check(1, same(), |state| state, limits::REQUEST_STATE_LIFETIME.as_secs() - 1, true);
        check(1, same(), |state| state, limits::REQUEST_STATE_LIFETIME.as_secs(), false);
    }

    #[test]
    fn an_answer_of_the_wrong_shape_is_asked_for_again() {
        let check = |capability, answer: &str, expected| {
            let raw = RawValue::from_string(answer.to_owned()).unwrap();
            assert_eq!(has_shape(capability, &raw), expected, "{answer}");
        };
        check(Capability::Elicitation, r#"{"action":"accept","content":{"name":"A"}}"#, true);
        check(Capability::Elicitation, r#"{"action":"maybe"}"#, false);
        check(Capability::Elicitation, "12345", false);
        check(Capability::Elicitation, r#"{"action":"accept","content":[]}"#, true);
        check(Capability::Elicitation, r#"{"action":"accept","content":["A"]}"#, false);
        check(Capability::Elicitation, r#"["accept",{"name":"A"}]"#, false);
        check(Capability::Roots, r#"[[]]"#, false);
        check(Capability::Sampling, r#"{"role":"assistant","content":{},"model":"m"}"#, true);
        check(Capability::Sampling, "{}", false);
        check(Capability::Roots, r#"{"roots":[]}"#, true);
        check(Capability::Roots, "null", false);
    }
}
