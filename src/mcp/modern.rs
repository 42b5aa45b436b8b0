//! The modern era: 2026-07-28. Every request says all about itself, in its `_meta` and again in its headers; nothing is
//! remembered between two of them but what a client carries sealed.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::call::{
    Call, CallError, ClientCapabilities, InputRequest, Level, Operation, Outcome, Reply, parse,
};
use super::events::EventStream;
use super::exchange::{Begun, Channel, Dialect, Encoded, Exchange};
use super::header::{self, Mismatch};
use super::intake::Message;
use super::jsonrpc::{Error, RequestId};
use super::listeners::{Filter, Listener};
use super::modern_answer::{complete, failed, input_required, missing, missing_tasks, ttl};
use super::rounds::{Answers, Round, Sealing, Subject};
use super::session::millis;
use super::task::{Ending, NewTask, Task};
use super::task_methods::{self, TaskMethod, TaskRequest};
use super::{Arrival, Core, Visit, legacy};
use crate::base::cancel::CancelToken;
use crate::base::encoding::base64url;
use crate::base::identity::{Principal, UserId};
use crate::base::limits;
use crate::http::{Headers, Response, Stream};

/// The version of this era.
pub(super) const VERSION: &str = "2026-07-28";

/// Serves a POST.
pub(super) fn post(core: &Arc<Core>, visit: Visit, message: Message<'_>) {
    match message {
        Message::Request { id, method, params } => {
            let params = params.as_deref();
            let request = match decode(core, &visit, &method, params) {
                Ok(request) => request,
                Err(error) => return visit.responder.respond(failed(&id, &error).into_response()),
            };
            match request.what {
                What::Discover => visit.responder.respond(discover(core, &id).into_response()),
                What::Listen => listen(core, visit, id, (params, &request.params.meta.client_capabilities)),
                What::Operation(operation) => call(core, visit, id, (operation, request.params, params)),
                What::Task(method) => {
                    let answers = request.params.input_responses;
                    let task = request.params.task_id.unwrap_or_default();
                    let request = TaskRequest { id: &id, method, task: &task, answers };
                    visit.responder.respond(task_methods::serve(core, &visit.principal, request));
                }
            }
        }
        // This revision has no notifications by POST; what is sent in spite of that is taken and changes nothing.
        Message::Notification { .. } => visit.responder.respond(Response::new(202)),
        Message::Response { id, .. } => {
            let error = Error::new(Error::INVALID_REQUEST, "There are no requests to be answered");
            visit.responder.respond(failed(&id, &error).into_response());
        }
    }
}

struct Request<'a> {
    what: What,
    params: Params<'a>,
}

enum What {
    Discover,
    Listen,
    Operation(Operation),
    Task(TaskMethod),
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(rename = "_meta")]
    meta: Meta,
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
struct Meta {
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
    visit: &Visit,
    method: &str,
    params: Option<&'a RawValue>,
) -> Result<Request<'a>, Error> {
    let params: Params<'_> = parse(params)?;
    let (headers, version) = (&visit.head.headers, &params.meta.protocol_version);
    let stated = header::version(headers).map_err(|Mismatch| mismatch("MCP-Protocol-Version"))?;
    // Some clients have the transport of a legacy version and the bodies of this one: these know no other headers either.
    let is_mixed = version == VERSION && stated.is_some_and(|stated| legacy::VERSIONS.contains(&stated));
    if !is_mixed && stated != Some(version) {
        return Err(mismatch("MCP-Protocol-Version"));
    }
    if version != VERSION {
        return Err(Error::new(Error::UNSUPPORTED_VERSION, "Unsupported protocol version")
            .with_data(json!({ "supported": [VERSION], "requested": version })));
    }
    let is_needed = |name: &'static str| !is_mixed || headers.all(name).next().is_some();
    if is_needed("mcp-method") {
        header::check_plain(headers, "mcp-method", method).map_err(|Mismatch| mismatch("Mcp-Method"))?;
    }
    let offers = |operation| core.backend.description().offers(operation);
    let what = match method {
        "server/discover" => What::Discover,
        "subscriptions/listen" => What::Listen,
        _ => match (Operation::from_method(method), TaskMethod::from_method(method)) {
            (Some(operation), _) if offers(operation) => What::Operation(operation),
            (_, Some(method)) if core.backend.description().has_tasks => What::Task(method),
            (_, _) => return Err(Error::method_not_found()),
        },
    };
    let check_name = |name: &str| match is_needed("mcp-name") {
        true => header::check_encoded(headers, "mcp-name", name).map_err(|Mismatch| mismatch("Mcp-Name")),
        false => Ok(()),
    };
    if let What::Task(_) = what {
        let task = params.task_id.as_deref().ok_or_else(|| Error::invalid_params("taskId is missing"))?;
        check_name(task)?;
        if !params.meta.client_capabilities.takes_tasks() {
            return Err(missing_tasks());
        }
    }
    if let What::Operation(operation) = what
        && takes_a_name(operation)
    {
        let name = named(operation, &params.name, &params.uri)?;
        check_name(name)?;
        if operation == Operation::CallTool
            && let Some(mirrored) = core.backend.mirrored(name)
        {
            header::check_mirrored(headers, &mirrored, params.arguments, true)
                .map_err(|Mismatch| mismatch("Mcp-Param"))?;
        }
    }
    if is_mixed {
        core.tolerated.count("modern_body_under_legacy_version", &visit.principal);
    }
    Ok(Request { what, params })
}

