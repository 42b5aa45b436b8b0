//! The roots of trust of calls to the outside: Mozilla's, which are compiled in, and those that the operator adds. `github` and
//! `documents` connect through this file alone.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector, Transport,
    TransportAdapter,
};

use crate::base::startup_error::StartupError;
use crate::base::{capped, limits};

/// GitHub refuses requests without one.
const USER_AGENT: &str = concat!("mcp-oauth-server/", env!("CARGO_PKG_VERSION"));

/// The trusted roots, ready for connections.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Mozilla's roots, and the certificates in `file` (PEM) if there is one.
    pub fn load(file: Option<&Path>) -> Result<Trust, StartupError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = file {
            let failed = |why: &dyn fmt::Display| StartupError::unusable(path.display(), why);
            let nothing = || failed(&"it must hold certificates in PEM form, and each must be whole");
            let pem = capped::read(path, limits::CA_FILE_BYTES).map_err(|error| failed(&error))?;
            let before = roots.len();
            // All or none: of a certificate that was left out nobody would hear before a call fails.
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|_| nothing())?).map_err(|_| nothing())?;
            }
            if roots.len() == before {
                return Err(nothing());
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(ALL_VERSIONS)
            .map_err(|error| StartupError::new(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Trust(Arc::new(config)))
    }

    /// How ureq connects: over TCP, and over TLS for https.
    pub(crate) fn connector(&self) -> impl Connector<()> {
        TcpConnector::default().chain(TlsConnector(self.clone()))
    }
}

/// Settings of every outgoing HTTP client. Every default of ureq that matters is replaced: it would follow redirects, wait for
/// ever, turn a status into an error, and take a proxy from the environment, which would then resolve names itself, past any
/// check of addresses. Its gzip is not compiled in, so a body is what was sent. A name that takes too long to resolve leaves a
/// thread of ureq behind until the system gives up on it; what bounds the concurrent calls bounds those threads too. No
/// connection is kept: one that was cut while idle fails at its next request, when nobody can tell whether that was read.
pub(crate) fn agent_config(timeout: std::time::Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .max_idle_connections(0)
        .user_agent(USER_AGENT)
        .accept_encoding("identity")
}

/// Asks a URL, and gives the status of its answer: for a probe of our own server.
///
/// # Errors
/// There was no answer, and why.
pub fn status(url: &str) -> Result<u16, String> {
    let trust = Trust::load(None).map_err(|error| error.to_string())?;
    let agent = Agent::with_parts(
        agent_config(limits::HEALTH).build(),
        trust.connector(),
        DefaultResolver::default(),
    );
    agent.get(url).call().map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

/// ureq's own connector takes either Mozilla's roots or others; apart from the roots this one does the same.
#[derive(Debug)]
struct TlsConnector(Trust);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(Arc::clone(&self.0.0), name).map_err(io::Error::other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(left(details));
        session.complete_io(&mut socket)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(session, socket) })))
    }
}

/// What is left of the time for connecting, of which TCP has taken some.
fn left(details: &ConnectionDetails<'_>) -> NextTimeout {
    let after = match (details.timeout.after, details.now, (details.current_time)()) {
        (Duration::Exact(after), Instant::Exact(started), Instant::Exact(now)) => {
            Duration::Exact(after.saturating_sub(now.saturating_duration_since(started)))
        }
        (after, _, _) => after,
    };
    NextTimeout { after, ..details.timeout }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
