//! JSON-RPC 2.0: ids, errors, outgoing messages, and the members of incoming ones, which [`super::intake`] and the bridge read.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::base::limits;
use crate::http::{CallEnding, CallOutcome, Response};

/// A request's id, also a progress token: a string or an integer, never null (MCP, basic, "Requests").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
pub enum RequestId {
    /// An integer.
    Integer(i64),
    /// A string of at most `REQUEST_ID_BYTES`.
    String(Box<str>),
}

impl TryFrom<Value> for RequestId {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<RequestId, &'static str> {
        let id = match &value {
            Value::Number(number) => {
                number.as_i64().or_else(|| integral(number.as_f64()?)).map(RequestId::Integer)
            }
            Value::String(text) if text.len() <= limits::REQUEST_ID_BYTES => {
                Some(RequestId::String(text.as_str().into()))
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        id.ok_or("expected a short string or an integer")
    }
}

/// The integer of a float without a fraction: Lua and PHP write integers like this. Up to 2^53 no two integers are the same double.
fn integral(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_integer = number.fract() == 0.0 && number.abs() <= EXACT;
    is_integer.then(|| format!("{number:.0}").parse().ok()).flatten()
}

/// A JSON-RPC error object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Error {
    /// The kind of error: one of the constants of this type, or a backend's own.
    pub code: i64,
    /// A sentence for the log of the client, or for its model.
    pub message: Cow<'static, str>,
    /// Additional data, as raw JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

impl Error {
    /// The body is not JSON.
    pub const PARSE: i64 = -32700;
    /// The JSON is not a request that is valid here.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The params are wrong.
    pub const INVALID_PARAMS: i64 = -32602;
    /// An error inside of the server.
    pub const INTERNAL: i64 = -32603;
    /// A limit is reached. The code is outside of JSON-RPC's reserved range, as the specification requires of own codes: SDKs use
    /// codes inside of it for other errors.
    pub const BUSY: i64 = 429;
    /// No such session (sessions exist up to 2025-11-25 only).
    pub const SESSION_NOT_FOUND: i64 = -32001;
    /// No such resource, up to 2025-11-25; clients of 2026-07-28 get [`Error::INVALID_PARAMS`] instead.
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// A mirrored header differs from the body (2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks a capability that the call needs (2026-07-28).
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// An unsupported protocol version (2026-07-28).
    pub const UNSUPPORTED_VERSION: i64 = -32022;

    /// An error without data.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Error {
        Error { code, message: message.into(), data: None }
    }

    /// The word for this kind of error in the log, and the status that a response of 2026-07-28 with it has.
    pub(super) fn kind(&self) -> (&'static str, u16) {
        let known = KINDS.iter().find(|(code, ..)| *code == self.code);
        known.map_or(("error", 200), |(_, word, status)| (*word, *status))
    }

    /// The error as 2026-07-28 has it, which reserves codes and has taken some out of use (basic, "Error Codes").
    pub(super) fn modern(self) -> Error {
        let code = match self.code {
            Error::RESOURCE_NOT_FOUND => Error::INVALID_PARAMS,
            -32099..Error::UNSUPPORTED_VERSION => Error::INTERNAL,
            code => code,
        };
        Error { code, ..self }
    }

    /// The error with data.
    pub fn with_data(self, data: &Value) -> Error {
        Error { data: to_raw_value(data).ok(), ..self }
    }

    /// [`Error::INVALID_PARAMS`] with the reason.
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Error::INVALID_PARAMS, message)
    }

    /// [`Error::METHOD_NOT_FOUND`].
    pub fn method_not_found() -> Error {
        Error::new(Error::METHOD_NOT_FOUND, "Method not found")
    }

    /// [`Error::INTERNAL`], without details.
    pub fn internal() -> Error {
        Error::new(Error::INTERNAL, "Internal error")
    }
}

