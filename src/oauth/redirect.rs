//! Redirect URIs: the rules for registering one, and for comparing a requested one with it.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::schemes::{RedirectSchemes, is_forbidden, is_well_formed};
use crate::base::limits;
use crate::http::{Form, Uri, is_loopback_host};

#[cfg(test)]
mod tests;

const TOO_LONG: &str = "a redirect URI may have at most 2048 bytes";
const BAD_CHARACTER: &str =
    "a redirect URI may only have visible ASCII characters, none of \\ * < > \", and a well-formed query";
const FRAGMENT: &str = "a redirect URI must not have a fragment";
const BAD_SCHEME: &str = "a redirect URI must start with https, loopback http or an app's own scheme";
const PLAIN_HTTP: &str = "http redirect URIs are for localhost, 127.0.0.1 and [::1], and in MCP_CLIENTS \
                          for hosts of a local network; use https";
const UNKNOWN_SCHEME: &str = "a private-use scheme must be a reverse domain name like com.example.app, \
                              a known client's, or one that the operator admits with MCP_REDIRECT_SCHEMES";
const BAD_AUTHORITY: &str = "a redirect URI must name a host, no user, and a valid port if any";
const DOT_SEGMENT: &str = "a redirect URI must not have . or .. segments";
const ANSWER_PARAMETER: &str = "a redirect URI must not have code, error, iss or state in its query";

/// Top-level names that only a local network has.
const LAN_DOMAINS: [&str; 5] = ["home", "internal", "lan", "local", "localdomain"];

/// Parameters of the answer, which a redirect URI with its own could shadow.
const ANSWER_PARAMETERS: [&str; 4] = ["code", "error", "iss", "state"];

/// A redirect URI that passed every rule for registration (O5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RedirectUri(String);

/// The party that registers a redirect URI. Decides what is accepted beyond https and loopback http.
#[derive(Clone, Copy, Debug)]
pub(super) enum Registrant<'a> {
    /// A stranger: private-use schemes that are reverse domain names, a known client's, or admitted by the operator.
    Anybody(&'a RedirectSchemes),
    /// The operator, who wrote down the whole URI: any private-use scheme, and http in the local network.
    Operator,
}

/// The kind of place a redirect URI leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A web site.
    Web,
    /// A program on the user's own machine that listens on loopback.
    Loopback,
    /// A program on the user's own machine that owns a scheme.
    PrivateScheme,
}

impl RedirectUri {
    /// Checks a redirect URI.
    ///
    /// # Errors
    /// The first rule that is broken, in words for the client's developer.
    pub(super) fn parse(text: &str, registrant: Registrant<'_>) -> Result<RedirectUri, &'static str> {
        if text.len() > limits::URI_BYTES {
            return Err(TOO_LONG);
        }
        // RFC 6749 section 3.1.2
        if text.contains('#') {
            return Err(FRAGMENT);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'*' | b'<' | b'>' | b'"')) {
            return Err(BAD_CHARACTER);
        }
        let uri = Uri::split(text);
        check_scheme(&uri, registrant)?;
        if uri.authority.is_some() && !uri.host().is_some_and(is_host) {
            return Err(BAD_AUTHORITY);
        }
        if uri.has_dot_segment() {
            return Err(DOT_SEGMENT);
        }
        let query = Form::parse(uri.query.unwrap_or_default().as_bytes()).map_err(|_| BAD_CHARACTER)?;
        if ANSWER_PARAMETERS.iter().any(|name| query.contains(name)) {
            return Err(ANSWER_PARAMETER);
        }
        Ok(RedirectUri(text.to_owned()))
    }

    /// The URI, byte for byte as registered or requested.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn target(&self) -> Target {
        match Uri::split(&self.0).scheme {
            "http" if self.without_loopback_port().is_some() => Target::Loopback,
            "http" | "https" => Target::Web,
            _ => Target::PrivateScheme,
        }
    }

    /// The part that a person recognises: scheme, host and port, or the scheme alone.
    pub(super) fn place(&self) -> String {
        let uri = Uri::split(&self.0);
        match uri.authority {
            Some(authority) if !authority.is_empty() => format!("{}://{authority}", uri.scheme),
            Some(_) | None => format!("{}:", uri.scheme),
        }
    }

    /// Whether it leads to the web site at this DNS name, on any port.
    pub(super) fn is_at(&self, host: &str) -> bool {
        let uri = Uri::split(&self.0);
        uri.scheme == "https" && uri.host().is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether `self`, which is registered, admits `requested`.
    ///
    /// RFC 6749 section 3.1.2.3 and OAuth 2.1: byte for byte. RFC 8252 section 7.3: but the port of a loopback redirect
    /// is the client's to choose at each request; the spelling of the host is not.
    pub(super) fn admits(&self, requested: &RedirectUri) -> bool {
        let registered = self.without_loopback_port();
        self == requested || registered.is_some() && registered == requested.without_loopback_port()
    }

    /// Host, path and query of a loopback URI.
    fn without_loopback_port(&self) -> Option<(&str, &str, Option<&str>)> {
        let uri = Uri::split(&self.0);
        let host = uri.host().filter(|host| uri.scheme == "http" && is_loopback_host(host))?;
        Some((host, uri.path, uri.query))
    }
}

fn check_scheme(uri: &Uri<'_>, registrant: Registrant<'_>) -> Result<(), &'static str> {
    match (uri.scheme, registrant) {
        ("https", _) => uri.authority.map(drop).ok_or(BAD_AUTHORITY),
        ("http", _) => {
            let host = uri.host().unwrap_or_default();
            let is_lan = matches!(registrant, Registrant::Operator) && is_lan_host(host);
            if is_loopback_host(host) || is_lan { Ok(()) } else { Err(PLAIN_HTTP) }
        }
        (scheme, _) if !is_well_formed(scheme) || is_forbidden(scheme) => Err(BAD_SCHEME),
        (scheme, Registrant::Anybody(schemes)) if !schemes.admit(scheme) => Err(UNKNOWN_SCHEME),
        (_, Registrant::Anybody(_) | Registrant::Operator) => Ok(()),
    }
}

/// Whether a host is in the local network: a private address (RFC 1918, RFC 4193) or a name that the public DNS does not have.
fn is_lan_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_private();
    }
    if let Some(address) = ipv6_literal(host) {
        return address.is_unique_local();
    }
    // A name of one label that began with a digit could be a browser's spelling of any IPv4 address.
    let host = host.to_ascii_lowercase();
    let top = host.rsplit('.').next().unwrap_or_default();
    host.starts_with(|c: char| c.is_ascii_lowercase())
        && (top == host || LAN_DOMAINS.contains(&top) || host.ends_with(".home.arpa"))
}

fn is_host(host: &str) -> bool {
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    !host.is_empty() && host.bytes().all(name) || ipv6_literal(host).is_some()
}

fn ipv6_literal(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}
