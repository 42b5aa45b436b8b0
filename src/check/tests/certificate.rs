//! The certificate, as clients see it.

use super::check_words;

/// A certificate that clients would refuse is a warning: an own issuer may be known to them.
#[test]
fn a_certificate_that_clients_refuse_is_reported() {
    let fixture = |name: &str| format!("{}/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key, issuer) = (fixture("issued.pem"), fixture("issued.key"), fixture("issuer.pem"));
    let check = |url: &str, issuer: &str| {
        let tls = [("MCP_TLS_CERT", cert.as_str()), ("MCP_TLS_KEY", &key), ("MCP_CA_FILE", issuer)];
        check_words(&[&tls[..], &[("MCP_PUBLIC_URL", url)]].concat(), true, &[])
    };
    let refused = "warning: clients refuse the certificate in MCP_TLS_CERT for ";
    assert!(check("https://mcp.example.com", &fixture("rsa.pem")).contains(refused));
    let text = check("https://a.example:8443", &issuer);
    assert!(text.contains(&format!("{refused}a.example: ")), "{text}");
    assert!(!check("https://mcp.example.com:8443", &issuer).contains("refuse"));
}
