//! Calls in transit: a client's call becomes a request of the instance that serves this client; the answer is passed back unchanged.
//!
//! A question of the peer is passed to the client by way of the running call. A client of up to 2025-11-25 is asked on the call's stream.
//! For one of 2026-07-28 the call is parked (MRTR): its response asks, and the client's next request, which brings the answers, takes the
//! call over. This is invisible to the peer, whose request goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use crossbeam_channel::bounded;
use serde_json::value::RawValue;

use super::handshake::Greeting;
use super::instances::{Instance, Instances, Job};
use super::message::{self, OnBehalf};
use super::parked::ParkedCalls;
use super::peer::{PeerQuestion, Requester, Settled};
use super::rounds::{self, PeerRound, Remembered};
use super::transport::{Receiver, Undelivered};
use super::unavailable::Unavailable;
use crate::base::{GrantId, Held, Mutex, OsRandom, Quota, Random, Subject, base64url, limits};
use crate::mcp::{
    CallError, Capability, ClientCapabilities, Context, Era, Error, InputRequest, Members, Operation, Reply,
};

/// Passes a call on, or hands it to the parked call that waits for it.
pub(super) fn pass(instances: &Arc<Instances>, context: Context) {
    // The remembered state is sealed, and bound to the grant and the call that it was made for.
    let request_state = match context.remembered::<Remembered>() {
        Some(Remembered::Ticket(ticket)) => return resume(&instances.parked, &ticket, context),
        Some(Remembered::State(state)) => state,
        None => None,
    };
    let Some(place) = instances.settings.pool.calls.take(context.principal().subject) else {
        return context.complete(Err(Error::new(Error::BUSY, "Too many requests at once").into()));
    };
    PassedCall::new(Arc::clone(instances), place, (context, request_state)).run(Attempt::First);
}

fn resume(parked: &ParkedCalls, ticket: &str, context: Context) {
    let refused = match parked.take(ticket, context.principal().grant) {
        Some(next) => next.send(context).err().map(|unsent| unsent.0),
        None => Some(context),
    };
    if let Some(context) = refused {
        let why = "The question was answered already, or nobody waits for the answer any more: call again";
        context.complete(Err(Error::invalid_params(why).into()));
    }
}

/// Whether a call may be retried once: its instance may have ended between being found and being sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

/// One call that is being passed on.
struct PassedCall {
    instances: Arc<Instances>,
    /// Its place in its user's limit.
    place: Held<Subject>,
    /// The first request's parts of bounded supplies: its text is kept while the peer works on it, also by a parked call.
    _held: Option<Arc<dyn Send + Sync>>,
    owner: GrantId,
    /// The client's declared capabilities.
    capabilities: ClientCapabilities,
    operation: Operation,
    /// The era of the peer, which determines how its results are read.
    peer_era: OnceLock<Era>,
    /// Guards the current round of a peer of 2026-07-28; for others there is only one.
    round: Mutex<PeerRound>,
    /// Limits questions to one at a time: a round of MRTR is one request of the client.
    turn: Arc<Quota<()>>,
    /// The number of questions so far: each has its own key within the call.
    asked: AtomicU64,
    /// Guards the association with a request of the client.
    state: Mutex<PassedCallState>,
}

enum PassedCallState {
    Running(Arc<Context>),
    /// With the answer, once there is one.
    Parked(Option<Result<Reply, CallError>>),
    Over,
}

impl PassedCall {
    fn new(
        instances: Arc<Instances>,
        place: Held<Subject>,
        (context, request_state): (Context, Option<String>),
    ) -> Arc<PassedCall> {
        let input_responses = context.call().params.get("inputResponses").map(ToOwned::to_owned);
        let round = PeerRound { input_responses, request_state, ..PeerRound::default() };
        let turn = Quota::new((1, 1)).waiting((limits::bridge::QUESTIONS, limits::bridge::QUESTIONS));
        Arc::new(PassedCall {
            instances,
            place,
            _held: context.held(),
            owner: context.principal().grant,
            capabilities: *context.client(),
            operation: context.call().operation,
            peer_era: OnceLock::new(),
            round: Mutex::new(round),
            turn: Arc::new(turn),
            asked: AtomicU64::new(0),
            state: Mutex::new(PassedCallState::Running(Arc::new(context))),
        })
    }

