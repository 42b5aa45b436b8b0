//! The legacy era: 2024-11-05 to 2025-11-25. `initialize`, sessions, a stream by GET, requests of this server on the stream of a
//! call. A JSON-RPC error has HTTP status 200: clients of this era fail on any other status.

use std::sync::Arc;

use serde_json::json;
use serde_json::value::RawValue;

use super::Core;
use super::access;
use super::call::{Call, CallError, Capability, ClientCapabilities, InputRequest, Level, Reply};
use super::era::{LEGACY_VERSIONS, MODERN_VERSION};
use super::exchange::{Dialect, Exchange, Inbound, outcome};
use super::header::{self, Presence};
use super::intake::{ClientRequest, Message};
use super::jsonrpc::{self, Encoded, Error, RequestId};
use super::members::Members;
use super::methods::{MethodRow, Operation};
use super::mirrored::check_arguments;
use super::mrtr::wait_for;
use super::session::{Kind, Session};
use super::session_id::SessionId;
use super::stream::EventStream;
use super::table::{Full, Row};
use crate::base::{CancelToken, Principal};
use crate::http::{Response, Stream};

/// Serves a POST.
pub(super) fn post(core: &Arc<Core>, inbound: Inbound, message: Message) {
    if let Some(refusal) = contradiction(core, &inbound, &message) {
        return inbound.responder.respond(refusal);
    }
    if let Some(request) = message.request().filter(|request| request.method == "initialize") {
        return inbound.responder.respond(initialize(core, &inbound.principal, request));
    }
    let session = find_session(core, &inbound).or_else(|refusal| unnamed_session(core, &inbound, refusal));
    match session {
        Ok(session) => deliver(core, &session, message, inbound),
        Err(refusal) => inbound.responder.respond(refusal.response(id_of(&message))),
    }
}

/// The refusal of a message that contradicts its headers (M12).
pub(super) fn contradiction(core: &Core, inbound: &Inbound, message: &Message) -> Option<Response> {
    let error = check_headers(core, inbound, message.method()?).err()?;
    Some(Encoded::error(400, id_of(message), &error).into_response())
}

/// Checks the headers that clients of this era need not send, because gateways rely on them in all versions.
fn check_headers(
    core: &Core,
    Inbound { head, principal, .. }: &Inbound,
    (method, params): (&str, &Members),
) -> Result<(), Error> {
    let headers = &head.headers;
    header::check_method(headers, method, Presence::Optional)?;
    let is_sent = headers.iter().any(|(name, _)| name == "mcp-name" || name.starts_with("mcp-param-"));
    let row = MethodRow::find(method).filter(|row| is_sent && row.operation.is_some());
    let Some(row) = row else { return Ok(()) };
    let Some(subject) = row.subject(params)? else { return Ok(()) };
    header::check_name(headers, &subject, Presence::Optional)?;
    let is_tool = row.operation == Some(Operation::CallTool);
    match is_tool.then(|| core.tool_rules(&core.access(principal), principal, &subject)).flatten() {
        Some(rules) => check_arguments(headers, &rules.mirrored, params.get("arguments"), Presence::Optional),
        None => Ok(()),
    }
}

/// Hands a message to its session.
pub(super) fn deliver(core: &Arc<Core>, session: &Arc<Session>, message: Message, mut inbound: Inbound) {
    inbound.principal.session = session.caller();
    match message {
        Message::Request(request) => return serve(core, inbound, session, request),
        // Others, and invalid ones, are ignored: a notification has no answer.
        Message::Notification { method, params } if method == "notifications/cancelled" => {
            params.require("requestId").iter().for_each(|request_id| session.cancel(request_id));
        }
        Message::Notification { .. } => {}
        Message::Response { id, answer } => session.answer(&id, answer),
    }
    inbound.responder.respond(Response::new(202));
}

/// Serves a DELETE: the session ends.
pub(super) fn delete(core: &Core, inbound: &Inbound) -> Result<Response, Refusal> {
    let session = find_session(core, inbound)?;
    end(core, &session);
    Ok(Response::new(204))
}

/// Ends a session for good.
fn end(core: &Core, session: &Session) {
    // In this order, so that a concurrent request with the id finds either the session or the record of its end.
    core.ended.insert(session.id(), core.settings.clock.monotonic());
    core.subscribers.sessions.end(session);
}

