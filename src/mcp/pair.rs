//! The HTTP+SSE pair of 2024-11-05, for clients that know nothing newer: a GET opens a stream that says where to post and
//! brings every answer, a POST is answered 202. Sessions, calls and limits are those of the legacy era.

use std::sync::Arc;

use super::events::EventStream;
use super::exchange::Channel;
use super::hello::Hello;
use super::intake::Message;
use super::legacy::{self, Caller, Refusal, new_session};
use super::session::{Kind, Session};
use super::{Core, Visit, accepts, read, refusal};
use crate::base::encoding::base64url;
use crate::http::{Form, Response};

/// The versions that are spoken over the pair, latest first. Newer ones have the Streamable HTTP transport.
const VERSIONS: [&str; 2] = ["2025-03-26", OLDEST];
const OLDEST: &str = "2024-11-05";

/// Opens the stream. Its session ends with it.
pub(super) fn open(core: &Core, visit: Visit, message_path: &str) {
    let Visit { head, principal, responder } = visit;
    if !accepts(&head, "text", "event-stream") {
        return responder.respond(refusal(406));
    }
    let Some(standing) = core.stand(&principal) else {
        return responder.respond(Refusal::TooManyStreams.response(None));
    };
    let new = new_session(core, principal.user, base64url(&core.random.bytes::<32>()).into());
    // The name in the URL is no credential: it is good for this grant only (M6).
    let endpoint = format!("{message_path}?sessionId={}", new.id);
    let (events, body) = EventStream::with_endpoint(new.shares.clone(), standing, &endpoint);
    let session = Arc::new(Session::paired(&principal, new, events));
    if core.audience.sessions.insert(&session, &core.capacity).is_err() {
        return responder.respond(Refusal::TooManySessions.response(None));
    }
    responder.respond(Response::new(200).stream(body));
}

/// Takes a message; its answer comes on the stream.
pub(super) fn post(core: &Arc<Core>, body: &[u8], visit: Visit) {
    let Visit { head, principal, responder } = visit;
    let message = match read(&head, body, 400) {
        Ok(message) => message,
        Err(refusal) => return responder.respond(*refusal),
    };
    core.note_call(&message, &responder);
    if let Some(refusal) = legacy::contradiction(core, &head, &message) {
        return responder.respond(refusal);
    }
    let query = Form::parse(head.query.as_deref().unwrap_or_default().as_bytes()).unwrap_or_default();
    let session = query.value("sessionId").and_then(|id| core.audience.sessions.find(id, &principal));
    let session = session.filter(|each| each.kind() == Kind::Paired && each.standalone().has_reader());
    let Some(session) = session else {
        return responder.respond(Refusal::UnknownSession.response(None));
    };
    session.touch(core.clock.monotonic());
    let channel = Channel::Shared(responder, Arc::clone(session.standalone()));
    if let Message::Request { id, method, params } = &message
        && method == "initialize"
    {
        let answer = Hello::read(params.as_deref(), &VERSIONS, OLDEST).map(|hello| {
            let welcome = hello.welcome(core, id);
            session.declare(hello.client);
            welcome
        });
        return channel.answer(answer.unwrap_or_else(|error| legacy::failed(id, &error)));
    }
    legacy::deliver(core, &session, message, Caller { principal, channel });
}
