//! Fetches one document from a URL that an unauthenticated client has chosen: over TLS, from a checked address, without redirects,
//! proxies or cookies, within limits of time and size (I2, I3).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ureq::http::{HeaderMap, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, DefaultConnector, NextTimeout, time};
use ureq::{Agent, config::Config};

use super::address;
use super::not_found::NotFound;
use crate::base::{capped, limits};
use crate::http::PublicUrl;
use crate::oauth::ClientUrl;
use crate::trust::Trust;

/// Fetches documents; keeps no connection.
pub(super) struct Fetcher {
    agent: Agent,
}

impl Fetcher {
    /// A fetcher that connects to public addresses only, and not to those of our own URL, `own`.
    pub(super) fn new(own: &PublicUrl, trust: &Trust) -> Fetcher {
        let guard = Guard {
            names: DefaultResolver::default(),
            own: own.origin().parse().ok(),
            is_allowed: address::is_global,
        };
        Fetcher::with(trust, DefaultConnector::default(), guard, limits::DOCUMENT_FETCH)
    }

    pub(super) fn with(
        trust: &Trust,
        connector: impl Connector<()>,
        guard: Guard<impl Resolver>,
        timeout: Duration,
    ) -> Fetcher {
        let config = trust
            .agent_config(timeout)
            .https_only(true)
            .timeout_resolve(Some(timeout.min(limits::DOCUMENT_RESOLVE)))
            .build();
        Fetcher { agent: Agent::with_parts(config, connector, guard) }
    }

    /// The body of an answer that may be a document, and its Cache-Control field, which is empty if there is none.
    pub(super) fn fetch(&self, url: &ClientUrl) -> Result<(Vec<u8>, String), NotFound> {
        let response = self.agent.get(url.as_str()).header("Accept", "application/json").call()?;
        let status = response.status().as_u16();
        // The draft, section 4: any status other than 200 is an error, redirects included.
        if status != 200 {
            return Err(NotFound::Status(status));
        }
        let headers = response.headers();
        if all(headers, "content-encoding").iter().any(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(NotFound::Invalid("it is compressed"));
        }
        // The media type is ignored: file hosts send text/plain, and a body that is not JSON is refused anyway.
        let cache_control = all(headers, "cache-control").join(",");
        match capped::read_from(response.into_body().into_reader(), limits::DOCUMENT_BYTES) {
            Ok(body) => Ok((body, cache_control)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(NotFound::Invalid("it is too long"))
            }
            Err(error) => Err(ureq::Error::from(error).into()),
        }
    }
}

/// Resolves names to addresses, once per connection: exactly the returned addresses are connected to, so a name that resolves
/// differently the next time (DNS rebinding) has no effect.
#[derive(Debug)]
pub(super) struct Guard<R> {
    pub(super) names: R,
    /// Our own URL, whose addresses are refused.
    pub(super) own: Option<Uri>,
    pub(super) is_allowed: fn(IpAddr) -> bool,
}

impl<R: Resolver> Resolver for Guard<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // Two names are resolved, the URL's and our own: half the time for each.
        let half = timeout.after.checked_div(2).unwrap_or_default();
        let timeout = NextTimeout { after: time::Duration::Exact(half), ..timeout };
        let found = self.names.resolve(uri, config, timeout)?;
        let own = self.own.as_ref().and_then(|own| self.names.resolve(own, config, timeout).ok());
        let is_own = |address: &SocketAddr| own.iter().flatten().any(|own| own.ip() == address.ip());
        // One address that is not allowed is enough to refuse the name, because ureq chooses which is tried first. The refusal comes
        // before any connection, so it takes the same time as a name that does not exist.
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