    /// The client's request that the call belongs to now; `None` while it is parked, and after its end.
    fn context(&self) -> Option<Arc<Context>> {
        match &*self.state.lock() {
            PassedCallState::Running(context) => Some(Arc::clone(context)),
            PassedCallState::Parked(_) | PassedCallState::Over => None,
        }
    }

    fn server(&self) -> &str {
        self.instances.server()
    }

    fn run(self: Arc<PassedCall>, attempt: Attempt) {
        let call = Arc::clone(&self);
        let job: Job = Box::new(move |found| match found {
            Ok((instance, greeting)) => call.send(&instance, &greeting, attempt),
            Err(Unavailable::Ended) if attempt == Attempt::First => call.run(Attempt::Second),
            Err(why) => call.complete(Err(why.as_error(call.server()).into())),
        });
        let Some(context) = self.context() else { return };
        if context.cancel().is_tripped() {
            return self.complete(Err(CallError::Cancelled)); // nothing is started for an ended grant
        }
        self.instances.with(context.principal(), job);
    }

    fn send(self: Arc<PassedCall>, instance: &Instance, greeting: &Greeting, attempt: Attempt) {
        let Some(context) = self.context() else { return };
        if context.cancel().is_tripped() {
            return self.complete(Err(CallError::Cancelled));
        }
        let _ = self.peer_era.set(greeting.era); // the second attempt's instance is of the same program
        if instance.told.lock().is_behind() {
            instance.restore();
        }
        if let Some(level) = context.log_level() {
            instance.told.lock().lower_log_level(&instance.peer, greeting, level);
        }
        let (method, params) = (context.call().operation.method(), &context.call().params);
        let sent = instance.peer.request(method, params, Arc::clone(&self) as Arc<dyn Requester>);
        match sent {
            Ok(id) => {
                self.round.lock().request = Some((Arc::downgrade(&instance.peer), id));
                // The peer may have asked and been answered already: then the call belongs to a later request of the client.
                if let Some(context) = self.context() {
                    self.cancel_with(&context);
                }
            }
            Err(Undelivered::Ended) if attempt == Attempt::First => self.run(Attempt::Second),
            Err(Undelivered::Ended) => self.complete(Err(Unavailable::Ended.as_error(self.server()).into())),
            Err(Undelivered::Full) => {
                self.complete(Err(self.error_that(Error::BUSY, "is too busy: try again in a moment")));
            }
        }
    }

    /// Cancels the peer's request when the client's request is cancelled, if the call still belongs to that one.
    fn cancel_with(self: &Arc<PassedCall>, context: &Arc<Context>) {
        let (call, cancelled) = (Arc::downgrade(self), Arc::downgrade(context));
        context.on_cancel(move || {
            let Some(call) = call.upgrade() else { return };
            if call.context().is_some_and(|current| Arc::downgrade(&current).ptr_eq(&cancelled)) {
                call.cancel("The client does not wait for the result any more");
            }
        });
    }

    fn cancel(&self, why: &'static str) {
        let request = self.round.lock().request.clone();
        if let Some((peer, id)) = request.and_then(|(peer, id)| Some((peer.upgrade()?, id))) {
            peer.cancel(id, why);
        }
    }

