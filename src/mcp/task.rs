//! One task (extension `io.modelcontextprotocol/tasks`): a call that outlives its request. Its client asks how it is, answers
//! what it wants to know, and may cancel it; its handler waits on its worker as in any other call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use serde_json::value::RawValue;

use super::call::{CallError, InputRequest};
use super::jsonrpc::Error;
use super::rounds::{Answers, has_shape};
use super::table::{Owner, Row};
use crate::base::budget::{Held, Share};
use crate::base::cancel::CancelToken;
use crate::base::clock::{Clock, Timestamp};
use crate::base::identity::Principal;
use crate::base::limits;
use crate::base::lock::Mutex;

/// What a task starts with.
pub(super) struct NewTask {
    pub(super) id: Box<str>,
    pub(super) tool: Box<str>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) kept: Share,
}

/// A task. Once it is over it stays as it is.
pub(super) struct Task {
    id: Box<str>,
    tool: Box<str>,
    owner: Owner,
    clock: Arc<dyn Clock>,
    kept: Share,
    cancel: CancelToken,
    created: Timestamp,
    /// Of the monotonic clock: afterwards the task is forgotten, and cancelled if it still runs.
    expires: Duration,
    /// Guards how far the task is, and what its client was asked.
    state: Mutex<State>,
}

struct State {
    updated: Timestamp,
    status: Status,
    /// The keys of all questions so far: none may be used again.
    asked: BTreeSet<String>,
    /// What the result takes of the user's share.
    held: Option<Held>,
}

enum Status {
    Working,
    InputRequired(BTreeMap<String, Question>),
    Over(Ending),
}

struct Question {
    request: InputRequest,
    /// Dropped when nobody is to wait any more.
    answer: Sender<Box<RawValue>>,
}

/// How a task has ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// With the result of its call, as JSON.
    Completed(Arc<RawValue>),
    /// With a JSON-RPC error.
    Failed(Error),
    /// Its client wanted no result.
    Cancelled,
}

/// How a task is at one moment.
pub(super) struct Snapshot {
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) progress: Progress,
}

pub(super) enum Progress {
    Working,
    InputRequired(Vec<InputRequest>),
    Over(Ending),
}

impl Task {
    /// A task that works.
    pub(super) fn new(principal: &Principal, new: NewTask) -> Task {
        let NewTask { id, tool, clock, kept } = new;
        let (created, expires) = (clock.now(), clock.monotonic().saturating_add(limits::TASK_LIFETIME));
        let state = State { updated: created, status: Status::Working, asked: BTreeSet::new(), held: None };
        Task {
            id,
            tool,
            owner: principal.into(),
            clock,
            kept,
            cancel: CancelToken::new(),
            created,
            expires,
            state: Mutex::new(state),
        }
    }

    /// The name of the tool that it runs.
    pub(super) fn tool(&self) -> &str {
        &self.tool
    }

    /// When it is forgotten, of the monotonic clock. All live equally long, so this is also their order.
    pub(super) fn expires(&self) -> Duration {
        self.expires
    }

    /// Tripped when nobody wants the result any more.
    pub(super) fn cancelled(&self) -> &CancelToken {
        &self.cancel
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.lock().status, Status::Over(_))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let progress = match &state.status {
            Status::Working => Progress::Working,
            Status::InputRequired(open) => {
                Progress::InputRequired(open.values().map(|question| question.request.clone()).collect())
            }
            Status::Over(ending) => Progress::Over(ending.clone()),
        };
        Snapshot { created: self.created, updated: state.updated, progress }
    }

    /// Asks the client and waits, at most [`limits::ASK`] for each answer. The answers stand in the order of the questions.
    pub(super) fn ask(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let mut waiting = Vec::with_capacity(requests.len());
        let mut open = BTreeMap::new();
        {
            let mut state = self.lock();
            if !matches!(state.status, Status::Working) {
                return Err(CallError::Cancelled);
            }
            for request in requests {
                // Tasks, "Task Update Requests": a key means one question as long as the task lives.
                if !state.asked.insert(request.key.clone()) {
                    return Err(Error::internal().into());
                }
                let (answer, receiver) = bounded(1);
                waiting.push(receiver);
                open.insert(request.key.clone(), Question { request, answer });
            }
            self.change(&mut state, Status::InputRequired(open));
        }
        let answers = waiting.into_iter().map(|answer| answer.recv_timeout(limits::ASK));
        answers.collect::<Result<_, _>>().map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                self.give_up_asking();
                "The client did not answer in time".into()
            }
            RecvTimeoutError::Disconnected => CallError::Cancelled,
        })
    }

    /// Takes the client's answers. Those to nothing are ignored; one of the wrong shape leaves its question open.
    pub(super) fn answer(&self, answers: Answers) {
        let mut state = self.lock();
        let Status::InputRequired(open) = &mut state.status else { return };
        for (key, answer) in answers {
            let fits = |question: &mut Question| has_shape(question.request.capability, &answer);
            if open.get_mut(&key).is_some_and(fits)
                && let Some(question) = open.remove(&key)
            {
                let _ = question.answer.try_send(answer); // whoever waited may have given up
            }
        }
        if open.is_empty() {
            self.change(&mut state, Status::Working);
        }
    }

    /// Ends the task; only the first ending counts. A result that does not fit is an error.
    pub(super) fn finish(&self, ending: Ending) {
        let bytes = match &ending {
            Ending::Completed(result) => result.get().len(),
            Ending::Failed(error) => error.message.len(),
            Ending::Cancelled => 0,
        };
        let held = (bytes <= limits::ANSWER_BYTES).then(|| self.kept.hold(bytes)).flatten();
        let ending = if held.is_some() { ending } else { Ending::Failed(too_large()) };
        let mut state = self.lock();
        if !matches!(state.status, Status::Over(_)) {
            state.held = held;
            self.change(&mut state, Status::Over(ending));
        }
    }

    fn give_up_asking(&self) {
        let mut state = self.lock();
        if matches!(state.status, Status::InputRequired(_)) {
            self.change(&mut state, Status::Working);
        }
    }

    fn change(&self, state: &mut State, status: Status) {
        state.status = status;
        state.updated = self.clock.now();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Row for Task {
    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Ends the task on its client's behalf, or because its time is over; nothing happens if it is over.
    fn end(&self) {
        self.finish(Ending::Cancelled);
        self.cancel.trip();
    }
}

fn too_large() -> Error {
    Error::new(Error::INTERNAL, "The result is too large to be kept")
}
