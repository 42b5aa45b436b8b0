//! The legacy era: 2024-11-05 to 2025-11-25. `initialize`, sessions, a stream by GET, requests of ours on the stream of a
//! call. A JSON-RPC error is an HTTP 200: clients of this era die of anything else.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Core;
use super::call::{Call, CallError, Capability, ClientCapabilities, InputRequest, Level, Operation, Reply};
use super::era::{LEGACY_VERSIONS, MODERN_VERSION};
use super::exchange::{Caller, DecodedCall, Dialect, Encoded, Exchange};
use super::header;
use super::initialize::Initialize;
use super::intake::Message;
use super::jsonrpc::{self, Error, RequestId};
use super::members::Members;
use super::methods::MethodRow;
use super::mrtr::wait_for;
use super::session::{Kind, NewSession, Session};
use super::session_id::SessionId;
use super::stream::{EventStream, Priming};
use super::table::{Full, Row};
use crate::base::cancel::CancelToken;
use crate::base::identity::{Principal, UserId};
use crate::base::limits;
use crate::http::{Response, Stream};

/// Serves a POST.
pub(super) fn post(core: &Arc<Core>, caller: Caller, message: Message<'_>) {
    if let Some(refusal) = contradiction(core, &caller, &message) {
        return caller.responder.respond(refusal);
    }
    if let Message::Request { id, method, params } = &message
        && method == "initialize"
    {
        let response = initialize(core, &caller.principal, id, params);
        return caller.responder.respond(response);
    }
    let session = find_session(core, &caller).or_else(|refusal| unnamed_session(core, &caller, refusal));
    match session {
        Ok(session) => deliver(core, &session, message, caller),
        Err(refusal) => caller.responder.respond(refusal.response(id_of(&message))),
    }
}

/// The refusal of a message whose headers say something else (M12).
pub(super) fn contradiction(core: &Core, caller: &Caller, message: &Message<'_>) -> Option<Response> {
    let error = header::check_sent(&*core.backend, caller, message.call()?).err()?;
    Some(Encoded::error(400, id_of(message), &error).into_response())
}

/// Hands a message to its session.
pub(super) fn deliver(core: &Arc<Core>, session: &Arc<Session>, message: Message<'_>, caller: Caller) {
    match message {
        Message::Request { id, method, params } => {
            return serve(core, caller, session, (id, &method, params));
        }
        Message::Notification { method, params } => notice(session, &method, &params),
        Message::Response { id, answer } => session.answer(&id, answer),
    }
    caller.responder.respond(Response::new(202));
}

/// Serves a GET.
pub(super) fn get(core: &Core, caller: Caller) {
    let response = read(core, &caller).unwrap_or_else(|refusal| refusal.response(None));
    caller.responder.respond(response);
}

/// Serves a DELETE: the session ends.
pub(super) fn delete(core: &Core, caller: Caller) {
    let response = match find_session(core, &caller) {
        Ok(session) => {
            // In this order: a request that brings the session back meanwhile sees one or the other.
            core.ended.insert(session.id(), core.clock.monotonic());
            core.subscribers.sessions.end(&session);
            Response::new(204)
        }
        Err(refusal) => refusal.response(None),
    };
    caller.responder.respond(response);
}

/// The session's stream, or the one of `Last-Event-ID`.
fn read(core: &Core, caller: &Caller) -> Result<Response, Refusal> {
    let session = find_session(core, caller)?;
    if session.open_readers() >= limits::STREAMS_PER_SESSION {
        return Err(Refusal::TooManyStreams);
    }
    let open = core.open_stream(&caller.principal).ok_or(Refusal::TooManyStreams)?;
    let last_event_id = caller.head.headers.one("last-event-id").map_err(|_| Refusal::DuplicateHeader)?;
    Ok(Response::new(200).stream(session.read(last_event_id, open)))
}

fn id_of<'a>(message: &'a Message<'_>) -> Option<&'a RequestId> {
    match message {
        Message::Request { id, .. } => Some(id),
        Message::Notification { .. } | Message::Response { .. } => None,
    }
}

/// Why a message does not reach its session (M13).
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    DuplicateHeader,
    UnknownVersion,
    NoSession,
    UnknownSession,
    TooManyStreams,
    TooManySessions,
    TooFast,
}

impl Refusal {
    pub(super) fn response(self, id: Option<&RequestId>) -> Response {
        let (status, code, message) = match self {
            Refusal::DuplicateHeader => (400, Error::INVALID_REQUEST, "A header stands twice"),
            Refusal::UnknownVersion => (400, Error::INVALID_REQUEST, "Unsupported MCP-Protocol-Version"),
            Refusal::NoSession => {
                (400, Error::INVALID_REQUEST, "Mcp-Session-Id is missing: initialize first")
            }
            Refusal::UnknownSession => (404, Error::SESSION_NOT_FOUND, "Session not found"),
            Refusal::TooManyStreams => (429, Error::BUSY, "Too many open streams"),
            Refusal::TooManySessions => (503, Error::BUSY, "Too many sessions"),
            Refusal::TooFast => (429, Error::BUSY, "Too many sessions in too short a time"),
        };
        Encoded::error(status, id, &Error::new(code, message)).into_response()
    }
}

