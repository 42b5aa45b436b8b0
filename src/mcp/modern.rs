//! The modern era: 2026-07-28. Every request describes itself, in its `_meta` and again in its headers. State between two requests of
//! a call is kept by the client, sealed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Core;
use super::backend::{Description, ToolRules};
use super::call::{
    Call, CallError, Capability, ClientCapabilities, InputRequest, Level, Reply, TASKS_EXTENSION,
};
use super::era::{LEGACY_VERSIONS, MODERN_VERSION};
use super::exchange::{Dialect, Exchange, Inbound, outcome};
use super::header::{self, Presence, mismatch};
use super::intake::{ClientRequest, Message};
use super::jsonrpc::{Encoded, Error, RequestId};
use super::members::Members;
use super::methods::{MethodRow, Operation};
use super::mirrored::check_arguments;
use super::mrtr::Round;
use super::session::millis;
use super::stream::EventStream;
use super::subscribers::{ListenFilter, Subscription};
use super::table::Row;
use super::task::Task;
use crate::base::{AccessRule, Principal, base64url, limits};
use crate::http::{CallOutcome, Response, Stream};

/// Serves a POST.
pub(super) fn post(core: &Arc<Core>, inbound: Inbound, message: Message) {
    let answer = match message {
        Message::Request(request) => match check(core, &inbound, &request) {
            Ok(checked) => return checked.serve(core, inbound, request),
            Err(error) => failed(&request.id, &error),
        },
        // This revision has no notifications by POST: they are accepted and ignored.
        Message::Notification { .. } => return inbound.responder.respond(Response::new(202)),
        // Without the id, which is not that of a request of the client (transports, "Sending Messages").
        Message::Response { .. } => {
            let error = Error::new(Error::INVALID_REQUEST, "There are no requests to be answered");
            Encoded::error(400, None, &error)
        }
    };
    inbound.answer(answer);
}

/// The result of the checks of a request.
struct CheckedRequest {
    row: &'static MethodRow,
    /// The name, URI or task that the request is for; empty for other methods.
    subject: String,
    client: ClientCapabilities,
    log_level: Option<Level>,
    progress_token: Option<RequestId>,
    description: Arc<Description>,
    access: Arc<AccessRule>,
    /// The rules of the tool that is called.
    tool_rules: Option<Arc<ToolRules>>,
}

#[derive(Deserialize)]
struct ModernMeta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Cow<'a, str>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    client: ClientCapabilities,
    #[serde(rename = "io.modelcontextprotocol/logLevel")]
    log_level: Option<Level>,
    #[serde(rename = "progressToken")]
    progress_token: Option<RequestId>,
}

/// The sequence of checks (M12): `_meta`, version, method, name, mirrored arguments.
fn check(core: &Core, inbound: &Inbound, request: &ClientRequest) -> Result<CheckedRequest, Error> {
    let ClientRequest { method, params, .. } = request;
    let ModernMeta { version, client, log_level, progress_token } = params.require("_meta")?;
    let headers = &inbound.head.headers;
    let stated = header::version(headers)?;
    // Some clients send bodies of this version over the transport of a legacy version, without the headers of this one.
    let is_mixed =
        version == MODERN_VERSION && stated.is_some_and(|stated| LEGACY_VERSIONS.contains(&stated));
    let presence = if is_mixed { Presence::Optional } else { Presence::Required };
    if !is_mixed && stated != Some(&*version) {
        return Err(mismatch("MCP-Protocol-Version"));
    }
    if version != MODERN_VERSION {
        return Err(Error::new(Error::UNSUPPORTED_VERSION, "Unsupported protocol version")
            .with_data(&json!({ "supported": [MODERN_VERSION], "requested": version })));
    }
    header::check_method(headers, method, presence)?;
    let description = core.settings.backend.description(&inbound.principal)?;
    let is_task = method.starts_with("tasks/");
    let is_served = |row: &&MethodRow| match row.operation {
        Some(_) => description.offers(row.capability),
        None if is_task => description.has_tasks,
        None => matches!(row.name, "server/discover" | "subscriptions/listen"),
    };
    let row = request.row.filter(is_served).ok_or_else(Error::method_not_found)?;
    let subject = request.subject()?;
    subject.iter().try_for_each(|subject| header::check_name(headers, subject, presence))?;
    let subject = subject.unwrap_or_default().into_owned();
    if is_task && !client.takes_tasks() {
        return Err(missing_tasks());
    }
    let access = core.access(&inbound.principal);
    let is_tool = row.operation == Some(Operation::CallTool);
    let tool_rules = is_tool.then(|| core.tool_rules(&access, &inbound.principal, &subject)).flatten();
    if let Some(rules) = &tool_rules {
        check_arguments(headers, &rules.mirrored, params.get("arguments"), Presence::Required)?;
    }
    if is_mixed {
        core.tolerate("modern_body_under_legacy_version", &inbound.principal);
    }
    Ok(CheckedRequest { row, subject, client, log_level, progress_token, description, access, tool_rules })
}