/// The meaning of each code: see [`Error::kind`].
const KINDS: [(i64, &str, u16); 11] = [
    (Error::PARSE, "bad_json", 400),
    (Error::INVALID_REQUEST, "invalid_request", 400),
    (Error::METHOD_NOT_FOUND, "method_not_found", 404),
    (Error::INVALID_PARAMS, "invalid_params", 400),
    (Error::INTERNAL, "internal_error", 200),
    (Error::BUSY, "busy", 429),
    (Error::SESSION_NOT_FOUND, "session_not_found", 200),
    (Error::RESOURCE_NOT_FOUND, "resource_not_found", 200),
    (Error::HEADER_MISMATCH, "header_mismatch", 400),
    (Error::MISSING_CAPABILITY, "missing_capability", 400),
    (Error::UNSUPPORTED_VERSION, "unsupported_version", 400),
];

/// The members of an incoming message. A null counts as an absent member, but for those that are read with [`even_null`].
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    pub(crate) jsonrpc: Cow<'a, str>,
    /// A null is an invalid id: without it a request would be a notification.
    #[serde(borrow, default, deserialize_with = "even_null")]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) method: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) params: Option<&'a RawValue>,
    /// Some servers send null for an empty result.
    #[serde(borrow, default, deserialize_with = "even_null")]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// A member that is present, even if null.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The value of the member `jsonrpc`.
const VERSION: &str = "2.0";

#[derive(Serialize)]
struct ResultFrame<'a, I, T> {
    jsonrpc: &'static str,
    id: &'a I,
    result: &'a T,
}

#[derive(Serialize)]
struct ErrorFrame<'a, I> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a I>,
    error: &'a Error,
}

#[derive(Serialize)]
struct RequestFrame<'a, I, P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a I>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<P>,
}

/// A JSON-RPC response, and the HTTP status it travels under when it is not part of a stream.
#[derive(Debug)]
pub(super) struct Encoded {
    status: u16,
    pub(super) text: String,
    /// The outcome for the log.
    pub(super) outcome: CallOutcome,
}

impl Encoded {
    pub(super) fn result(id: &RequestId, result: &impl Serialize, outcome: CallOutcome) -> Encoded {
        Encoded { status: 200, text: self::result(id, result), outcome }
    }

    /// An error; without an id if none could be read.
    pub(super) fn error(status: u16, id: Option<&RequestId>, error: &Error) -> Encoded {
        let (word, _) = error.kind();
        let outcome = CallOutcome::ProtocolError(word);
        Encoded { status, text: to_text(&ErrorFrame { jsonrpc: VERSION, id, error }), outcome }
    }

    /// How the call ended, for the log.
    pub(super) fn ending(&self) -> CallEnding {
        (self.outcome, self.text.len())
    }

    /// The response as a whole answer. Answers depend on the user: no cache may keep them (M16).
    pub(super) fn into_response(self) -> Response {
        let ending = self.ending();
        let response = Response::new(self.status).bytes("application/json", self.text).ending(ending);
        response.header("Cache-Control", "no-store")
    }
}

/// A response with a result. A result that cannot be JSON becomes an internal error.
pub(crate) fn result(id: &impl Serialize, result: &impl Serialize) -> String {
    let frame = ResultFrame { jsonrpc: VERSION, id, result };
    serde_json::to_string(&frame).unwrap_or_else(|_| self::error(id, &Error::internal()))
}

/// A response with an error.
pub(crate) fn error(id: &impl Serialize, error: &Error) -> String {
    to_text(&ErrorFrame { jsonrpc: VERSION, id: Some(id), error })
}

/// A notification.
pub(crate) fn notification(method: &str, params: Option<&impl Serialize>) -> String {
    to_text(&RequestFrame { jsonrpc: VERSION, id: None::<&RequestId>, method, params })
}

/// A request of this server.
pub(crate) fn request(id: &impl Serialize, method: &str, params: &impl Serialize) -> String {
    to_text(&RequestFrame { jsonrpc: VERSION, id: Some(id), method, params: Some(params) })
}

/// Serializes an outgoing message. This cannot fail: messages consist of structs, strings, numbers and values that came from JSON.
fn to_text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}
