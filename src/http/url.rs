//! URLs: our own public URL, splitting others, and appending to them without touching what is there.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::request::Head;
use crate::base::is_plain;

/// RFC 3986 unreserved characters stand for themselves, everything else is escaped.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as a query parameter's name or value.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// `uri` with these parameters appended to its query, which is otherwise unchanged (RFC 6749 section 3.1.2).
/// `uri` has no fragment.
pub fn append_query(uri: &str, parameters: &[(&str, &str)]) -> String {
    let mut out = uri.to_owned();
    let mut separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    for (name, value) in parameters {
        for part in [separator, &percent_encode(name), "=", &percent_encode(value)] {
            out.push_str(part);
        }
        separator = "&";
    }
    out
}

/// A URI split at its delimiters (RFC 3986 section 3). Nothing is decoded, normalised or checked: each reader has rules of its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uri<'a> {
    /// Empty if there is none.
    pub(crate) scheme: &'a str,
    pub(crate) authority: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> Uri<'a> {
    pub(crate) fn split(text: &'a str) -> Uri<'a> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let (before, query) =
            rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
        let (authority, path) = match before.strip_prefix("//") {
            None => (None, before),
            Some(after) => {
                let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
                (Some(authority), path)
            }
        };
        Uri { scheme, authority, path, query }
    }

    /// The host; `None` if there is no authority, or one with an invalid port.
    pub(crate) fn host(&self) -> Option<&'a str> {
        Some(split_port(self.authority?)?.0)
    }

    /// Whether the path has a segment `.` or `..`, plain or encoded: parsers differ in whether they remove it.
    pub(crate) fn has_dot_segment(&self) -> bool {
        let path = self.path.to_ascii_lowercase().replace("%2e", ".");
        path.split('/').any(|segment| matches!(segment, "." | ".."))
    }
}

/// The URL under which this server, or one of several behind it, is reached: scheme, host, perhaps a port and a path. It comes from
/// the configuration only, never from a request (O15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    authority: String,
    https: bool,
    /// Empty, or segments after a slash each.
    path: String,
}

impl PublicUrl {
    /// Reads `https://HOST[:PORT][/PATH]` or, for a loopback host, the same with `http`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<PublicUrl, &'static str> {
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("it must start with https:// (or http:// for a loopback host)"),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.strip_suffix('/').unwrap_or(path);
        let (host, port) = split_port(authority).ok_or("its port is not a number from 1 to 65535")?;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
        if host.is_empty() || !host.bytes().all(allowed) {
            return Err(
                "it must be a scheme and a host in lower case, perhaps a port and a path, and no query or user",
            );
        }
        let is_segment = |part: &str| !part.starts_with('.') && is_plain(part, "-_.~", 1..);
        if !path.split('/').skip(1).all(is_segment) {
            return Err(
                "its path must be plain segments that start with no dot, without a query or fragment",
            );
        }
        if !https && !is_loopback_host(host) {
            return Err(
                "http is for loopback hosts only: use https, which a reverse proxy can provide for this server",
            );
        }
        // The default port is not part of an origin (RFC 6454 section 6.2).
        let authority = match (port, https) {
            (None | Some(443), true) | (None | Some(80), false) => host.to_owned(),
            (Some(port), _) => format!("{host}:{port}"),
        };
        let scheme = if https { "https" } else { "http" };
        Ok(PublicUrl { origin: format!("{scheme}://{authority}"), authority, https, path: path.to_owned() })
    }

    /// The URL of the path segment `name` below this one.
    pub fn below(&self, name: &str) -> PublicUrl {
        PublicUrl { path: format!("{}/{name}", self.path), ..self.clone() }
    }

    /// `https://host[:port]`, without a slash at its end.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `host[:port]` as a Host field has it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether browsers reach this server through TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The path below which everything is: empty, or with a slash at its start and none at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The URL of `path` below this one. `path` starts with a slash, or is empty.
    pub fn join(&self, path: &str) -> String {
        [self.origin.as_str(), &self.path, path].concat()
    }

    /// The URL of a well-known document about `path` below this one (RFC 8414 section 3.1, RFC 9728 section 3.1).
    pub fn well_known(&self, document: &str, path: &str) -> String {
        [self.origin.as_str(), "/.well-known/", document, &self.path, path].concat()
    }

    /// Whether `host[:port]` is this server's: without case, its default port written or not.
    pub fn is_authority(&self, text: &str) -> bool {
        self.host_at_our_port(text).is_some_and(|(ours, theirs)| ours.eq_ignore_ascii_case(theirs))
    }

    /// This server's host and that of another authority, if both have the same port.
    fn host_at_our_port<'a>(&'a self, authority: &'a str) -> Option<(&'a str, &'a str)> {
        if authority == self.authority {
            return Some((authority, authority)); // as nearly every client writes it
        }
        let default_port = if self.https { 443 } else { 80 };
        let (ours, our_port) = split_port(&self.authority)?;
        let (theirs, their_port) = split_port(authority)?;
        (our_port.unwrap_or(default_port) == their_port.unwrap_or(default_port)).then_some((ours, theirs))
    }

    /// Whether a request with this Host field is meant for this server: the public host, or for a loopback URL any
    /// spelling of loopback with the same port (M2).
    pub fn accepts_host(&self, host: &str) -> bool {
        self.host_at_our_port(host).is_some_and(|(ours, theirs)| {
            ours.eq_ignore_ascii_case(theirs) || (is_loopback_host(ours) && is_loopback_host(theirs))
        })
    }

    /// This URL with the host of a request. Only loopback has several names, which clients do not take for one another (O15).
    pub fn as_named_by(&self, head: &Head) -> Cow<'_, PublicUrl> {
        let host = head.headers.one("host").ok().flatten().unwrap_or_default();
        if self.is_authority(host) || !self.accepts_host(host) {
            return Cow::Borrowed(self);
        }
        let scheme = if self.https { "https" } else { "http" };
        let named = PublicUrl::parse(&format!("{scheme}://{}{}", host.to_ascii_lowercase(), self.path));
        named.map_or(Cow::Borrowed(self), Cow::Owned)
    }

    /// Whether an Origin field names this server, by the same rule as [`PublicUrl::accepts_host`].
    pub fn accepts_origin(&self, origin: &str) -> bool {
        let scheme = if self.https { "https://" } else { "http://" };
        origin.strip_prefix(scheme).is_some_and(|host| self.accepts_host(host))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// Splits `host[:port]`; `None` if what follows the colon is no port.
pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_literal = authority.rfind(']').map_or(0, |end| end.saturating_add(1));
    match authority.get(after_literal..)?.rfind(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(after_literal.saturating_add(colon));
            let digits = port.strip_prefix(':')?;
            let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok())??;
            (number > 0).then_some((host, Some(number)))
        }
    }
}

/// Whether a host, as it stands in a URL, is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let address = host.parse::<std::net::Ipv4Addr>();
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