impl CheckedRequest {
    fn serve(self, core: &Arc<Core>, inbound: Inbound, request: ClientRequest) {
        match (self.row.name, self.row.operation) {
            (_, Some(operation)) => self.call(core, inbound, (operation, request)),
            ("server/discover", None) => inbound.answer(self.discover(&request.id)),
            ("subscriptions/listen", None) => match self.listen(core, &inbound.principal, &request) {
                // The call is to open the stream: its end is not logged.
                Ok(body) => {
                    inbound.responder.respond(Response::new(200).stream(body).ending((CallOutcome::Ok, 0)))
                }
                Err(error) => inbound.answer(failed(&request.id, &error)),
            },
            (_, None) => inbound.responder.respond(self.task(core, &inbound.principal, &request)),
        }
    }

    fn discover(&self, id: &RequestId) -> Encoded {
        let description = &self.description;
        let reply = Reply::default()
            .with("supportedVersions", &[MODERN_VERSION])
            .and_then(|reply| reply.with("capabilities", &description.modern_capabilities()))
            .and_then(|reply| reply.with_some("instructions", description.instructions.as_ref()));
        encode(&description.info, id, reply.map(|reply| ("complete", reply)), Some(millis(limits::LIST_TTL)))
    }

    /// `subscriptions/listen`: the answer is a stream that stays open, with the notifications that the client is granted.
    fn listen(&self, core: &Core, principal: &Principal, request: &ClientRequest) -> Result<Stream, Error> {
        let CheckedRequest { client, description, access, .. } = self;
        let wanted = request.params.require::<Members>("notifications")?.present();
        // Tasks, "Task Status Notifications": a client that asks for them must support tasks. This server sends none: clients poll.
        let task_ids: Vec<String> = wanted.read("taskIds")?.unwrap_or_default();
        if !task_ids.is_empty() && !client.takes_tasks() {
            return Err(missing_tasks());
        }
        let list_changed = |member, capability| {
            let is_wanted = wanted.read(member)?.unwrap_or(false);
            Ok::<_, Error>(is_wanted && description.promises(capability, "listChanged"))
        };
        let mut granted = ListenFilter {
            tools_list_changed: list_changed("toolsListChanged", "tools")?,
            prompts_list_changed: list_changed("promptsListChanged", "prompts")?,
            resources_list_changed: list_changed("resourcesListChanged", "resources")?,
            resource_subscriptions: wanted.read("resourceSubscriptions")?.unwrap_or_default(),
        };
        if !description.promises("resources", "subscribe") {
            granted.resource_subscriptions.clear();
        }
        granted.resource_subscriptions.retain(|uri| access.opens_resource(uri));
        if granted.resource_subscriptions.len() > limits::SUBSCRIPTIONS {
            return Err(Error::invalid_params("Too many resource subscriptions"));
        }
        let open = core.open_stream(principal);
        let open = open.ok_or_else(|| Error::new(Error::BUSY, "Too many open streams"))?;
        let shares = core.budgets.of(principal.subject);
        let held = shares.kept.hold(granted.resource_subscriptions.iter().map(String::len).sum());
        let held = held.ok_or_else(|| Error::new(Error::BUSY, "Too many resource subscriptions"))?;
        let (events, body) = EventStream::open(shares, open);
        let wants_resources = !granted.resource_subscriptions.is_empty();
        core.subscribers.insert(Subscription::new(principal, request.id.clone(), (granted, held), events));
        if wants_resources {
            core.settings.backend.interests_changed(principal);
        }
        Ok(body)
    }