/// Serves a GET: the session's stream, or the one of `Last-Event-ID`.
pub(super) fn get(core: &Core, inbound: &Inbound) -> Result<Response, Refusal> {
    let session = find_session(core, inbound)?;
    let open = core.open_stream(&inbound.principal).ok_or(Refusal::TOO_MANY_STREAMS)?;
    let last_event_id = inbound.head.headers.one("last-event-id").map_err(|_| Refusal::DUPLICATE_HEADER)?;
    let body = session.read(last_event_id, open).ok_or(Refusal::UNKNOWN_EVENT)?;
    Ok(Response::new(200).stream(body))
}

fn id_of(message: &Message) -> Option<&RequestId> {
    message.request().map(|request| &request.id)
}

/// The refusal of a message that does not reach its session (M13): status, code and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(u16, i64, &'static str);

impl Refusal {
    const DUPLICATE_HEADER: Refusal = Refusal(400, Error::INVALID_REQUEST, "A header stands twice");
    const UNKNOWN_VERSION: Refusal = Refusal(400, Error::INVALID_REQUEST, "Unsupported MCP-Protocol-Version");
    const UNKNOWN_EVENT: Refusal = Refusal(400, Error::INVALID_REQUEST, "The stream is no longer kept");
    const NO_SESSION: Refusal =
        Refusal(400, Error::INVALID_REQUEST, "Mcp-Session-Id is missing: initialize first");
    pub(super) const UNKNOWN_SESSION: Refusal = Refusal(404, Error::SESSION_NOT_FOUND, "Session not found");
    pub(super) const TOO_MANY_STREAMS: Refusal = Refusal(429, Error::BUSY, "Too many open streams");
    pub(super) const TOO_MANY_SESSIONS: Refusal = Refusal(503, Error::BUSY, "Too many sessions");
    const TOO_FAST: Refusal = Refusal(429, Error::BUSY, "Too many sessions in too short a time");

    pub(super) fn response(self, id: Option<&RequestId>) -> Response {
        let Refusal(status, code, message) = self;
        Encoded::error(status, id, &Error::new(code, message)).into_response()
    }
}

/// The caller's session. A missing version header means 2025-03-26, which has the same rules here.
fn find_session(core: &Core, inbound: &Inbound) -> Result<Arc<Session>, Refusal> {
    let version = header::version(&inbound.head.headers).map_err(|_| Refusal::DUPLICATE_HEADER)?;
    if version.is_some_and(|version| version != MODERN_VERSION && !LEGACY_VERSIONS.contains(&version)) {
        return Err(Refusal::UNKNOWN_VERSION);
    }
    let session = named_session(core, inbound)?;
    if version == Some(MODERN_VERSION) {
        core.tolerate("modern_version_in_session", &inbound.principal);
    }
    session.touch(&inbound.principal, core.settings.clock.monotonic());
    session.name();
    Ok(session)
}

/// The session that the request names. One that this process does not have, after a restart or because it was unused, is restarted
/// with its id and the contents of the id (M6).
fn named_session(core: &Core, Inbound { head, principal, .. }: &Inbound) -> Result<Arc<Session>, Refusal> {
    let id = head.headers.one("mcp-session-id").map_err(|_| Refusal::DUPLICATE_HEADER)?;
    let id = id.ok_or(Refusal::NO_SESSION)?;
    let sessions = &core.subscribers.sessions;
    if let Some(session) = sessions.find(id, principal).filter(|each| each.kind == Kind::Streamable) {
        if session.has_ended() {
            end(core, &session);
            return Err(Refusal::UNKNOWN_SESSION);
        }
        return Ok(session);
    }
    let contents = SessionId::open(id, core).filter(|contents| contents.grant == principal.grant);
    // The backend's state of the session has ended with it.
    let contents = contents.filter(|_| !core.settings.backend.keeps_sessions());
    let contents = contents.filter(|_| !core.ended.contains(id)).ok_or(Refusal::UNKNOWN_SESSION)?;
    let session = open_session(core, principal, id, &contents)?;
    if core.ended.contains(id) {
        sessions.end(&session);
        return Err(Refusal::UNKNOWN_SESSION);
    }
    // A service token's session at another server can have the id.
    Some(session).filter(|session| session.owner().is(principal)).ok_or(Refusal::UNKNOWN_SESSION)
}

