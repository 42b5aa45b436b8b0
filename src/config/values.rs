//! The values that options take, each read by one function that says what is wrong with it.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ConfigError;
use crate::base::identity::UserId;
use crate::base::secret::Secret;
use crate::base::{capped, limits, log};
use crate::http::split_port;
use crate::oauth::AllowRule;
use crate::oauth::provider::Group;

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// The edge, for anyone who reaches one of these. Never empty.
    Edge(Vec<Listen>),
    /// The trusted door, for a reverse proxy on this loopback address.
    ProxyTcp(SocketAddr),
    /// The trusted door, for a reverse proxy on this Unix socket.
    ProxyUnix(PathBuf),
}

/// What the edge listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address.
    Tcp(SocketAddr),
    /// A Unix socket at this absolute path, for this user and its group.
    Unix(PathBuf),
    /// Whatever sockets systemd has opened for this process.
    Systemd,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::Systemd => f.write_str("what systemd listens on for it"),
        }
    }
}

impl Listen {
    /// Whether only this machine reaches it, by an address that makes a URL.
    pub fn is_loopback(&self) -> bool {
        matches!(self, Listen::Tcp(address) if address.ip().is_loopback())
    }
}

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where the client secret is.
#[derive(Debug)]
pub enum ClientSecret {
    /// In the environment.
    Given(Secret<String>),
    /// Alone in this file.
    File(PathBuf),
}

impl ClientSecret {
    /// Its file, if every user of this machine can read that.
    pub fn exposed(&self) -> Option<&Path> {
        let ClientSecret::File(path) = self else { return None };
        let open = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0);
        open.then_some(path)
    }

    /// The one secret; a file's surrounding white space is dropped.
    ///
    /// # Errors
    /// [`ConfigError::SecretFile`].
    pub fn read(&self) -> Result<Secret<String>, ConfigError> {
        self.read_lines(1).map(|(secret, _)| secret)
    }

    /// The secret, and the one that takes its place or had it before, if the file has a second line (G9).
    ///
    /// # Errors
    /// [`ConfigError::SecretFile`].
    pub fn read_two(&self) -> Result<(Secret<String>, Option<Secret<String>>), ConfigError> {
        self.read_lines(2)
    }

    fn read_lines(&self, most: usize) -> Result<(Secret<String>, Option<Secret<String>>), ConfigError> {
        let path = match self {
            ClientSecret::Given(secret) => return Ok((secret.clone(), None)),
            ClientSecret::File(path) => path,
        };
        let failed = |why: String| ConfigError::SecretFile(path.clone(), why);
        let bytes = capped::read(path, limits::CLIENT_SECRET_FILE_BYTES);
        let bytes = bytes.map_err(|error| failed(error.to_string()))?;
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(failed("it is UTF-16: save it as plain text (ASCII or UTF-8)".to_owned()));
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let read = |line: &str| secret(line.to_owned()).map_err(|why| failed(why.to_owned()));
        let mut secrets = lines.map(read).collect::<Result<Vec<_>, _>>()?;
        if secrets.len() > most {
            return Err(failed(format!("it has more than {most} lines")));
        }
        let second = if secrets.len() > 1 { secrets.pop() } else { None };
        secrets.pop().map(|secret| (secret, second)).ok_or_else(|| failed("it is empty".to_owned()))
    }
}

/// A secret is printable ASCII: what else is in it came along unseen, and would be refused later as a wrong secret.
pub(super) fn secret(text: String) -> Result<Secret<String>, &'static str> {
    if text.starts_with('\u{feff}') {
        return Err("it begins with a byte order mark: save it as plain text without one");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it has a character that is not printable ASCII, or a space in it: copy it once more");
    }
    Ok(Secret::new(text))
}

pub(super) fn absolute(text: String) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("write an absolute path, like /run/mcp/operator.sock") }
}

pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off"),
    }
}

/// How many of something there may be.
pub(super) fn count(text: &str) -> Result<usize, &'static str> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|count| (1..=limits::CAPACITY_MAX).contains(count)).ok_or("write a number from 1 to 100000")
}

pub(super) fn client_id(text: String) -> Result<String, &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if text.bytes().all(allowed) {
        Ok(text)
    } else {
        Err("a client id has letters, digits, dots, hyphens and underscores only, like Ov23liAbCdEf")
    }
}

/// A comma list of rules; `any` stands alone.
pub(super) fn allow_rules(text: &str) -> Result<Vec<AllowRule>, &'static str> {
    if text.trim() == "any" {
        return Ok(vec![AllowRule::Any]);
    }
    text.split(',').map(|rule| allow_rule(rule.trim())).collect()
}

