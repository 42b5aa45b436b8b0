//! Tasks (extension `io.modelcontextprotocol/tasks`): calls that outlive their request. The client asks for a task's status,
//! answers its questions, and may cancel it; the handler waits on its worker as in any other call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde::Serialize;
use serde_json::value::RawValue;

use super::call::{Call, CallError, InputRequest, Reply};
use super::jsonrpc::Error;
use super::mrtr::{Answers, ClientAnswer, has_shape, wait_for};
use super::table::{Full, Owner, Row, Table};
use crate::base::{CancelToken, Clock, Held, Mutex, Share, Timestamp, limits};

/// A task. It does not change once it is over.
pub(super) struct Task {
    id: Box<str>,
    /// The name of its tool.
    pub(super) tool: Box<str>,
    owner: Owner,
    clock: Arc<dyn Clock>,
    /// Its user's budget for results.
    kept: Share,
    /// Tripped when the result is no longer wanted.
    pub(super) cancel: CancelToken,
    created: Timestamp,
    /// A time of the monotonic clock, after which the task is removed, and cancelled if it still runs.
    expires: Duration,
    /// Guards the questions so far, and the end.
    state: Mutex<State>,
}

struct State {
    /// When the status last changed.
    updated: Timestamp,
    /// The questions that the client has not answered, by their keys. Without any, a running task is "working".
    open: BTreeMap<String, OpenQuestion>,
    /// The keys of all questions so far: none may be used again.
    asked: BTreeSet<String>,
    end: Option<End>,
}

/// A final status, the members that go with it, and their part of the user's budget.
type End = (&'static str, Reply, Option<Held>);

#[derive(Serialize)]
struct OpenQuestion {
    #[serde(flatten)]
    request: InputRequest,
    /// Dropping it ends the wait.
    #[serde(skip)]
    answer: Sender<ClientAnswer>,
}

impl Task {
    /// A running task.
    pub(super) fn new(call: &Call, id: Box<str>, kept: Share, clock: Arc<dyn Clock>) -> Task {
        let (created, now) = (clock.now(), clock.monotonic());
        let state = State { updated: created, open: BTreeMap::new(), asked: BTreeSet::new(), end: None };
        Task {
            id,
            tool: call.subject.as_str().into(),
            owner: (&call.principal).into(),
            clock,
            kept,
            cancel: CancelToken::new(),
            created,
            expires: now.saturating_add(limits::TASK_LIFETIME),
            state: Mutex::new(state),
        }
    }

    /// The task object for its client: the handle in place of a call's result, or the result of `tasks/get`.
    pub(super) fn object(&self) -> Result<Reply, Error> {
        let state = self.state.lock();
        let (status, reply) = match &state.end {
            Some((status, reply, _)) => (*status, reply.clone()),
            None if state.open.is_empty() => ("working", Reply::default()),
            None => ("input_required", Reply::default().with("inputRequests", &state.open)?),
        };
        reply
            .with("status", &status)?
            .with("taskId", &self.id)?
            .with("createdAt", &self.created.rfc3339())?
            .with("lastUpdatedAt", &state.updated.rfc3339())?
            .with("ttlMs", &limits::TASK_LIFETIME.as_millis())?
            .with("pollIntervalMs", &limits::TASK_POLL.as_millis())
    }

    /// Asks the client and waits, at most [`limits::ASK`] for each answer. Returns the answers in the order of the questions.
    pub(super) fn ask(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let mut waiting = Vec::with_capacity(requests.len());
        let mut open = BTreeMap::new();
        {
            let mut state = self.state.lock();
            if state.end.is_some() || !state.open.is_empty() {
                return Err(CallError::Cancelled);
            }
            for request in requests {
                // Tasks, "Task Update Requests": a key is unique within the lifetime of a task.
                if !state.asked.insert(request.key.clone()) {
                    return Err(CallError::Cancelled);
                }
                let (answer, receiver) = bounded(1);
                waiting.push(receiver);
                open.insert(request.key.clone(), OpenQuestion { request, answer });
            }
            (state.open, state.updated) = (open, self.clock.now());
        }
        let answers: Result<_, _> = waiting.iter().map(wait_for).collect();
        answers.inspect_err(|_| self.give_up_asking())
    }

    /// Delivers the client's answers. Unknown ones are ignored; a malformed one leaves its question open.
    pub(super) fn answer(&self, answers: Answers) {
        let mut state = self.state.lock();
        let was_asking = !state.open.is_empty();
        for (key, answer) in answers {
            let fits = |question: &OpenQuestion| has_shape(question.request.capability, &answer);
            if state.open.get(&key).is_some_and(fits)
                && let Some(question) = state.open.remove(&key)
            {
                let _ = question.answer.try_send(Ok(answer)); // the handler may have given up
            }
        }
        if was_asking && state.open.is_empty() {
            state.updated = self.clock.now();
        }
    }

    /// Ends the task with the result of its call, or a JSON-RPC error. A result that exceeds the budget is an error.
    pub(super) fn finish(&self, result: Result<Box<RawValue>, Error>) {
        let bytes = result.as_ref().map_or_else(|error| error.message.len(), |result| result.get().len());
        let held = (bytes <= limits::ANSWER_BYTES).then(|| self.kept.hold(bytes)).flatten();
        let too_large = || Error::new(Error::INTERNAL, "The result is too large to be kept");
        let result = if held.is_some() { result } else { Err(too_large()) };
        let (status, reply) = match result {
            Ok(result) => ("completed", Reply::default().with("result", &result)),
            Err(error) => {
                let reply = Reply::default().with("statusMessage", &error.message);
                ("failed", reply.and_then(|reply| reply.with("error", &error)))
            }
        };
        self.end_with((status, reply.unwrap_or_default(), held)); // a result and an error are JSON
    }

    /// Ends the task, once.
    fn end_with(&self, end: End) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.open.clear();
            (state.end, state.updated) = (Some(end), self.clock.now());
        }
    }

    fn give_up_asking(&self) {
        let mut state = self.state.lock();
        if !state.open.is_empty() {
            state.open.clear();
            state.updated = self.clock.now();
        }
    }
}

impl Row for Task {
    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Cancels the task, for its client or at its deadline. No effect if it is over.
    fn end(&self) {
        self.end_with(("cancelled", Reply::default(), None));
        self.cancel.trip();
    }
}

impl Table<Task> {
    /// Adds a task. If one has to be removed, it is the first to expire of the finished ones.
    pub(super) fn insert(&self, task: &Arc<Task>) -> Result<(), Full> {
        let first_to_expire = |tasks: &[&Arc<Task>]| {
            let over = tasks.iter().filter(|each| each.state.lock().end.is_some());
            over.min_by_key(|each| each.expires).map(|each| Arc::clone(each))
        };
        self.insert_within((limits::TASKS_PER_USER, limits::TASKS), task, first_to_expire).map(drop)
    }

    /// Removes the tasks past their deadline, and cancels those of them that still run.
    pub(super) fn sweep(&self, now: Duration) {
        self.end_where(|task| task.expires <= now);
    }
}

#[cfg(test)]
mod tests;
