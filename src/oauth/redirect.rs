//! Redirect URIs: which may be registered, and when a requested one is a registered one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::schemes::{RedirectSchemes, is_forbidden, is_well_formed};
use crate::base::limits;
use crate::http::{Form, is_loopback_host, split_port};

/// Last labels of names that only a local network knows.
const LAN_DOMAINS: [&str; 5] = ["home", "internal", "lan", "local", "localdomain"];

/// Parameters that the answer itself carries; a redirect URI that brings its own could shadow them.
const ANSWER_PARAMETERS: [&str; 4] = ["code", "error", "iss", "state"];

/// A redirect URI that passed every rule for registration (O5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RedirectUri(String);

/// Whose redirect URI it is, which decides what is accepted beyond https and loopback http.
#[derive(Clone, Copy, Debug)]
pub(super) enum Registrant<'a> {
    /// Anybody's: private-use schemes of known clients, reverse domain names, and these.
    Anybody(&'a RedirectSchemes),
    /// The operator's, who wrote down the whole URI: any private-use scheme, and http in the local network.
    Operator,
}

/// What kind of place a redirect URI leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A web site.
    Web,
    /// A program on the user's own machine that listens on loopback.
    Loopback,
    /// A program on the user's own machine that owns a scheme.
    PrivateScheme,
}

/// Why a redirect URI is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RedirectError {
    /// Longer than [`limits::URI_BYTES`].
    TooLong,
    /// Has a character that no URI has, a backslash or a wildcard.
    BadCharacter,
    /// Has a fragment (RFC 6749 section 3.1.2).
    Fragment,
    /// Has no scheme, or one that a browser would run or open itself.
    BadScheme,
    /// Is `http` to another machine: the code would travel in the clear.
    PlainHttp,
    /// Is a private scheme that is neither a reverse domain name nor known nor the operator's.
    UnknownScheme,
    /// Names no host, a user, or no valid port.
    BadAuthority,
    /// Has a `.` or `..` segment, plain or encoded.
    DotSegment,
    /// Has a parameter of the answer in its query.
    AnswerParameter,
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RedirectError::TooLong => "a redirect URI may have at most 2048 bytes",
            RedirectError::BadCharacter => {
                "a redirect URI may only have visible ASCII characters, no backslash, no asterisk"
            }
            RedirectError::Fragment => "a redirect URI must not have a fragment",
            RedirectError::BadScheme => {
                "a redirect URI must start with https, loopback http or an app's own scheme"
            }
            RedirectError::PlainHttp => {
                "http redirect URIs are for localhost, 127.0.0.1 and [::1] only; use https \
                 (in a local network, the operator can name the client in MCP_CLIENTS)"
            }
            RedirectError::UnknownScheme => {
                "a private-use scheme must be a reverse domain name like com.example.app, a known client's, \
                 or one that the operator admits with MCP_REDIRECT_SCHEMES"
            }
            RedirectError::BadAuthority => {
                "a redirect URI must name a host, no user, and a valid port if any"
            }
            RedirectError::DotSegment => "a redirect URI must not have . or .. segments",
            RedirectError::AnswerParameter => {
                "a redirect URI must not have code, error, iss or state in its query"
            }
        })
    }
}

impl RedirectUri {
    /// Checks a redirect URI.
    ///
    /// # Errors
    /// [`RedirectError`], the first rule that is broken.
    pub(super) fn parse(text: &str, registrant: Registrant<'_>) -> Result<RedirectUri, RedirectError> {
        if text.len() > limits::URI_BYTES {
            return Err(RedirectError::TooLong);
        }
        if text.contains('#') {
            return Err(RedirectError::Fragment);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'*' | b'<' | b'>' | b'"')) {
            return Err(RedirectError::BadCharacter);
        }
        let (scheme, rest) = text.split_once(':').ok_or(RedirectError::BadScheme)?;
        check_scheme(scheme, rest, registrant)?;
        let (path_and_authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = match path_and_authority.strip_prefix("//") {
            Some(after) => {
                let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
                check_authority(authority)?;
                path
            }
            None => path_and_authority,
        };
        let dots =
            |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if path.split('/').any(dots) {
            return Err(RedirectError::DotSegment);
        }
        let query = Form::parse(query.as_bytes()).map_err(|_| RedirectError::BadCharacter)?;
        if ANSWER_PARAMETERS.iter().any(|name| query.contains(name)) {
            return Err(RedirectError::AnswerParameter);
        }
        Ok(RedirectUri(text.to_owned()))
    }

