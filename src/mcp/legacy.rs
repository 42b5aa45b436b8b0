//! The legacy era: 2024-11-05 to 2025-11-25. `initialize`, sessions, a stream by GET, requests of ours on the stream of a
//! call. A JSON-RPC error is an HTTP 200: clients of this era die of anything else.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::call::{
    Call, CallError, ClientCapabilities, InputRequest, Level, Operation, Outcome, Reply, parse,
};
use super::events::{EventStream, Priming};
use super::exchange::{Channel, Dialect, Encoded, Exchange};
use super::header::{self, Mismatch};
use super::hello::Hello;
use super::intake::{Message, Payload};
use super::jsonrpc::{self, Error, RequestId};
use super::session::{Kind, NewSession, Refused, Session};
use super::session_id::SessionId;
use super::table::{Full, Row};
use super::{Arrival, Core, Visit, modern};
use crate::base::cancel::CancelToken;
use crate::base::identity::{Principal, UserId};
use crate::base::limits;
use crate::http::{Head, Response, Stream};

/// The versions of this era, latest first. 2024-11-05 had another transport, but some of its clients come over this one.
pub(super) const VERSIONS: [&str; 4] = [LATEST, "2025-06-18", "2025-03-26", "2024-11-05"];
const LATEST: &str = "2025-11-25";

/// Serves a POST.
pub(super) fn post(core: &Arc<Core>, visit: Visit, message: Message<'_>) {
    if let Some(refusal) = contradiction(core, &visit.head, &message) {
        return visit.responder.respond(refusal);
    }
    if let Message::Request { id, method, params } = &message
        && method == "initialize"
    {
        let response = initialize(core, &visit.principal, id, params.as_deref());
        return visit.responder.respond(response);
    }
    let session = match find_session(core, &visit).or_else(|refusal| without_name(core, &visit, refusal)) {
        Ok(session) => session,
        Err(refusal) => return visit.responder.respond(refusal.response(id_of(&message))),
    };
    let caller = Caller { principal: visit.principal, channel: Channel::Own(visit.responder) };
    deliver(core, &session, message, caller);
}

/// The refusal of a message whose headers say something else (M12).
pub(super) fn contradiction(core: &Core, head: &Head, message: &Message<'_>) -> Option<Response> {
    let error = modern::check_headers(core, &head.headers, message).err()?;
    Some(Encoded::error(400, id_of(message), &error).into_response())
}

/// Who sent a message, and where its answer goes.
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) channel: Channel,
}

/// Hands a message to its session.
pub(super) fn deliver(core: &Arc<Core>, session: &Arc<Session>, message: Message<'_>, caller: Caller) {
    match message {
        Message::Request { id, method, params } => {
            let request = Request { id, method: &method, params: params.as_deref() };
            return serve(core, caller, session, request);
        }
        Message::Notification { method, params } => notice(session, &method, params.as_deref()),
        Message::Response { id, payload: Payload::Result(result) } => {
            session.answer(&id, Ok(result.to_owned()));
        }
        Message::Response { id, payload: Payload::Error(error) } => session.answer(&id, Err(error)),
    }
    caller.channel.respond(Response::new(202));
}

/// Serves a GET.
pub(super) fn get(core: &Core, visit: Visit) {
    let response = read(core, &visit).unwrap_or_else(|refusal| refusal.response(None));
    visit.responder.respond(response);
}

/// Serves a DELETE: the session ends.
pub(super) fn delete(core: &Core, visit: Visit) {
    let response = match find_session(core, &visit) {
        Ok(session) => {
            // In this order: a request that brings the session back meanwhile sees one or the other.
            core.ended.insert(session.id());
            core.audience.sessions.end(&session);
            Response::new(204)
        }
        Err(refusal) => refusal.response(None),
    };
    visit.responder.respond(response);
}