fn open_session(
    core: &Core,
    principal: &Principal,
    id: &str,
    contents: &SessionId,
) -> Result<Arc<Session>, Refusal> {
    if !core.may_open(principal.subject) {
        return Err(Refusal::TOO_FAST);
    }
    let session = Arc::new(Session::new(core, principal, id, Some(contents)));
    let sessions = &core.subscribers.sessions;
    sessions.insert(&session, &core.settings.capacity).map_err(|Full| Refusal::TOO_MANY_SESSIONS)
}

/// Some hosted clients never send the `Mcp-Session-Id` that `initialize` gave them. They are recognized by a session of their grant that
/// no request has ever named. Each of their requests then gets a session of its own, because two conversations of one such client may
/// use the same request ids. Such a session has no questions to the client, cancellations or GET streams. For all other clients a
/// missing session id is an error (M13).
fn unnamed_session(core: &Core, inbound: &Inbound, refusal: Refusal) -> Result<Arc<Session>, Refusal> {
    if refusal != Refusal::NO_SESSION {
        return Err(refusal);
    }
    let initialized = core.subscribers.sessions.unnamed(&inbound.principal).ok_or(refusal)?;
    initialized.touch(&inbound.principal, core.settings.clock.monotonic());
    Ok(Arc::new(Session::for_request(core, &inbound.principal)))
}

fn initialize(
    core: &Core,
    principal: &Principal,
    ClientRequest { id, params, .. }: &ClientRequest,
) -> Response {
    let [latest, ..] = LEGACY_VERSIONS;
    let (version, client) = match negotiate(params, &LEGACY_VERSIONS, latest) {
        Ok(agreed) => agreed,
        Err(error) => return failed(id, &error).into_response(),
    };
    let contents = SessionId::new(principal.grant, version, client);
    let session_id = contents.seal(core);
    match open_session(core, principal, &session_id, &contents) {
        Ok(session) => {
            let principal = Principal { session: session.caller(), ..principal.clone() };
            let result = initialized(core, &principal, version);
            encode(id, result).into_response().header("Mcp-Session-Id", session_id)
        }
        Err(refusal) => refusal.response(Some(id)),
    }
}

