//! The modern era: 2026-07-28. Every request describes itself, in its `_meta` and again in its headers; between two requests
//! only the sealed state that the client carries is remembered.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Core;
use super::backend::Context;
use super::call::{Call, CallError, ClientCapabilities, InputRequest, Level, Operation, Reply, parse};
use super::change::Filter;
use super::era::{LEGACY_VERSIONS, MODERN_VERSION};
use super::exchange::{Caller, Dialect, Encoded, Exchange};
use super::header::{self, Mismatch, Presence, mismatch};
use super::intake::Message;
use super::jsonrpc::{Error, RequestId};
use super::modern_answer::{complete, failed, input_required, missing, missing_tasks, ttl};
use super::mrtr::{Answers, CallSubject, Round, Sealing};
use super::session::millis;
use super::stream::EventStream;
use super::subscribers::Subscription;
use super::task::{NewTask, Task};
use super::task_methods::{self, TaskMethod, TaskRequest};
use crate::base::cancel::CancelToken;
use crate::base::encoding::base64url;
use crate::base::identity::{Principal, UserId};
use crate::base::limits;
use crate::http::{Response, Stream};

/// Serves a POST.
pub(super) fn post(core: &Arc<Core>, caller: Caller, message: Message<'_>) {
    match message {
        Message::Request { id, method, params } => {
            let raw = params.as_deref();
            let (method, params) = match decode(core, &caller, &method, raw) {
                Ok(request) => request,
                Err(error) => return caller.answer(failed(&id, &error)),
            };
            match method {
                ModernMethod::Discover => caller.answer(discover(core, &id)),
                ModernMethod::Listen => listen(core, caller, id, (raw, &params.meta.client_capabilities)),
                ModernMethod::Operation(operation) => call(core, caller, id, (operation, params, raw)),
                ModernMethod::Task(method) => {
                    let answers = params.input_responses;
                    let task = params.task_id.unwrap_or_default();
                    let request = TaskRequest { id: &id, method, task: &task, answers };
                    caller.responder.respond(task_methods::serve(core, &caller.principal, request));
                }
            }
        }
        // This revision has no notifications by POST: one that is sent all the same is taken and changes nothing.
        Message::Notification { .. } => caller.responder.respond(Response::new(202)),
        Message::Response { id, .. } => {
            let error = Error::new(Error::INVALID_REQUEST, "There are no requests to be answered");
            caller.answer(failed(&id, &error));
        }
    }
}

enum ModernMethod {
    Discover,
    Listen,
    Operation(Operation),
    Task(TaskMethod),
}

#[derive(Deserialize)]
struct ModernParams<'a> {
    #[serde(rename = "_meta")]
    meta: ModernMeta,
    name: Option<String>,
    uri: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "inputResponses")]
    input_responses: Option<Answers>,
    #[serde(rename = "requestState")]
    request_state: Option<String>,
    #[serde(rename = "taskId")]
    task_id: Option<String>,
}

#[derive(Deserialize)]
struct ModernMeta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: String,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    client_capabilities: ClientCapabilities,
    #[serde(rename = "io.modelcontextprotocol/logLevel")]
    log_level: Option<Level>,
    #[serde(rename = "progressToken")]
    progress_token: Option<RequestId>,
}

