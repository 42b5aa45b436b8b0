//! TLS at the edge, by rustls: the certificate and its renewal, and one session a connection. Which versions, ciphers and
//! groups are spoken is what rustls thinks right today; there is no option that weakens it.
//!
//! A certificate is replaced while the server runs: connections that are open keep theirs, new ones get the new one. A
//! pair of files that cannot be used changes nothing.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};

use super::socket::Stream;
use crate::base::capped;
use crate::base::lock::Mutex;
use crate::base::log::{self, Field};
use crate::base::startup_error::StartupError;

/// What makes an edge speak TLS.
#[derive(Debug)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    /// Guards what the files looked like.
    looks: Mutex<Looks>,
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock()))
    }
}

/// What two files look like from outside: when they changed, how long they are, where they are on the disk.
type Look = [Option<(i64, i64, u64, u64)>; 2];

#[derive(Debug)]
struct Looks {
    /// When they were read.
    read: Look,
    /// At the last look.
    last: Look,
}

impl Tls {
    /// Reads a certificate chain and its private key, both PEM.
    pub fn load(cert: &Path, key: &Path) -> Result<Tls, StartupError> {
        let provider = Arc::new(ring::default_provider());
        let settings = |error| StartupError::new(format!("TLS cannot be set up: {error}"));
        let look = [look(cert), look(key)];
        let current = Arc::new(Current(Mutex::new(Arc::new(pair(cert, key, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(settings)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // What resumes a session travels with the client, sealed under a key that changes: nothing is kept for strangers.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(settings)?;
        let looks = Mutex::new(Looks { read: look, last: look });
        Ok(Tls { cert: cert.to_owned(), key: key.to_owned(), config: Arc::new(config), current, looks })
    }

    /// Reads the files again, and logs what came of it. What cannot be used is not.
    pub fn reload(&self) {
        let look = [look(&self.cert), look(&self.key)];
        *self.looks.lock() = Looks { read: look, last: look };
        let path = self.cert.display().to_string();
        match pair(&self.cert, &self.key, self.config.crypto_provider()) {
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

    /// Reads the files again if they have changed and stayed as they are for two looks: a certificate and its key are
    /// rarely replaced in one moment.
    pub fn reload_if_changed(&self) {
        let now = [look(&self.cert), look(&self.key)];
        let mut looks = self.looks.lock();
        let settled = now != looks.read && now == looks.last;
        looks.last = now;
        drop(looks);
        if settled {
            self.reload();
        }
    }

    /// Whether every user of this machine can read the key.
    pub fn key_is_exposed(&self) -> bool {
        std::fs::metadata(&self.key).is_ok_and(|found| found.mode() & 0o004 != 0)
    }

    /// A session with a client of which nothing is known yet.
    pub(crate) fn session(&self) -> Result<Session, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config)).map(|connection| Session(Box::new(connection)))
    }
}

fn look(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
}

fn missing(path: &Path, what: &str) -> StartupError {
    StartupError::unusable(path.display(), format!("there is no {what} in it"))
}

fn pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, StartupError> {
    // All of it or none: a chain without its middle is served to clients that cannot check it.
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|_| missing(cert, "whole chain of certificates in PEM form"))?;
    if chain.is_empty() {
        return Err(missing(cert, "certificate in PEM form"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| missing(key, "private key in PEM form, without a passphrase"))?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| {
        StartupError::unusable(cert.display(), format!("it and its key cannot be used together: {error}"))
    })
}

fn read(path: &Path) -> Result<Vec<u8>, StartupError> {
    capped::read(path).map_err(|error| StartupError::unusable(path.display(), error))
}

/// One client's session. It reads and writes the socket that it is handed, at most once a call: whoever calls again looks
/// at its own deadline in between.
pub(crate) struct Session(Box<ServerConnection>);

impl Session {
    /// Whether application data cannot flow yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Reads once and answers what has to be answered. `false` if the client has closed the connection.
    pub(crate) fn advance(&mut self, mut stream: &Stream) -> io::Result<bool> {
        if self.0.read_tls(&mut stream)? == 0 {
            return Ok(false);
        }
        let processed = self.0.process_new_packets();
        // Also an alert that says what is wrong.
        self.flush(stream)?;
        processed.map(|_| true).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Application data into `buffer`; [`ErrorKind::Interrupted`] if what arrived was none.
    pub(crate) fn read(&mut self, stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read,
        }
        if !self.advance(stream)? {
            return Ok(0);
        }
        match self.0.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::Interrupted.into()),
            read => read,
        }
    }

    /// Encrypts as much of `parts` as the session holds at once, and gives how much that was.
    pub(crate) fn encrypt(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.writer().write_vectored(parts)
    }

    /// Whether something is encrypted and not yet sent.
    pub(crate) fn holds_output(&self) -> bool {
        self.0.wants_write()
    }

    /// Writes once.
    pub(crate) fn send(&mut self, mut stream: &Stream) -> io::Result<()> {
        match self.0.write_tls(&mut stream)? {
            0 => Err(ErrorKind::WriteZero.into()),
            _ => Ok(()),
        }
    }

    /// Tells the client that nothing more will come. One that did not even take what was said before is not waited for.
    pub(crate) fn close(&mut self, stream: &Stream) {
        if !self.holds_output() {
            self.0.send_close_notify();
            let _ = self.flush(stream); // a client that has gone needs no goodbye
        }
    }

    fn flush(&mut self, stream: &Stream) -> io::Result<()> {
        while self.holds_output() {
            self.send(stream)?;
        }
        Ok(())
    }
}
