//! One call on its way: silent until it says something, then a stream, then over. Knows no era: a [`Dialect`] does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::value::RawValue;

use super::call::{CallError, InputRequest, Level, Outcome};
use super::events::EventStream;
use super::jsonrpc::Error;
use crate::base::cancel::CancelToken;
use crate::base::limits;
use crate::http::{Responder, Response, Stream};

/// What an era does in its own way about one call.
pub(super) trait Dialect: Send + Sync {
    /// Whether the client wants log messages of this level.
    fn wants_log(&self, level: Level) -> bool;

    /// A fresh stream for this call's answer. Takes no lock.
    fn stream(&self) -> (EventStream, Stream);

    /// Called once, when that stream is the answer and before its head is sent.
    fn streaming(&self, events: &Arc<EventStream>);

    /// The client's results to these questions, in their order.
    fn ask(&self, exchange: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError>;

    /// What an earlier round of this call left.
    fn remembered(&self) -> Option<&RawValue>;

    /// Leaves something for the next round of this call.
    fn remember(&self, value: Box<RawValue>);

    /// The response of the call.
    fn encode(&self, outcome: Outcome) -> Encoded;

    /// Called once, before the response is sent or dropped: the call is no longer in flight.
    fn ended(&self);
}

/// A JSON-RPC response and the HTTP status it travels under when it is not part of a stream.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Encoded {
    /// As a whole answer. Answers depend on the user: no cache may keep them (M16).
    pub(super) fn into_response(self) -> Response {
        Response::new(self.status).bytes("application/json", self.text).header("Cache-Control", "no-store")
    }
}

/// One call's answer in the making.
pub(super) struct Exchange {
    dialect: Box<dyn Dialect>,
    cancel: CancelToken,
    /// Guards the step from silence to stream to end.
    phase: Mutex<Phase>,
}

enum Phase {
    Silent(Responder),
    Streaming(Arc<EventStream>),
    Over,
}

impl Exchange {
    /// The exchange of a call that has just arrived. If it is slow it becomes a stream by itself: some clients hold a
    /// lock until the head of the answer arrives.
    pub(super) fn new(dialect: Box<dyn Dialect>, cancel: CancelToken, responder: Responder) -> Arc<Exchange> {
        Arc::new_cyclic(|this: &Weak<Exchange>| {
            let this = Weak::clone(this);
            responder.when_slow(move || {
                if let Some(exchange) = this.upgrade() {
                    let _ = exchange.events();
                }
            });
            Exchange { dialect, cancel, phase: Mutex::new(Phase::Silent(responder)) }
        })
    }

    pub(super) fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    /// Says something to the client before the response; the answer becomes a stream. Lost if the call is over. A handler
    /// that says more than its client reads is slowed down, until the door gives the client up.
    pub(super) fn say(&self, message: &str) {
        let Some(events) = self.events() else { return };
        while events.is_crowded() && !self.cancel.wait(limits::STREAM_PACE) {}
        events.publish(message);
    }

    /// Ends the connection but not the call; the client takes the stream up again with `Last-Event-ID`.
    pub(super) fn disconnect(&self) {
        if let Some(events) = self.events() {
            events.detach();
        }
    }

    /// Ends the call. Only the first outcome counts. A cancelled call gets no response (MCP, cancellation).
    pub(super) fn complete(&self, outcome: Outcome) {
        let phase = std::mem::replace(&mut *self.lock(), Phase::Over);
        if matches!(phase, Phase::Over) {
            return;
        }
        self.dialect.ended();
        let response = (!self.cancel.is_tripped()).then(|| self.dialect.encode(outcome));
        match (phase, response) {
            (Phase::Silent(responder), Some(response)) => responder.respond(response.into_response()),
            (Phase::Silent(responder), None) => responder.respond(Response::new(202)),
            (Phase::Streaming(events), response) => {
                if let Some(response) = response {
                    events.publish(&response.text);
                }
                events.finish();
            }
            (Phase::Over, _) => {}
        }
    }

    /// The call's stream, which the answer becomes by this.
    fn events(&self) -> Option<Arc<EventStream>> {
        let (events, body, responder) = {
            let mut phase = self.lock();
            match std::mem::replace(&mut *phase, Phase::Over) {
                Phase::Over => return None,
                Phase::Streaming(events) => {
                    *phase = Phase::Streaming(Arc::clone(&events));
                    return Some(events);
                }
                Phase::Silent(responder) => {
                    let (events, body) = self.dialect.stream();
                    let events = Arc::new(events);
                    *phase = Phase::Streaming(Arc::clone(&events));
                    (events, body, responder)
                }
            }
        };
        self.dialect.streaming(&events);
        responder.respond(Response::new(200).stream(body));
        Some(events)
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exchange {
    /// A backend that lost its call, or panicked in it, still answers.
    fn drop(&mut self) {
        self.complete(Outcome::Failed(Error::internal()));
    }
}
