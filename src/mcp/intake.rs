//! Reads one JSON-RPC message from a POST: checks the media types and, strictly (M10), the body. JSON that two parsers could read
//! differently is refused before it is interpreted.
//!
//! Requests arrive authenticated, with Host and Origin checked. The remaining checks, in this order (M1): method, `Accept` and content
//! type, one strict parse, the era, and then the era's own checks. The era decodes to a [`super::Call`] and encodes the
//! [`super::Reply`] or the [`super::CallError`]; the [`super::Backend`] in between does not depend on the era.

use std::borrow::Cow;

use serde_json::error::Category;
use serde_json::value::RawValue;

use super::Core;
use super::arguments::explain;
use super::exchange::Inbound;
use super::jsonrpc::{Encoded, Envelope, Error, RequestId};
use super::members::{Members, is_absent, is_object};
use super::methods::{MethodRow, Operation};
use crate::base::{json, limits, trace};
use crate::http::{CallNote, Head, Response};

/// One message of a client. Params and results stay text until they are read as a type.
#[derive(Debug)]
pub(super) enum Message {
    /// A request of the client.
    Request(ClientRequest),
    /// A notification of the client.
    Notification { method: String, params: Members },
    /// The response to a request of this server.
    Response { id: RequestId, answer: Result<Box<RawValue>, Error> },
}

impl Message {
    /// The method and the params, which a response does not have.
    pub(super) fn method(&self) -> Option<(&str, &Members)> {
        match self {
            Message::Request(request) => Some((&request.method, &request.params)),
            Message::Notification { method, params } => Some((method, params)),
            Message::Response { .. } => None,
        }
    }

    /// The request, if it is one.
    pub(super) fn request(&self) -> Option<&ClientRequest> {
        if let Message::Request(request) = self { Some(request) } else { None }
    }
}

/// A request of a client.
#[derive(Debug)]
pub(super) struct ClientRequest {
    pub(super) id: RequestId,
    pub(super) method: String,
    /// The method's row; `None` if it is unknown.
    pub(super) row: Option<&'static MethodRow>,
    pub(super) params: Members,
}

impl ClientRequest {
    /// The operation of the backend that serves the request.
    pub(super) fn operation(&self) -> Option<Operation> {
        self.row?.operation
    }

    /// The target: see [`MethodRow::subject`].
    pub(super) fn subject(&self) -> Result<Option<Cow<'_, str>>, Error> {
        self.row.map_or(Ok(None), |row| row.subject(&self.params))
    }
}

/// The reason for not running a call that has to be recorded first.
const NOT_RECORDED: &str =
    "This server cannot write its audit log, so the call was not run: tell the operator of the server";

impl Core {
    /// Reads the message of a POST and records it. `None` if it must not be served: it is answered then. `status` is the status for a
    /// request whose only fault is in its params.
    pub(super) fn receive(&self, inbound: Inbound, body: &[u8], status: u16) -> Option<(Inbound, Message)> {
        match read(&inbound.head, body, status).and_then(|message| self.record(message, &inbound)) {
            Ok(message) => Some((inbound, message)),
            Err(refusal) => {
                inbound.responder.respond(*refusal);
                None
            }
        }
    }

