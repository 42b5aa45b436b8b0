//! One call on its way: silent until it says something, then a stream, then over. Knows no era: a [`Dialect`] does.

use std::sync::{Arc, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::call::{CallError, ClientCapabilities, InputRequest, Level, Outcome, Reply};
use super::events::EventStream;
use super::jsonrpc::{self, Error, RequestId};
use super::table::Row;
use super::task::{Ending, Task};
use crate::base::cancel::CancelToken;
use crate::base::identity::Principal;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::http::{CallOutcome, Responder, Response, Stream, Witness};

/// What an era does in its own way about one call.
pub(super) trait Dialect: Send + Sync {
    /// Whether the client wants log messages of this level.
    fn wants_log(&self, level: Level) -> bool;

    /// A fresh stream for this call's answer. Takes no lock.
    fn stream(&self) -> (EventStream, Stream);

    /// Called once, when that stream is the answer and before its head is sent.
    fn streaming(&self, _: &Arc<EventStream>) {}

    /// The client's results to these questions, in their order.
    fn ask(&self, exchange: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError>;

    /// What an earlier round of this call left; where a call has one round only, nothing.
    fn remembered(&self) -> Option<&RawValue> {
        None
    }

    /// Leaves something for the next round of this call.
    fn remember(&self, _: Box<RawValue>) {}

    /// A task for this call, which its client can ask for already; `None` if it cannot be one.
    fn begin_task(&self, _: &Principal, _: &ClientCapabilities) -> Option<Begun> {
        None
    }

    /// How a task ends whose call had this outcome.
    fn ending(&self, _: Outcome) -> Ending {
        Ending::Failed(Error::internal())
    }

    /// The response of the call.
    fn encode(&self, outcome: Outcome) -> Encoded;

    /// Called once, before the response is sent or dropped: the call is no longer in flight.
    fn ended(&self) {}
}

/// Where an answer goes.
pub(super) enum Channel {
    /// Into the response of its request.
    Own(Responder),
    /// Into a stream that outlives it; the response only says that the request was taken.
    Shared(Responder, Arc<EventStream>),
}

impl Channel {
    /// Sends the answer.
    pub(super) fn answer(self, answer: Encoded) {
        match self {
            Channel::Own(responder) => responder.respond(answer.into_response()),
            Channel::Shared(responder, events) => {
                responder.respond(Response::new(202).ending(answer.outcome));
                events.publish(&answer.text);
            }
        }
    }

    /// Responds in place of an answer.
    pub(super) fn respond(self, response: Response) {
        let (Channel::Own(responder) | Channel::Shared(responder, _)) = self;
        responder.respond(response);
    }
}

/// A task that has just begun, and the response that tells its client so.
pub(super) struct Begun {
    pub(super) task: Arc<Task>,
    pub(super) handle: Encoded,
}

/// A JSON-RPC response and the HTTP status it travels under when it is not part of a stream.
#[derive(Debug)]
pub(super) struct Encoded {
    status: u16,
    text: String,
    outcome: CallOutcome,
}

impl Encoded {
    /// A result.
    pub(super) fn result(id: &RequestId, result: &impl Serialize) -> Encoded {
        Encoded { status: 200, text: jsonrpc::result(id, result), outcome: CallOutcome::Ok }
    }

    /// An error.
    pub(super) fn error(status: u16, id: Option<&RequestId>, error: &Error) -> Encoded {
        let outcome = CallOutcome::ProtocolError(error.word());
        Encoded { status, text: jsonrpc::error(id, error), outcome }
    }

    /// The same, whose result is `reply`.
    pub(super) fn of(self, reply: &Reply) -> Encoded {
        if reply.is_error() { Encoded { outcome: CallOutcome::ToolError, ..self } } else { self }
    }

    /// As a whole answer. Answers depend on the user: no cache may keep them (M16).
    pub(super) fn into_response(self) -> Response {
        let response = Response::new(self.status).bytes("application/json", self.text).ending(self.outcome);
        response.header("Cache-Control", "no-store")
    }
}

/// One call's answer in the making.
pub(super) struct Exchange {
    dialect: Box<dyn Dialect>,
    cancel: CancelToken,
    /// What the call has become, once and for good.
    task: OnceLock<Arc<Task>>,
    /// Guards who is told of the call's end: nobody, once they have been.
    witness: Mutex<Option<Arc<dyn Witness>>>,
    /// Guards the step from silence to stream to end of the answer.
    phase: Mutex<Phase>,
}

enum Phase {
    Silent(Responder),
    Streaming(Arc<EventStream>),
    /// A stream that is not this call's alone.
    Sharing(Arc<EventStream>),
    Over,
}

impl Exchange {
    /// The exchange of a call that has just arrived. If it is slow it becomes a stream by itself: some clients hold a
    /// lock until the head of the answer arrives.
    pub(super) fn new(dialect: Box<dyn Dialect>, cancel: CancelToken, channel: Channel) -> Arc<Exchange> {
        let (Channel::Own(responder) | Channel::Shared(responder, _)) = &channel;
        let (task, witness) = (OnceLock::new(), Mutex::new(responder.witness()));
        let responder = match channel {
            Channel::Own(responder) => responder,
            Channel::Shared(responder, events) => {
                responder.respond(Response::new(202));
                let phase = Mutex::new(Phase::Sharing(events));
                return Arc::new(Exchange { dialect, cancel, task, witness, phase });
            }
        };
        Arc::new_cyclic(|this: &Weak<Exchange>| {
            let this = Weak::clone(this);
            responder.when_slow(move || {
                if let Some(exchange) = this.upgrade() {
                    let _ = exchange.events();
                }
            });
            Exchange { dialect, cancel, task, witness, phase: Mutex::new(Phase::Silent(responder)) }
        })
    }

    pub(super) fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    /// The task that the call has become.
    pub(super) fn task(&self) -> Option<&Arc<Task>> {
        self.task.get()
    }

    /// Answers with the handle of a task, which the call is from now on; says whether it is. If the call is over already
    /// there is nobody who would ask for the task.
    pub(super) fn hand_over(&self, begun: Begun) -> bool {
        let phase = std::mem::replace(&mut *self.lock(), Phase::Over);
        if matches!(phase, Phase::Over) {
            begun.task.end();
            return false;
        }
        let _ = self.task.set(begun.task); // only whoever ended the phase comes here
        self.dialect.ended();
        respond(phase, begun.handle);
        true
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
        self.end(outcome, None);
    }

    /// Ends the call with an error in these words and tells its handler.
    pub(super) fn give_up(&self, why: &'static str) {
        self.end(Outcome::Failed(Error::new(Error::INTERNAL, why)), Some(CallOutcome::Cancelled));
        self.cancel.trip();
    }

    /// `logged` is what the log calls it, if that is not what the answer says.
    fn end(&self, outcome: Outcome, logged: Option<CallOutcome>) {
        if let Some(task) = self.task() {
            let has_failed = matches!(&outcome, Outcome::Complete(reply) if reply.is_error());
            let ending = self.dialect.ending(outcome);
            self.witness_end(match &ending {
                _ if task.cancelled().is_tripped() => CallOutcome::Cancelled,
                Ending::Completed(_) if has_failed => CallOutcome::ToolError,
                Ending::Completed(_) => CallOutcome::Ok,
                Ending::Failed(error) => CallOutcome::ProtocolError(error.word()),
                Ending::Cancelled => CallOutcome::Cancelled,
            });
            return task.finish(ending);
        }
        let phase = std::mem::replace(&mut *self.lock(), Phase::Over);
        if matches!(phase, Phase::Over) {
            return;
        }
        self.dialect.ended();
        if !self.cancel.is_tripped() {
            let answer = self.dialect.encode(outcome);
            let fits = answer.text.len() <= limits::ANSWER_BYTES;
            let answer = if fits { answer } else { self.dialect.encode(too_large()) };
            let answer = Encoded { outcome: logged.unwrap_or(answer.outcome), ..answer };
            self.witness_end(answer.outcome);
            return respond(phase, answer);
        }
        self.witness_end(CallOutcome::Cancelled);
        match phase {
            Phase::Silent(responder) => {
                responder.respond(Response::new(202).ending(CallOutcome::Cancelled));
            }
            Phase::Streaming(events) => events.finish(),
            Phase::Sharing(_) | Phase::Over => {}
        }
    }

    /// Tells the log how the call has ended, before its client can know.
    fn witness_end(&self, outcome: CallOutcome) {
        let witness = self.witness.lock().take();
        if let Some(witness) = witness {
            witness.ended(outcome);
        }
    }

    /// Whether the answer is a stream that nobody has read for so long that nobody can take it up again.
    pub(super) fn is_abandoned(&self, now: Duration) -> bool {
        let events = match &*self.lock() {
            Phase::Streaming(events) => Arc::clone(events),
            Phase::Silent(_) | Phase::Sharing(_) | Phase::Over => return false,
        };
        events.is_abandoned(now)
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
                Phase::Sharing(events) => {
                    *phase = Phase::Sharing(Arc::clone(&events));
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
        self.phase.lock()
    }
}

fn too_large() -> Outcome {
    Outcome::Failed(Error::new(Error::INTERNAL, "The result is too large to be sent"))
}

/// The response, in the way that is left for it.
fn respond(phase: Phase, response: Encoded) {
    match phase {
        Phase::Silent(responder) => responder.respond(response.into_response()),
        Phase::Streaming(events) => {
            events.publish(&response.text);
            events.finish();
        }
        Phase::Sharing(events) => events.publish(&response.text),
        Phase::Over => {}
    }
}

impl Drop for Exchange {
    /// A backend that lost its call, or panicked in it, still answers.
    fn drop(&mut self) {
        self.complete(Outcome::Failed(Error::internal()));
    }
}