/// The ladder of checks (M12): `_meta`, version, method, name, mirrored arguments.
fn decode<'a>(
    core: &Core,
    caller: &Caller,
    method: &str,
    params: Option<&'a RawValue>,
) -> Result<(ModernMethod, ModernParams<'a>), Error> {
    let params: ModernParams<'_> = parse(params)?;
    let (headers, version) = (&caller.head.headers, &params.meta.protocol_version);
    let stated = header::version(headers).map_err(|Mismatch| mismatch("MCP-Protocol-Version"))?;
    // Some clients have the transport of a legacy version and the bodies of this one: these know no other headers either.
    let is_mixed =
        version == MODERN_VERSION && stated.is_some_and(|stated| LEGACY_VERSIONS.contains(&stated));
    let presence = if is_mixed { Presence::Optional } else { Presence::Required };
    if !is_mixed && stated != Some(version) {
        return Err(mismatch("MCP-Protocol-Version"));
    }
    if version != MODERN_VERSION {
        return Err(Error::new(Error::UNSUPPORTED_VERSION, "Unsupported protocol version")
            .with_data(json!({ "supported": [MODERN_VERSION], "requested": version })));
    }
    header::check_method(headers, method, presence)?;
    let description = core.backend.description();
    let method = match method {
        "server/discover" => ModernMethod::Discover,
        "subscriptions/listen" => ModernMethod::Listen,
        _ => match (Operation::from_method(method), TaskMethod::from_method(method)) {
            (Some(operation), _) if description.offers(operation) => ModernMethod::Operation(operation),
            (_, Some(method)) if description.has_tasks => ModernMethod::Task(method),
            (_, _) => return Err(Error::method_not_found()),
        },
    };
    if let ModernMethod::Task(_) = method {
        let task = params.task_id.as_deref().ok_or_else(|| Error::invalid_params("taskId is missing"))?;
        header::check_name(headers, task, presence)?;
        if !params.meta.client_capabilities.takes_tasks() {
            return Err(missing_tasks());
        }
    }
    if let ModernMethod::Operation(operation) = method
        && operation.takes_a_name()
    {
        let name = operation.named(&params.name, &params.uri)?;
        header::check_name(headers, name, presence)?;
        if operation == Operation::CallTool
            && let Some(mirrored) = core.backend.mirrored(name)
        {
            header::check_arguments(headers, &mirrored, params.arguments, Presence::Required)?;
        }
    }
    if is_mixed {
        core.tolerated.count("modern_body_under_legacy_version", &caller.principal);
    }
    Ok((method, params))
}

fn discover(core: &Core, id: &RequestId) -> Encoded {
    let description = core.backend.description();
    let reply = Reply::default()
        .with("supportedVersions", &[MODERN_VERSION])
        .and_then(|reply| reply.with("capabilities", &description.modern_capabilities()))
        .and_then(|reply| match &description.instructions {
            Some(instructions) => reply.with("instructions", instructions),
            None => Ok(reply),
        });
    match reply {
        Ok(reply) => complete(core, id, &reply, Some(millis(limits::LIST_TTL))),
        Err(error) => failed(id, &error),
    }
}

/// `subscriptions/listen`: the answer is a stream that stays open, with the changes that were asked for and are offered.
fn listen(
    core: &Core,
    caller: Caller,
    id: RequestId,
    (params, client): (Option<&RawValue>, &ClientCapabilities),
) {
    match subscribe(core, &caller.principal, &id, (params, client)) {
        Ok(body) => caller.responder.respond(Response::new(200).stream(body)),
        Err(error) => caller.answer(failed(&id, &error)),
    }
}

fn subscribe(
    core: &Core,
    principal: &Principal,
    id: &RequestId,
    (params, client): (Option<&RawValue>, &ClientCapabilities),
) -> Result<Stream, Error> {
    #[derive(Deserialize)]
    struct ListenParams {
        notifications: Filter,
    }
    let ListenParams { notifications: mut granted } = parse(params)?;
    // Tasks, "Task Status Notifications": a client that asks for them must take tasks.
    if !std::mem::take(&mut granted.task_ids).is_empty() && !client.takes_tasks() {
        return Err(missing_tasks());
    }
    let description = core.backend.description();
    let changes = |operation| description.lists_change && description.offers(operation);
    granted.tools_list_changed &= changes(Operation::ListTools);
    granted.prompts_list_changed &= changes(Operation::ListPrompts);
    granted.resources_list_changed &= changes(Operation::ListResources);
    if !description.offers(Operation::ReadResource) {
        granted.resource_subscriptions.clear();
    }
    let too_long = |uri: &String| uri.len() > limits::URI_BYTES;
    if granted.resource_subscriptions.len() > limits::SUBSCRIPTIONS
        || granted.resource_subscriptions.iter().any(too_long)
    {
        return Err(Error::invalid_params("Too many or too long resource subscriptions"));
    }
    let open = core.open_stream(principal);
    let open = open.ok_or_else(|| Error::new(Error::BUSY, "Too many open streams"))?;
    let shares = core.budgets.of(principal.user);
    let held = shares.kept.hold(granted.size());
    let held = held.ok_or_else(|| Error::new(Error::BUSY, "Too many resource subscriptions"))?;
    let (events, body) = EventStream::open(shares, open);
    core.subscribers.insert(Subscription::new(principal, id.clone(), (granted, held), events));
    Ok(body)
}

