//! Reading one JSON-RPC message from a body, strictly (M10): what two JSON parsers could understand
//! differently is refused before anything looks at it.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::jsonrpc::{Error, RequestId};
use crate::base::{json, limits};

const RULES: json::Rules =
    json::Rules { depth: limits::JSON_DEPTH, values: limits::JSON_VALUES, is_forbidden: is_variant };

/// One message of a client. Params and results stay text until someone knows their type.
#[derive(Debug)]
pub(super) enum Message<'a> {
    Request { id: RequestId, method: Cow<'a, str>, params: Option<&'a RawValue> },
    Notification { method: Cow<'a, str>, params: Option<&'a RawValue> },
    Response { id: RequestId, payload: Payload<'a> },
}

/// What a client answers to a request of ours.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Result(&'a RawValue),
    Error(Error),
}

/// Reads a body that must be exactly one JSON-RPC message.
///
/// # Errors
/// [`Error::PARSE`] if it is not JSON, [`Error::INVALID_REQUEST`] if it is something else; HTTP 400 either way.
pub(super) fn parse(body: &[u8]) -> Result<Message<'_>, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::new(Error::PARSE, "The body is not UTF-8"))?;
    // 2025-03-26 had batches, no other revision does; nobody sends them.
    if text.trim_start().starts_with('[') {
        return Err(Error::new(Error::INVALID_REQUEST, "Batches are not supported"));
    }
    json::check_object(text, RULES).map_err(|error| refusal(&error))?;
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| refusal(&error))?;
    envelope.message().ok_or_else(|| Error::new(Error::INVALID_REQUEST, "Not a JSON-RPC 2.0 message"))
}

fn refusal(error: &serde_json::Error) -> Error {
    match error.classify() {
        Category::Data => Error::new(Error::INVALID_REQUEST, "Not a JSON-RPC 2.0 message"),
        Category::Io | Category::Syntax | Category::Eof => Error::new(Error::PARSE, "The body is not JSON"),
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A member that is there, be it null: `Option` alone would take null for absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    fn message(self) -> Option<Message<'a>> {
        if self.jsonrpc != "2.0" || !self.params.is_none_or(is_object) {
            return None;
        }
        let id = self.id.map(|id| serde_json::from_str::<RequestId>(id.get())).transpose().ok()?;
        match (self.method, id, self.result, self.error) {
            (Some(method), id, None, None) => {
                let Name(method) = serde_json::from_str(method.get()).ok()?;
                Some(match id {
                    Some(id) => Message::Request { id, method, params: self.params },
                    None => Message::Notification { method, params: self.params },
                })
            }
            (None, Some(id), Some(result), None) if is_object(result) => {
                Some(Message::Response { id, payload: Payload::Result(result) })
            }
            (None, Some(id), None, Some(error)) if is_object(error) => {
                let error = serde_json::from_str(error.get()).ok()?;
                Some(Message::Response { id, payload: Payload::Error(error) })
            }
            _ => None,
        }
    }
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
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
            Err(error) => Err(error.code),
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
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
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