    /// Ends the call; a parked one as soon as its client returns.
    fn complete(&self, result: Result<Reply, CallError>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, PassedCallState::Over) {
            PassedCallState::Running(context) => {
                drop(state);
                context.complete(result);
            }
            PassedCallState::Parked(_) => *state = PassedCallState::Parked(Some(result)),
            PassedCallState::Over => {}
        }
    }

    /// Handles the result: a reply, to which the front end adds the members of its era, or the questions of a round.
    fn take(self: &Arc<PassedCall>, result: &RawValue) -> Result<(), CallError> {
        let reply: Members = serde_json::from_str(result.get()).map_err(|_| self.unusable())?;
        self.instances.listed.note((self.place.key(), self.owner), self.operation, &reply);
        if self.peer_era.get() != Some(&Era::Modern) {
            self.complete(Ok(reply));
            return Ok(());
        }
        match reply.read::<String>("resultType")?.as_deref() {
            None | Some("complete") => {
                let reply = reply.without("resultType").without("cacheScope");
                let is_modern = self.context().is_some_and(|context| context.has_rounds());
                self.complete(Ok(if is_modern { reply } else { reply.without("ttlMs") }));
                Ok(())
            }
            Some("input_required") if self.operation.may_ask() => self.next_round(&reply, result),
            Some(_) => Err(self.unusable()),
        }
    }

    /// The peer's error; an unreadable one becomes an internal error.
    fn error(&self, error: &RawValue) -> Error {
        let error = serde_json::from_str(error.get()).unwrap_or_else(|_| Error::internal());
        // 2026-07-28 reports a missing resource as invalid params; the front end does so for clients of that version.
        let is_missing = self.peer_era.get() == Some(&Era::Modern)
            && error.code == Error::INVALID_PARAMS
            && self.operation == Operation::ReadResource
            && error.data.as_ref().is_some_and(|data| data.get().contains("\"uri\""));
        let code = if is_missing { Error::RESOURCE_NOT_FOUND } else { error.code };
        Error { code, ..error }
    }

    fn unusable(&self) -> CallError {
        self.error_that(Error::INTERNAL, "answered with no result")
    }

    /// An error that says this of the server.
    fn error_that(&self, code: i64, words: &str) -> CallError {
        Error::new(code, format!("The server {:?} {words}", self.server())).into()
    }

    /// A peer of 2026-07-28 asks. A client of its era is asked by the call's response, and returns; any other is asked on the call's
    /// stream, and the peer is called again with the answers.
    fn next_round(self: &Arc<PassedCall>, asked: &Members, text: &RawValue) -> Result<(), CallError> {
        let Some(context) = self.context() else { return Ok(()) };
        let too_much = || self.error_that(Error::INTERNAL, "asks too much");
        // A long list of questions is refused before it is read: it would take several times the memory of its text.
        let is_short = text.get().len() <= limits::STREAM_BYTES;
        asked.object("inputRequests").ok().filter(|_| is_short).ok_or_else(too_much)?;
        let (requests, state) = rounds::questions(asked, context.client())?.ok_or_else(|| self.unusable())?;
        let number = self.round.lock().number.saturating_add(1);
        if number > limits::bridge::ROUNDS || requests.len() > limits::bridge::QUESTIONS {
            return Err(too_much());
        }
        if context.has_rounds() {
            context.remember(&Remembered::State(state))?;
            return Err(CallError::InputRequired(requests));
        }
        let call = Arc::clone(self);
        self.start_asking(move || match context.ask_all(requests.clone()) {
            Ok(answers) => {
                let input_responses = rounds::responses(&requests, answers);
                *call.round.lock() =
                    PeerRound { number, request: None, input_responses, request_state: state };
                drop(context);
                call.run(Attempt::First);
            }
            Err(error) => call.complete(Err(error)),
        })
    }

    /// Runs work that waits for the client's answers, in a thread. It ends when the client has answered, or after `ASK`.
    fn start_asking(&self, work: impl FnOnce() + Send + 'static) -> Result<(), CallError> {
        let too_many = || Error::new(Error::BUSY, "Too many questions at once");
        let place = self.instances.settings.pool.questions.take(self.place.key()).ok_or_else(too_many)?;
        let work = move || {
            work();
            drop(place);
        };
        let thread = thread::Builder::new().name("bridge-question".to_owned());
        thread.stack_size(limits::bridge::STACK_BYTES).spawn(work).map(drop).map_err(|_| too_many().into())
    }

    fn ask_and_wait(self: &Arc<PassedCall>, capability: Capability, question: PeerQuestion) {
        let Some(_turn) = self.turn.wait((), limits::ASK) else {
            return question.refuse(&Error::new(Error::BUSY, "Too many questions at once"));
        };
        let key = format!("question-{}", self.asked.fetch_add(1, Ordering::SeqCst));
        let request = InputRequest { key, capability, params: question.params.clone() };
        match self.answer_of_client(&request) {
            Ok(answer) => question.answer(&answer),
            Err(CallError::Tool(text)) => question.refuse(&Error::new(Error::INTERNAL, text)),
            Err(CallError::Protocol(error)) => question.refuse(&error),
            Err(
                CallError::InputRequired(_)
                | CallError::MissingCapability(_)
                | CallError::TaskRequired
                | CallError::Cancelled,
            ) => {
                question.refuse(&Error::new(Error::INTERNAL, "The client did not answer"));
                self.cancel("The client did not answer a question");
            }
        }
    }

    /// The client's answer to a question, over any number of requests of the client.
    fn answer_of_client(self: &Arc<PassedCall>, request: &InputRequest) -> Result<Box<RawValue>, CallError> {
        loop {
            let context = self.context().ok_or(CallError::Cancelled)?;
            match context.answers(vec![request.clone()]) {
                Ok(answers) => return answers.into_iter().next().ok_or(CallError::Cancelled),
                Err(CallError::InputRequired(requests)) => {
                    let next = self.park(context, requests).ok_or(CallError::Cancelled)?;
                    self.take_over(next);
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Ends the client's request with questions; returns the request that brings the answers, `None` if none came in time, or none
    /// can come: the client has disconnected, its grant or the server ends.
    fn park(&self, context: Arc<Context>, requests: Vec<InputRequest>) -> Option<Context> {
        let random: &dyn Random = &OsRandom;
        let ticket = base64url(&random.bytes::<16>());
        let (next, came) = bounded(1);
        {
            let mut state = self.state.lock();
            if !matches!(*state, PassedCallState::Running(_)) {
                return None;
            }
            *state = PassedCallState::Parked(None);
        }
        let is_parked = self.instances.parked.insert(&ticket, (self.owner, next));
        // The end of a grant cancels its requests first: if that is not seen here, the call is found among the parked ones.
        if !is_parked || context.cancel().is_tripped() {
            self.instances.parked.forget(&ticket);
            context.complete(Err(Unavailable::Stopping.as_error(self.server()).into()));
            return None;
        }
        let _ = context.remember(&Remembered::Ticket(ticket.clone())); // a string is valid JSON
        context.complete(Err(CallError::InputRequired(requests)));
        drop(context); // a call that waits for its client must not take a place from the request that brings the answers
        let next = came.recv_timeout(limits::ASK).ok();
        self.instances.parked.forget(&ticket);
        next.or_else(|| came.try_recv().ok())
    }

    /// Moves the call to this request of the client.
    fn take_over(self: &Arc<PassedCall>, context: Context) {
        let context = Arc::new(context);
        let before =
            std::mem::replace(&mut *self.state.lock(), PassedCallState::Running(Arc::clone(&context)));
        self.cancel_with(&context);
        if let PassedCallState::Parked(Some(answer)) = before {
            self.complete(answer);
        }
    }
}

impl Requester for PassedCall {
    fn answer(self: Arc<Self>, answer: Settled<'_>, _: &dyn Receiver) {
        let outcome = match answer {
            Settled::Answered(Ok(result)) => self.take(result),
            Settled::Answered(Err(error)) => Err(self.error(error).into()),
            Settled::Ended(how) => {
                let words = format!("did not answer: {how}. The next call starts it again");
                Err(self.error_that(Error::INTERNAL, &words))
            }
        };
        if let Err(error) = outcome {
            self.complete(Err(error));
        }
    }

    fn client(&self) -> OnBehalf {
        let Some(context) = self.context() else { return OnBehalf::default() };
        let round = self.round.lock().clone();
        let is_tool = self.operation == Operation::CallTool;
        let rules =
            is_tool.then(|| self.instances.listed.rules(self.owner, &context.call().subject)).flatten();
        let mirrored = rules.map(|rules| rules.mirrored.clone()).unwrap_or_default();
        OnBehalf { mirrored, ..rounds::on_behalf(&context, round) }
    }

    fn owner(&self) -> Option<GrantId> {
        Some(self.owner)
    }

    fn progress(&self, params: Members) {
        let Some(context) = self.context() else { return };
        // The request that the call belongs to now, possibly a later one with answers, has its own token.
        let Some(token) = message::progress_token(&context.call().params) else { return };
        if let Ok(params) = params.with("progressToken", &token).and_then(|params| params.to_raw()) {
            context.forward("notifications/progress", &params);
        }
    }

    fn log(&self, params: &RawValue) {
        let Some(context) = self.context() else { return };
        if message::member(params, "level").is_some_and(|level| context.wants_log(level)) {
            context.forward("notifications/message", params);
        }
    }

    fn ask(self: Arc<Self>, question: PeerQuestion) {
        let Some(capability) = rounds::capability(&question.method, &question.params) else {
            return question.refuse(&Error::method_not_found());
        };
        if !self.capabilities.supports(capability) || !self.operation.may_ask() {
            let text = format!("The client does not support {} here", capability.name());
            return question.refuse(&Error::new(Error::INVALID_REQUEST, text));
        }
        let call = Arc::clone(&self);
        // If there is no room for it, the question is dropped, which refuses it.
        let _ = self.start_asking(move || call.ask_and_wait(capability, question));
    }
}
