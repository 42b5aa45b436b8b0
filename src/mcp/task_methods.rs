//! `tasks/get`, `tasks/update`, `tasks/cancel`, and the handle that stands for a task: what of tasks is on the wire.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Core;
use super::backend::Implementation;
use super::exchange::Encoded;
use super::jsonrpc::{Error, RequestId};
use super::modern_answer::{Question, ServerMeta, failed, questions};
use super::rounds::Answers;
use super::session::millis;
use super::table::Row;
use super::task::{Ending, Progress, Snapshot, Task};
use crate::base::identity::Principal;
use crate::base::limits;
use crate::http::Response;

/// The extension's name, in the capabilities of both sides.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// What a client can ask of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskMethod {
    Get,
    Update,
    Cancel,
}

impl TaskMethod {
    pub(super) fn from_method(method: &str) -> Option<TaskMethod> {
        Some(match method {
            "tasks/get" => TaskMethod::Get,
            "tasks/update" => TaskMethod::Update,
            "tasks/cancel" => TaskMethod::Cancel,
            _ => return None,
        })
    }
}

/// A request for one task.
pub(super) struct TaskRequest<'a> {
    pub(super) id: &'a RequestId,
    pub(super) method: TaskMethod,
    pub(super) task: &'a str,
    /// Of `tasks/update`.
    pub(super) answers: Option<Answers>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    result_type: &'static str,
    task_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    created_at: String,
    last_updated_at: String,
    ttl_ms: u64,
    poll_interval_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_requests: Option<BTreeMap<&'a str, Question<'a>>>,
    #[serde(rename = "_meta")]
    meta: ServerMeta<'a>,
}

/// The result of a call that has become a task: its handle.
pub(super) fn created(id: &RequestId, task: &Task, info: &Implementation) -> Encoded {
    let wire = Wire { result_type: "task", ..wire(task, &task.snapshot(), info) };
    Encoded::result(id, &wire)
}

/// Serves a request for a task. A task of somebody else's is as unknown as none, and one's own is for a token that could
/// call its tool: a client's narrower token gets at none of its results.
pub(super) fn serve(core: &Core, principal: &Principal, request: TaskRequest<'_>) -> Response {
    let id = request.id;
    let Some(task) = core.tasks.find(request.task, principal) else {
        return failed(id, &Error::invalid_params("Unknown task")).into_response();
    };
    if let Some(refusal) = core.scope_refusal(principal, task.tool()) {
        return refusal;
    }
    let info = &core.backend.description().info;
    answer(&task, request, info).unwrap_or_else(|error| failed(id, &error)).into_response()
}

fn answer(task: &Task, request: TaskRequest<'_>, info: &Implementation) -> Result<Encoded, Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Done<'a> {
        result_type: &'static str,
        #[serde(rename = "_meta")]
        meta: ServerMeta<'a>,
    }
    let id = request.id;
    match request.method {
        TaskMethod::Get => {
            let snapshot = task.snapshot();
            let mut wire = wire(task, &snapshot, info);
            match &snapshot.progress {
                Progress::Working | Progress::Over(Ending::Cancelled) => {}
                Progress::InputRequired(requests) => wire.input_requests = Some(questions(requests)),
                Progress::Over(Ending::Completed(result)) => wire.result = Some(result),
                Progress::Over(Ending::Failed(error)) => {
                    wire.status_message = Some(&error.message);
                    wire.error = Some(error);
                }
            }
            return Ok(Encoded::result(id, &wire));
        }
        TaskMethod::Update => {
            let answers = request.answers;
            task.answer(answers.ok_or_else(|| Error::invalid_params("inputResponses is missing"))?);
        }
        TaskMethod::Cancel => task.end(),
    }
    let done = Done { result_type: "complete", meta: ServerMeta { server_info: info } };
    Ok(Encoded::result(id, &done))
}

/// What every form of a task says.
fn wire<'a>(task: &'a Task, snapshot: &Snapshot, info: &'a Implementation) -> Wire<'a> {
    Wire {
        result_type: "complete",
        task_id: task.id(),
        status: match &snapshot.progress {
            Progress::Working => "working",
            Progress::InputRequired(_) => "input_required",
            Progress::Over(Ending::Completed(_)) => "completed",
            Progress::Over(Ending::Failed(_)) => "failed",
            Progress::Over(Ending::Cancelled) => "cancelled",
        },
        status_message: None,
        created_at: snapshot.created.rfc3339(),
        last_updated_at: snapshot.updated.rfc3339(),
        ttl_ms: millis(limits::TASK_LIFETIME),
        poll_interval_ms: millis(limits::TASK_POLL),
        result: None,
        error: None,
        input_requests: None,
        meta: ServerMeta { server_info: info },
    }
}