/// The caller's session. A missing version header means 2025-03-26, whose rules are no different here.
fn find_session(core: &Core, caller: &Caller) -> Result<Arc<Session>, Refusal> {
    let version = header::version(&caller.head.headers).map_err(|_| Refusal::DuplicateHeader)?;
    if version.is_some_and(|version| version != MODERN_VERSION && !LEGACY_VERSIONS.contains(&version)) {
        return Err(Refusal::UnknownVersion);
    }
    let session = named_session(core, caller)?;
    if version == Some(MODERN_VERSION) {
        core.tolerated.count("modern_version_in_session", &caller.principal);
    }
    session.touch(core.clock.monotonic());
    session.name();
    Ok(session)
}

/// The session that the request names. One that this process does not have, after a restart or a rest, starts anew under
/// its id: only the contents of the id are left of it (M6).
fn named_session(core: &Core, Caller { head, principal, .. }: &Caller) -> Result<Arc<Session>, Refusal> {
    let id = head.headers.one("mcp-session-id").map_err(|_| Refusal::DuplicateHeader)?;
    let id = id.ok_or(Refusal::NoSession)?;
    let sessions = &core.subscribers.sessions;
    if let Some(session) = sessions.find(id, principal).filter(|each| each.kind() == Kind::Streamable) {
        return Ok(session);
    }
    let contents = SessionId::open(id, core).filter(|contents| contents.grant == principal.grant);
    let contents = contents.filter(|_| !core.ended.contains(id)).ok_or(Refusal::UnknownSession)?;
    let session = open_session(core, principal, id, &contents)?;
    if core.ended.contains(id) {
        sessions.end(&session);
        return Err(Refusal::UnknownSession);
    }
    Ok(session)
}

fn open_session(
    core: &Core,
    principal: &Principal,
    id: &str,
    contents: &SessionId,
) -> Result<Arc<Session>, Refusal> {
    if !core.may_open(principal.user) {
        return Err(Refusal::TooFast);
    }
    let priming = if &*contents.version >= "2025-11-25" { Priming::Sent } else { Priming::Omitted };
    let new = new_session(core, principal.user, id.into());
    let new = NewSession { client: Some(contents.client()), priming, ..new };
    let session = Arc::new(Session::new(principal, new));
    core.subscribers.sessions.insert(&session, &core.capacity).map_err(|Full| Refusal::TooManySessions)
}

/// Some hosted clients never name the session that `initialize` gave them. They are recognized by that: their grant has a session
/// that no request has ever named. Each of their requests then gets a session of its own, because two conversations of one
/// such client may use the same ids. Without a name nothing can be asked of the client, cancelled, or read by GET. For
/// everybody else a missing name stays an error (M13).
fn unnamed_session(core: &Core, caller: &Caller, refusal: Refusal) -> Result<Arc<Session>, Refusal> {
    let Refusal::NoSession = refusal else { return Err(refusal) };
    let initialized = core.subscribers.sessions.unnamed(&caller.principal).ok_or(refusal)?;
    initialized.touch(core.clock.monotonic());
    let new = new_session(core, caller.principal.user, "".into());
    Ok(Arc::new(Session::new(&caller.principal, NewSession { kind: Kind::SingleRequest, ..new })))
}

/// A new session of a client without capabilities.
pub(super) fn new_session(core: &Core, user: UserId, id: Box<str>) -> NewSession {
    NewSession {
        id,
        kind: Kind::Streamable,
        client: Some(ClientCapabilities::default()),
        priming: Priming::Omitted,
        shares: core.budgets.of(user),
        incarnation: u32::from_be_bytes(core.random.bytes()),
        now: core.clock.monotonic(),
    }
}

fn initialize(core: &Core, principal: &Principal, id: &RequestId, params: &Members) -> Response {
    let [latest, ..] = LEGACY_VERSIONS;
    let initialize = match Initialize::read(params, &LEGACY_VERSIONS, latest) {
        Ok(initialize) => initialize,
        Err(error) => return failed(id, &error).into_response(),
    };
    let contents = SessionId::new(principal.grant, initialize.version, initialize.client);
    let session_id = contents.seal(core);
    match open_session(core, principal, &session_id, &contents) {
        Ok(_) => {
            let result = initialize.result(&*core.backend, principal);
            encode(id, result).into_response().header("Mcp-Session-Id", session_id)
        }
        Err(refusal) => refusal.response(Some(id)),
    }
}