    /// Records method, subject and arguments of a call with its responder, for the log. Method and subject are in this server's spelling;
    /// a name that it does not know is logged as `unknown`. Fails if the call must be recorded and cannot be.
    fn record(&self, message: Message, inbound: &Inbound) -> Result<Message, Box<Response>> {
        let (Some(request), Some(witness)) = (message.request(), &inbound.responder.witness) else {
            return Ok(message);
        };
        let Some(row) = request.row else {
            witness.called(CallNote { method: "unknown", ..CallNote::default() });
            return Ok(message);
        };
        let subject = row.subject(&request.params).ok().flatten();
        let operation = match row.name {
            "resources/subscribe" | "resources/unsubscribe" => Some(Operation::ReadResource),
            _ => row.operation,
        };
        let known = operation.zip(subject.as_deref());
        let backend = &self.settings.backend;
        let target =
            known.and_then(|(operation, subject)| backend.known(&inbound.principal, operation, subject));
        let arguments = ["arguments", "argument", "uri"].iter().find_map(|member| request.params.get(member));
        let is_recorded = witness.called(CallNote {
            method: row.name,
            target: target.as_deref(),
            asked: known.map(|(_, subject)| subject),
            arguments: arguments.map(RawValue::get),
        });
        if is_recorded {
            return Ok(message);
        }
        trace::refused("not_recorded");
        let error = Error::new(Error::BUSY, NOT_RECORDED);
        Err(Box::new(Encoded::error(503, Some(&request.id), &error).into_response()))
    }
}

/// Whether `Accept` admits a media type (RFC 9110 section 12.5.1); a request without it accepts anything.
pub(super) fn accepts(head: &Head, media_type: &str) -> bool {
    let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
    let mut ranges = head.headers.all("accept").flat_map(|value| value.split(',')).peekable();
    ranges.peek().is_none()
        || ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let (range_kind, range_subtype) =
                parts.next().and_then(|essence| essence.split_once('/')).unwrap_or_default();
            let refused = parts.any(|parameter| {
                let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
                weight.is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty())
            });
            let covers = |range: &str, name| range == "*" || range.eq_ignore_ascii_case(name);
            !refused && covers(range_kind, kind) && covers(range_subtype, subtype)
        })
}

/// The answer to a request whose body is not read, with a hint for the client's author.
pub(super) fn not_read(status: u16) -> Response {
    let (reason, words) = match status {
        405 => ("method_not_allowed", "The methods here are GET, POST and DELETE.\n"),
        406 => ("accept", "Accept must admit text/event-stream and, for POST, application/json.\n"),
        415 => ("content_type", "Content-Type must be application/json.\n"),
        _ => ("content_type", "There must be one Content-Type field.\n"),
    };
    trace::refused(reason);
    Response::text(status, words).header("Cache-Control", "no-store")
}

fn read(head: &Head, body: &[u8], in_params: u16) -> Result<Message, Box<Response>> {
    // M11: browsers send other types cross-origin without a preflight.
    match head.is_of_type("application/json") {
        Ok(true) => {}
        Ok(false) => return Err(Box::new(not_read(415))),
        Err(_) => return Err(Box::new(not_read(400))),
    }
    parse(body).map_err(|Refusal { id, error, is_in_params }| {
        let status = if is_in_params && id.is_some() { in_params } else { 400 };
        Box::new(Encoded::error(status, id.as_ref(), &error).into_response())
    })
}

/// The error for a body that is no message.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The request's id, where it can be read.
    pub(super) id: Option<RequestId>,
    pub(super) error: Error,
    /// The fault is in the params; the rest is a request whose client waits for an answer.
    pub(super) is_in_params: bool,
}

