//! Tasks (extension `io.modelcontextprotocol/tasks`): calls that outlive their request. The client asks for a task's status,
//! answers its questions, and may cancel it; the handler waits on its worker as in any other call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde::Serialize;
use serde_json::value::RawValue;

use super::call::{Call, CallError, InputRequest};
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
    pub(super) created: Timestamp,
    /// A time of the monotonic clock, after which the task is removed, and cancelled if it still runs.
    expires: Duration,
    /// Guards the status, and the questions so far.
    state: Mutex<State>,
}

struct State {
    updated: Timestamp,
    status: Arc<Status>,
    /// The keys of all questions so far: none may be used again.
    asked: BTreeSet<String>,
    /// The result's part of the user's budget.
    held: Option<Held>,
}

/// A task's `status`, with the members that go with it.
#[derive(Clone)]
pub(super) enum Status {
    Working,
    InputRequired { input_requests: BTreeMap<String, OpenQuestion> },
    Completed { result: Box<RawValue> },
    Failed { error: Error },
    Cancelled,
}

#[derive(Clone, Serialize)]
pub(super) struct OpenQuestion {
    #[serde(flatten)]
    request: InputRequest,
    /// Dropping the last copy ends the wait.
    #[serde(skip)]
    answer: Sender<ClientAnswer>,
}

impl Status {
    fn is_final(&self) -> bool {
        matches!(self, Status::Completed { .. } | Status::Failed { .. } | Status::Cancelled)
    }
}

impl Task {
    /// A running task.
    pub(super) fn new(call: &Call, id: Box<str>, kept: Share, clock: Arc<dyn Clock>) -> Task {
        let (created, now) = (clock.now(), clock.monotonic());
        let status = Arc::new(Status::Working);
        let state = State { updated: created, status, asked: BTreeSet::new(), held: None };
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

    /// The status, and when it last changed.
    pub(super) fn status(&self) -> (Arc<Status>, Timestamp) {
        let state = self.state.lock();
        (Arc::clone(&state.status), state.updated)
    }

    /// Asks the client and waits, at most [`limits::ASK`] for each answer. Returns the answers in the order of the questions.
    pub(super) fn ask(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let mut waiting = Vec::with_capacity(requests.len());
        let mut open = BTreeMap::new();
        {
            let mut state = self.state.lock();
            if !matches!(*state.status, Status::Working) {
                return Err(CallError::Cancelled);
            }
            for request in requests {
                // Tasks, "Task Update Requests": a key is unique within the lifetime of a task.
                if !state.asked.insert(request.key.clone()) {
                    return Err(Error::internal().into());
                }
                let (answer, receiver) = bounded(1);
                waiting.push(receiver);
                open.insert(request.key.clone(), OpenQuestion { request, answer });
            }
            self.change(&mut state, Status::InputRequired { input_requests: open });
        }
        let answers: Result<_, _> = waiting.iter().map(wait_for).collect();
        answers.inspect_err(|_| self.give_up_asking())
    }

    /// Delivers the client's answers. Unknown ones are ignored; a malformed one leaves its question open.
    pub(super) fn answer(&self, answers: Answers) {
        let mut state = self.state.lock();
        let Status::InputRequired { input_requests: open } = Arc::make_mut(&mut state.status) else { return };
        for (key, answer) in answers {
            let fits = |question: &mut OpenQuestion| has_shape(question.request.capability, &answer);
            if open.get_mut(&key).is_some_and(fits)
                && let Some(question) = open.remove(&key)
            {
                let _ = question.answer.try_send(Ok(answer)); // the handler may have given up
            }
        }
        if open.is_empty() {
            self.change(&mut state, Status::Working);
        }
    }

    /// Ends the task with the result of its call, or a JSON-RPC error. A result that exceeds the budget is an error.
    pub(super) fn finish(&self, result: Result<Box<RawValue>, Error>) {
        let (bytes, status) = match result {
            Ok(result) => (result.get().len(), Status::Completed { result }),
            Err(error) => (error.message.len(), Status::Failed { error }),
        };
        let held = (bytes <= limits::ANSWER_BYTES).then(|| self.kept.hold(bytes)).flatten();
        let error = || Error::new(Error::INTERNAL, "The result is too large to be kept");
        let status = if held.is_some() { status } else { Status::Failed { error: error() } };
        self.end_with(status, held);
    }

    /// Ends the task, once.
    fn end_with(&self, status: Status, held: Option<Held>) {
        let mut state = self.state.lock();
        if !state.status.is_final() {
            state.held = held;
            self.change(&mut state, status);
        }
    }

    fn give_up_asking(&self) {
        let mut state = self.state.lock();
        if matches!(*state.status, Status::InputRequired { .. }) {
            self.change(&mut state, Status::Working);
        }
    }

    fn change(&self, state: &mut State, status: Status) {
        state.status = Arc::new(status);
        state.updated = self.clock.now();
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
        self.end_with(Status::Cancelled, None);
        self.cancel.trip();
    }
}

impl Table<Task> {
    /// Adds a task. If one has to be removed, it is the first to expire of the finished ones.
    pub(super) fn insert(&self, task: &Arc<Task>) -> Result<(), Full> {
        let first_to_expire = |tasks: &[&Arc<Task>]| {
            let over = tasks.iter().filter(|each| each.state.lock().status.is_final());
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
