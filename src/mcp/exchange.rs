//! The answer of one call: pending until the handler sends a message, then a stream, then over. Eras differ in their [`Dialect`].

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use serde_json::value::RawValue;

use super::access;
use super::call::{Call, CallError, Capability, InputRequest, Level, Reply};
use super::jsonrpc::{Encoded, Error};
use super::mrtr::Round;
use super::stream::EventStream;
use super::table::Row;
use super::task::Task;
use crate::base::{CancelToken, Held, Mutex, Principal, Quota, Subject, limits};
use crate::http::{CallOutcome, Head, Responder, Response, Stream, Witness};

/// An authenticated request, with the responder for its answer.
pub(super) struct Inbound {
    pub(super) head: Head,
    pub(super) principal: Principal,
    pub(super) responder: Responder,
    /// HTTP+SSE (2024-11-05): the stream for the answer. The response only acknowledges the request.
    pub(super) stream: Option<Arc<EventStream>>,
}

impl Inbound {
    pub(super) fn answer(self, answer: Encoded) {
        match self.stream {
            None => self.responder.respond(answer.into_response()),
            Some(events) => {
                self.responder.respond(Response::new(202).ending(answer.ending()));
                events.publish(&answer.text);
            }
        }
    }
}

/// Era-specific behaviour of one call: log filtering, its stream, questions to the client, tasks, encoding.
pub(super) trait Dialect: Send + Sync {
    /// The lowest level of log messages that the client wants; `None` if it has not set one.
    fn log_level(&self) -> Option<Level>;

    /// Whether the client wants log messages of this level.
    fn wants_log(&self, level: Level) -> bool;

    /// A fresh stream for this call's answer. Takes no lock.
    fn stream(&self, call: &Call) -> (EventStream, Stream);

    /// Called once, when that stream is the answer and before its head is sent.
    fn streaming(&self, _: &Arc<EventStream>) {}

    /// The client's results to these questions, in their order.
    fn ask(&self, exchange: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError>;

    /// The round of a call that is repeated with the client's answers (MRTR).
    fn round(&self) -> Option<&Round> {
        None
    }

    /// A task for this call, which its client can already poll, and the response with its handle; `None` if the call cannot be a task.
    fn begin_task(&self, _: &Call) -> Option<(Arc<Task>, Encoded)> {
        None
    }

    /// The error for a client without a capability that the call needs; `None`: without tasks.
    fn missing(&self, capability: Option<Capability>) -> Error;

    /// The JSON-RPC error for a handler's error.
    fn error(&self, error: CallError) -> Error {
        match error {
            CallError::MissingCapability(capability) => self.missing(Some(capability)),
            CallError::TaskRequired => self.missing(None),
            // A fault of the backend: only some calls of 2026-07-28 may end with questions.
            CallError::InputRequired(_) => Error::internal(),
            CallError::Tool(text) => Error::new(Error::INTERNAL, text),
            CallError::Protocol(error) => error,
            CallError::Cancelled => Error::new(Error::INTERNAL, "Cancelled"),
        }
    }

    /// The response of the call.
    fn encode(&self, call: &Call, result: Result<Reply, CallError>) -> Encoded;

    /// Called once, before the response is sent or dropped: the call is no longer in flight.
    fn ended(&self) {}
}

/// The outcome, for the log, of a call with this reply.
pub(super) fn outcome(reply: &Reply) -> CallOutcome {
    if reply.get("isError").is_some_and(|value| value.get() == "true") {
        CallOutcome::ToolError
    } else {
        CallOutcome::Ok
    }
}

/// The pending answer of one call.
pub(super) struct Exchange {
    pub(super) call: Call,
    pub(super) dialect: Box<dyn Dialect>,
    /// The request's guards of quotas (M17): the text of its params is kept as long as the call.
    pub(super) held: Option<Arc<dyn Send + Sync>>,
    /// The task that the call has become, and its place until the call is over. Set once.
    task: OnceLock<(Arc<Task>, Held)>,
    /// Where a stream takes a place, which it keeps until its client has read it. Set once, when the call begins.
    pub(super) places: OnceLock<Arc<Quota<Subject>>>,
    /// Guards the phase of the answer: pending, stream, over.
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Logs the call's end, once.
    witness: Option<Arc<dyn Witness>>,
}

enum Phase {
    Pending(Responder),
    Streaming(Arc<EventStream>),
    /// A stream that carries the answers of other calls, too (HTTP+SSE).
    Shared(Arc<EventStream>),
    Over,
}

impl Exchange {
    /// The exchange of a new call. The answer of a slow call becomes a stream by itself, because some clients hold a lock until the
    /// head of the answer arrives.
    pub(super) fn new(
        call: Call,
        dialect: Box<dyn Dialect>,
        responder: Responder,
        stream: Option<Arc<EventStream>>,
    ) -> Arc<Exchange> {
        let (task, witness, held) = (OnceLock::new(), responder.witness.clone(), responder.held.clone());
        if let Some(events) = stream {
            responder.respond(Response::new(202));
            let state = Mutex::new(State { phase: Phase::Shared(events), witness });
            return Arc::new(Exchange { call, dialect, held, task, places: OnceLock::new(), state });
        }
        Arc::new_cyclic(|this: &Weak<Exchange>| {
            let this = Weak::clone(this);
            responder.when_slow(move || drop(this.upgrade().map(|exchange| exchange.events())));
            let state = Mutex::new(State { phase: Phase::Pending(responder), witness });
            Exchange { call, dialect, held, task, places: OnceLock::new(), state }
        })
    }

