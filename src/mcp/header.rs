//! Headers that repeat what the body says (2026-07-28, transports, "Request Metadata"): they must say the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::backend::Mirrored;
use crate::http::Headers;

/// The header says something else than the body, stands twice, or is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

/// The value of `MCP-Protocol-Version`. Some clients send it twice, which proxies join by a comma: one value, if all are equal.
pub(super) fn version(headers: &Headers) -> Result<Option<&str>, Mismatch> {
    let mut values = versions(headers);
    let first = values.next();
    if values.all(|value| Some(value) == first) { Ok(first) } else { Err(Mismatch) }
}

/// Whether [`version`] has one value out of several.
pub(super) fn repeats_version(headers: &Headers) -> bool {
    versions(headers).count() > 1 && version(headers).is_ok()
}

pub(super) fn versions(headers: &Headers) -> impl Iterator<Item = &str> {
    headers.all("mcp-protocol-version").flat_map(|value| value.split(',')).map(str::trim)
}

/// Checks that the one header `name` is `expected`, letter for letter.
pub(super) fn check_plain(headers: &Headers, name: &'static str, expected: &str) -> Result<(), Mismatch> {
    let value = headers.one(name).map_err(|_| Mismatch)?.ok_or(Mismatch)?;
    if value.trim_matches([' ', '\t']) == expected { Ok(()) } else { Err(Mismatch) }
}

/// Checks that the one header `name`, decoded, is `expected`.
pub(super) fn check_encoded(headers: &Headers, name: &'static str, expected: &str) -> Result<(), Mismatch> {
    let value = decode(headers.one(name).map_err(|_| Mismatch)?.ok_or(Mismatch)?)?;
    if value == expected { Ok(()) } else { Err(Mismatch) }
}

/// Checks the headers of mirrored arguments: each must be there exactly if its argument is, or may be left out unless they
/// are `needed`, and say the same.
pub(super) fn check_mirrored(
    headers: &Headers,
    mirrored: &[Mirrored],
    arguments: Option<&RawValue>,
    needed: bool,
) -> Result<(), Mismatch> {
    let arguments = arguments.map_or(Ok(Value::Null), |raw| Value::deserialize(raw).map_err(|_| Mismatch))?;
    for parameter in mirrored {
        let value = parameter.path.iter().try_fold(&arguments, |value, name| value.get(name));
        let mut fields = headers.all(&parameter.header);
        match (value.unwrap_or(&Value::Null), fields.next()) {
            (Value::Null, None) => {}
            (_, None) if !needed => {}
            (value, Some(field)) if fields.next().is_none() && says(&decode(field)?, value) => {}
            _ => return Err(Mismatch),
        }
    }
    Ok(())
}

fn says(field: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => field == text,
        Value::Bool(flag) => field == if *flag { "true" } else { "false" },
        // Numbers are compared as such: 42.0 is 42.
        Value::Number(number) => {
            field == number.to_string()
                || matches!((field.parse::<f64>(), number.as_f64()), (Ok(a), Some(b)) if same(a, b))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether two numbers are the same integer, as far as a double can say.
fn same(a: f64, b: f64) -> bool {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    a.abs() <= SAFE && a.total_cmp(&b).is_eq()
}

/// The value of a header that may be `=?base64?…?=`.
pub(super) fn decode(field: &str) -> Result<String, Mismatch> {
    let field = field.trim_matches([' ', '\t']);
    if !field.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
        return Err(Mismatch);
    }
    match field.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).map_err(|_| Mismatch)?;
            String::from_utf8(bytes).map_err(|_| Mismatch)
        }
        None => Ok(field.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, expected: Option<&str>) {
        assert_eq!(decode(field).ok().as_deref(), expected, "{field:?}");
    }

    /// M12: values are compared after decoding.
    #[test]
    fn a_value_may_be_encoded() {
        check("us-west1", Some("us-west1"));
        check("  us-west1\t", Some("us-west1"));
        check("=?base64?SGVsbG8sIOS4lueVjA==?=", Some("Hello, 世界"));
        check("=?base64?IHBhZGRlZCA=?=", Some(" padded "));
        check("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", Some("=?base64?literal?="));
        check("=?BASE64?eA==?=", Some("=?BASE64?eA==?="));
        check("=?base64?e?=", None);
        check("=?base64?/w==?=", None);
        check("ä", None);
    }

    fn check_argument(argument: &str, fields: &[&str], expected: Result<(), Mismatch>) {
        let mirrored =
            [Mirrored { header: "mcp-param-a".into(), path: vec!["outer".into(), "inner".into()] }];
        let mut headers = Headers::default();
        for field in fields {
            headers.push("Mcp-Param-A", field);
        }
        let arguments = RawValue::from_string(format!(r#"{{"outer":{{"inner":{argument}}}}}"#)).unwrap();
        let found = check_mirrored(&headers, &mirrored, Some(&arguments), true);
        assert_eq!(found, expected, "{argument} {fields:?}");
    }

    /// M12: `Mcp-Param-*` must say what the arguments say.
    #[test]
    fn mirrored_arguments_must_be_the_same() {
        check_argument("\"x\"", &["x"], Ok(()));
        check_argument("\"x\"", &["=?base64?eA==?="], Ok(()));
        check_argument("42", &["42.0"], Ok(()));
        check_argument("true", &["true"], Ok(()));
        check_argument("null", &[], Ok(()));
        check_argument("\"x\"", &[], Err(Mismatch));
        check_argument("\"x\"", &["X"], Err(Mismatch));
        check_argument("\"x\"", &["x", "x"], Err(Mismatch));
        check_argument("true", &["True"], Err(Mismatch));
        check_argument("42", &["43"], Err(Mismatch));
        check_argument("9007199254740993", &["9007199254740992"], Err(Mismatch));
        check_argument("null", &["x"], Err(Mismatch));
        check_argument("[1]", &["1"], Err(Mismatch));
    }
}
