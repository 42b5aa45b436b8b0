//! The modern era: 2026-07-28. Every request says all about itself, in its `_meta` and again in its headers; nothing is
//! remembered between two of them but what a client carries sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use serde_json::value::RawValue;

use super::backend::Implementation;
use super::call::{
    Call, CallError, ClientCapabilities, InputRequest, Level, Operation, Outcome, Reply, parse,
};
use super::events::EventStream;
use super::exchange::{Dialect, Encoded, Exchange};
use super::header::{self, Mismatch};
use super::intake::Message;
use super::jsonrpc::{self, Error, RequestId};
use super::listeners::{Filter, Listener};
use super::rounds::{Answers, Round, Sealing, Subject};
use super::session::millis;
use super::{Arrival, Core, Visit};
use crate::base::cancel::CancelToken;
use crate::base::limits;
use crate::http::{Headers, Response, Stream};

/// The version of this era.
pub(super) const VERSION: &str = "2026-07-28";

/// Serves a POST.
pub(super) fn post(core: &Arc<Core>, visit: Visit, message: Message<'_>) {
    match message {
        Message::Request { id, method, params } => {
            let request = match decode(core, &visit.head.headers, &method, params) {
                Ok(request) => request,
                Err(error) => return visit.responder.respond(failed(&id, &error).into_response()),
            };
            match request.what {
                What::Discover => visit.responder.respond(discover(core, &id).into_response()),
                What::Listen => listen(core, visit, id, params),
                What::Operation(operation) => call(core, visit, id, (operation, request.params, params)),
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
    headers: &Headers,
    method: &str,
    params: Option<&'a RawValue>,
) -> Result<Request<'a>, Error> {
    let params: Params<'_> = parse(params)?;
    let version = &params.meta.protocol_version;
    header::check_plain(headers, "mcp-protocol-version", version)
        .map_err(|Mismatch| mismatch("MCP-Protocol-Version"))?;
    if version != VERSION {
        return Err(Error::new(Error::UNSUPPORTED_VERSION, "Unsupported protocol version")
            .with_data(json!({ "supported": [VERSION], "requested": version })));
    }
    header::check_plain(headers, "mcp-method", method).map_err(|Mismatch| mismatch("Mcp-Method"))?;
    let offers = |operation| core.backend.description().offers(operation);
    let what = match method {
        "server/discover" => What::Discover,
        "subscriptions/listen" => What::Listen,
        _ => match Operation::from_method(method) {
            Some(operation) if offers(operation) => What::Operation(operation),
            Some(_) | None => return Err(Error::method_not_found()),
        },
    };
    if let What::Operation(operation) = what
        && takes_a_name(operation)
    {
        let name = named(operation, &params)?;
        header::check_encoded(headers, "mcp-name", name).map_err(|Mismatch| mismatch("Mcp-Name"))?;
        if operation == Operation::CallTool
            && let Some(mirrored) = core.backend.mirrored(name)
        {
            header::check_mirrored(headers, &mirrored, params.arguments)
                .map_err(|Mismatch| mismatch("Mcp-Param"))?;
        }
    }
    Ok(Request { what, params })
}

fn mismatch(header: &str) -> Error {
    Error::new(Error::HEADER_MISMATCH, format!("{header} is missing or differs from the body"))
}

/// Whether an operation names its subject; these are also the ones that may ask the client for more.
fn takes_a_name(operation: Operation) -> bool {
    matches!(operation, Operation::CallTool | Operation::GetPrompt | Operation::ReadResource)
}

fn named<'a>(operation: Operation, params: &'a Params<'_>) -> Result<&'a str, Error> {
    let name = if operation == Operation::ReadResource { &params.uri } else { &params.name };
    name.as_deref().ok_or_else(|| Error::invalid_params("Invalid params: the name or URI is missing"))
}

fn discover(core: &Core, id: &RequestId) -> Encoded {
    let description = core.backend.description();
    let reply = Reply::default()
        .with("supportedVersions", &[VERSION])
        .and_then(|reply| reply.with("capabilities", &description.capabilities()))
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
fn listen(core: &Core, visit: Visit, id: RequestId, params: Option<&RawValue>) {
    #[derive(Deserialize)]
    struct ListenParams {
        notifications: Filter,
    }
    let description = core.backend.description();
    let granted = parse(params).and_then(|ListenParams { notifications: mut granted }| {
        granted.tools_list_changed &= description.offers(Operation::ListTools);
        granted.prompts_list_changed &= description.offers(Operation::ListPrompts);
        granted.resources_list_changed &= description.offers(Operation::ListResources);
        if !description.offers(Operation::ReadResource) {
            granted.resource_subscriptions.clear();
        }
        let too_long = |uri: &String| uri.len() > limits::URI_BYTES;
        if granted.resource_subscriptions.len() > limits::SUBSCRIPTIONS
            || granted.resource_subscriptions.iter().any(too_long)
        {
            return Err(Error::invalid_params("Too many or too long resource subscriptions"));
        }
        if core.streams_of(visit.principal.user) >= limits::STREAMS_PER_USER {
            return Err(Error::new(Error::BUSY, "Too many open streams"));
        }
        Ok(granted)
    });
    let granted = match granted {
        Ok(granted) => granted,
        Err(error) => return visit.responder.respond(failed(&id, &error).into_response()),
    };
    let (events, body) = EventStream::ephemeral(CancelToken::new());
    core.audience.listeners.insert(Listener::new(&visit.principal, id, granted, events));
    visit.responder.respond(Response::new(200).stream(body));
}

fn call(
    core: &Arc<Core>,
    visit: Visit,
    id: RequestId,
    (operation, params, raw): (Operation, Params<'_>, Option<&RawValue>),
) {
    let name = named(operation, &params).map(str::to_owned).unwrap_or_default();
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
        round,
    };
    let arrival = Arrival {
        principal: visit.principal,
        responder: visit.responder,
        client: Arc::new(params.meta.client_capabilities),
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

/// How long a client may rely on the result of an operation, in milliseconds; `None` for those that have no such hint.
fn ttl(operation: Operation) -> Option<u64> {
    match operation {
        Operation::ListTools
        | Operation::ListPrompts
        | Operation::ListResources
        | Operation::ListResourceTemplates => Some(millis(limits::LIST_TTL)),
        Operation::ReadResource => Some(0),
        Operation::CallTool | Operation::GetPrompt | Operation::Complete => None,
    }
}

fn complete(core: &Core, id: &RequestId, reply: &Reply, ttl_millis: Option<u64>) -> Encoded {
    let wire = Complete { reply, ttl_millis, info: &core.backend.description().info };
    Encoded { status: 200, text: jsonrpc::result(id, &wire) }
}

fn failed(id: &RequestId, error: &Error) -> Encoded {
    // Clients of this era are told "no such resource" as invalid params; the older code must not be sent.
    let code = if error.code == Error::RESOURCE_NOT_FOUND { Error::INVALID_PARAMS } else { error.code };
    let status = match code {
        Error::METHOD_NOT_FOUND => 404,
        Error::BUSY => 429,
        Error::PARSE
        | Error::INVALID_REQUEST
        | Error::INVALID_PARAMS
        | Error::HEADER_MISMATCH
        | Error::MISSING_CAPABILITY
        | Error::UNSUPPORTED_VERSION => 400,
        _ => 200,
    };
    let error = Error { code, ..error.clone() };
    Encoded { status, text: jsonrpc::error(Some(id), &error) }
}

/// A result with what this era adds to it. Results depend on who asks: no shared cache may keep them (M16).
struct Complete<'a> {
    reply: &'a Reply,
    ttl_millis: Option<u64>,
    info: &'a Implementation,
}

impl Serialize for Complete<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("resultType", "complete")?;
        let mut has_meta = false;
        for (name, value) in &self.reply.members {
            has_meta |= name == "_meta";
            map.serialize_entry(name, value)?;
        }
        if let Some(ttl) = self.ttl_millis {
            map.serialize_entry("ttlMs", &ttl)?;
            map.serialize_entry("cacheScope", "private")?;
        }
        if !has_meta {
            map.serialize_entry("_meta", &ServerMeta { server_info: self.info })?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct ServerMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server_info: &'a Implementation,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired<'a> {
    result_type: &'static str,
    input_requests: BTreeMap<&'a str, Question<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_state: Option<String>,
    #[serde(rename = "_meta")]
    meta: ServerMeta<'a>,
}

#[derive(Serialize)]
struct Question<'a> {
    method: &'static str,
    params: &'a RawValue,
}

/// A call that stands for itself.
struct ModernCall {
    core: Arc<Core>,
    id: RequestId,
    operation: Operation,
    log_level: Option<Level>,
    cancel: CancelToken,
    round: Round,
}

impl ModernCall {
    fn input_required(&self, requests: &[InputRequest]) -> Encoded {
        let result = InputRequired {
            result_type: "input_required",
            input_requests: requests
                .iter()
                .map(|request| {
                    (request.key.as_str(), Question { method: request.method(), params: &request.params })
                })
                .collect(),
            request_state: self.round.next_state(&self.core.sealing()),
            meta: ServerMeta { server_info: &self.core.backend.description().info },
        };
        Encoded { status: 200, text: jsonrpc::result(&self.id, &result) }
    }
}

impl Dialect for ModernCall {
    fn wants_log(&self, level: Level) -> bool {
        self.log_level.is_some_and(|wanted| level >= wanted)
    }

    fn stream(&self) -> (EventStream, Stream) {
        EventStream::ephemeral(self.cancel.clone())
    }

    fn streaming(&self, _: &Arc<EventStream>) {}

    fn ask(&self, _: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        self.round.ask(requests)
    }

    fn remembered(&self) -> Option<&RawValue> {
        self.round.remembered()
    }

    fn remember(&self, value: Box<RawValue>) {
        self.round.remember(value);
    }

    fn encode(&self, outcome: Outcome) -> Encoded {
        match outcome {
            Outcome::Complete(reply) => complete(&self.core, &self.id, &reply, ttl(self.operation)),
            Outcome::Failed(error) => failed(&self.id, &error),
            Outcome::MissingCapability(capability) => {
                let error = Error::new(Error::MISSING_CAPABILITY, "Missing required client capability")
                    .with_data(json!({ "requiredCapabilities": { capability.name(): {} } }));
                failed(&self.id, &error)
            }
            Outcome::InputRequired(requests) if takes_a_name(self.operation) => {
                self.input_required(&requests)
            }
            // Nothing else may ask for input (MRTR, "Supported Requests").
            Outcome::InputRequired(_) => failed(&self.id, &Error::internal()),
        }
    }

    fn ended(&self) {}
}