fn allow_rule(text: &str) -> Result<AllowRule, &'static str> {
    const FORMS: &str = "a rule is user:LOGIN, id:NUMBER, org:ORG or team:ORG/SLUG (write user:octocat, not octocat), and any stands alone";
    let (kind, name) = text.split_once(':').ok_or(FORMS)?;
    match kind {
        "user" => Ok(AllowRule::User(login(name)?)),
        "id" => {
            let digits = name.bytes().all(|b| b.is_ascii_digit());
            let number = if digits { name.parse().ok().filter(|id| *id > 0) } else { None };
            number
                .map(|id| AllowRule::Id(UserId(id)))
                .ok_or("id: is followed by the account's number, above zero")
        }
        "org" => Ok(AllowRule::Group(Group::Org(login(name)?))),
        "team" => {
            let (org, slug) = name.split_once('/').ok_or("a team is written team:ORG/SLUG")?;
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            if slug.is_empty() || !slug.bytes().all(allowed) {
                return Err("a team's slug has letters, digits, hyphens and underscores, as in its URL");
            }
            Ok(AllowRule::Group(Group::Team { org: login(org)?, slug: slug.to_owned() }))
        }
        _ => Err(FORMS),
    }
}

/// Letters, digits, hyphens, and the underscore of managed enterprise accounts: nothing that could leave a URL's path
/// segment.
pub(super) fn login(text: &str) -> Result<String, &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if text.is_empty() || text.len() > limits::LOGIN_BYTES || !text.bytes().all(allowed) {
        return Err("a login or organisation has 1 to 39 letters, digits, hyphens and underscores");
    }
    Ok(text.to_owned())
}

/// A comma list of origins, as browsers write them.
pub(super) fn origins(text: &str) -> Result<Vec<String>, &'static str> {
    text.split(',').map(|text| origin(text.trim())).collect()
}

/// A serialized origin: `null`, or scheme, host and perhaps a port. Desktop apps and extensions have schemes of their own.
fn origin(text: &str) -> Result<String, &'static str> {
    const FORMS: &str = "write an origin as browsers send it: a scheme in lower case, ://, a host, perhaps a port, and no path, \
                         like https://inspector.example or app://name; or null";
    if text == "null" {
        return Ok(text.to_owned());
    }
    let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
    let default_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let (host, port) = split_port(rest.trim_end_matches('/')).ok_or(FORMS)?;
    let in_scheme = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    let in_host = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    if scheme.is_empty() || !scheme.bytes().all(in_scheme) || !host.bytes().all(in_host) {
        return Err(FORMS);
    }
    // Browsers write the hosts of web pages in lower case and without a default port (RFC 6454 section 6.2).
    let host = if default_port.is_some() { host.to_ascii_lowercase() } else { host.to_owned() };
    match port.filter(|port| Some(*port) != default_port) {
        Some(port) => Ok(format!("{scheme}://{host}:{port}")),
        None if default_port.is_some() && host.is_empty() => Err(FORMS),
        None => Ok(format!("{scheme}://{host}")),
    }
}

/// A comma list of what to listen on.
pub(super) fn listen(text: &str) -> Result<Vec<Listen>, &'static str> {
    const FORMS: &str = "write an IP address and a port like 127.0.0.1:3001 or [::]:443, unix: and an absolute path, \
                         or systemd for its sockets";
    let each = |text: &str| {
        if text == "systemd" {
            return Ok(Listen::Systemd);
        }
        match text.strip_prefix("unix:").map(PathBuf::from) {
            Some(path) if path.is_absolute() => Ok(Listen::Unix(path)),
            Some(_) => Err(FORMS),
            None => text.parse().map(Listen::Tcp).map_err(|_| FORMS),
        }
    };
    let listens: Vec<Listen> = text.split(',').map(|text| each(text.trim())).collect::<Result<_, _>>()?;
    // Sockets of systemd have one owner each; two of anything else would fail later, and say less.
    let twice = |(place, listen)| listens.iter().take(place).any(|earlier| earlier == listen);
    if listens.iter().enumerate().any(twice) { Err("name each once") } else { Ok(listens) }
}

/// Numbers are for this machine, too.
pub(super) fn metrics_listen(text: &str) -> Result<SocketAddr, &'static str> {
    let address: Option<SocketAddr> = text.parse().ok();
    address
        .filter(|address| address.ip().is_loopback())
        .ok_or("write a loopback address and port, like 127.0.0.1:9090")
}

