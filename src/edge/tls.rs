//! TLS at the edge, by rustls: the certificate and its renewal. Versions, ciphers and groups are the defaults of rustls; there
//! is no option that weakens them.
//!
//! A certificate is replaced while the server runs: open connections keep theirs, new ones get the new one. An unusable pair
//! of files changes nothing.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

use super::stream::TimedStream;
use crate::base::log::{self, Field};
use crate::base::{Mutex, StartupError, capped};

/// The options that name the two files.
const CERT: &str = "MCP_TLS_CERT";
const KEY: &str = "MCP_TLS_KEY";

/// The server's side of an encrypted connection.
pub(crate) type TlsConnection = ServerConnection;
/// A connection and the stream below it, for one read or write.
pub(crate) type TlsStream<'a> = rustls::Stream<'a, TlsConnection, TimedStream>;

/// The TLS settings of an edge.
#[derive(Debug)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    /// Guards the stamps of the two files: as loaded, and as of the last check.
    stamps: Mutex<([Stamp; 2], [Stamp; 2])>,
}

/// The certificate for new connections.
#[derive(Debug)]
struct Current(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock()))
    }
}

/// Modification time, length and inode of a file, to detect its replacement; `None` if it cannot be found.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Tls {
    /// Reads a certificate chain and its private key, both PEM.
    pub fn load(cert: &Path, key: &Path) -> Result<Tls, StartupError> {
        let provider = Arc::new(ring::default_provider());
        let settings = |error| StartupError::new(format!("TLS cannot be set up: {error}"));
        let stamps = [stamp(cert), stamp(key)];
        let current = Arc::new(Current(Mutex::new(Arc::new(load_pair(cert, key, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(settings)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Sessions are resumed by tickets, sealed under a rotating key and kept by clients: nothing is stored for strangers.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(settings)?;
        let stamps = Mutex::new((stamps, stamps));
        Ok(Tls { cert: cert.to_owned(), key: key.to_owned(), config: Arc::new(config), current, stamps })
    }

    /// Rereads the files, and logs the result. Unusable files change nothing.
    pub fn reload(&self) {
        let stamps = [stamp(&self.cert), stamp(&self.key)];
        *self.stamps.lock() = (stamps, stamps);
        let path = self.cert.display().to_string();
        match load_pair(&self.cert, &self.key, self.config.crypto_provider()) {
            Ok(pair) => {
                *self.current.0.lock() = Arc::new(pair);
                log::info("tls.reloaded", &[Field::Path(&path)]);
            }
            Err(error) => {
                let hint = "the certificate from before stays in use";
                log::error("tls.not_reloaded", &[Field::Error(&error.to_string()), Field::Hint(hint)]);
            }
        }
    }

    /// Rereads the files if they have changed since they were loaded, and not since the last check: a certificate and its key
    /// are rarely replaced at the same moment.
    pub fn reload_if_changed(&self) {
        let now = [stamp(&self.cert), stamp(&self.key)];
        let mut stamps = self.stamps.lock();
        let (loaded, last) = &mut *stamps;
        let settled = now != *loaded && now == *last;
        *last = now;
        drop(stamps);
        if settled {
            self.reload();
        }
    }

    /// The certificate for new connections, with its chain.
    pub fn certificate(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.0.lock())
    }

    /// The server's side of a connection, before the handshake.
    pub(crate) fn connection(&self) -> io::Result<TlsConnection> {
        ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
}

fn missing(option: &str, path: &Path, what: &str) -> StartupError {
    StartupError::in_file(option, path, format!("there is no {what} in it"))
}

fn load_pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, StartupError> {
    // One unreadable certificate is an error: clients could not verify a chain with a gap.
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(CERT, cert)?)
        .collect::<Result<_, _>>()
        .map_err(|_| missing(CERT, cert, "whole chain of certificates in PEM form"))?;
    if chain.is_empty() {
        return Err(missing(CERT, cert, "certificate in PEM form"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(KEY, key)?)
        .map_err(|_| missing(KEY, key, "unencrypted private key in PEM form"))?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| {
        let key = key.display();
        StartupError::in_file(CERT, cert, format!("it and {KEY} ({key}) cannot be used together: {error}"))
    })
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, StartupError> {
    capped::read(path).map_err(|error| StartupError::in_file(option, path, error))
}