    /// The URI, byte for byte as registered or requested.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of place it leads to.
    pub(super) fn target(&self) -> Target {
        if self.0.starts_with("https:") {
            Target::Web
        } else if self.0.starts_with("http:") {
            if self.without_loopback_port().is_some() { Target::Loopback } else { Target::Web }
        } else {
            Target::PrivateScheme
        }
    }

    /// What a person should recognise: scheme, host and port, or the scheme alone.
    pub(super) fn place(&self) -> String {
        let (scheme, rest) = self.0.split_once(':').unwrap_or((&self.0, ""));
        match rest.strip_prefix("//").and_then(|after| after.split(['/', '?']).next()) {
            Some(authority) if !authority.is_empty() => format!("{scheme}://{authority}"),
            Some(_) | None => format!("{scheme}:"),
        }
    }

    /// Whether it leads to the web site at this DNS name, on whatever port.
    pub(super) fn is_at(&self, host: &str) -> bool {
        let after = self.0.strip_prefix("https://").unwrap_or_default();
        let authority = after.split(['/', '?']).next().and_then(split_port);
        authority.is_some_and(|(own, _)| own.eq_ignore_ascii_case(host))
    }

    /// Whether a request for `requested` may be answered there, `self` being registered.
    ///
    /// RFC 6749 section 3.1.2.3 and OAuth 2.1: byte for byte. RFC 8252 section 7.3: but the port of a loopback redirect
    /// is the client's to choose at each request; the spelling of the host is not.
    pub(super) fn admits(&self, requested: &RedirectUri) -> bool {
        if self == requested {
            return true;
        }
        match (self.without_loopback_port(), requested.without_loopback_port()) {
            (Some(registered), Some(asked)) => registered == asked,
            (None, _) | (_, None) => false,
        }
    }

    /// Host, and path with query, of a loopback URI.
    fn without_loopback_port(&self) -> Option<(&str, &str)> {
        let after = self.0.strip_prefix("http://")?;
        let (authority, rest) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
        let (host, _) = split_port(authority)?;
        is_loopback_host(host).then_some((host, rest))
    }
}

fn check_scheme(scheme: &str, rest: &str, registrant: Registrant<'_>) -> Result<(), RedirectError> {
    match scheme {
        "https" if rest.starts_with("//") => Ok(()),
        "https" => Err(RedirectError::BadAuthority),
        "http" => {
            let authority =
                rest.strip_prefix("//").and_then(|after| after.split(['/', '?']).next()).unwrap_or("");
            let host = split_port(authority).map_or("", |(host, _)| host);
            let is_operators = matches!(registrant, Registrant::Operator);
            if is_loopback_host(host) || is_operators && is_lan_host(host) {
                Ok(())
            } else {
                Err(RedirectError::PlainHttp)
            }
        }
        other if !is_well_formed(other) || is_forbidden(other) => Err(RedirectError::BadScheme),
        other => match registrant {
            Registrant::Anybody(schemes) if !schemes.admit(other) => Err(RedirectError::UnknownScheme),
            Registrant::Anybody(_) | Registrant::Operator => Ok(()),
        },
    }
}

/// Whether a host is of the local network: a private address (RFC 1918, RFC 4193) or a name that the public DNS does not have.
fn is_lan_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return address.is_private();
    }
    if let Some(literal) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return literal.parse().is_ok_and(|address: std::net::Ipv6Addr| address.is_unique_local());
    }
    // A name of one label that began with a digit could be a browser's spelling of any IPv4 address.
    let host = host.to_ascii_lowercase();
    let top = host.rsplit('.').next().unwrap_or_default();
    host.starts_with(|c: char| c.is_ascii_lowercase())
        && (top == host || LAN_DOMAINS.contains(&top) || host.ends_with(".home.arpa"))
}