/// The negotiated version, and the client's capabilities. The version is the client's if it is one of `spoken`, else `otherwise`,
/// which the client may reject.
pub(super) fn negotiate(
    params: &Members,
    spoken: &[&'static str],
    otherwise: &'static str,
) -> Result<(&'static str, ClientCapabilities), Error> {
    let wanted: String = params.require("protocolVersion")?;
    let version = spoken.iter().find(|version| **version == wanted).copied().unwrap_or(otherwise);
    Ok((version, params.read("capabilities")?.unwrap_or_default()))
}

/// The result of `initialize`.
pub(super) fn initialized(core: &Core, principal: &Principal, version: &str) -> Result<Reply, Error> {
    let description = core.settings.backend.description(principal)?;
    Reply::default()
        .with("protocolVersion", &version)?
        .with("capabilities", &description.capabilities)?
        .with("serverInfo", &description.info)?
        .with_some("instructions", description.instructions.as_ref())
}

fn serve(core: &Arc<Core>, inbound: Inbound, session: &Arc<Session>, request: ClientRequest) {
    let params = &request.params;
    let answer = match &*request.method {
        "ping" => Ok(()),
        "logging/setLevel" => params.require("level").map(|level| session.set_log_level(level)),
        "resources/subscribe" => match resource(core, &inbound, params) {
            Ok(uri) if !core.access(&inbound.principal).opens_resource(&uri) => {
                let mut refused = failed(&request.id, &access::no_resource(&uri));
                refused.outcome = access::CLOSED;
                return inbound.answer(refused);
            }
            uri => uri.and_then(|uri| session.subscribe(&inbound.principal, &uri)),
        },
        "resources/unsubscribe" => resource(core, &inbound, params).map(|uri| session.unsubscribe(&uri)),
        _ => return call(core, inbound, session, request),
    };
    if answer.is_ok() && request.method != "ping" {
        core.settings.backend.interests_changed(&inbound.principal);
    }
    inbound.answer(encode(&request.id, answer.map(|()| Reply::default())));
}

fn call(core: &Core, inbound: Inbound, session: &Arc<Session>, request: ClientRequest) {
    let (operation, subject, progress_token) = match decode(core, &inbound.principal, &request) {
        Ok(decoded) => decoded,
        Err(error) => return inbound.answer(failed(&request.id, &error)),
    };
    let access = core.access(&inbound.principal);
    if operation == Operation::CallTool
        && let Some(rules) = core.tool_rules(&access, &inbound.principal, &subject)
        && let Some(refusal) = core.scope_refusal(&inbound.principal, &rules)
    {
        return inbound.responder.respond(refusal);
    }
    let (ClientRequest { id, params, .. }, cancel) = (request, CancelToken::new());
    if let Err(error) = session.begin(&id, &cancel) {
        return inbound.answer(failed(&id, &error));
    }
    let Inbound { principal, responder, stream, .. } = inbound;
    let (client, session) = (session.client(), Arc::clone(session));
    let call = Call { operation, subject, params, principal, access, client, progress_token, cancel };
    core.start(Exchange::new(call, Box::new(LegacyCall { session, id }), responder, stream));
}

/// The operation, its subject and the progress token of a request.
fn decode(
    core: &Core,
    principal: &Principal,
    request: &ClientRequest,
) -> Result<(Operation, String, Option<RequestId>), Error> {
    let row = request.row.ok_or_else(Error::method_not_found)?;
    let operation = row.operation.ok_or_else(Error::method_not_found)?;
    if !core.settings.backend.description(principal)?.offers(row.capability) {
        return Err(Error::method_not_found());
    }
    let progress_token = request.params.object("_meta")?.read("progressToken")?;
    Ok((operation, request.subject()?.unwrap_or_default().into_owned(), progress_token))
}

/// The resource that a request subscribes to, or unsubscribes from.
fn resource(core: &Core, inbound: &Inbound, params: &Members) -> Result<String, Error> {
    if !core.settings.backend.description(&inbound.principal)?.promises("resources", "subscribe") {
        return Err(Error::method_not_found());
    }
    params.require("uri")
}

/// The response with a result, or with an error.
pub(super) fn encode(id: &RequestId, result: Result<Reply, Error>) -> Encoded {
    match result {
        Ok(reply) => Encoded::result(id, &reply, outcome(&reply)),
        Err(error) => failed(id, &error),
    }
}

fn failed(id: &RequestId, error: &Error) -> Encoded {
    Encoded::error(200, Some(id), error)
}

/// A call of this era, in a session.
struct LegacyCall {
    session: Arc<Session>,
    id: RequestId,
}

impl Dialect for LegacyCall {
    fn log_level(&self) -> Option<Level> {
        self.session.log_level()
    }

    fn wants_log(&self, level: Level) -> bool {
        self.session.wants_log(level)
    }

    fn stream(&self, _: &Call) -> (EventStream, Stream) {
        self.session.new_stream()
    }

    fn streaming(&self, events: &Arc<EventStream>) {
        self.session.keep(events);
    }

    /// Asks on the call's own stream and waits, at most `limits::ASK` for each answer. Other requests of the session go on. Once an
    /// answer is an error or late, the client is told to drop the open questions (lifecycle, "Timeouts").
    fn ask(&self, exchange: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let mut waiting = Vec::with_capacity(requests.len());
        for request in &requests {
            let (id, answer) = self.session.expect_answer(&self.id);
            exchange.send(&jsonrpc::request(&id, request.capability.method(), &request.params));
            waiting.push((id, answer));
        }
        let answers: Result<_, _> = waiting.iter().map(|(_, answer)| wait_for(answer)).collect();
        for (id, _) in waiting.iter().filter(|(id, _)| self.session.take_question(id).is_some()) {
            let params = json!({ "requestId": id });
            exchange.send(&jsonrpc::notification("notifications/cancelled", Some(&params)));
        }
        answers
    }

    fn missing(&self, capability: Option<Capability>) -> Error {
        let words = match capability {
            Some(capability) => format!("The client does not support {}", capability.name()),
            None => "This tool needs a client that takes tasks".to_owned(),
        };
        Error::new(Error::INVALID_REQUEST, words)
    }

    fn encode(&self, _: &Call, result: Result<Reply, CallError>) -> Encoded {
        encode(&self.id, result.map_err(|error| self.error(error)))
    }

    fn ended(&self) {
        self.session.finish(&self.id);
    }
}
