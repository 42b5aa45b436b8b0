//! The head of a request: bytes in, a checked [`http::Head`](Head) and the framing of its body out. Pure.
//!
//! Strict on purpose (RFC 9112, H1-H5, H9, H11): anything that two parsers could read differently is refused.
//! `httparse` splits the fields; everything that it accepts is checked here. The trusted door calls [`check`], too, so
//! that both doors interpret a request in the same way.

use std::borrow::Cow;
use std::net::IpAddr;

use super::refusal::Refusal;
use crate::base::limits;
use crate::http::{Head, Headers, Method};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A number of bytes; 0 if there is neither Content-Length nor Transfer-Encoding.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// The supported versions of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: one request per connection, no chunks.
    Http10,
    /// HTTP/1.1
    Http11,
}

/// The three words of a request line.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// A token.
    pub method: &'a str,
    /// Visible ASCII.
    pub target: &'a str,
    /// The version.
    pub version: Version,
}

/// A valid head.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The part for the application.
    pub head: Head,
    /// How its body is framed.
    pub framing: Framing,
    /// The version of the request.
    pub version: Version,
    /// Whether the client will send another request on this connection.
    pub persistent: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Reads a head from the start of `bytes`: the head and its length, or `None` if its end has not arrived yet.
///
/// # Errors
/// [`Refusal`]: of the request line and of line ends at once, of fields when the head is complete.
pub fn parse(bytes: &[u8], peer: Option<IpAddr>) -> Result<Option<(Checked, usize)>, Refusal> {
    // RFC 9112 section 2.2: one empty line before the request line is ignored.
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let bytes = bytes.get(skipped..).unwrap_or_default();

    let Some(first) = bytes.split_inclusive(|&b| b == b'\n').next() else { return Ok(None) };
    if !first.ends_with(b"\n") {
        return unfinished_line(first).map(|()| None);
    }
    let line = request_line(without_line_end(first)?)?;
    let Some(length) = head_length(bytes)? else {
        return if bytes.len() > limits::HEAD_BYTES { Err(Refusal::HeadTooLarge) } else { Ok(None) };
    };
    if length > limits::HEAD_BYTES {
        return Err(Refusal::HeadTooLarge);
    }

    let block = bytes.get(first.len()..length).unwrap_or_default();
    let mut fields = [httparse::EMPTY_HEADER; limits::HEADERS];
    match httparse::parse_headers(block, &mut fields) {
        Ok(httparse::Status::Complete((read, fields))) if read == block.len() => {
            let fields = fields.iter().map(|field| (field.name, field.value));
            check(line, fields, peer).map(|checked| Some((checked, skipped.saturating_add(length))))
        }
        Err(httparse::Error::TooManyHeaders) => Err(Refusal::HeadTooLarge),
        // The end was found above, so an incomplete parse is as wrong as a failed one.
        Ok(_) | Err(_) => Err(Refusal::Malformed("header field")),
    }
}

/// Checks a request line whose end has not arrived.
fn unfinished_line(line: &[u8]) -> Result<(), Refusal> {
    // Bytes that are not HTTP, such as a TLS ClientHello on a plain port, are refused at once.
    if line.first().is_some_and(|&b| !is_token_byte(b) && b != b'\r') {
        return Err(Refusal::MethodNotToken);
    }
    if line.len() > REQUEST_LINE_BYTES { Err(Refusal::TargetTooLong) } else { Ok(()) }
}

/// The longest request line: the target, and a method and a version of reasonable length.
const REQUEST_LINE_BYTES: usize = limits::TARGET_BYTES + 64;

/// RFC 9112 section 2.2 lets a recipient accept a bare LF as a line terminator. We do not: other parsers may not.
fn without_line_end(line: &[u8]) -> Result<&[u8], Refusal> {
    line.strip_suffix(b"\r\n").ok_or(Refusal::Malformed("bare LF"))
}

/// The length of the head, including its empty line; every line so far ends in CR LF.
fn head_length(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut length: usize = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        length = length.saturating_add(line.len());
        if without_line_end(line)?.is_empty() {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

/// RFC 9112 section 3: method, target and version, one space between them.
fn request_line(line: &[u8]) -> Result<RequestLine<'_>, Refusal> {
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::Malformed("request line")); // HTTP/0.9 ends here
    };
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Refusal::Version),
        _ => return Err(Refusal::Malformed("version")),
    };
    if target.len() > limits::TARGET_BYTES || line.len() > REQUEST_LINE_BYTES {
        return Err(Refusal::TargetTooLong);
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Refusal::Malformed("request line"));
    Ok(RequestLine { method: text(method)?, target: text(target)?, version })
}