/// Reads a body that must be exactly one JSON-RPC message.
///
/// # Errors
/// [`Error::PARSE`] if it is not JSON, [`Error::INVALID_REQUEST`] if it is not a message.
pub(super) fn parse(body: &[u8]) -> Result<Message, Refusal> {
    let Ok(text) = std::str::from_utf8(body) else {
        let error = Error::new(Error::PARSE, "The body is not UTF-8");
        return Err(refusal(&String::from_utf8_lossy(body), error));
    };
    // 2025-03-26 had batches, no other revision does; clients do not send them.
    if text.trim_start().starts_with('[') {
        return Err(refusal(text, Error::new(Error::INVALID_REQUEST, "Batches are not supported")));
    }
    let is_variant =
        |key: &str| Members::is_variant(key, &["jsonrpc", "id", "method", "params", "result", "error"]);
    let checked = json::check(text, limits::JSON_VALUES, is_variant);
    let envelope = checked.and_then(|()| json::read::<Envelope<'_>>(text));
    let envelope = envelope.map_err(|error| {
        let reason = explain("", text, &error);
        let is_in_params = reason.starts_with("params");
        let error = match error.classify() {
            Category::Data => not_a_message(&reason),
            Category::Io | Category::Syntax | Category::Eof => {
                Error::new(Error::PARSE, format!("The body is not JSON: {reason}"))
            }
        };
        Refusal { is_in_params, ..refusal(text, error) }
    })?;
    envelope.message().map_err(|error| {
        let is_in_params = error.code == Error::INVALID_PARAMS;
        Refusal { is_in_params, ..refusal(text, error) }
    })
}

fn not_a_message(reason: &str) -> Error {
    Error::new(Error::INVALID_REQUEST, format!("Not a JSON-RPC 2.0 message: {reason}"))
}

/// A refusal with the id, if it can be read without the other members and is not that of a request of this server.
fn refusal(text: &str, error: Error) -> Refusal {
    let is_response = |envelope: &Envelope<'_>| envelope.result.or(envelope.error).is_some();
    let envelope = json::read::<Envelope<'_>>(text).ok();
    let envelope = envelope.filter(|envelope| envelope.method.is_some() || !is_response(envelope));
    let id = envelope.and_then(|envelope| serde_json::from_str(envelope.id?.get()).ok());
    Refusal { id, error, is_in_params: false }
}

impl Envelope<'_> {
    /// The message, or the name of the wrong member.
    fn message(self) -> Result<Message, Error> {
        let params = self.params.map_or_else(|| Ok(Members::default()), members)?;
        if self.jsonrpc != "2.0" {
            return Err(not_a_message("jsonrpc must be \"2.0\""));
        }
        let id = self.id.map(|id| serde_json::from_str::<RequestId>(id.get())).transpose();
        let id = id.map_err(|_| not_a_message("id must be a short string or an integer"))?;
        let result = self.result.filter(|result| result.get() != "null");
        match (self.method, id, result, self.error) {
            (Some(method), id, None, None) => {
                let method = serde_json::from_str(method.get());
                let json::Text(method) = method.map_err(|_| not_a_message("method must be a string"))?;
                let method = method.into_owned();
                Ok(match id {
                    Some(id) => {
                        let row = MethodRow::find(&method);
                        Message::Request(ClientRequest { id, method, row, params })
                    }
                    None => Message::Notification { method, params },
                })
            }
            (None, Some(id), Some(result), None) if is_object(result) => {
                Ok(Message::Response { id, answer: Ok(result.to_owned()) })
            }
            (None, Some(id), None, Some(error)) if is_object(error) => {
                let error = serde_json::from_str(error.get());
                let error = error.map_err(|_| not_a_message("error must have a code and a message"))?;
                Ok(Message::Response { id, answer: Err(error) })
            }
            (None, None, _, _) => Err(not_a_message("id is missing")),
            (None, ..) => {
                Err(not_a_message("there must be one of method, result and error; the last two are objects"))
            }
            (Some(_), ..) => Err(not_a_message("a request has neither result nor error")),
        }
    }
}

/// The params. Handlers do not see members that count as absent; no member of params is an array.
fn members(params: &RawValue) -> Result<Members, Error> {
    if is_absent(params) {
        return Ok(Members::default());
    }
    if !is_object(params) {
        return Err(not_a_message("params must be an object"));
    }
    // That it is JSON was checked before.
    let members = serde_json::from_str::<Members>(params.get());
    let members = members.map_err(|_| Error::invalid_params("Invalid params: too many members"))?;
    // These members are used by the checks, or are passed on in another form; a peer in Go or C# may use another spelling of them.
    members.check_case(&["name", "uri", "ref", "arguments", "argument"])?;
    members.check_case(&["_meta", "inputResponses", "requestState", "task"])?;
    Ok(members.present())
}
