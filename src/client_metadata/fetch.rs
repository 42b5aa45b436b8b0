//! Fetching one document from wherever a stranger says it is: over TLS, from an address that was checked, without
//! redirects, proxies or cookies, within a few seconds and a few bytes (I2, I3).

use std::fmt;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ureq::http::{HeaderMap, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, NextTimeout, time};
use ureq::{Agent, config::Config};

use super::address;
use crate::base::limits;
use crate::http::PublicUrl;
use crate::oauth::ClientUrl;
use crate::trust::Trust;

const USER_AGENT: &str = concat!("mcp-oauth-server/", env!("CARGO_PKG_VERSION"));

/// What a server answered, if it can be a document.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// The Cache-Control field, empty if there is none.
    pub(super) cache_control: String,
}

/// Why there is no answer. For the log alone: a stranger who learned it could look around in our network.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The name leads nowhere, or where it must not; nobody answers there, or not in time, or not as a web server does.
    Unreachable(String),
    /// The status is not 200.
    Status(u16),
    /// It is compressed, though we asked for it plain.
    Encoded,
    /// It has more than [`limits::DOCUMENT_BYTES`].
    TooLong,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Unreachable(error) => f.write_str(error),
            FetchError::Status(status) => write!(f, "status {status}, not 200"),
            FetchError::Encoded => f.write_str("compressed"),
            FetchError::TooLong => f.write_str("too long"),
        }
    }
}

impl FetchError {
    /// Whether it says nothing about the document: its host is out of reach or in trouble.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            FetchError::Unreachable(_) => true,
            FetchError::Status(status) => *status == 429 || (500..=599).contains(status),
            FetchError::Encoded | FetchError::TooLong => false,
        }
    }
}

impl From<ureq::Error> for FetchError {
    fn from(error: ureq::Error) -> FetchError {
        // Of ureq's or of the system: holds nothing of a body.
        FetchError::Unreachable(error.to_string())
    }
}

/// Fetches documents; keeps no connection.
pub(super) struct Fetcher {
    agent: Agent,
}

impl Fetcher {
    /// A fetcher that connects to public addresses only, and not to those of `own`, our own URL.
    pub(super) fn new(own: &PublicUrl, trust: &Trust) -> Fetcher {
        let guard = Guard {
            names: DefaultResolver::default(),
            own: own.origin().parse().ok(),
            is_allowed: address::is_global,
        };
        Fetcher::with(trust.connector(), guard, limits::DOCUMENT_FETCH)
    }

    pub(super) fn with(
        connector: impl Connector<()>,
        guard: Guard<impl Resolver>,
        timeout: Duration,
    ) -> Fetcher {
        Fetcher { agent: Agent::with_parts(config(timeout), connector, guard) }
    }

    pub(super) fn fetch(&self, url: &ClientUrl) -> Result<Answer, FetchError> {
        let response = self.agent.get(url.as_str()).header("Accept", "application/json").call()?;
        let status = response.status().as_u16();
        // The draft, section 4: anything but 200 is an error, a redirect too.
        if status != 200 {
            return Err(FetchError::Status(status));
        }
        let headers = response.headers();
        if all(headers, "content-encoding").iter().any(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(FetchError::Encoded);
        }
        // The media type is not looked at: hosts of files say text/plain, and what is no JSON is no document.
        let cache_control = all(headers, "cache-control").join(",");
        let mut body = Vec::new();
        // One byte more than is welcome, to tell a full body from one that goes on.
        let most = u64::try_from(limits::DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = response.into_body().into_reader().take(most);
        bytes.read_to_end(&mut body).map_err(ureq::Error::from)?;
        if body.len() > limits::DOCUMENT_BYTES {
            Err(FetchError::TooLong)
        } else {
            Ok(Answer { body, cache_control })
        }
    }
}

/// Every default of ureq that matters is set: it would follow redirects, wait for ever and take a proxy from the environment,
/// which then would resolve the name itself, past the guard. Its gzip is not compiled in, so a body is what was sent. A
/// name that takes too long to resolve leaves a thread of ureq behind until the system gives up on it; the number of fetches at
/// once bounds those too.
fn config(timeout: Duration) -> Config {
    Agent::config_builder()
        .https_only(true)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .timeout_resolve(Some(timeout.min(limits::DOCUMENT_RESOLVE)))
        .max_response_header_size(limits::DOCUMENT_HEAD_BYTES)
        .max_idle_connections(0)
        .user_agent(USER_AGENT)
        .accept_encoding("identity")
        .build()
}

/// The only way from a name to an address, asked once a connection: what it returns is what is connected to, so a name that
/// answers differently the next time (DNS rebinding) gains nothing.
#[derive(Debug)]
pub(super) struct Guard<R> {
    /// Where names are looked up.
    pub(super) names: R,
    /// Our own URL.
    pub(super) own: Option<Uri>,
    /// Which addresses may be connected to.
    pub(super) is_allowed: fn(IpAddr) -> bool,
}

impl<R: Resolver> Resolver for Guard<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // Two names have to be looked up in the time of one.
        let half = timeout.after.checked_div(2).unwrap_or_default();
        let timeout = NextTimeout { after: time::Duration::Exact(half), ..timeout };
        let found = self.names.resolve(uri, config, timeout)?;
        let own = self.own.as_ref().and_then(|own| self.names.resolve(own, config, timeout).ok());
        let is_own = |address: &SocketAddr| own.iter().flatten().any(|own| own.ip() == address.ip());
        // One bad address among good ones is one too many: which is tried first is not ours to choose. Like a name that
        // does not exist, it fails before anything is connected to, so the two take the same time.
        if found.iter().all(|address| (self.is_allowed)(address.ip()) && !is_own(address)) {
            return Ok(found);
        }
        let refused = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "not a public address");
        Err(ureq::Error::Io(refused))
    }
}

/// The values of a field.
fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect()
}