/// The session's stream, or the one of `Last-Event-ID`.
fn read(core: &Core, visit: &Visit) -> Result<Response, Refusal> {
    let session = find_session(core, visit)?;
    if session.get_readers() >= limits::STREAMS_PER_SESSION {
        return Err(Refusal::TooManyStreams);
    }
    let standing = core.stand(&visit.principal).ok_or(Refusal::TooManyStreams)?;
    let last_event_id = visit.head.headers.one("last-event-id").map_err(|_| Refusal::DuplicateHeader)?;
    Ok(Response::new(200).stream(session.read(last_event_id, standing)))
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
fn find_session(core: &Core, visit: &Visit) -> Result<Arc<Session>, Refusal> {
    let version = header::version(&visit.head.headers).map_err(|Mismatch| Refusal::DuplicateHeader)?;
    if version.is_some_and(|version| version != modern::VERSION && !VERSIONS.contains(&version)) {
        return Err(Refusal::UnknownVersion);
    }
    let session = named_session(core, visit)?;
    if version == Some(modern::VERSION) {
        core.tolerated.count("modern_version_in_session", &visit.principal);
    }
    session.touch(core.clock.monotonic());
    session.name();
    Ok(session)
}

/// The session that the request names. One that this process does not have, after a restart or a rest, starts anew under
/// its id: nothing of it is kept but what the id says (M6).
fn named_session(core: &Core, Visit { head, principal, .. }: &Visit) -> Result<Arc<Session>, Refusal> {
    let id = head.headers.one("mcp-session-id").map_err(|_| Refusal::DuplicateHeader)?;
    let id = id.ok_or(Refusal::NoSession)?;
    let sessions = &core.audience.sessions;
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
    let priming = if &*contents.version >= "2025-11-25" { Priming::Sent } else { Priming::Left };
    let new = new_session(core, principal.user, id.into());
    let new = NewSession { client: contents.client(), priming, ..new };
    let session = Arc::new(Session::new(principal, new));
    core.audience.sessions.insert(&session, &core.capacity).map_err(|Full| Refusal::TooManySessions)
}

/// Some hosted clients never name the session that `initialize` gave them. They are known by that: their grant has a session
/// that no request has ever named. Each of their requests then gets a session of its own, because two conversations of one
/// such client may use the same ids. Without a name nothing can be asked of the client, cancelled, or read by GET. For
/// everybody else a missing name stays an error (M13).
fn without_name(core: &Core, visit: &Visit, refusal: Refusal) -> Result<Arc<Session>, Refusal> {
    let Refusal::NoSession = refusal else { return Err(refusal) };
    let initialized = core.audience.sessions.unnamed(&visit.principal).ok_or(refusal)?;
    initialized.touch(core.clock.monotonic());
    Ok(Arc::new(Session::nameless(&visit.principal, new_session(core, visit.principal.user, "".into()))))
}

/// What every new session starts with, of a client that can do nothing.
pub(super) fn new_session(core: &Core, user: UserId, id: Box<str>) -> NewSession {
    NewSession {
        id,
        client: ClientCapabilities::default(),
        priming: Priming::Left,
        shares: core.budgets.of(user),
        incarnation: u32::from_be_bytes(core.random.bytes()),
        now: core.clock.monotonic(),
    }
}

fn initialize(core: &Core, principal: &Principal, id: &RequestId, params: Option<&RawValue>) -> Response {
    let hello = match Hello::read(params, &VERSIONS, LATEST) {
        Ok(hello) => hello,
        Err(error) => return failed(id, &error).into_response(),
    };
    let contents = SessionId::new(principal.grant, hello.version(), hello.client);
    let session_id = contents.seal(core);
    match open_session(core, principal, &session_id, &contents) {
        Ok(_) => hello.welcome(core, id).into_response().header("Mcp-Session-Id", session_id),
        Err(refusal) => refusal.response(Some(id)),
    }
}

struct Request<'a> {
    id: RequestId,
    method: &'a str,
    params: Option<&'a RawValue>,
}

fn serve(core: &Arc<Core>, caller: Caller, session: &Arc<Session>, request: Request<'_>) {
    let Request { id, method, params } = request;
    let answer = match method {
        "ping" => Ok(()),
        "logging/setLevel" => set_level(session, params),
        "resources/subscribe" => subscribe(core, session, params),
        "resources/unsubscribe" => unsubscribe(core, session, params),
        _ => match Operation::from_method(method) {
            Some(operation) if core.backend.description().offers(operation) => {
                return call(core, caller, session, (id, operation, params));
            }
            Some(_) | None => Err(Error::method_not_found()),
        },
    };
    let encoded = match answer {
        Ok(()) => complete(&id, &Reply::default()),
        Err(error) => failed(&id, &error),
    };
    caller.channel.answer(encoded);
}

