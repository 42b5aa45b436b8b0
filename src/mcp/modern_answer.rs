//! Answers of 2026-07-28: the members that this revision adds to results, and the status of each error.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::call::{InputRequest, Operation, Reply, TASKS_EXTENSION};
use super::exchange::outcome;
use super::jsonrpc::{Encoded, Error, RequestId};
use super::session::millis;
use super::table::Row;
use super::task::{Status, Task};
use crate::base::limits;
use crate::http::CallOutcome;

/// `serverInfo`.
type ServerInfo = Map<String, Value>;

/// `ttlMs`: the lifetime of the result of an operation, in milliseconds; `None` for operations without this hint.
pub(super) fn ttl(operation: Operation) -> Option<u64> {
    if operation.is_list() {
        return Some(millis(limits::LIST_TTL));
    }
    (operation == Operation::ReadResource).then_some(0)
}

/// The end of a request: its result with the members that this era adds, or its error.
pub(super) fn complete(
    info: &ServerInfo,
    id: &RequestId,
    result: Result<Reply, Error>,
    ttl_ms: Option<u64>,
) -> Encoded {
    let mut reply = match result {
        Ok(reply) => reply,
        Err(error) => return failed(id, &error),
    };
    // Such members from the handler, or from a program of another version, would be duplicates.
    reply.retain(|name| !matches!(name, "resultType" | "ttlMs" | "cacheScope"));
    let result = CompleteResult {
        result_type: "complete",
        reply: &reply,
        ttl_ms,
        cache_scope: ttl_ms.map(|_| "private"),
        meta: reply.get("_meta").is_none().then_some(ServerMeta { server_info: info }),
    };
    Encoded::result(id, &result, outcome(&reply))
}

pub(super) fn failed(id: &RequestId, error: &Error) -> Encoded {
    // In this era "no such resource" is invalid params; the older code must not be sent.
    let code = if error.code == Error::RESOURCE_NOT_FOUND { Error::INVALID_PARAMS } else { error.code };
    let error = Error { code, ..error.clone() };
    let (_, status) = error.kind();
    Encoded::error(status, Some(id), &error)
}

/// The end of a call with questions. The client repeats the call with the answers and `state`.
pub(super) fn input_required(
    info: &ServerInfo,
    id: &RequestId,
    requests: &[InputRequest],
    state: Option<String>,
) -> Encoded {
    let result = InputRequired {
        result_type: "input_required",
        input_requests: requests.iter().map(|request| (&*request.key, request)).collect(),
        request_state: state,
        meta: ServerMeta { server_info: info },
    };
    Encoded::result(id, &result, CallOutcome::Ok)
}

/// The task object for its client: the handle in place of a call's result, or the result of `tasks/get`.
pub(super) fn task_status(
    info: &ServerInfo,
    id: &RequestId,
    task: &Task,
    result_type: &'static str,
) -> Encoded {
    let (status, updated) = task.status();
    let message = if let Status::Failed { error } = &*status { Some(&*error.message) } else { None };
    let detailed = DetailedTask {
        result_type,
        task_id: task.id(),
        status: &status,
        status_message: message,
        created_at: task.created.rfc3339(),
        last_updated_at: updated.rfc3339(),
        ttl_ms: millis(limits::TASK_LIFETIME),
        poll_interval_ms: millis(limits::TASK_POLL),
        meta: ServerMeta { server_info: info },
    };
    Encoded::result(id, &detailed, CallOutcome::Ok)
}

/// The error for a request that does not declare the tasks extension.
pub(super) fn missing_tasks() -> Error {
    missing(&json!({ "extensions": { TASKS_EXTENSION: {} } }))
}

pub(super) fn missing(capabilities: &Value) -> Error {
    Error::new(Error::MISSING_CAPABILITY, "Missing required client capability")
        .with_data(&json!({ "requiredCapabilities": capabilities }))
}

/// A result with the members that this era adds. Results depend on the caller: no shared cache may keep them (M16).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompleteResult<'a> {
    result_type: &'static str,
    #[serde(flatten)]
    reply: &'a Reply,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_scope: Option<&'static str>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<ServerMeta<'a>>,
}

#[derive(Serialize)]
struct ServerMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: &'a ServerInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired<'a> {
    result_type: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    input_requests: BTreeMap<&'a str, &'a InputRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_state: Option<String>,
    #[serde(rename = "_meta")]
    meta: ServerMeta<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailedTask<'a> {
    result_type: &'static str,
    task_id: &'a str,
    #[serde(flatten)]
    status: &'a Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    created_at: String,
    last_updated_at: String,
    ttl_ms: u64,
    poll_interval_ms: u64,
    #[serde(rename = "_meta")]
    meta: ServerMeta<'a>,
}