    /// The task that the call has become.
    pub(super) fn task(&self) -> Option<&Arc<Task>> {
        self.task.get().map(|(task, _)| task)
    }

    /// The call's token, or that of the task that it has become.
    pub(super) fn cancelled(&self) -> &CancelToken {
        self.task().map_or(&self.call.cancel, |task| &task.cancel)
    }

    /// Makes the call a task and answers with its handle. Returns whether it is one now: not if the call is over already.
    pub(super) fn become_task(&self, place: Held) -> bool {
        let Some((task, handle)) = self.dialect.begin_task(&self.call) else { return false };
        let phase = {
            let mut state = self.state.lock();
            let phase = std::mem::replace(&mut state.phase, Phase::Over);
            if !matches!(phase, Phase::Over) {
                let _ = self.task.set((Arc::clone(&task), place)); // the phase ends once
            }
            phase
        };
        if matches!(phase, Phase::Over) {
            task.end();
            return false;
        }
        // The client disconnects with the handle; from now on it cancels the task instead.
        self.call.cancel.disarm().into_iter().for_each(|action| task.cancel.on_trip(action));
        self.dialect.ended();
        respond(phase, handle);
        true
    }

    /// Sends a message before the response; the answer becomes a stream. The message is dropped if the call is over or cancelled. Blocks
    /// while the client has too many unread bytes, until the server closes its connection.
    pub(super) fn send(&self, message: &str) {
        let Some(events) = self.events() else { return };
        while events.is_crowded() && !self.call.cancel.wait(limits::STREAM_PACE) {}
        self.events().iter().for_each(|events| events.publish(message)); // not if it was cancelled meanwhile
    }

    /// Sends without waiting: if the client is too slow, the message is dropped.
    pub(super) fn try_send(&self, message: &str) {
        self.events().iter().filter(|events| !events.is_crowded()).for_each(|events| events.publish(message));
    }

    /// Ends the connection but not the call; the client resumes the stream with `Last-Event-ID`.
    pub(super) fn disconnect(&self) {
        self.events().iter().for_each(|events| events.detach());
    }

    /// Ends the call. Only the first result counts. A cancelled call gets no response (MCP, cancellation).
    pub(super) fn complete(&self, result: Result<Reply, CallError>) {
        // Before the response, so that a client that disconnects after reading it cancels nothing. Drops the action with its captures,
        // such as the call's place.
        drop(self.cancelled().disarm());
        let result = result.and_then(|reply| Ok(access::filtered(&self.call, reply)?));
        self.end(result, None);
    }

    /// Ends a call that a rule closes, with the error for a subject that does not exist. Only the log distinguishes the two.
    pub(super) fn close(&self) {
        drop(self.cancelled().disarm()); // as in `complete`
        let error = access::absent(&self.call);
        self.end(Err(error.into()), Some(access::CLOSED));
    }