pub(super) fn log_format(text: &str) -> Result<log::Format, &'static str> {
    match text {
        "human" => Ok(log::Format::Human),
        "json" => Ok(log::Format::Json),
        _ => Err("write human or json"),
    }
}

/// The trusted door must not be reachable by strangers: a loopback address, or a socket file.
pub(super) fn behind_proxy(text: &str) -> Result<Door, &'static str> {
    const FORMS: &str =
        "write a loopback address and port like 127.0.0.1:3001, or unix: and an absolute path";
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return if path.is_absolute() { Ok(Door::ProxyUnix(path)) } else { Err(FORMS) };
    }
    let address: SocketAddr = text.parse().map_err(|_| FORMS)?;
    if address.ip().is_loopback() { Ok(Door::ProxyTcp(address)) } else { Err(FORMS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M19: what a browser can send as an origin can be allowed, and stands as it is sent.
    #[test]
    fn any_serialized_origin_can_be_allowed() {
        for (text, origin) in [
            ("null", "null"),
            ("https://inspector.example", "https://inspector.example"),
            ("https://Inspector.example:443/", "https://inspector.example"),
            ("http://192.168.1.10:6274", "http://192.168.1.10:6274"),
            ("http://[::1]:80", "http://[::1]"),
            ("app://obsidian.md", "app://obsidian.md"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
            ("vscode-webview://0A1b", "vscode-webview://0A1b"),
            ("tauri://localhost", "tauri://localhost"),
            ("app://localhost:443", "app://localhost:443"),
            ("file://", "file://"),
        ] {
            assert_eq!(origins(text), Ok(vec![origin.to_owned()]), "{text}");
        }
        let two = vec!["null".to_owned(), "app://-".to_owned()];
        assert_eq!(origins("null, app://-"), Ok(two));
        let odd = [
            "",
            "*",
            "https://",
            "https://*.example",
            "inspector.example",
            "HTTPS://a",
            "://a",
            "Null",
            "null,",
        ];
        for bad in odd.into_iter().chain([
            "https://a/path",
            "https://u@a",
            "https://a:b",
            "https://a?b",
            "app://a b",
        ]) {
            assert!(origins(bad).is_err(), "{bad}");
        }
    }

    /// G9: one secret, or two while it is changed.
    #[test]
    fn a_secret_file_has_one_line_or_two() {
        let file = std::env::temp_dir().join(format!("mcp-oauth-server-secrets-{}", std::process::id()));
        let check = |text: &str, expected: Option<(&str, Option<&str>)>| {
            std::fs::write(&file, text).unwrap();
            let read = ClientSecret::File(file.clone()).read_two().ok();
            let read =
                read.map(|(one, other)| (one.expose().clone(), other.map(|other| other.expose().clone())));
            let expected = expected.map(|(one, other)| (one.to_owned(), other.map(str::to_owned)));
            assert_eq!(read, expected, "{text:?}");
        };
        check("one\n", Some(("one", None)));
        check(" one \r\n\n two\n", Some(("one", Some("two"))));
        check("one\ntwo\nthree", None);
        check("\n \n", None);
        std::fs::write(&file, "one\ntwo").unwrap();
        assert!(ClientSecret::File(file.clone()).read().is_err());
        std::fs::remove_file(&file).unwrap();
    }

    /// G9: what an editor or a clipboard adds is said at the start, not by GitHub as a wrong secret.
    #[test]
    fn a_secret_is_printable_ascii_or_says_why_not() {
        let file = std::env::temp_dir().join(format!("mcp-oauth-server-ascii-{}", std::process::id()));
        for (bytes, words) in [
            (&b"\xef\xbb\xbfhush-hush\n"[..], "byte order mark"),
            (b"\xff\xfeh\0u\0s\0h\0", "UTF-16"),
            (b"hush\xe2\x80\x8bhush", "not printable ASCII"),
            (b"hush\x00hush", "not printable ASCII"),
            (b"hush\x1b[0m", "not printable ASCII"),
            (b"hush\xe9", "not printable ASCII"),
            (b"hush hush", "a space in it"),
            (b"good\nhush\xc2\xa0hush", "not printable ASCII"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let error = ClientSecret::File(file.clone()).read_two().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("mcp-oauth-server-ascii-"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(secret("\u{feff}hush".to_owned()).is_err() && secret("hush".to_owned()).is_ok());
    }
}
