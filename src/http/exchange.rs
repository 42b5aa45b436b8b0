//! One request and its answer, between the door's thread, which waits, and the thread that answers, now or later.

use std::sync::{Arc, Condvar};
use std::time::Instant;

use super::request::{Head, Request};
use super::response::{CallEnding, Field, Response};
use crate::base::{CancelToken, Mutex, Principal, Share, clock, limits, wait_timeout_while};

/// A decision on the head of a request.
pub enum Admission {
    /// The head alone decides: the answer. The door discards the body or closes the connection.
    Answered(Response),
    /// The rest of the request is welcome.
    Welcome(Ticket),
}

/// The continuation of a request that was let in: how much body is welcome, and what runs with it.
pub struct Ticket {
    /// How many bytes of body are welcome.
    pub limit: usize,
    /// The request's share of a bounded supply. Dropped when the request has been answered and `run` has returned.
    pub place: Box<dyn Send + Sync>,
    /// Whether the request is forwarded to another process. The connection's own thread does that and then waits for the answer; to
    /// wake a worker for it would only cost time.
    pub passes_on: bool,
    /// Answers the request with this body through the responder, before it returns or later from any thread, or returns the part
    /// that may block. Must not block itself, but for the one look-up in the table that checking a token can take.
    pub run: Box<dyn FnOnce(Vec<u8>, Responder) -> Option<Blocking> + Send>,
}

/// The part of a request that may block: a worker runs it.
pub type Blocking = Box<dyn FnOnce() + Send>;

impl Ticket {
    /// Welcomes a body of at most `limit` bytes, and takes nothing of a bounded supply.
    pub fn new(
        limit: usize,
        run: impl FnOnce(Vec<u8>, Responder) -> Option<Blocking> + Send + 'static,
    ) -> Ticket {
        Ticket { limit, place: Box::new(()), passes_on: false, run: Box::new(run) }
    }
}

impl Admission {
    /// Welcomes a request that is answered as soon as it is whole.
    pub fn up_to(
        limit: usize,
        head: Head,
        answer: impl FnOnce(&Request) -> Response + Send + 'static,
    ) -> Admission {
        let run = |body, responder: Responder| -> Option<Blocking> {
            Some(Box::new(move || responder.respond(answer(&Request { head, body }))))
        };
        Admission::Welcome(Ticket::new(limit, run))
    }
}

/// The application behind a door.
pub trait Handler: Send + Sync {
    /// Decides on a head before its body is read. Runs on the thread of the connection; must be quick, and must not wait but for the
    /// one look-up in the table that checking a token can take.
    fn admit(self: Arc<Self>, head: Head) -> Admission;
}

/// A description of a call before it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallNote<'a> {
    /// The method, one of those that are known.
    pub method: &'static str,
    /// The tool, prompt or resource, as the server spells it.
    pub target: Option<&'a str>,
    /// The target as the client spells it: not for the log.
    pub asked: Option<&'a str>,
    /// The arguments, JSON: not for the log.
    pub arguments: Option<&'a str>,
}

/// Observes one request for the log and the metrics. Its last holder drops it when the answer is complete.
pub trait Witness: Send + Sync {
    /// The caller is authenticated.
    fn identify(&self, caller: &Principal);

