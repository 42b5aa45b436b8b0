//! Reading one JSON-RPC message from a body, strictly (M10): what two JSON parsers could understand
//! differently is refused before anything looks at it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::{RawValue, to_raw_value};

use super::arguments::explain;
use super::jsonrpc::{Error, RequestId};
use crate::base::{json, limits};

const RULES: json::Rules =
    json::Rules { depth: limits::JSON_DEPTH, values: limits::JSON_VALUES, is_forbidden: is_variant };

/// One message of a client. Params and results stay text until someone knows their type.
#[derive(Debug)]
pub(super) enum Message<'a> {
    Request { id: RequestId, method: Cow<'a, str>, params: Option<Cow<'a, RawValue>> },
    Notification { method: Cow<'a, str>, params: Option<Cow<'a, RawValue>> },
    Response { id: RequestId, payload: Payload<'a> },
}

impl Message<'_> {
    /// The method and the params, which an answer does not have.
    pub(super) fn call(&self) -> Option<(&str, Option<&RawValue>)> {
        match self {
            Message::Request { method, params, .. } | Message::Notification { method, params } => {
                Some((method, params.as_deref()))
            }
            Message::Response { .. } => None,
        }
    }
}

/// What a client answers to a request of ours.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Result(&'a RawValue),
    Error(Error),
}

/// Why a body is no message.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The request's id, where it can be read.
    pub(super) id: Option<RequestId>,
    pub(super) error: Error,
    /// The rest is a request whose client waits for an answer.
    pub(super) is_in_params: bool,
}

/// Reads a body that must be exactly one JSON-RPC message.
///
/// # Errors
/// [`Error::PARSE`] if it is not JSON, [`Error::INVALID_REQUEST`] if it is something else.
pub(super) fn parse(body: &[u8]) -> Result<Message<'_>, Refusal> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(refusal(
            &String::from_utf8_lossy(body),
            Error::new(Error::PARSE, "The body is not UTF-8"),
        ));
    };
    // 2025-03-26 had batches, no other revision does; nobody sends them.
    if text.trim_start().starts_with('[') {
        return Err(refusal(text, Error::new(Error::INVALID_REQUEST, "Batches are not supported")));
    }
    let envelope = json::check_object(text, RULES).and_then(|()| serde_json::from_str::<Envelope<'_>>(text));
    let envelope = envelope.map_err(|error| {
        let (code, what) = match error.classify() {
            Category::Data => (Error::INVALID_REQUEST, "Not a JSON-RPC 2.0 message"),
            Category::Io | Category::Syntax | Category::Eof => (Error::PARSE, "The body is not JSON"),
        };
        let reason = explain(text, &error);
        Refusal {
            is_in_params: reason.starts_with("params"),
            ..refusal(text, Error::new(code, format!("{what}: {reason}")))
        }
    })?;
    envelope.message().map_err(|reason| {
        refusal(text, Error::new(Error::INVALID_REQUEST, format!("Not a JSON-RPC 2.0 message: {reason}")))
    })
}

