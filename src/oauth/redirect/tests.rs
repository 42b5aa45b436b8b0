//! Which redirect URIs may be registered, and which are admitted.

use super::*;

fn parse(text: &str) -> Result<RedirectUri, &'static str> {
    RedirectUri::parse(text, Registrant::Anybody(&RedirectSchemes::default()))
}

/// O5: what may be registered.
#[test]
fn web_loopback_and_app_redirects_are_accepted() {
    let check = |text: &str, target, place: &str| {
        let uri = parse(text).unwrap();
        assert_eq!((uri.target(), uri.place().as_str()), (target, place), "{text}");
    };
    check("https://claude.ai/api/mcp/auth_callback", Target::Web, "https://claude.ai");
    check("https://a.example:8443/cb?k=v", Target::Web, "https://a.example:8443");
    check("http://127.0.0.1:33418", Target::Loopback, "http://127.0.0.1:33418");
    check("http://127.9.9.9/", Target::Loopback, "http://127.9.9.9");
    check("http://localhost/callback", Target::Loopback, "http://localhost");
    check("http://[::1]:1/cb", Target::Loopback, "http://[::1]:1");
    check("com.example.app:/oauth", Target::PrivateScheme, "com.example.app:");
    check(
        "cursor://anysphere.cursor-retrieval/cb",
        Target::PrivateScheme,
        "cursor://anysphere.cursor-retrieval",
    );
}

/// O5: what may not.
#[test]
fn everything_else_is_refused() {
    let check = |text: &str, error| assert_eq!(parse(text), Err(error), "{text}");
    check("", BAD_SCHEME);
    check("/callback", BAD_SCHEME);
    for scheme in [
        "javascript",
        "data",
        "file",
        "vbscript",
        "blob",
        "about",
        "ws",
        "wss",
        "ftp",
        "view-source",
        "intent",
    ] {
        check(&format!("{scheme}://a.example/"), BAD_SCHEME);
    }
    check("JavaScript:alert(1)", BAD_SCHEME);
    check("HTTPS://a.example/", BAD_SCHEME);
    check("http://a.example/", PLAIN_HTTP);
    check("http://127.0.0.1.a.example/", PLAIN_HTTP);
    check("http://0x7f.1/", PLAIN_HTTP);
    check("http:127.0.0.1/", PLAIN_HTTP);
    check("http://user@127.0.0.1/", PLAIN_HTTP);
    check("myapp://cb", UNKNOWN_SCHEME);
    check("https:a.example", BAD_AUTHORITY);
    check("https:///cb", BAD_AUTHORITY);
    check("https://a.example@b.example/", BAD_AUTHORITY);
    check("https://user:word@a.example/", BAD_AUTHORITY);
    check("https://a.example:99999/", BAD_AUTHORITY);
    check("https://a.example:/", BAD_AUTHORITY);
    check("https://a.example/#", FRAGMENT);
    check("https://a.example\\@b.example/", BAD_CHARACTER);
    check("https://a.example/ b", BAD_CHARACTER);
    check("https://a.example/\r\n", BAD_CHARACTER);
    check("https://a.example/\u{7f}", BAD_CHARACTER);
    check("https://a.example/\0", BAD_CHARACTER);
    check("https://ä.example/", BAD_CHARACTER);
    check("https://*.a.example/", BAD_CHARACTER);
    check("https://a.example/%zz?x=%zz", BAD_CHARACTER);
    check("https://a.example/a/../b", DOT_SEGMENT);
    check("https://a.example/a/%2E%2e/b", DOT_SEGMENT);
    check("https://a.example/.", DOT_SEGMENT);
    for name in ["code", "state", "iss", "error", "%63ode"] {
        check(&format!("https://a.example/?{name}=1"), ANSWER_PARAMETER);
    }
    check(&format!("https://a.example/{}", "a".repeat(limits::URI_BYTES)), TOO_LONG);
    let longest = format!("https://a.example/{}", "a".repeat(limits::URI_BYTES - 18));
    assert!(parse(&longest).is_ok());
}

/// O3: byte for byte, but for the port of a loopback redirect.
#[test]
fn only_the_loopback_port_may_differ() {
    let check = |registered, requested, expected| {
        let registered = parse(registered).unwrap();
        assert_eq!(registered.admits(&parse(requested).unwrap()), expected, "{requested}");
    };
    check("https://a.example/cb", "https://a.example/cb", true);
    check("https://a.example/cb", "https://a.example/cb/", false);
    check("https://a.example/cb", "https://a.example/CB", false);
    check("https://a.example/cb", "https://a.example:443/cb", false);
    check("https://a.example/cb", "https://a.example/cb?x=1", false);
    check("https://a.example/cb", "https://b.example/cb", false);
    check("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb", true);
    check("http://127.0.0.1:1/cb?x=1", "http://127.0.0.1:5000/cb?x=1", true);
    check("http://[::1]:1/cb", "http://[::1]:2/cb", true);
    check("http://127.0.0.1/cb", "http://localhost:5000/cb", false);
    check("http://127.0.0.1/cb", "http://127.0.0.2/cb", false);
    check("http://localhost/cb", "http://localhost:5000/other", false);
    check("http://localhost/cb", "http://localhost:5000/cb?x=1", false);
    check("http://localhost/cb", "https://localhost/cb", false);
    check("cursor://a:1/cb", "cursor://a:2/cb", false);
}

/// O5: what the operator may write down besides, and that the port of another machine is not its client's to choose.
#[test]
fn the_operators_clients_may_be_in_the_local_network() {
    let check = |text: &str, expected: Result<Target, &'static str>| {
        let found = RedirectUri::parse(text, Registrant::Operator).map(|uri| uri.target());
        assert_eq!(found, expected, "{text}");
        if matches!(expected, Ok(Target::Web)) && text.starts_with("http:") {
            assert_eq!(parse(text), Err(PLAIN_HTTP), "{text}");
        }
    };
    for host in
        ["192.168.1.20:5678", "10.0.0.1", "172.31.0.1", "[fd00::1]:80", "nas", "Nas.LOCAL", "n8n.lan:1"]
    {
        check(&format!("http://{host}/cb"), Ok(Target::Web));
    }
    for host in ["a.internal", "a.home", "b.home.arpa", "a.localdomain"] {
        check(&format!("http://{host}/cb"), Ok(Target::Web));
    }
    for host in
        ["8.8.8.8", "172.32.0.1", "169.254.169.254", "134744072", "0x8080808", "a.example", "[2001:db8::1]"]
    {
        check(&format!("http://{host}/cb"), Err(PLAIN_HTTP));
    }
    check("http://localhost/cb", Ok(Target::Loopback));
    check("http://lan.a.example/cb", Err(PLAIN_HTTP));
    check("http://user@nas/cb", Err(BAD_AUTHORITY));
    check("http://nas/../cb", Err(DOT_SEGMENT));
    check("myapp://cb", Ok(Target::PrivateScheme));
    check("javascript://nas/", Err(BAD_SCHEME));
    let parse = |text| RedirectUri::parse(text, Registrant::Operator).unwrap();
    assert!(!parse("http://nas:1/cb").admits(&parse("http://nas:2/cb")));
}

#[test]
fn a_scheme_that_the_operator_adds_is_admitted() {
    let added = RedirectSchemes::parse("myapp").unwrap();
    assert!(RedirectUri::parse("myapp://cb", Registrant::Anybody(&added)).is_ok());
    let refused = parse("myapp://cb").unwrap_err().to_string();
    assert!(refused.contains("MCP_REDIRECT_SCHEMES"), "{refused}");
}