/// A message of the other era needs none of these headers, but gateways go by them whatever the version: those that are there
/// say what the body says.
pub(super) fn check_headers(core: &Core, headers: &Headers, message: &Message<'_>) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Params<'a> {
        name: Option<String>,
        uri: Option<String>,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let Some((method, params)) = message.call() else { return Ok(()) };
    let has = |name: &'static str| headers.all(name).next().is_some();
    if has("mcp-method") {
        header::check_plain(headers, "mcp-method", method).map_err(|Mismatch| mismatch("Mcp-Method"))?;
    }
    let operation = Operation::from_method(method).filter(|operation| takes_a_name(*operation));
    let names_more = |name: &str| name == "mcp-name" || name.starts_with("mcp-param-");
    let Some(operation) = operation.filter(|_| headers.iter().any(|(name, _)| names_more(name))) else {
        return Ok(());
    };
    let Params { name, uri, arguments } = parse(params)?;
    let name = named(operation, &name, &uri)?;
    if has("mcp-name") {
        header::check_encoded(headers, "mcp-name", name).map_err(|Mismatch| mismatch("Mcp-Name"))?;
    }
    let mirrored = core.backend.mirrored(name).filter(|_| operation == Operation::CallTool);
    mirrored.map_or(Ok(()), |mirrored| {
        header::check_mirrored(headers, &mirrored, arguments, false).map_err(|Mismatch| mismatch("Mcp-Param"))
    })
}

fn mismatch(header: &str) -> Error {
    Error::new(Error::HEADER_MISMATCH, format!("{header} is missing or differs from the body"))
}

/// Whether an operation names its subject; these are also the ones that may ask the client for more.
fn takes_a_name(operation: Operation) -> bool {
    matches!(operation, Operation::CallTool | Operation::GetPrompt | Operation::ReadResource)
}

fn named<'a>(
    operation: Operation,
    name: &'a Option<String>,
    uri: &'a Option<String>,
) -> Result<&'a str, Error> {
    let name = if operation == Operation::ReadResource { uri } else { name };
    name.as_deref().ok_or_else(|| Error::invalid_params("Invalid params: the name or URI is missing"))
}