/// A refusal with the id of the request, if a look that leaves out what is inside of other members finds one.
fn refusal(text: &str, error: Error) -> Refusal {
    let envelope = Some(text)
        .filter(|text| text.trim_start().starts_with('{'))
        .map(serde_json::from_str::<Envelope<'_>>);
    let id = envelope.and_then(|envelope| serde_json::from_str(envelope.ok()?.id?.get()).ok());
    Refusal { id, error, is_in_params: false }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// An id that is there, be it null, which is none: `Option` alone would make a notification of its request.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    /// The message, or what is wrong with which member.
    fn message(self) -> Result<Message<'a>, &'static str> {
        if self.jsonrpc != "2.0" {
            return Err("jsonrpc must be \"2.0\"");
        }
        let id = self.id.map(|id| serde_json::from_str::<RequestId>(id.get())).transpose();
        let id = id.map_err(|_| "id must be a short string or an integer")?;
        let params = self.params.map_or(Ok(None), without_absent)?;
        match (self.method, id, self.result, self.error) {
            (Some(method), id, None, None) => {
                let Name(method) =
                    serde_json::from_str(method.get()).map_err(|_| "method must be a string")?;
                Ok(match id {
                    Some(id) => Message::Request { id, method, params },
                    None => Message::Notification { method, params },
                })
            }
            (None, Some(id), Some(result), None) if is_object(result) => {
                Ok(Message::Response { id, payload: Payload::Result(result) })
            }
            (None, Some(id), None, Some(error)) if is_object(error) => {
                let error =
                    serde_json::from_str(error.get()).map_err(|_| "error must have a code and a message")?;
                Ok(Message::Response { id, payload: Payload::Error(error) })
            }
            (None, None, _, _) => Err("id is missing"),
            (None, ..) => Err("there must be one of method, result and error; the last two are objects"),
            (Some(_), ..) => Err("a request has neither result nor error"),
        }
    }
}

/// Params, or the answer to a form, without what counts as absent: members that are null, or `[]`, which is how PHP writes an
/// empty object. No member of these is an array, so nothing else is lost. Handlers do not see them.
pub(super) fn without_absent(params: &RawValue) -> Result<Option<Cow<'_, RawValue>>, &'static str> {
    if !is_object(params) {
        return if is_absent(params) { Ok(None) } else { Err("params must be an object") };
    }
    // Most have neither, and need no second look.
    if !params.get().contains("null") && !params.get().contains('[') {
        return Ok(Some(Cow::Borrowed(params)));
    }
    let members: Result<BTreeMap<Cow<'_, str>, &RawValue>, _> = serde_json::from_str(params.get());
    let mut members = members.map_err(|_| "params must be an object")?;
    let before = members.len();
    members.retain(|_, value| !is_absent(value));
    if members.len() == before {
        return Ok(Some(Cow::Borrowed(params)));
    }
    to_raw_value(&members).map(|params| Some(Cow::Owned(params))).map_err(|_| "params must be an object")
}

pub(super) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// Whether the value of a member that may be absent, and is no array, counts as absent.
pub(super) fn is_absent(value: &RawValue) -> bool {
    let elements = value.get().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    value.get() == "null" || elements.is_some_and(|elements| elements.trim_start().is_empty())
}

/// A string that is borrowed if it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether a parser that ignores case would take `key` for a member of the envelope.
fn is_variant(key: &str) -> bool {
    const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
    MEMBERS.iter().any(|member| key != *member && key.eq_ignore_ascii_case(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expected: Result<&str, i64>) {
        let found = match parse(body) {
            Ok(Message::Request { .. }) => Ok("request"),
            Ok(Message::Notification { .. }) => Ok("notification"),
            Ok(Message::Response { .. }) => Ok("response"),
            Err(refusal) => Err(refusal.error.code),
        };
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(body));
    }

    #[test]
    fn there_are_three_kinds_of_message() {
        check(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Ok("request"));
        check(br#" {"jsonrpc":"2.0","id":"a","method":"\u0070ing","params":{}} "#, Ok("request"));
        check(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Ok("notification"));
        check(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Ok("response"));
        check(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#, Ok("response"));
        check(
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null,"result":null,"error":null}"#,
            Ok("request"),
        );
        check(br#"{"jsonrpc":"2.0","method":"a","params":[]}"#, Ok("notification"));
        check(
            br#"{"jsonrpc":"2.0","id":1.0,"method":null,"params":null,"result":{},"error":null}"#,
            Ok("response"),
        );
    }

    /// M10: a body is exactly one JSON-RPC object.
    #[test]
    fn what_is_not_one_message_is_refused() {
        for body in [
            &br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#[..],
            b"[]",
            b"{}",
            b"7",
            b"null",
            br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[null]}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":7}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":null}"#,
            br#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            br#"{"jsonrpc":"2.0","id":1,"result":[]}"#,
            br#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
            br#"{"jsonrpc":null,"id":1,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
            br#"{"jsonrpc":"2.0","id":1,"result":7}"#,
            br#"{"jsonrpc":"2.0","id":1,"error":[1,"no"]}"#,
            br#"{"jsonrpc":"2.0","result":{}}"#,
        ] {
            check(body, Err(Error::INVALID_REQUEST));
        }
        for body in [
            &b""[..],
            b"{",
            b"NaN",
            b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            br#"{"jsonrpc":"2.0","id":1,"method":"ping"}{}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud800"}}"#,
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
        ] {
            check(body, Err(Error::PARSE));
        }
    }

    /// M10: Go's CVE-2026-27896 and its kin: members that another parser would read.
    #[test]
    fn members_that_parsers_disagree_about_are_refused() {
        for body in [
            &br#"{"jsonrpc":"2.0","id":1,"Method":"tools/call","method":"ping"}"#[..],
            br#"{"jsonrpc":"2.0","id":1,"METHOD":"tools/call"}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"name":"a","name":"b"}}"#,
        ] {
            check(body, Err(Error::INVALID_REQUEST));
        }
        let many: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
        let body = |extra: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{{many}{extra}}}}}"#).into_bytes()
        };
        check(&body("\"k40\":0"), Ok("request"));
        check(&body("\"k39\":0"), Err(Error::INVALID_REQUEST));
    }

    /// M10: depth and members are bounded before anything is built.
    #[test]
    fn depth_and_members_are_bounded() {
        let body = |value: String| {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{value}}}}}"#).into_bytes()
        };
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        check(&body(nested(limits::JSON_DEPTH - 2)), Ok("request"));
        check(&body(nested(limits::JSON_DEPTH + 1)), Err(Error::INVALID_REQUEST));
        check(&body(format!("[{}0]", "0,".repeat(limits::JSON_VALUES))), Err(Error::INVALID_REQUEST));
    }
}
