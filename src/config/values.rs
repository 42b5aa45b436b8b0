//! The values that options take, each read by one function that says what is wrong with it.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub(super) use crate::base::checked_login;
use crate::base::{AllowRule, is_plain, limits, log};
use crate::http::split_port;
use crate::oauth::Registration;
use crate::store::StoreUrl;

/// One place where connections come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    /// A Unix socket at this absolute path, for this user and its group.
    Unix(PathBuf),
    /// All sockets that systemd has opened for this process.
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
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listen::Tcp(address) => Some(*address),
            Listen::Unix(_) | Listen::Systemd => None,
        }
    }

    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Listen::Unix(path) => Some(path),
            Listen::Tcp(_) | Listen::Systemd => None,
        }
    }

    /// Whether only this machine reaches it, by an address that makes a URL.
    pub fn is_loopback(&self) -> bool {
        self.address().is_some_and(|address| address.ip().is_loopback())
    }

    fn parse(text: &str) -> Option<Listen> {
        match text.strip_prefix("unix:") {
            Some(path) => absolute(path).ok().map(Listen::Unix),
            None => text.parse().ok().map(Listen::Tcp),
        }
    }
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("write an absolute path, like /run/mcp/operator.sock") }
}

/// One of two words.
fn word<T>(text: &str, words: [(&str, T); 2], forms: &'static str) -> Result<T, &'static str> {
    words.into_iter().find(|(word, _)| *word == text).map(|(_, value)| value).ok_or(forms)
}

pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    word(text, [("on", true), ("off", false)], "write on or off")
}

pub(super) fn registration(text: &str) -> Result<Registration, &'static str> {
    word(text, [("open", Registration::Open), ("closed", Registration::Closed)], "write open or closed")
}

pub(super) fn log_format(text: &str) -> Result<log::Format, &'static str> {
    word(text, [("human", log::Format::Human), ("json", log::Format::Json)], "write human or json")
}

pub(super) fn audit_arguments(text: &str) -> Result<bool, &'static str> {
    word(text, [("hash", true), ("off", false)], "write hash or off")
}

/// A number in digits alone.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// A capacity.
pub(super) fn count(text: &str) -> Result<usize, &'static str> {
    let count = number(text).and_then(|count| usize::try_from(count).ok());
    count.filter(|count| (1..=limits::CAPACITY_MAX).contains(count)).ok_or("write a number from 1 to 100000")
}

/// A time of up to a day.
pub(super) fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = number(text).filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("write a number of seconds from 1 to 86400")
}

pub(super) fn client_id(text: &str) -> Result<String, &'static str> {
    if is_plain(text, "._-", ..) {
        Ok(text.to_owned())
    } else {
        Err("a client id has letters, digits, dots, hyphens and underscores only, like Ov23liAbCdEf")
    }
}

/// A comma list of rules; `any` stands alone.
pub(super) fn allow_rules(text: &str) -> Result<Vec<AllowRule>, &'static str> {
    if text.trim() == "any" {
        return Ok(vec![AllowRule::Any]);
    }
    text.split(',').map(|rule| AllowRule::parse(rule.trim())).collect()
}

/// Where `health` asks.
pub(super) fn url(text: &str) -> Result<String, &'static str> {
    let known = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(text.to_owned()) } else { Err("write the server's URL, like http://127.0.0.1:3001") }
}

/// The URL of a store.
pub(super) fn place(text: &str) -> Result<String, &'static str> {
    StoreUrl::parse(text).map(|_| text.to_owned())
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
    let default_port = word(scheme, [("http", 80), ("https", 443)], FORMS).ok();
    let (host, port) = split_port(rest.trim_end_matches('/')).ok_or(FORMS)?;
    let in_scheme = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::parse::<Ipv6Addr>);
    // Only pages from files have no host.
    let is_host = is_plain(host, "-._~", 1..) || matches!(literal, Some(Ok(_))) || text == "file://";
    if scheme.is_empty() || !scheme.bytes().all(in_scheme) || !is_host {
        return Err(FORMS);
    }
    // Browsers write the hosts of web pages in lower case and without a default port (RFC 6454 section 6.2).
    let host = if default_port.is_some() { host.to_ascii_lowercase() } else { host.to_owned() };
    let port = port.filter(|port| Some(*port) != default_port).map(|port| format!(":{port}"));
    Ok(format!("{scheme}://{host}{}", port.unwrap_or_default()))
}

/// A comma list of places to listen at.
pub(super) fn listen(text: &str) -> Result<Vec<Listen>, &'static str> {
    const FORMS: &str = "write an IP address and a port like 127.0.0.1:3001 or [::]:443, unix: and an absolute path, \
                         or systemd for its sockets";
    let place = |text: &str| match text {
        "systemd" => Some(Listen::Systemd),
        _ => Listen::parse(text),
    };
    let places = text.split(',').map(|text| place(text.trim()).ok_or(FORMS));
    let places: Vec<Listen> = places.collect::<Result<_, _>>()?;
    // Sockets of systemd have one owner each; two of anything else would fail later, and say less.
    let repeats = |(index, place)| places.iter().take(index).any(|earlier| earlier == place);
    if places.iter().enumerate().any(repeats) { Err("name each once") } else { Ok(places) }
}

/// The trusted door must not be reachable by strangers: a loopback address, or a Unix socket.
pub(super) fn behind_proxy(text: &str) -> Result<Listen, &'static str> {
    Listen::parse(text)
        .filter(|place| place.is_loopback() || place.path().is_some())
        .ok_or("write a loopback address and port like 127.0.0.1:3001, or unix: and an absolute path")
}

/// Metrics are for this machine only.
pub(super) fn metrics_listen(text: &str) -> Result<SocketAddr, &'static str> {
    let address: Option<SocketAddr> = text.parse().ok();
    address
        .filter(|address| address.ip().is_loopback())
        .ok_or("write a loopback address and port, like 127.0.0.1:9090")
}

#[cfg(test)]
mod tests;
