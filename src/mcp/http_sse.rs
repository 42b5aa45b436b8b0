//! HTTP+SSE (2024-11-05), for clients without a newer transport: a GET opens a stream that announces the URL for messages and carries
//! all answers, a POST is answered 202. Sessions, calls and limits are those of the legacy era.

use std::sync::Arc;

use super::Core;
use super::exchange::Inbound;
use super::legacy::{self, Refusal};
use super::session::{Kind, Session};
use super::stream::EventStream;
use super::table::Full;
use crate::base::{Principal, base64url};
use crate::http::{Form, Response};

/// The versions of this transport, latest first. Newer ones use Streamable HTTP.
const VERSIONS: [&str; 2] = ["2025-03-26", OLDEST];
const OLDEST: &str = "2024-11-05";

/// Opens the stream. Its session ends with it.
pub(super) fn open(core: &Core, principal: &Principal, message_path: &str) -> Result<Response, Refusal> {
    let open = core.open_stream(principal).ok_or(Refusal::TOO_MANY_STREAMS)?;
    let id = base64url(&core.settings.random.bytes::<32>());
    let (events, body) = EventStream::open(core.budgets.of(principal.subject), open);
    // The id in the URL is no credential: it is only valid with a token of this grant (M6).
    events.send_endpoint(&format!("{message_path}?sessionId={id}"));
    let session = Arc::new(Session::on_stream(core, principal, &id, events));
    let inserted = core.subscribers.sessions.insert(&session, &core.settings.capacity);
    inserted.map_err(|Full| Refusal::TOO_MANY_SESSIONS)?;
    Ok(Response::new(200).stream(body))
}

/// Serves a POST: a message, which is answered on the stream.
pub(super) fn post(core: &Arc<Core>, body: &[u8], inbound: Inbound) {
    let Some((mut inbound, message)) = core.receive(inbound, body, 400) else { return };
    if let Some(refusal) = legacy::contradiction(core, &inbound, &message) {
        return inbound.responder.respond(refusal);
    }
    let Some(session) = find_session(core, &inbound) else {
        return inbound.responder.respond(Refusal::UNKNOWN_SESSION.response(None));
    };
    session.touch(&inbound.principal, core.settings.clock.monotonic());
    inbound.principal.session = session.caller();
    inbound.stream = Some(Arc::clone(&session.standalone));
    if let Some(request) = message.request().filter(|request| request.method == "initialize") {
        let result = legacy::negotiate(&request.params, &VERSIONS, OLDEST).and_then(|(version, client)| {
            session.declare(client);
            legacy::initialized(core, &inbound.principal, version)
        });
        return inbound.answer(legacy::encode(&request.id, result));
    }
    legacy::deliver(core, &session, message, inbound);
}

fn find_session(core: &Core, inbound: &Inbound) -> Option<Arc<Session>> {
    let query = inbound.head.query.as_deref().unwrap_or_default();
    let query = Form::parse(query.as_bytes()).unwrap_or_default();
    let session = core.subscribers.sessions.find(query.value("sessionId")?, &inbound.principal)?;
    let is_open = session.kind == Kind::HttpSse && session.standalone.has_reader() && !session.has_ended();
    is_open.then_some(session)
}