    /// Ends the call with an error with this text, or the task that it has become, and cancels its handler. Nothing more is sent, even
    /// if the handler goes on.
    pub(super) fn give_up(&self, why: &'static str) {
        let error = Error::new(Error::INTERNAL, why);
        self.task().into_iter().for_each(|task| task.end());
        self.end(Err(error.into()), Some(CallOutcome::Cancelled));
        self.cancelled().trip();
    }

    /// `logged` replaces the outcome of the answer in the log.
    fn end(&self, result: Result<Reply, CallError>, logged: Option<CallOutcome>) {
        let (phase, witness) = {
            let mut state = self.state.lock();
            (std::mem::replace(&mut state.phase, Phase::Over), state.witness.take())
        };
        if matches!(phase, Phase::Over) {
            if let Some(task) = self.task() {
                self.end_task(task, result, witness);
            }
            return;
        }
        self.dialect.ended();
        if self.call.cancel.is_tripped() {
            let cancelled = (CallOutcome::Cancelled, 0);
            witness.into_iter().for_each(|witness| witness.ended(cancelled));
            return match phase {
                Phase::Pending(responder) => responder.respond(Response::new(202).ending(cancelled)),
                Phase::Streaming(events) => events.finish(),
                Phase::Shared(_) | Phase::Over => {}
            };
        }
        let mut answer = self.dialect.encode(&self.call, result);
        if answer.text.len() > limits::ANSWER_BYTES {
            let error = Error::new(Error::INTERNAL, "The result is too large to be sent");
            answer = self.dialect.encode(&self.call, Err(error.into()));
        }
        answer.outcome = logged.unwrap_or(answer.outcome);
        // Logged before the client sees it.
        witness.into_iter().for_each(|witness| witness.ended(answer.ending()));
        respond(phase, answer);
    }

    fn end_task(&self, task: &Task, result: Result<Reply, CallError>, witness: Option<Arc<dyn Witness>>) {
        let result = result.map_err(|error| self.dialect.error(error).modern());
        let outcome = match &result {
            _ if task.cancel.is_tripped() => CallOutcome::Cancelled,
            Ok(reply) => outcome(reply),
            Err(error) => CallOutcome::ProtocolError(error.kind().0),
        };
        let result = result.and_then(|reply| reply.to_raw());
        let size = result.as_ref().map_or(0, |result| result.get().len());
        witness.into_iter().for_each(|witness| witness.ended((outcome, size)));
        task.finish(result);
    }

    /// Whether the answer is a stream that has had no reader for so long that it can no longer be resumed.
    pub(super) fn is_abandoned(&self, now: Duration) -> bool {
        let events = match &self.state.lock().phase {
            Phase::Streaming(events) => Arc::clone(events),
            Phase::Pending(_) | Phase::Shared(_) | Phase::Over => return false,
        };
        events.is_abandoned(now)
    }

    /// The call's stream; none once its client has cancelled it. Turns a pending answer into one, unless its user leaves too many streams
    /// unread: then the result alone is sent.
    fn events(&self) -> Option<Arc<EventStream>> {
        (!self.call.cancel.is_tripped()).then_some(())?;
        let (events, body, responder) = {
            let mut state = self.state.lock();
            if let Phase::Streaming(events) | Phase::Shared(events) = &state.phase {
                return Some(Arc::clone(events));
            }
            let place = self.places.get()?.take(self.call.principal.subject)?;
            let phase = std::mem::replace(&mut state.phase, Phase::Over);
            let Phase::Pending(responder) = phase else { return None };
            let (events, body) = self.dialect.stream(&self.call);
            let events = Arc::new(events);
            state.phase = Phase::Streaming(Arc::clone(&events));
            (events, body.holding(place), responder)
        };
        self.dialect.streaming(&events);
        responder.respond(Response::new(200).stream(body));
        Some(events)
    }
}

/// Sends the response, on the stream if there is one.
fn respond(phase: Phase, response: Encoded) {
    match phase {
        Phase::Pending(responder) => responder.respond(response.into_response()),
        Phase::Streaming(events) => {
            events.publish(&response.text);
            events.finish();
        }
        Phase::Shared(events) => events.publish(&response.text),
        Phase::Over => {}
    }
}

impl Drop for Exchange {
    /// A backend that lost its call, or panicked in it, still answers.
    fn drop(&mut self) {
        self.complete(Err(Error::internal().into()));
    }
}
