//! The edge inside TLS: the same answers, streams and endings, and the replacement of certificates.

use std::fs;
use std::path::PathBuf;

use crate::edge::Tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::*;

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

impl crate::http::desk::Line for Encrypted {
    fn set_patience(&self, patience: Duration) {
        self.sock.set_read_timeout(Some(patience)).unwrap();
    }
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures/tls", name].iter().collect()
}

fn tls() -> Option<Arc<Tls>> {
    Some(Arc::new(Tls::load(&fixture("ecdsa.pem"), &fixture("ecdsa.key")).unwrap()))
}

fn trusting(versions: &[&'static SupportedProtocolVersion], certificate: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(certificate)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    config.with_root_certificates(roots).with_no_client_auth()
}

impl TestDoor {
    fn encrypted(&self, config: ClientConfig) -> Client<Encrypted> {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::new(StreamOwned::new(connection, stream))
    }

    fn trusts(&self, certificate: &str) -> bool {
        let mut client = self.encrypted(trusting(&[&TLS13], certificate));
        client.line.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok() && client.answer().status == 200
    }
}

#[test]
fn both_versions_of_tls_carry_requests_and_large_answers() {
    for version in [&TLS12, &TLS13] {
        let door = door(Settings { tls: tls(), ..quick() });
        let mut config = trusting(&[version], "ecdsa.pem");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = door.encrypted(config);
        for round in 0..3 {
            let body = format!("round {round}").repeat(10_000);
            assert_eq!(client.post("/echo", &body).body, format!("POST /echo {body}"));
        }
        assert_eq!(client.line.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(client.line.conn.protocol_version(), Some(version.version));
        let answer = client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").answer();
        assert!(answer.closes());
        // A proper end: rustls reports one without close_notify as an error.
        assert_eq!(client.rest(), "");
    }
}

/// A returning client can resume its session, and the server has stored nothing of it.
#[test]
fn tls_sessions_are_resumed_by_tickets_without_server_state() {
    let door = door(Settings { tls: tls(), ..quick() });
    for version in [&TLS12, &TLS13] {
        let config = trusting(&[version], "ecdsa.pem");
        let kinds = [(); 2].map(|()| {
            let mut client = door.encrypted(config.clone());
            assert_eq!(client.get("/").status, 200);
            client.line.conn.handshake_kind().unwrap()
        });
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
    }
}

#[test]
fn a_client_of_another_protocol_is_turned_away_in_the_handshake() {
    let door = door(Settings { tls: tls(), ..quick() });
    let mut config = trusting(&[&TLS13], "ecdsa.pem");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let error = door.encrypted(config).line.write_all(b"PRI * HTTP/2.0\r\n").unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

/// A TLS port never answers in plain HTTP.
#[test]
fn a_plaintext_request_on_a_tls_port_gets_only_an_alert() {
    let door = door(Settings { tls: tls(), ..quick() });
    let mut client = door.client();
    let mut said = Vec::new();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").line.read_to_end(&mut said).unwrap();
    assert_eq!((said.len(), said.first()), (7, Some(&21)), "an alert and nothing else");
}

/// H3: a client that is slow in the handshake delays only itself, up to the deadline.
#[test]
fn a_slow_handshake_costs_nobody_else() {
    let door = door(Settings { tls: tls(), head_deadline: Duration::from_secs(3), ..quick() });
    let mut silent = door.client();
    let mut slow = door.client();
    slow.send([22, 3, 1, 0]);
    assert!(door.trusts("ecdsa.pem"));
    assert_eq!((silent.rest(), slow.rest()), (String::new(), String::new()));
}

/// H6: no answer is possible before the handshake, so one connection beyond the limit is closed.
#[test]
fn one_encrypted_connection_too_many_is_closed_without_a_word() {
    let door = door(Settings { tls: tls(), connections: 1, ..quick() });
    let mut first = door.encrypted(trusting(&[&TLS13], "ecdsa.pem"));
    first.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    let sender = door.stream();
    assert_eq!(door.client().rest(), "");
    assert_eq!(door.edge.state.refusals.counts(), [("busy", 1)]);
    sender.send(*b"data: 1\n\n").unwrap();
    assert_eq!(first.chunk(), "data: 1\n\n");
}

#[test]
fn streams_flow_inside_of_tls_and_end_with_their_readers() {
    let door = door(Settings { tls: tls(), stream_keep_alive: Duration::from_millis(100), ..quick() });
    for version in [&TLS12, &TLS13] {
        let mut client = door.encrypted(trusting(&[version], "ecdsa.pem"));
        client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
        let sender = door.stream();
        sender.send(*b"data: 1\n\n").unwrap();
        assert_eq!(client.chunk(), "data: 1\n\n");
        assert_eq!(client.chunk(), ": keep-alive\n\n");
        let large = vec![b'x'; limits::STREAM_BYTES / 2];
        sender.send(large.clone()).unwrap();
        assert!(client.event().as_bytes() == large);
        drop(client);
        assert!(sender.reader_gone().wait(PATIENCE));
    }
}

/// A reader that takes nothing loses its stream, encrypted or not.
#[test]
fn an_encrypted_stream_that_nobody_reads_is_given_up() {
    let door = door(Settings { tls: tls(), write_stall: Duration::from_millis(200), ..quick() });
    let mut client = door.encrypted(trusting(&[&TLS13], "ecdsa.pem"));
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    let sender = door.stream();
    let block = vec![b'x'; 256 * 1024];
    until(|| sender.send(block.clone()).is_err());
    assert!(sender.reader_gone().wait(PATIENCE));
}

#[test]
fn a_running_call_learns_that_its_encrypted_client_has_gone() {
    let door = door(Settings { tls: tls(), ..quick() });
    let mut client = door.encrypted(trusting(&[&TLS13], "ecdsa.pem"));
    client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n").line.flush().unwrap();
    let responder = door.later();
    drop(client);
    assert!(responder.client_gone().wait(PATIENCE));
}

/// H13: with close_notify inside TLS as well.
#[test]
fn stopping_closes_encrypted_connections() {
    let mut door = door(Settings { tls: tls(), ..quick() });
    let mut idle = door.encrypted(trusting(&[&TLS13], "ecdsa.pem"));
    assert_eq!(idle.get("/").status, 200);
    let mut unfinished = door.client();
    unfinished.send([22, 3, 1, 0]);
    door.edge.stop(PATIENCE);
    assert_eq!((idle.rest(), unfinished.rest()), (String::new(), String::new()));
}

/// Copies of a certificate and its key, which the test replaces.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let folder = std::env::temp_dir().join(format!("mcp-oauth-server-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = Files(folder);
        files.put("ecdsa");
        files
    }

    fn put(&self, kind: &str) {
        for end in ["key", "pem"] {
            fs::copy(fixture(&format!("{kind}.{end}")), self.0.join(end)).unwrap();
        }
    }

    fn load(&self) -> Result<Tls, crate::base::StartupError> {
        Tls::load(&self.0.join("pem"), &self.0.join("key"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let files = Files::new("renewed");
    let tls = Arc::new(files.load().unwrap());
    let door = door(Settings { tls: Some(Arc::clone(&tls)), ..quick() });
    let mut open = door.encrypted(trusting(&[&TLS13], "ecdsa.pem"));
    assert_eq!(open.get("/").status, 200);

    // Half of a renewal, and then invalid files.
    fs::copy(fixture("rsa.pem"), files.0.join("pem")).unwrap();
    (0..3).for_each(|_| tls.reload_if_changed());
    assert!(door.trusts("ecdsa.pem"));
    fs::write(files.0.join("pem"), "nonsense").unwrap();
    (0..3).for_each(|_| tls.reload_if_changed());
    assert!(door.trusts("ecdsa.pem"));

    files.put("rsa");
    tls.reload_if_changed();
    assert!(door.trusts("ecdsa.pem"), "files that change are not read at the first look");
    tls.reload_if_changed();
    assert!(door.trusts("rsa.pem"));
    assert_eq!(open.get("/").status, 200);

    files.put("ecdsa");
    tls.reload();
    assert!(door.trusts("ecdsa.pem"));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let check = |name: &str, prepare: &dyn Fn(&Files), file: &str, words: &str| {
        let option = if file == "key" { "MCP_TLS_KEY" } else { "MCP_TLS_CERT" };
        let files = Files::new(name);
        prepare(&files);
        let text = files.load().unwrap_err().to_string();
        let named = format!("{option} ({}): ", files.0.join(file).display());
        assert!(text.starts_with(&named) && text.contains(words), "{text}");
    };
    check("missing", &|files| fs::remove_file(files.0.join("key")).unwrap(), "key", "No such file");
    check("empty", &|files| fs::write(files.0.join("pem"), "").unwrap(), "pem", "no certificate");
    let copy = |files: &Files, name: &str| {
        fs::copy(fixture(name), files.0.join("key")).unwrap();
    };
    check("swapped", &|files| copy(files, "ecdsa.pem"), "key", "no unencrypted private key");
    check("other", &|files| copy(files, "rsa.key"), "pem", "together");
    let endless = |files: &Files| {
        fs::write(files.0.join("pem"), vec![b'x'; crate::base::limits::FILE_BYTES + 1]).unwrap()
    };
    check("endless", &endless, "pem", "larger");
}