fn check_authority(authority: &str) -> Result<(), RedirectError> {
    let (host, _) = split_port(authority).ok_or(RedirectError::BadAuthority)?;
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(name),
    };
    if fine { Ok(()) } else { Err(RedirectError::BadAuthority) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedirectUri, RedirectError> {
        RedirectUri::parse(text, Registrant::Anybody(&RedirectSchemes::default()))
    }

    /// O5: what may be registered.
    #[test]
    fn web_loopback_and_app_redirects_are_accepted() {
        let check = |text: &str, target, place: &str| {
            let uri = parse(text).unwrap();
            assert_eq!((uri.target(), uri.place().as_str()), (target, place), "{text}");
        };
        check("https://claude.ai/api/mcp/auth_callback", Target::Web, "https://claude.ai");
        check("https://a.example:8443/cb?k=v", Target::Web, "https://a.example:8443");
        check("http://127.0.0.1:33418", Target::Loopback, "http://127.0.0.1:33418");
        check("http://127.9.9.9/", Target::Loopback, "http://127.9.9.9");
        check("http://localhost/callback", Target::Loopback, "http://localhost");
        check("http://[::1]:1/cb", Target::Loopback, "http://[::1]:1");
        check("com.example.app:/oauth", Target::PrivateScheme, "com.example.app:");
        check(
            "cursor://anysphere.cursor-retrieval/cb",
            Target::PrivateScheme,
            "cursor://anysphere.cursor-retrieval",
        );
    }

    /// O5: what may not.
    #[test]
    fn everything_else_is_refused() {
        let check = |text: &str, error| assert_eq!(parse(text), Err(error), "{text}");
        check("", RedirectError::BadScheme);
        check("/callback", RedirectError::BadScheme);
        for scheme in [
            "javascript",
            "data",
            "file",
            "vbscript",
            "blob",
            "about",
            "ws",
            "wss",
            "ftp",
            "view-source",
            "intent",
        ] {
            check(&format!("{scheme}://a.example/"), RedirectError::BadScheme);
        }
        check("JavaScript:alert(1)", RedirectError::BadScheme);
        check("HTTPS://a.example/", RedirectError::BadScheme);
        check("http://a.example/", RedirectError::PlainHttp);
        check("http://127.0.0.1.a.example/", RedirectError::PlainHttp);
        check("http://0x7f.1/", RedirectError::PlainHttp);
        check("http:127.0.0.1/", RedirectError::PlainHttp);
        check("http://user@127.0.0.1/", RedirectError::PlainHttp);
        check("myapp://cb", RedirectError::UnknownScheme);
        check("https:a.example", RedirectError::BadAuthority);
        check("https:///cb", RedirectError::BadAuthority);
        check("https://a.example@b.example/", RedirectError::BadAuthority);
        check("https://user:word@a.example/", RedirectError::BadAuthority);
        check("https://a.example:99999/", RedirectError::BadAuthority);
        check("https://a.example:/", RedirectError::BadAuthority);
        check("https://a.example/#", RedirectError::Fragment);
        check("https://a.example\\@b.example/", RedirectError::BadCharacter);
        check("https://a.example/ b", RedirectError::BadCharacter);
        check("https://a.example/\r\n", RedirectError::BadCharacter);
        check("https://a.example/\u{7f}", RedirectError::BadCharacter);
        check("https://a.example/\0", RedirectError::BadCharacter);
        check("https://ä.example/", RedirectError::BadCharacter);
        check("https://*.a.example/", RedirectError::BadCharacter);
        check("https://a.example/%zz?x=%zz", RedirectError::BadCharacter);
        check("https://a.example/a/../b", RedirectError::DotSegment);
        check("https://a.example/a/%2E%2e/b", RedirectError::DotSegment);
        check("https://a.example/.", RedirectError::DotSegment);
        for name in ["code", "state", "iss", "error", "%63ode"] {
            check(&format!("https://a.example/?{name}=1"), RedirectError::AnswerParameter);
        }
        check(&format!("https://a.example/{}", "a".repeat(limits::URI_BYTES)), RedirectError::TooLong);
        let longest = format!("https://a.example/{}", "a".repeat(limits::URI_BYTES - 18));
        assert!(parse(&longest).is_ok());
    }

    /// O3: byte for byte, but for the port of a loopback redirect.
    #[test]
    fn only_the_loopback_port_may_differ() {
        let check = |registered, requested, expected| {
            let registered = parse(registered).unwrap();
            assert_eq!(registered.admits(&parse(requested).unwrap()), expected, "{requested}");
        };
        check("https://a.example/cb", "https://a.example/cb", true);
        check("https://a.example/cb", "https://a.example/cb/", false);
        check("https://a.example/cb", "https://a.example/CB", false);
        check("https://a.example/cb", "https://a.example:443/cb", false);
        check("https://a.example/cb", "https://a.example/cb?x=1", false);
        check("https://a.example/cb", "https://b.example/cb", false);
        check("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb", true);
        check("http://127.0.0.1:1/cb?x=1", "http://127.0.0.1:5000/cb?x=1", true);
        check("http://[::1]:1/cb", "http://[::1]:2/cb", true);
        check("http://127.0.0.1/cb", "http://localhost:5000/cb", false);
        check("http://127.0.0.1/cb", "http://127.0.0.2/cb", false);
        check("http://localhost/cb", "http://localhost:5000/other", false);
        check("http://localhost/cb", "http://localhost:5000/cb?x=1", false);
        check("http://localhost/cb", "https://localhost/cb", false);
        check("cursor://a:1/cb", "cursor://a:2/cb", false);
    }

    /// O5: what the operator may write down besides, and that the port of another machine is not its client's to choose.
    #[test]
    fn the_operators_clients_may_be_in_the_local_network() {
        let check = |text: &str, expected: Result<Target, RedirectError>| {
            let found = RedirectUri::parse(text, Registrant::Operator).map(|uri| uri.target());
            assert_eq!(found, expected, "{text}");
            if matches!(expected, Ok(Target::Web)) && text.starts_with("http:") {
                assert_eq!(parse(text), Err(RedirectError::PlainHttp), "{text}");
            }
        };
        for host in
            ["192.168.1.20:5678", "10.0.0.1", "172.31.0.1", "[fd00::1]:80", "nas", "Nas.LOCAL", "n8n.lan:1"]
        {
            check(&format!("http://{host}/cb"), Ok(Target::Web));
        }
        for host in ["a.internal", "a.home", "b.home.arpa", "a.localdomain"] {
            check(&format!("http://{host}/cb"), Ok(Target::Web));
        }
        for host in [
            "8.8.8.8",
            "172.32.0.1",
            "169.254.169.254",
            "134744072",
            "0x8080808",
            "a.example",
            "[2001:db8::1]",
        ] {
            check(&format!("http://{host}/cb"), Err(RedirectError::PlainHttp));
        }
        check("http://localhost/cb", Ok(Target::Loopback));
        check("http://lan.a.example/cb", Err(RedirectError::PlainHttp));
        check("http://user@nas/cb", Err(RedirectError::BadAuthority));
        check("http://nas/../cb", Err(RedirectError::DotSegment));
        check("myapp://cb", Ok(Target::PrivateScheme));
        check("javascript://nas/", Err(RedirectError::BadScheme));
        let parse = |text| RedirectUri::parse(text, Registrant::Operator).unwrap();
        assert!(!parse("http://nas:1/cb").admits(&parse("http://nas:2/cb")));
    }

    #[test]
    fn a_scheme_that_the_operator_adds_is_admitted() {
        let added = RedirectSchemes::parse("myapp").unwrap();
        assert!(RedirectUri::parse("myapp://cb", Registrant::Anybody(&added)).is_ok());
        let refused = parse("myapp://cb").unwrap_err().to_string();
        assert!(refused.contains("MCP_REDIRECT_SCHEMES"), "{refused}");
    }
}