fn serve(
    core: &Arc<Core>,
    caller: Caller,
    session: &Arc<Session>,
    (id, method, params): (RequestId, &str, Members),
) {
    let answer = match method {
        "ping" => Ok(()),
        "logging/setLevel" => params.require("level").map(|level| session.set_log_level(level)),
        "resources/subscribe" => resource(core, &caller, &params).and_then(|uri| session.subscribe(&uri)),
        "resources/unsubscribe" => resource(core, &caller, &params).map(|uri| session.unsubscribe(&uri)),
        _ => match decode(core, &caller, method, &params) {
            Ok((operation, subject, progress_token)) => {
                let call = Call { operation, subject, params };
                return self::call(core, caller, session, (id, call, progress_token));
            }
            Err(error) => Err(error),
        },
    };
    caller.answer(encode(&id, answer.map(|()| Reply::default())));
}

#[derive(Default, Deserialize)]
struct LegacyMeta {
    #[serde(rename = "progressToken")]
    progress_token: Option<RequestId>,
}

/// The operation, its subject and the progress token.
fn decode(
    core: &Core,
    caller: &Caller,
    method: &str,
    params: &Members,
) -> Result<(Operation, String, Option<RequestId>), Error> {
    let row = MethodRow::find(method).ok_or_else(Error::method_not_found)?;
    let operation = row.operation.ok_or_else(Error::method_not_found)?;
    if !core.backend.description(&caller.principal)?.offers(operation) {
        return Err(Error::method_not_found());
    }
    let LegacyMeta { progress_token } = params.read("_meta")?.unwrap_or_default();
    Ok((operation, row.subject(params)?.unwrap_or_default().into_owned(), progress_token))
}

fn call(
    core: &Core,
    caller: Caller,
    session: &Arc<Session>,
    (id, call, progress_token): (RequestId, Call, Option<RequestId>),
) {
    if call.operation == Operation::CallTool
        && let Some(refusal) = core.scope_refusal(&caller.principal, &call.subject)
    {
        return caller.responder.respond(refusal);
    }
    let cancel = CancelToken::new();
    if let Err(error) = session.begin(&id, &cancel) {
        return caller.answer(failed(&id, &error));
    }
    let dialect = Box::new(LegacyCall { session: Arc::clone(session), id });
    let client = session.client();
    let call = DecodedCall { call, principal: caller.principal, client, progress_token, cancel };
    core.start(Exchange::new(call, dialect, (caller.responder, caller.stream)));
}

/// The resource that a request subscribes to, or unsubscribes from.
fn resource(core: &Core, caller: &Caller, params: &Members) -> Result<String, Error> {
    if !core.backend.description(&caller.principal)?.promises(Operation::ReadResource, "subscribe") {
        return Err(Error::method_not_found());
    }
    let uri: String = params.require("uri")?;
    if uri.len() > limits::URI_BYTES { Err(Error::invalid_params("The URI is too long")) } else { Ok(uri) }
}

/// Takes a notification. Unknown ones, and ones that make no sense, are ignored: nobody waits for an answer.
fn notice(session: &Session, method: &str, params: &Members) {
    if method == "notifications/cancelled"
        && let Ok(request_id) = params.require("requestId")
    {
        session.cancel(&request_id);
    }
}

/// The response with a result, or with an error.
pub(super) fn encode(id: &RequestId, result: Result<Reply, Error>) -> Encoded {
    match result {
        Ok(reply) => Encoded::reply(id, &reply, &reply),
        Err(error) => failed(id, &error),
    }
}

fn failed(id: &RequestId, error: &Error) -> Encoded {
    Encoded::error(200, Some(id), error)
}

/// A call in a session.
struct LegacyCall {
    session: Arc<Session>,
    id: RequestId,
}

impl Dialect for LegacyCall {
    fn wants_log(&self, level: Level) -> bool {
        self.session.wants_log(level)
    }

    fn stream(&self, _: &DecodedCall) -> (EventStream, Stream) {
        self.session.new_stream()
    }

    fn streaming(&self, events: &Arc<EventStream>) {
        self.session.keep(events);
    }

    /// Asks on the call's own stream and waits, at most [`limits::ASK`] for each answer. Nothing else of the session waits.
    fn ask(&self, exchange: &Exchange, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        let mut waiting = Vec::with_capacity(requests.len());
        for request in &requests {
            let (id, answer) = self.session.expect_answer(&self.id);
            exchange.say(&jsonrpc::request(&id, request.capability.method(), &request.params));
            waiting.push((id, answer));
        }
        let answers = waiting
            .iter()
            .map(|(id, answer)| wait_for(answer).inspect_err(|_| self.session.forget_question(id)));
        answers.collect()
    }

    fn missing(&self, capability: Option<Capability>) -> Error {
        let words = match capability {
            Some(capability) => format!("The client does not support {}", capability.name()),
            None => "This tool needs a client that takes tasks".to_owned(),
        };
        Error::new(Error::INVALID_REQUEST, words)
    }

    fn encode(&self, _: &DecodedCall, result: Result<Reply, CallError>) -> Encoded {
        encode(&self.id, result.map_err(|error| self.error(error)))
    }

    fn ended(&self) {
        self.session.finish(&self.id);
    }
}