    /// The request is this call. Returns whether it may run.
    fn called(&self, call: CallNote<'_>) -> bool;

    /// The call has ended; the last time counts.
    fn ended(&self, ending: CallEnding);

    /// The head of the answer is about to reach the door.
    fn answered(&self, status: u16);
}

type Hook = Box<dyn FnOnce() + Send>;

struct Exchange {
    /// Guards the answer on its way from the worker to the door.
    state: Mutex<State>,
    /// Wakes the door's thread when the answer is there.
    answered: Condvar,
    /// Tripped by the door when the client has gone.
    gone: CancelToken,
}

#[derive(Default)]
struct State {
    answer: Option<Response>,
    /// The status of the door's own answer, if it gives one.
    of_door: Option<u16>,
    when_slow: Option<Hook>,
    /// Whether the door's thread sleeps: waking it is a call to the kernel, which most answers are spared.
    is_asleep: bool,
}

/// The application's end: answers exactly once. If it is dropped without an answer, that is a 500.
pub struct Responder {
    exchange: Option<Arc<Exchange>>,
    /// The fields of every answer to this request, including the 500 of a dropped responder.
    pub fields: Vec<Field>,
    /// The memory budget for a large answer.
    pub unread: Option<Share>,
    /// Is told of the caller and the answer, and of the end of a stream that goes on after the head of the answer.
    pub witness: Option<Arc<dyn Witness>>,
    /// The request's parts of bounded supplies, until it is answered; also for a call that keeps the request's text longer.
    pub held: Option<Arc<dyn Send + Sync>>,
}

/// The door's end: waits for the answer.
pub struct Waiter(Arc<Exchange>);

impl Responder {
    /// The two ends of one exchange.
    pub fn pair() -> (Responder, Waiter) {
        let exchange = Arc::new(Exchange {
            state: Mutex::default(),
            answered: Condvar::new(),
            gone: CancelToken::new(),
        });
        let responder = Responder {
            exchange: Some(Arc::clone(&exchange)),
            fields: Vec::new(),
            unread: None,
            witness: None,
            held: None,
        };
        (responder, Waiter(exchange))
    }

    /// Answers.
    pub fn respond(mut self, response: Response) {
        self.answer(response);
    }

    /// Tells the witness who the caller is.
    pub fn identify(&self, caller: &Principal) {
        if let Some(witness) = &self.witness {
            witness.identify(caller);
        }
    }

    fn answer(&mut self, response: Response) {
        let Some(exchange) = self.exchange.take() else { return };
        let response = match &self.unread {
            Some(unread) => response.counted(unread),
            None => response,
        };
        // Before the answer: a client that has read it finds it in the log and in the metrics.
        if let Some(witness) = self.witness.take() {
            if let Some(ending) = response.call_ending() {
                witness.ended(ending);
            }
            witness.answered(response.status());
        }
        exchange.answer(response.with_fields(std::mem::take(&mut self.fields)));
    }

    /// Tripped when the client has gone before the answer.
    pub fn client_gone(&self) -> CancelToken {
        self.exchange.as_ref().map(|exchange| exchange.gone.clone()).unwrap_or_default()
    }

    /// Lets the door's thread run `hook` once if there is no answer yet after [`crate::base::limits::SLOW_CALL`].
    pub fn when_slow(&self, hook: impl FnOnce() + Send + 'static) {
        if let Some(exchange) = &self.exchange {
            exchange.state.lock().when_slow = Some(Box::new(hook));
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let of_door = self.exchange.as_ref().and_then(|exchange| exchange.state.lock().of_door);
        self.answer(Response::new(of_door.unwrap_or(500)));
    }
}

impl Exchange {
    fn answer(&self, response: Response) {
        let (hook, is_asleep) = {
            let mut state = self.state.lock();
            state.answer = Some(response);
            (state.when_slow.take(), state.is_asleep)
        };
        if is_asleep {
            self.answered.notify_one();
        }
        drop(hook); // outside the lock: it owns values of the application
    }
}

impl Waiter {
    /// The answer, or `None` if it is not there by `deadline`.
    pub fn wait(&self, deadline: Instant) -> Option<Response> {
        // Most answers come after a turn or two of a worker: yielding spares both threads the system calls to sleep and to wake.
        for _ in 0..limits::ANSWER_YIELDS {
            if let Some(response) = self.0.state.lock().answer.take() {
                return Some(response);
            }
            std::thread::yield_now();
        }
        let left = deadline.saturating_duration_since(clock::instant());
        let is_waiting = |state: &mut State| state.answer.is_none();
        let mut state = self.0.state.lock();
        state.is_asleep = true;
        wait_timeout_while(&self.0.answered, state, left, is_waiting).answer.take()
    }

    /// Runs the hook of [`Responder::when_slow`], if there is one.
    pub fn run_slow_hook(&self) {
        let hook = self.0.state.lock().when_slow.take();
        if let Some(hook) = hook {
            hook();
        }
    }

    /// The door answers with this status, and the application will not: a responder that is dropped logs it in place of 500.
    pub fn door_answers(&self, status: u16) {
        self.0.state.lock().of_door = Some(status);
    }

    /// Tells the application that the client has gone.
    pub fn client_has_gone(&self) {
        self.0.gone.trip();
    }
}

#[cfg(test)]
mod tests;
