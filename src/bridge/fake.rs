//! A fake transport and a fake requester for tests: both record everything that they are sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::message::OutgoingMessage;
use super::peer::{Peer, PeerQuestion, Requester, Settled};
use super::transport::{Receiver, Transport, Undelivered};
use crate::base::{GrantId, Mutex};
use crate::mcp::Members;

pub(super) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// A message of this text, without metadata.
pub(super) fn text(text: impl Into<String>) -> OutgoingMessage {
    OutgoingMessage { text: text.into(), ..OutgoingMessage::default() }
}

/// A message, with its method and params as metadata.
pub(super) fn outgoing(message: &Value) -> OutgoingMessage {
    let method = message["method"].as_str().unwrap_or_default();
    OutgoingMessage {
        method: method.to_owned(),
        params: serde_json::from_value(message["params"].clone()).unwrap_or_default(),
        request: message["id"].as_u64().filter(|_| !method.is_empty()),
        ..text(message.to_string())
    }
}

/// A receiver that ignores everything.
pub(super) struct Nobody;

impl Receiver for Nobody {
    fn receive(&self, _: &str) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    fn ending(&self) {}

    fn ended(&self, _: &str) {}
}

/// Has the peer handle a text whose notifications nobody receives.
pub(super) fn receive(peer: &Arc<Peer>, text: &str) -> bool {
    peer.receive(text, &Nobody)
}

/// A transport that records the messages.
#[derive(Default)]
pub(super) struct FakeTransport {
    sent: Mutex<Vec<String>>,
    refusal: Mutex<Option<Undelivered>>,
}

impl FakeTransport {
    /// Messages sent since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock())
    }

    /// Refuses everything from now on.
    pub(super) fn refuse(&self, refusal: Undelivered) {
        *self.refusal.lock() = Some(refusal);
    }
}

impl Transport for FakeTransport {
    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered> {
        match *self.refusal.lock() {
            Some(refusal) => Err(refusal),
            None => {
                self.sent.lock().push(message.text);
                Ok(())
            }
        }
    }

    fn end(&self) {
        self.refuse(Undelivered::Ended);
    }
}

/// A requester that records messages as texts, and keeps questions until they are taken.
pub(super) struct FakeRequester {
    owner: GrantId,
    told: Mutex<Vec<String>>,
    questions: Mutex<VecDeque<PeerQuestion>>,
}

impl FakeRequester {
    /// A requester of this grant.
    pub(super) fn of(grant: u8) -> Arc<FakeRequester> {
        let (told, questions) = (Mutex::default(), Mutex::default());
        Arc::new(FakeRequester { owner: GrantId([grant; 16]), told, questions })
    }

    /// Messages received since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock())
    }

    /// The first open question.
    pub(super) fn question(&self) -> PeerQuestion {
        self.questions.lock().pop_front().expect("a question")
    }

    fn tell(&self, kind: &str, text: &str) {
        self.told.lock().push(format!("{kind} {text}"));
    }
}

impl Requester for FakeRequester {
    fn answer(self: Arc<Self>, answer: Settled<'_>, _: &dyn Receiver) {
        match answer {
            Settled::Answered(Ok(result)) => self.tell("result", result.get()),
            Settled::Answered(Err(error)) => self.tell("error", error.get()),
            Settled::Ended(how) => self.tell("ended", how),
        }
    }

    fn owner(&self) -> Option<GrantId> {
        Some(self.owner)
    }

    fn progress(&self, params: Members) {
        self.tell("progress", params.to_raw().unwrap().get());
    }

    fn log(&self, params: &RawValue) {
        self.tell("log", params.get());
    }

    fn ask(self: Arc<Self>, question: PeerQuestion) {
        self.tell(&question.method, question.params.get());
        self.questions.lock().push_back(question);
    }
}