    fn call(self, core: &Arc<Core>, inbound: Inbound, (operation, request): (Operation, ClientRequest)) {
        let CheckedRequest { subject, client, log_level, progress_token, description, access, .. } = self;
        if let Some(rules) = self.tool_rules
            && let Some(refusal) = core.scope_refusal(&inbound.principal, &rules)
        {
            return inbound.responder.respond(refusal);
        }
        let (Inbound { principal, responder, .. }, ClientRequest { id, params, .. }) = (inbound, request);
        // A client cancels by disconnecting (transports, "Cancellation"). The responder trips this token before the head of the
        // answer, the stream trips it afterwards.
        let cancel = responder.client_gone();
        let call = Call { operation, subject, params, principal, access, client, progress_token, cancel };
        let round = match Round::begin(&call, &core.settings.keys, core.settings.clock.now()) {
            Ok(round) => round,
            Err(error) => return responder.respond(failed(&id, &error).into_response()),
        };
        let dialect = Box::new(ModernCall { core: Arc::clone(core), id, description, log_level, round });
        core.start(Exchange::new(call, dialect, responder, None));
    }

    /// Serves `tasks/get`, `tasks/update` and `tasks/cancel`. A task of another owner is unknown. The token must have the scopes of the
    /// task's tool: a client's narrower token must not read its results.
    fn task(&self, core: &Core, principal: &Principal, request: &ClientRequest) -> Response {
        let (CheckedRequest { subject, description, access, .. }, id) = (self, &request.id);
        let found = core.tasks.find(subject, principal);
        let Some(task) = found.filter(|task| core.opens_tool(access, principal, &task.tool)) else {
            return failed(id, &Error::invalid_params("Unknown task")).into_response();
        };
        if let Some(rules) = core.tool_rules(access, principal, &task.tool)
            && let Some(refusal) = core.scope_refusal(principal, &rules)
        {
            return refusal;
        }
        let done = match self.row.name {
            "tasks/get" => task.object(),
            "tasks/update" => request.params.require("inputResponses").map(|answers| {
                task.answer(answers);
                Reply::default()
            }),
            _ => {
                task.end();
                Ok(Reply::default())
            }
        };
        encode(&description.info, id, done.map(|reply| ("complete", reply)), None).into_response()
    }
}

/// A call of this era.
struct ModernCall {
    core: Arc<Core>,
    id: RequestId,
    description: Arc<Description>,
    log_level: Option<Level>,
    round: Round,
}

impl Dialect for ModernCall {
    fn log_level(&self) -> Option<Level> {
        self.log_level
    }

    fn wants_log(&self, level: Level) -> bool {
        self.log_level.is_some_and(|wanted| level >= wanted)
    }

    fn stream(&self, call: &Call) -> (EventStream, Stream) {
        EventStream::ephemeral(self.core.budgets.of(call.principal.subject), call.cancel.clone())
    }

    fn ask(&self, _: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        self.round.ask(requests)
    }

    fn round(&self) -> Option<&Round> {
        Some(&self.round)
    }

    fn begin_task(&self, call: &Call) -> Option<(Arc<Task>, Encoded)> {
        let (core, description) = (&self.core, &self.description);
        let can_be =
            call.operation == Operation::CallTool && description.has_tasks && call.client.takes_tasks();
        if !can_be || core.closing.is_tripped() {
            return None;
        }
        let id = base64url(&core.settings.random.bytes::<32>()).into();
        let kept = core.budgets.of(call.principal.subject).kept;
        let task = Arc::new(Task::new(call, id, kept, Arc::clone(&core.settings.clock)));
        core.tasks.insert(&task).ok()?;
        let handle = task.object().map(|reply| ("task", reply));
        let handle = encode(&description.info, &self.id, handle, None);
        Some((task, handle))
    }

