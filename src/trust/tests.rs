use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use rustls::pki_types::{PrivateKeyDer, TrustAnchor};
use rustls::{ALL_VERSIONS, ServerConfig, ServerConnection, StreamOwned};

use super::*;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures/tls", name].iter().collect()
}

/// A web server for one connection, with the certificate for localhost of fixtures/tls.
fn serve(answer: fn(&mut StreamOwned<ServerConnection, TcpStream>)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = CertificateDer::from_pem_file(fixture("ecdsa.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("ecdsa.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    // Ends after the connection.
    thread::spawn(move || {
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        answer(&mut StreamOwned::new(session, listener.accept().unwrap().0));
    });
    port
}

fn greet(stream: &mut StreamOwned<ServerConnection, TcpStream>) {
    let mut bytes = [0; 4096];
    let _ = stream.read(&mut bytes); // a client that does not trust us closes the connection
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let _ = stream.flush();
    let _ = stream.read(&mut bytes);
}

fn get(trust: &Trust, port: u16, timeout: std::time::Duration) -> Result<String, String> {
    let agent = trust.agent_config(timeout).https_only(true).build().new_agent();
    let answer = agent.get(format!("https://localhost:{port}/")).call();
    answer.and_then(|response| response.into_body().read_to_string()).map_err(|error| describe(&error))
}

/// G7: a server without a trusted root is refused; the operator can add roots, and Mozilla's stay.
#[test]
fn the_operators_roots_are_trusted_besides_the_built_in_ones() {
    let minute = std::time::Duration::from_secs(60);
    let with_file = Trust::load(Some(&fixture("ecdsa.pem"))).unwrap();
    assert_eq!(get(&with_file, serve(greet), minute).as_deref(), Ok("hello"));
    for trust in [Trust::load(None).unwrap(), Trust::load(Some(&fixture("rsa.pem"))).unwrap()] {
        let refused = get(&trust, serve(greet), minute).unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
    }
    let refused = get(&Trust::load(None).unwrap(), serve(greet), minute).unwrap_err();
    assert_eq!(refused, "its certificate's issuer is unknown: MCP_CA_FILE can name it");
}

/// G7: a root that Mozilla trusts for some domains only would be trusted for all, so it is left out; every other one is used.
#[test]
fn the_roots_are_those_that_mozilla_trusts_for_every_domain() {
    let anchor = |der: &[u8]| {
        let mut store = RootCertStore::empty();
        store.add(CertificateDer::from(der)).unwrap();
        store.roots.remove(0)
    };
    let is_limited = |root: &TrustAnchor<'_>| {
        let key = &root.subject_public_key_info;
        let mut same =
            webpki_roots::TLS_SERVER_ROOTS.iter().filter(|known| known.subject_public_key_info == *key);
        same.any(|known| known.name_constraints.is_some())
    };
    let mozilla: Vec<_> = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| anchor(root)).collect();
    let expected: Vec<_> = mozilla.iter().filter(|root| !is_limited(root)).cloned().collect();
    assert!(expected.len() < mozilla.len());
    let ours: Vec<_> = Trust::load(None).unwrap().0.iter().map(|root| anchor(root.der())).collect();
    assert_eq!(ours, expected);
}

/// G7, I3: a server that does not finish its handshake is given up in time.
#[test]
fn a_hanging_tls_handshake_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = get(&Trust::load(None).unwrap(), port, std::time::Duration::from_millis(200)).unwrap_err();
    assert_eq!(refused, "it did not answer in time");
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = std::env::temp_dir().join(format!("trust-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let check = |name: &str, bytes: Option<&[u8]>, expected: &str| {
        let path = folder.join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let error = Trust::load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
    };
    let good = std::fs::read(fixture("ecdsa.pem")).unwrap();
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check("missing.pem", None, "No such file");
    check("empty.pem", Some(b""), "whole PEM certificates");
    check("key.pem", Some(&std::fs::read(fixture("ecdsa.key")).unwrap()), "whole PEM certificates");
    check("half.pem", Some(&[&good[..], broken].concat()), "whole PEM certificates");
    let mut long = good;
    long.resize(limits::FILE_BYTES, b'\n');
    std::fs::write(folder.join("full.pem"), &long).unwrap();
    assert!(Trust::load(Some(&folder.join("full.pem"))).is_ok());
    long.push(b'\n');
    check("long.pem", Some(&long), "larger than");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A certificate is verified as clients do it: its issuer, its names and its dates.
#[test]
fn a_certificate_is_verified_as_by_a_client() {
    let check = |trust: &Trust, name: &str, host: &str| {
        trust.verify(&[CertificateDer::from_pem_file(fixture(name)).unwrap()], host).err().unwrap_or_default()
    };
    let (usual, own) = (Trust::load(None).unwrap(), Trust::load(Some(&fixture("issuer.pem"))).unwrap());
    assert_eq!(check(&own, "issued.pem", "mcp.example.com"), "");
    assert!(check(&usual, "issued.pem", "mcp.example.com").contains("UnknownIssuer"));
    assert!(check(&own, "issued.pem", "other.example.com").contains("not valid for name"));
    assert!(check(&own, "expired.pem", "mcp.example.com").contains("expired"));
    assert!(own.verify(&[], "mcp.example.com").is_err());
    assert_eq!(check(&own, "issuer.pem", "mcp.example.com"), "", "its own issuer, which the operator names");
}

/// The text of a failure that the bridge passes on is cut after some hundred characters.
#[test]
fn a_failed_call_is_told_in_few_words() {
    let error = |text: &str| ureq::Error::Io(std::io::Error::other(text.to_owned()));
    let check = |text: &str, expected: &str| assert_eq!(describe(&error(text)), expected);
    let authority = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))";
    check(authority, "its certificate is for a CA: make one with CA:FALSE");
    let dates =
        "invalid peer certificate: certificate expired: verification time 7 (UNIX), but certificate is not";
    check(dates, "its certificate has expired or is not valid yet, or the clock here is wrong");
    let plain = "io: received corrupt message of type InvalidContentType";
    check(plain, "it does not speak TLS: its URL may begin with http://");
    check("Connection refused", "Connection refused");
}