fn call(
    core: &Arc<Core>,
    caller: Caller,
    session: &Arc<Session>,
    (id, operation, params): (RequestId, Operation, Option<&RawValue>),
) {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default, rename = "_meta")]
        meta: Meta,
        name: Option<String>,
    }
    #[derive(Default, Deserialize)]
    struct Meta {
        #[serde(rename = "progressToken")]
        progress_token: Option<RequestId>,
    }
    let Params { meta, name } = match parse(params) {
        Ok(params) => params,
        Err(error) => return caller.channel.answer(failed(&id, &error)),
    };
    if operation == Operation::CallTool
        && let Some(refusal) = core.scope_refusal(&caller.principal, &name.unwrap_or_default())
    {
        return caller.channel.respond(refusal);
    }
    let cancel = CancelToken::new();
    if let Err(refused) = session.begin(&id, &cancel) {
        let error = match refused {
            Refused::DuplicateId => Error::new(Error::INVALID_REQUEST, "A request with this id is in flight"),
            Refused::Ended => Error::new(Error::SESSION_NOT_FOUND, "Session not found"),
        };
        return caller.channel.answer(failed(&id, &error));
    }
    let arrival = Arrival {
        principal: caller.principal,
        channel: caller.channel,
        client: session.client(),
        cancel,
        progress_token: meta.progress_token,
        dialect: Box::new(LegacyCall { session: Arc::clone(session), id }),
    };
    core.start(Call::new(operation, params), arrival);
}

fn set_level(session: &Session, params: Option<&RawValue>) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Params {
        level: Level,
    }
    let Params { level } = parse(params)?;
    session.set_log_level(level);
    Ok(())
}

#[derive(Deserialize)]
struct ResourceParams {
    uri: String,
}

fn subscribe(core: &Core, session: &Session, params: Option<&RawValue>) -> Result<(), Error> {
    let uri = resource(core, params)?;
    if session.subscribe(&uri) { Ok(()) } else { Err(Error::invalid_params("Too many subscriptions")) }
}

fn unsubscribe(core: &Core, session: &Session, params: Option<&RawValue>) -> Result<(), Error> {
    session.unsubscribe(&resource(core, params)?);
    Ok(())
}

fn resource(core: &Core, params: Option<&RawValue>) -> Result<String, Error> {
    if !core.backend.description().offers(Operation::ReadResource) {
        return Err(Error::method_not_found());
    }
    let ResourceParams { uri } = parse(params)?;
    if uri.len() > limits::URI_BYTES { Err(Error::invalid_params("The URI is too long")) } else { Ok(uri) }
}

/// Takes a notification. Unknown ones, and ones that make no sense, are ignored: nobody waits for an answer.
fn notice(session: &Session, method: &str, params: Option<&RawValue>) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled {
        request_id: RequestId,
    }
    if method == "notifications/cancelled"
        && let Ok(Cancelled { request_id }) = parse(params)
    {
        session.cancel(&request_id);
    }
}

fn complete(id: &RequestId, reply: &Reply) -> Encoded {
    Encoded::result(id, reply).of(reply)
}

pub(super) fn failed(id: &RequestId, error: &Error) -> Encoded {
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

    fn stream(&self) -> (EventStream, Stream) {
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
            exchange.say(&jsonrpc::request(&id, request.method(), &request.params));
            waiting.push((id, answer));
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for (id, answer) in waiting {
            match answer.recv_timeout(limits::ASK) {
                Ok(Ok(result)) => answers.push(result),
                Ok(Err(error)) => {
                    return Err(CallError::Tool(format!(
                        "The client answered with an error: {}",
                        error.message
                    )));
                }
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                    self.session.forget_question(&id);
                    return Err("The client did not answer in time".into());
                }
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return Err(CallError::Cancelled),
            }
        }
        Ok(answers)
    }

    fn encode(&self, outcome: Outcome) -> Encoded {
        match outcome {
            Outcome::Complete(reply) => complete(&self.id, &reply),
            Outcome::Failed(error) => failed(&self.id, &error),
            Outcome::MissingCapability(capability) => failed(
                &self.id,
                &Error::new(
                    Error::INVALID_REQUEST,
                    format!("The client does not support {}", capability.name()),
                ),
            ),
            Outcome::TaskRequired => failed(
                &self.id,
                &Error::new(Error::INVALID_REQUEST, "This tool needs a client that takes tasks"),
            ),
            // Questions are asked on the stream in this era; a backend that answers with them is wrong.
            Outcome::InputRequired(_) => failed(&self.id, &Error::internal()),
        }
    }

    fn ended(&self) {
        self.session.finish(&self.id);
    }
}
