//! Ids, and outgoing messages.

use super::*;
use crate::base::limits;
use crate::mcp::jsonrpc::{Encoded, notification, result};

fn check(json: &str, expected: Option<RequestId>) {
    assert_eq!(serde_json::from_str(json).ok(), expected, "{json}");
}

/// M10: an id is a string or an integer.
#[test]
fn an_id_is_a_short_string_or_an_integer() {
    check("7", Some(RequestId::Integer(7)));
    check("-7", Some(RequestId::Integer(-7)));
    check("\"a\"", Some(RequestId::String("a".into())));
    check("null", None);
    check("1.5", None);
    check("1.0", Some(RequestId::Integer(1)));
    check("-7.0", Some(RequestId::Integer(-7)));
    check("-0.0", Some(RequestId::Integer(0)));
    check("1e3", Some(RequestId::Integer(1000)));
    check("9007199254740992.0", Some(RequestId::Integer(1 << 53)));
    check("9007199254740994.0", None);
    check("1e300", None);
    check("[1]", None);
    check("18446744073709551615", None);
    check(&format!("\"{}\"", "x".repeat(limits::REQUEST_ID_BYTES + 1)), None);
}

#[test]
fn frames_have_no_member_for_what_is_absent() {
    let id = RequestId::String("a".into());
    assert_eq!(result(&id, &serde_json::json!({})), r#"{"jsonrpc":"2.0","id":"a","result":{}}"#);
    assert_eq!(
        Encoded::error(200, None, &Error::internal()).text,
        r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"}}"#
    );
    assert_eq!(notification("m", None::<&()>), r#"{"jsonrpc":"2.0","method":"m"}"#);
}
