//! `tasks/get`, `tasks/update`, `tasks/cancel`, and the handle of a task: tasks on the wire.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Core;
use super::call::{InputRequest, Reply};
use super::exchange::Encoded;
use super::jsonrpc::{Error, RequestId};
use super::members::Members;
use super::modern_answer::{ServerMeta, complete, failed};
use super::session::millis;
use super::table::Row;
use super::task::{Status, Task};
use crate::base::identity::Principal;
use crate::base::limits;
use crate::http::Response;

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
    pub(super) params: &'a Members,
    pub(super) info: &'a Map<String, Value>,
}

/// A task as its client sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailedTask<'a> {
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
    input_requests: Option<BTreeMap<&'a str, &'a InputRequest>>,
    #[serde(rename = "_meta")]
    meta: ServerMeta<'a>,
}

/// The result of a call that has become a task: its handle.
pub(super) fn created(id: &RequestId, task: &Task, info: &Map<String, Value>) -> Encoded {
    encode(id, task, ("task", info))
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
    perform(&task, &request).unwrap_or_else(|error| failed(id, &error)).into_response()
}

fn perform(task: &Task, request: &TaskRequest<'_>) -> Result<Encoded, Error> {
    let TaskRequest { id, method, params, info, .. } = request;
    match method {
        TaskMethod::Get => return Ok(encode(id, task, ("complete", info))),
        TaskMethod::Update => task.answer(params.require("inputResponses")?),
        TaskMethod::Cancel => task.end(),
    }
    Ok(complete(info, id, (&Reply::default(), None)))
}

fn encode(id: &RequestId, task: &Task, (result_type, info): (&'static str, &Map<String, Value>)) -> Encoded {
    let (status, updated) = task.status();
    let (word, result, error, questions) = match &status {
        Status::Working => ("working", None, None, None),
        Status::InputRequired(open) => ("input_required", None, None, Some(open)),
        Status::Completed(result) => ("completed", Some(&**result), None, None),
        Status::Failed(error) => ("failed", None, Some(error), None),
        Status::Cancelled => ("cancelled", None, None, None),
    };
    let detailed = DetailedTask {
        result_type,
        task_id: task.id(),
        status: word,
        status_message: error.map(|error| &*error.message),
        created_at: task.created().rfc3339(),
        last_updated_at: updated.rfc3339(),
        ttl_ms: millis(limits::TASK_LIFETIME),
        poll_interval_ms: millis(limits::TASK_POLL),
        result,
        error,
        input_requests: questions
            .map(|open| open.iter().map(|(key, question)| (&**key, &question.request)).collect()),
        meta: ServerMeta { server_info: info },
    };
    Encoded::result(id, &detailed)
}