    fn missing(&self, capability: Option<Capability>) -> Error {
        let parts = |it: Capability| it.name().rsplit('.').fold(json!({}), |all, key| json!({ key: all }));
        capability.map_or_else(missing_tasks, |capability| missing(&parts(capability)))
    }

    fn encode(&self, call: &Call, result: Result<Reply, CallError>) -> Encoded {
        let (result, ttl) = match result {
            Ok(mut reply) => {
                let stated = reply.read("ttlMs").ok().flatten();
                // Such members from the handler, or from a program of another version, would be duplicates.
                reply.retain(|name| !matches!(name, "resultType" | "ttlMs" | "cacheScope"));
                let passes_on = self.core.settings.backend.passes_on();
                // Not every server behind the bridge announces the changes of its lists.
                let ttl = ttl(call.operation).map(|own| if passes_on { stated.unwrap_or(0) } else { own });
                (Ok(("complete", reply)), ttl)
            }
            // Other operations may not ask for input (MRTR, "Supported Requests").
            Err(CallError::InputRequired(requests)) if call.operation.may_ask() => {
                let Core { settings, .. } = &*self.core;
                let state =
                    self.round.next_state(call, &settings.keys, &*settings.random, settings.clock.now());
                (questions(&requests, state), None)
            }
            Err(error) => (Err(self.error(error)), None),
        };
        encode(&self.description.info, &self.id, result, ttl)
    }
}

/// A result with its `resultType`.
type TypedReply = (&'static str, Reply);

/// `ttlMs`: the lifetime of the result of an operation, in milliseconds; `None` for operations without this hint.
fn ttl(operation: Operation) -> Option<u64> {
    if operation.is_list() {
        return Some(millis(limits::LIST_TTL));
    }
    (operation == Operation::ReadResource).then_some(0)
}

/// The questions that a call ends with. The client repeats the call with the answers and `state`.
fn questions(requests: &[InputRequest], state: Option<String>) -> Result<TypedReply, Error> {
    let by_key: BTreeMap<_, _> = requests.iter().map(|request| (&request.key, request)).collect();
    let reply = Reply::default()
        .with_some("inputRequests", (!by_key.is_empty()).then_some(by_key))?
        .with_some("requestState", state)?;
    // MRTR, "Server Requirements": one of the two must be there.
    Some(("input_required", reply)).filter(|(_, reply)| !reply.is_empty()).ok_or_else(Error::internal)
}

/// The error for a request that does not declare the tasks extension.
fn missing_tasks() -> Error {
    missing(&json!({ "extensions": { TASKS_EXTENSION: {} } }))
}

fn missing(capabilities: &Value) -> Error {
    Error::new(Error::MISSING_CAPABILITY, "Missing required client capability")
        .with_data(&json!({ "requiredCapabilities": capabilities }))
}

fn failed(id: &RequestId, error: &Error) -> Encoded {
    let error = error.clone().modern();
    let (_, status) = error.kind();
    Encoded::error(status, Some(id), &error)
}

/// The response with a result and the members that this era adds, or with an error. Results depend on the caller: no shared cache may keep
/// them (M16).
fn encode(
    server_info: &Map<String, Value>,
    id: &RequestId,
    result: Result<TypedReply, Error>,
    ttl_ms: Option<u64>,
) -> Encoded {
    let whole = result.and_then(|(result_type, reply)| {
        let identity = || BTreeMap::from([("io.modelcontextprotocol/serverInfo", server_info)]);
        let meta = reply.get("_meta").is_none().then(identity);
        let reply = reply.with("resultType", &result_type)?.with_some("ttlMs", ttl_ms)?;
        reply.with_some("cacheScope", ttl_ms.map(|_| "private"))?.with_some("_meta", meta)
    });
    match whole {
        Ok(reply) => Encoded::result(id, &reply, outcome(&reply)),
        Err(error) => failed(id, &error),
    }
}