/// Checks the lines of a head and interprets them together.
///
/// # Errors
/// [`Refusal`] for anything that RFC 9112, RFC 9110 or H1-H11 do not allow.
pub fn check<'a>(
    line: RequestLine<'a>,
    fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    peer: Option<IpAddr>,
) -> Result<Checked, Refusal> {
    if line.method.is_empty() || !line.method.bytes().all(is_token_byte) {
        return Err(Refusal::MethodNotToken);
    }
    let headers = collect(fields)?;
    refuse_duplicates(&headers)?;

    let host = one(&headers, "host")?;
    match host {
        // RFC 9112 section 3.2.
        None if line.version == Version::Http11 => return Err(Refusal::Malformed("no Host")),
        Some(host) if !is_authority(host) => return Err(Refusal::Malformed("Host")),
        None | Some(_) => {}
    }
    let (path, query) = split_target(line, host)?;
    let expects_continue = match one(&headers, "expect")? {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("100-continue") => line.version == Version::Http11,
        Some(_) => return Err(Refusal::Expectation),
    };
    let framing = framing(&headers, line.version)?;
    let persistent = line.version == Version::Http11 && !asks_to_close(&headers);
    let method = Method::from_token(line.method);
    let head = Head { method, path: path.into(), query: query.map(Into::into), headers, peer };
    Ok(Checked { head, framing, version: line.version, persistent, expects_continue })
}

fn collect<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Result<Headers, Refusal> {
    let lengths =
        fields.clone().take(limits::HEADERS).map(|(name, value)| name.len().saturating_add(value.len()));
    let (count, bytes) = lengths.fold((0, 0), |(count, bytes): (usize, usize), length| {
        (count.saturating_add(1), bytes.saturating_add(length))
    });
    let mut headers = Headers::with_capacity(count, bytes);
    for (count, (name, value)) in fields.enumerate() {
        // Cookies of other applications on this host are sent as well: only the limit of the head bounds them.
        let long = value.len() > limits::HEADER_VALUE_BYTES && !name.eq_ignore_ascii_case("cookie");
        if count >= limits::HEADERS || long {
            return Err(Refusal::HeadTooLarge);
        }
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(Refusal::Malformed("field name"));
        }
        if !value.iter().all(|&b| b == b'\t' || (b >= 0x20 && b != 0x7f)) {
            return Err(Refusal::Malformed("control character"));
        }
        headers.push(name, opaque(value).trim_matches([' ', '\t']));
    }
    Ok(headers)
}

/// RFC 9110 section 5.5: bytes above 0x7F are allowed and opaque. Each becomes the character of its number, so that two
/// different values stay different; every field that is used is compared with, or read as, ASCII.
fn opaque(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        Ok(_) | Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

/// H11: a field that affects decisions may occur only once, or two readers could decide differently.
fn refuse_duplicates(headers: &Headers) -> Result<(), Refusal> {
    let single = |name: &str| {
        let listed = [
            "host",
            "content-length",
            "transfer-encoding",
            "content-type",
            "authorization",
            "origin",
            "expect",
            "last-event-id",
        ];
        listed.contains(&name) || name.starts_with("mcp-")
    };
    let twice = headers.iter().any(|(name, _)| single(name) && headers.all(name).nth(1).is_some());
    if twice { Err(Refusal::Malformed("duplicate field")) } else { Ok(()) }
}

fn one<'a>(headers: &'a Headers, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    headers.one(name).map_err(|_| Refusal::Malformed("duplicate field"))
}

/// RFC 9112 section 6.3, without its leniencies: H1.
fn framing(headers: &Headers, version: Version) -> Result<Framing, Refusal> {
    match (one(headers, "transfer-encoding")?, one(headers, "content-length")?) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(Refusal::Malformed("two framings")),
        (Some(_), None) if version == Version::Http10 => Err(Refusal::Malformed("chunks in HTTP/1.0")),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (Some(_), None) => Err(Refusal::Malformed("Transfer-Encoding")),
        (None, Some(length)) => {
            if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Refusal::Malformed("Content-Length"));
            }
            length.parse().map(Framing::Length).map_err(|_| Refusal::BodyTooLarge)
        }
    }
}

fn asks_to_close(headers: &Headers) -> bool {
    let mut options = headers.all("connection").flat_map(|value| value.split(','));
    options.any(|option| option.trim_matches([' ', '\t']).eq_ignore_ascii_case("close"))
}

/// Raw path and query of a target (RFC 9112 section 3.2), nothing decoded, nothing normalised (H8).
fn split_target<'a>(
    line: RequestLine<'a>,
    host: Option<&str>,
) -> Result<(&'a str, Option<&'a str>), Refusal> {
    if line.method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    let target = line.target;
    if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(Refusal::Malformed("target"));
    }
    if target == "*" && line.method == "OPTIONS" {
        return Ok((target, None));
    }
    let origin_form = if target.starts_with('/') { target } else { after_authority(target, host)? };
    Ok(match origin_form.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (origin_form, None),
    })
}

/// Path and query of a target in absolute form. H4: the host in it must be the one in Host.
fn after_authority<'a>(target: &'a str, host: Option<&str>) -> Result<&'a str, Refusal> {
    let (scheme, rest) = target.split_once("://").ok_or(Refusal::Malformed("target"))?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Refusal::Malformed("target"));
    }
    let (authority, _) = rest.split_at(rest.find('/').ok_or(Refusal::Malformed("target"))?);
    if !host.is_some_and(|host| host.eq_ignore_ascii_case(authority)) {
        return Err(Refusal::Malformed("absolute form with another host"));
    }
    rest.strip_prefix(authority).ok_or(Refusal::Malformed("target"))
}

/// Whether this has the form `host[:port]`: no user, no path, no list. The application checks the host itself.
fn is_authority(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%:[]".contains(&b))
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    let other = |b| matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
    byte.is_ascii_alphanumeric() || other(byte)
}

#[cfg(test)]
mod tests;
