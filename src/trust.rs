//! Root certificates and HTTP settings of all outgoing calls (`github`, `documents`, `bridge`). The roots are Mozilla's, which are
//! compiled in, and those of the operator.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use crate::base::{StartupError, capped, clock, limits};

/// The User-Agent. GitHub refuses requests without one.
const USER_AGENT: &str = concat!("mcp-oauth-server/", env!("CARGO_PKG_VERSION"));

/// Roots that Mozilla trusts for some domains only: length of the certificate, and name. The certificates do not contain that limit
/// and ureq has no option for it, so these roots are not used at all: GitHub has no certificate from them.
const LIMITED_ROOTS: [(usize, &[u8]); 1] = [(1127, b"TUBITAK Kamu SM SSL Kok Sertifikasi")];

/// The trusted roots.
#[derive(Clone, Debug)]
pub struct Trust(Arc<Vec<Certificate<'static>>>);

impl Trust {
    /// Mozilla's roots without [`LIMITED_ROOTS`], and the certificates in `file` (PEM) if there is one.
    pub fn load(file: Option<&Path>) -> Result<Trust, StartupError> {
        let is_limited = |root: &CertificateDer<'_>| {
            // The length first: parsing every certificate at the start would load all of them, 127 KB.
            LIMITED_ROOTS.iter().any(|(length, name)| {
                root.len() == *length && root.windows(name.len()).any(|part| part == *name)
            })
        };
        let mozilla = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter(|root| !is_limited(root));
        let mut roots: Vec<Certificate<'static>> = mozilla.map(|root| Certificate::from_der(root)).collect();
        if let Some(path) = file {
            let not_pem = || StartupError::in_file("MCP_CA_FILE", path, "it needs whole PEM certificates");
            let pem = capped::read(path).map_err(|e| StartupError::in_file("MCP_CA_FILE", path, e))?;
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|_| not_pem())?;
                // ureq would skip a certificate that it cannot parse, and the first sign of that would be a failing call.
                RootCertStore::empty().add(certificate.clone()).map_err(|_| not_pem())?;
                roots.push(Certificate::from_der(&certificate).to_owned());
            }
            if roots.len() == before {
                return Err(not_pem());
            }
        }
        Ok(Trust(Arc::new(roots)))
    }

    /// Checks the certificate chain of a server as a client with these roots does: issuer, names and dates.
    ///
    /// # Errors
    /// Why the client refuses it.
    pub fn verify(&self, chain: &[CertificateDer<'_>], host: &str) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().map(|root| CertificateDer::from(root.der())));
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let (certificate, others) = chain.split_first().ok_or("it is empty")?;
        if self.0.iter().any(|root| root.der() == &**certificate) {
            return Ok(()); // its own issuer, which other clients take; rustls insists on two certificates
        }
        let now = UnixTime::since_unix_epoch(Duration::from_secs(clock::now().0));
        let verified = verifier.verify_server_cert(certificate, others, &name, &[], now);
        verified.map(drop).map_err(|error| error.to_string())
    }

    /// Settings of every outgoing HTTP client. Every default of ureq that matters is replaced: it would follow redirects, wait for
    /// ever, turn a status into an error, and take a proxy from the environment, which would then resolve names itself, past any
    /// check of addresses. Its limit for the head of an answer (64 KiB) is kept. Its gzip is not compiled in, so a body is read as it
    /// was sent. No connection is kept: one that was cut while idle fails at its next request, when nobody can tell whether that was
    /// read.
    ///
    /// A name that takes too long to resolve leaves a thread of ureq behind until the system gives up on it (`options timeout` and
    /// `attempts` of resolv.conf), which can be later than the call does. The number of such threads is bounded by that time, divided by
    /// the call's, for each of the concurrent calls, which are bounded.
    pub(crate) fn agent_config(&self, timeout: Duration) -> ConfigBuilder<AgentScope> {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::clone(&self.0)))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
        Agent::config_builder()
            .tls_config(tls.build())
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .max_idle_connections(0)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
    }
}

/// Errors of ureq and rustls by a word in them, and their texts here.
const ERRORS: [(&str, &str); 5] = [
    ("timeout: ", "it did not answer in time"),
    ("UnknownIssuer", "its certificate's issuer is unknown: MCP_CA_FILE can name it"),
    ("CaUsedAsEndEntity", "its certificate is for a CA: make one with CA:FALSE"),
    ("verification time", "its certificate has expired or is not valid yet, or the clock here is wrong"),
    ("InvalidContentType", "it does not speak TLS: its URL may begin with http://"),
];

/// An error of a call as text, with advice where there is some, short enough to be kept in an error of MCP.
pub(crate) fn describe(error: &ureq::Error) -> String {
    let text = error.to_string();
    let known = ERRORS.iter().find(|(word, _)| text.contains(word));
    known.map_or_else(|| text.trim_start_matches("io: "), |(_, known)| known).to_owned()
}

/// Requests a URL and returns the status of the answer, or the reason for its absence. For probes of our own server.
pub fn status(url: &str) -> Result<u16, String> {
    let trust = Trust::load(None).map_err(|error| error.to_string())?;
    let agent = trust.agent_config(limits::HEALTH).build().new_agent();
    agent.get(url).call().map(|answer| answer.status().as_u16()).map_err(|error| describe(&error))
}

#[cfg(test)]
mod tests;
