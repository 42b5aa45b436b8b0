//! One MCP server that is reached over HTTP: its URL, the headers that the operator configured for it, and its connections.
//! Of a client's request it gets only the message: no header of the client, no token of ours, no cookie.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectionDetails, Connector, RustlsConnector, TcpConnector, Transport};
use ureq::{Agent, RequestBuilder};

use super::template::{Template, Variables};
use super::upstream_error::UpstreamError;
use crate::base::{Principal, Throttle, limits};
use crate::http::{Uri, is_loopback_host};
use crate::trust::Trust;

/// Headers of the transport, which are set here, besides those that begin with `mcp-`.
const OURS: &str = "accept accept-encoding connection content-length content-type expect host last-event-id transfer-encoding";
const NO_HEADER: UpstreamError =
    UpstreamError::Unusable(Cow::Borrowed("the value of one of its headers cannot be sent"));

/// A header that the operator configured, with its value.
pub(crate) type Header = (HeaderName, Template);

/// The URL of an upstream. Its query may be a secret and is not printed.
#[derive(Clone)]
pub(crate) struct UpstreamUrl(String);

impl UpstreamUrl {
    /// Parses `http://…` or `https://…`.
    ///
    /// # Errors
    /// A sentence that describes the mistake.
    pub(crate) fn parse(text: &str) -> Result<UpstreamUrl, &'static str> {
        let uri = Uri::split(text);
        if text.contains("${") {
            return Err("placeholders are for the values of headers");
        }
        if uri.authority.is_some_and(|authority| authority.contains('@')) {
            return Err("write credentials into a header, as 'Authorization: ...', not into the URL");
        }
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let is_plain = !text.contains('#') && text.parse::<ureq::http::Uri>().is_ok();
        if !matches!(uri.scheme, "http" | "https") || !has_host || !is_plain {
            return Err("write the URL of an MCP server, like http://127.0.0.1:8000/mcp");
        }
        Ok(UpstreamUrl(text.to_owned()))
    }

    /// M5: whether the traffic is encrypted or does not leave this machine.
    pub(crate) fn is_private(&self) -> bool {
        let uri = Uri::split(&self.0);
        uri.scheme == "https" || uri.host().is_some_and(is_loopback_host)
    }

    /// The host, with its port.
    pub(super) fn authority(&self) -> &str {
        Uri::split(&self.0).authority.unwrap_or_default()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the name and the value of a header that the operator configures for requests to this URL.
    ///
    /// # Errors
    /// A sentence that describes the mistake, without the value.
    pub(super) fn header(&self, name: &str, value: &str, environment: &Variables) -> Result<Header, String> {
        let name: HeaderName = name.trim().parse().map_err(|_| "it is no name for a header")?;
        if OURS.split(' ').any(|ours| name == *ours) || name.as_str().starts_with("mcp-") {
            return Err(format!("{name} is set by this server itself"));
        }
        let value = Template::parse(value.trim(), environment).map_err(|error| format!("{name}: {error}"))?;
        if value.names_github_token() && !self.is_private() {
            return Err(format!("{name}: ${{github.token}} goes to an https or a loopback URL only"));
        }
        Ok((name, value))
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split('?').next().unwrap_or_default())
    }
}

/// An upstream, shared by all its sessions.
pub(super) struct Upstream {
    pub(super) server: Arc<str>,
    pub(super) url: UpstreamUrl,
    headers: Vec<Header>,
    trust: Trust,
    /// Keeps the parsed roots, for every agent.
    tls: Arc<RustlsConnector>,
    /// Limits the log lines about its failures, of which it can cause any number.
    pub(super) log_limit: Throttle,
}

impl Upstream {
    pub(super) fn new(server: Arc<str>, url: UpstreamUrl, headers: Vec<Header>, trust: Trust) -> Upstream {
        let log_limit = Throttle::new(limits::FAILURES_PER_SECOND);
        Upstream { server, url, headers, trust, tls: Arc::default(), log_limit }
    }

    /// An agent for one exchange: shutting it down interrupts that exchange.
    pub(super) fn agent(&self, timeout: Duration) -> Agent {
        let config = self
            .trust
            .agent_config(timeout)
            .timeout_resolve(Some(limits::bridge::CONNECT))
            .timeout_connect(Some(limits::bridge::CONNECT))
            .build();
        let connector = TcpConnector::default().chain(SharedTls(Arc::clone(&self.tls)));
        Agent::with_parts(config, connector, DefaultResolver::default())
    }

    /// Adds the operator's headers, filled in for `person`.
    pub(super) fn add_headers<B>(
        &self,
        mut request: RequestBuilder<B>,
        person: &Principal,
    ) -> Result<RequestBuilder<B>, UpstreamError> {
        let open_token = || person.upstream.token();
        for (name, value) in &self.headers {
            let value = value.fill(person, &open_token);
            let value = value.map_err(|why| UpstreamError::Unusable(why.into()))?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| NO_HEADER)?;
            value.set_sensitive(true);
            request = request.header(name.clone(), value);
        }
        Ok(request)
    }
}

/// TLS over one set of parsed roots.
#[derive(Debug)]
struct SharedTls(Arc<RustlsConnector>);

impl<In: Transport> Connector<In> for SharedTls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        self.0.connect(details, chained)
    }
}

#[cfg(test)]
mod tests;