fn discover(core: &Core, id: &RequestId) -> Encoded {
    let description = core.backend.description();
    let reply = Reply::default()
        .with("supportedVersions", &[VERSION])
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

/// `subscriptions/listen`: the answer is a stream that stays open and tells of what was asked for and is offered.
fn listen(
    core: &Core,
    visit: Visit,
    id: RequestId,
    (params, client): (Option<&RawValue>, &ClientCapabilities),
) {
    #[derive(Deserialize)]
    struct ListenParams {
        notifications: Filter,
    }
    let description = core.backend.description();
    let granted = parse(params).and_then(|ListenParams { notifications: mut granted }| {
        // Tasks, "Task Status Notifications": whoever asks for them must take tasks.
        if !std::mem::take(&mut granted.task_ids).is_empty() && !client.takes_tasks() {
            return Err(missing_tasks());
        }
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
        let standing = core.stand(&visit.principal);
        Ok((granted, standing.ok_or_else(|| Error::new(Error::BUSY, "Too many open streams"))?))
    });
    let (granted, standing) = match granted {
        Ok(granted) => granted,
        Err(error) => return visit.responder.respond(failed(&id, &error).into_response()),
    };
    let shares = core.budgets.of(visit.principal.user);
    let Some(held) = shares.kept.hold(granted.size()) else {
        let error = Error::new(Error::BUSY, "Too many resource subscriptions");
        return visit.responder.respond(failed(&id, &error).into_response());
    };
    let (events, body) = EventStream::standing(shares, standing);
    core.audience.listeners.insert(Listener::new(&visit.principal, id, (granted, held), events));
    visit.responder.respond(Response::new(200).stream(body));
}

fn call(
    core: &Arc<Core>,
    visit: Visit,
    id: RequestId,
    (operation, params, raw): (Operation, Params<'_>, Option<&RawValue>),
) {
    let name = named(operation, &params.name, &params.uri).map(str::to_owned).unwrap_or_default();
    if operation == Operation::CallTool
        && let Some(refusal) = core.scope_refusal(&visit.principal, &name)
    {
        return visit.responder.respond(refusal);
    }
    let subject = Subject { operation, name, arguments: params.arguments.map(RawValue::to_owned) };
    let brought = (params.input_responses.unwrap_or_default(), params.request_state.as_deref());
    let round = match Round::begin(&visit.principal, subject, brought, &core.sealing()) {
        Ok(round) => round,
        Err(error) => return visit.responder.respond(failed(&id, &error).into_response()),
    };
    // A client cancels by going away (transports, "Cancellation"): before the head that is seen by the responder's
    // token, after it by the stream's, so both are this one.
    let cancel = visit.responder.client_gone();
    let dialect = ModernCall {
        core: Arc::clone(core),
        id,
        operation,
        log_level: params.meta.log_level,
        cancel: cancel.clone(),
        user: visit.principal.user,
        round,
    };
    let arrival = Arrival {
        principal: visit.principal,
        channel: Channel::Own(visit.responder),
        client: params.meta.client_capabilities,
        cancel,
        progress_token: params.meta.progress_token,
        dialect: Box::new(dialect),
    };
    core.start(Call::new(operation, raw), arrival);
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

    fn remembered(&self) -> Option<&RawValue> {
        self.round.remembered()
    }

    fn remember(&self, value: Box<RawValue>) {
        self.round.remember(value);
    }

    fn begin_task(&self, principal: &Principal, client: &ClientCapabilities) -> Option<Begun> {
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
        Some(Begun { task, handle })
    }

    fn ending(&self, outcome: Outcome) -> Ending {
        match outcome {
            Outcome::Complete(reply) => reply.into_json().map_or_else(Ending::Failed, Ending::Completed),
            Outcome::Failed(error) => Ending::Failed(error),
            Outcome::MissingCapability(capability) => {
                Ending::Failed(missing(&json!({ capability.name(): {} })))
            }
            // A task asks and waits; a backend that answers with questions is wrong.
            Outcome::InputRequired(_) | Outcome::TaskRequired => Ending::Failed(Error::internal()),
        }
    }

    fn encode(&self, outcome: Outcome) -> Encoded {
        match outcome {
            Outcome::Complete(reply) => complete(&self.core, &self.id, &reply, ttl(self.operation)),
            Outcome::Failed(error) => failed(&self.id, &error),
            Outcome::MissingCapability(capability) => {
                failed(&self.id, &missing(&json!({ capability.name(): {} })))
            }
            Outcome::TaskRequired => failed(&self.id, &missing_tasks()),
            Outcome::InputRequired(requests) if takes_a_name(self.operation) => {
                let state = self.round.next_state(&self.core.sealing());
                input_required(&self.core, &self.id, (&requests, state))
            }
            // Nothing else may ask for input (MRTR, "Supported Requests").
            Outcome::InputRequired(_) => failed(&self.id, &Error::internal()),
        }
    }
}
