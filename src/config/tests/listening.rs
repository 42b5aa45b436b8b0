//! Where the server listens, and what must hold of each of these places.

use super::*;

const URL: (&str, &str) = ("MCP_PUBLIC_URL", "https://mcp.example.com");

#[test]
fn there_can_be_several_places_to_listen() {
    let check = |args: &[&str], env: &[(&str, &str)], expected: &[Listen]| {
        assert_eq!(config(args, env).listen, expected, "{args:?}");
    };
    let (one, other) = (tcp("127.0.0.1:1"), tcp("[::1]:2"));
    check(&["--listen", "127.0.0.1:1", "--listen=[::1]:2"], &[], &[one.clone(), other.clone()]);
    check(&[], &[("MCP_LISTEN", "127.0.0.1:1, [::1]:2")], &[one.clone(), other]);
    check(
        &["--listen", "unix:/run/a.sock,systemd"],
        &[URL],
        &[Listen::Unix("/run/a.sock".into()), Listen::Systemd],
    );
    check(&["--listen", "127.0.0.1:1"], &[("MCP_LISTEN", "systemd")], &[one]);
    for bad in ["", "unix:run/a.sock", "unix:", "localhost:1", "127.0.0.1:1,", "systemd:3"] {
        refused(
            &[&format!("--listen=127.0.0.1:9,{bad}")],
            &[URL],
            "--listen: write an IP address and a port",
        );
    }
    refused(&["--listen", "systemd", "--listen", "systemd"], &[URL], "--listen: name each once");
}

/// A2: one place that others reach is enough for a public URL to be needed; so is one of which nobody knows.
#[test]
fn one_listener_beyond_loopback_requires_a_public_url() {
    for elsewhere in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "unix:/run/a.sock", "systemd"] {
        let listen = format!("127.0.0.1:1,{elsewhere}");
        refused(&["--listen", &listen], &[], "MCP_PUBLIC_URL is not set");
        refused(&["--listen", &listen], &[("MCP_PUBLIC_URL", "http://a.example")], "http is for loopback");
        config(&["--listen", &listen], &[URL]);
        refused(&["demo", "--listen", &listen], &[], "anyone can log in as anyone");
    }
    config(&["--listen", "127.0.0.1:1,[::1]:2"], &[]);
}

#[test]
fn a_certificate_needs_a_tcp_listener() {
    let tls = [URL, ("MCP_TLS_CERT", "/tls/cert.pem"), ("MCP_TLS_KEY", "/tls/key.pem")];
    refused(&["--listen", "unix:/run/a.sock"], &tls, "if all listeners are Unix sockets");
    config(&["--listen", "unix:/run/a.sock,[::]:443"], &tls);
    config(&["--listen", "systemd"], &tls);
}

#[test]
fn sockets_passed_by_systemd_must_be_named_in_listen() {
    let passed = [URL, ("LISTEN_FDS", "2")];
    assert_eq!(config(&["--listen", "systemd"], &passed).passed_sockets, 2);
    assert_eq!(config(&[], &[("LISTEN_FDS", "nonsense")]).passed_sockets, 0);
    refused(&[], &passed, "MCP_LISTEN: systemd listens for this program");
    refused(&["--behind-proxy", "unix:/run/a.sock"], &passed, "MCP_LISTEN: systemd listens for this program");
}