fn call(
    core: &Arc<Core>,
    caller: Caller,
    id: RequestId,
    (operation, params, raw): (Operation, ModernParams<'_>, Option<&RawValue>),
) {
    let name = operation.named(&params.name, &params.uri).map(str::to_owned).unwrap_or_default();
    if operation == Operation::CallTool
        && let Some(refusal) = core.scope_refusal(&caller.principal, &name)
    {
        return caller.responder.respond(refusal);
    }
    let subject = CallSubject { operation, name, arguments: params.arguments.map(RawValue::to_owned) };
    let brought = (params.input_responses.unwrap_or_default(), params.request_state.as_deref());
    let round = match Round::begin(&caller.principal, subject, brought, &core.sealing()) {
        Ok(round) => round,
        Err(error) => return caller.answer(failed(&id, &error)),
    };
    // A client cancels by going away (transports, "Cancellation"): before the head that is seen by the responder's
    // token, after it by the stream's, so both are this one.
    let cancel = caller.responder.client_gone();
    let dialect = ModernCall {
        core: Arc::clone(core),
        id,
        operation,
        log_level: params.meta.log_level,
        cancel: cancel.clone(),
        user: caller.principal.user,
        round,
    };
    let context = Context {
        principal: caller.principal,
        client: params.meta.client_capabilities,
        progress_token: params.meta.progress_token,
        publisher: core.publisher(),
        call: None,
        exchange: Exchange::new(Box::new(dialect), cancel, (caller.responder, None)),
        permit: None,
    };
    core.start(Call::new(operation, raw), context);
}

impl Core {
    fn sealing(&self) -> Sealing<'_> {
        Sealing { keys: &self.keys, random: &*self.random, now: self.clock.now() }
    }
}

/// A call that stands for itself.
struct ModernCall {
    core: Arc<Core>,
    id: RequestId,
    operation: Operation,
    log_level: Option<Level>,
    cancel: CancelToken,
    user: UserId,
    round: Round,
}

impl Dialect for ModernCall {
    fn wants_log(&self, level: Level) -> bool {
        self.log_level.is_some_and(|wanted| level >= wanted)
    }

    fn stream(&self) -> (EventStream, Stream) {
        EventStream::ephemeral(self.core.budgets.of(self.user), self.cancel.clone())
    }

    fn ask(&self, _: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        self.round.ask(requests)
    }

    fn round(&self) -> Option<&Round> {
        Some(&self.round)
    }

    fn begin_task(&self, principal: &Principal, client: &ClientCapabilities) -> Option<(Arc<Task>, Encoded)> {
        let (core, description) = (&self.core, self.core.backend.description());
        let can_be = self.operation == Operation::CallTool && description.has_tasks && client.takes_tasks();
        if !can_be || core.closing.is_tripped() {
            return None;
        }
        let new = NewTask {
            id: base64url(&core.random.bytes::<32>()).into(),
            clock: Arc::clone(&core.clock),
            tool: self.round.name().into(),
            kept: core.budgets.of(principal.user).kept,
        };
        let task = Arc::new(Task::new(principal, new));
        core.tasks.insert(&task).ok()?;
        let handle = task_methods::created(&self.id, &task, &description.info);
        Some((task, handle))
    }

    fn error(&self, error: CallError) -> Error {
        match error {
            CallError::MissingCapability(capability) => missing(&json!({ capability.name(): {} })),
            CallError::TaskRequired => missing_tasks(),
            // Nothing else may ask for input (MRTR, "Supported Requests"), and a task asks and waits.
            CallError::InputRequired(_) => Error::internal(),
            CallError::Tool(text) => Error::new(Error::INTERNAL, text),
            CallError::Protocol(error) => error,
            CallError::Cancelled => Error::new(Error::INTERNAL, "Cancelled"),
        }
    }

    fn encode(&self, result: Result<Reply, CallError>) -> Encoded {
        match result {
            Ok(reply) => complete(&self.core, &self.id, &reply, ttl(self.operation)),
            Err(CallError::InputRequired(requests)) if self.operation.takes_a_name() => {
                let state = self.round.next_state(&self.core.sealing());
                input_required(&self.core, &self.id, (&requests, state))
            }
            Err(error) => failed(&self.id, &self.error(error)),
        }
    }
}
