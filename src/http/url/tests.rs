use super::*;

#[test]
fn a_uri_is_split_at_its_delimiters() {
    let check = |text, scheme, authority, path, query| {
        assert_eq!(Uri::split(text), Uri { scheme, authority, path, query }, "{text}");
    };
    check("https://a.example:1/b/c?d?e", "https", Some("a.example:1"), "/b/c", Some("d?e"));
    check("https://a.example?b/c", "https", Some("a.example"), "", Some("b/c"));
    check("com.example.app:/cb?", "com.example.app", None, "/cb", Some(""));
    check("http:127.0.0.1/cb", "http", None, "127.0.0.1/cb", None);
    check("https:///cb", "https", Some(""), "/cb", None);
    check("/cb", "", None, "/cb", None);
    let has_dots = |text| Uri::split(text).has_dot_segment();
    assert!(["a:/../b", "a:b/.", "a://h/%2E%2e", "a:.%2e/b"].into_iter().all(has_dots));
    assert!(!["a:/...", "a:/b?c=/../", "a://../b", "a:/.b/c."].into_iter().any(has_dots));
}

/// O11: what a redirect URI brings stays, and nothing that is appended can end the line.
#[test]
fn parameters_are_appended_to_what_is_there() {
    let check =
        |uri, expected: &str| assert_eq!(append_query(uri, &[("code", "a b"), ("iss", "x:y")]), expected);
    check("https://a.example/cb", "https://a.example/cb?code=a%20b&iss=x%3Ay");
    check("https://a.example/cb?k=%41", "https://a.example/cb?k=%41&code=a%20b&iss=x%3Ay");
    check("https://a.example/cb?", "https://a.example/cb?code=a%20b&iss=x%3Ay");
    check("com.example.app:/cb", "com.example.app:/cb?code=a%20b&iss=x%3Ay");
}

#[test]
fn a_public_url_is_an_origin() {
    let check = |text, origin: &str| assert_eq!(PublicUrl::parse(text).unwrap().origin(), origin);
    check("https://mcp.example.com", "https://mcp.example.com");
    check("https://mcp.example.com/", "https://mcp.example.com");
    check("https://mcp.example.com:443", "https://mcp.example.com");
    check("https://mcp.example.com:8443", "https://mcp.example.com:8443");
    check("http://127.0.0.1:3001", "http://127.0.0.1:3001");
    check("http://[::1]:80", "http://[::1]");
}

/// Everything is below the path of the URL, but for well-known documents, which stand in front of it (RFC 8414 section 3.1).
#[test]
fn a_public_url_may_have_a_path() {
    let check = |text, path: &str| {
        let url = PublicUrl::parse(text).unwrap();
        assert_eq!((url.origin(), url.path()), ("https://mcp.example.com", path), "{text}");
        assert_eq!(url.join("/mcp"), format!("https://mcp.example.com{path}/mcp"));
        let document = format!("https://mcp.example.com/.well-known/x{path}/mcp");
        assert_eq!(url.well_known("x", "/mcp"), document);
        assert_eq!(url.below("files").to_string(), format!("https://mcp.example.com{path}/files"));
    };
    check("https://mcp.example.com", "");
    check("https://mcp.example.com/", "");
    check("https://mcp.example.com:443/Base-1/~x_y.z/", "/Base-1/~x_y.z");
}

/// A2: a public URL of http is refused unless it is loopback.
#[test]
fn anything_else_is_refused() {
    for bad in [
        "mcp.example.com",
        "http://mcp.example.com",
        "http://127.0.0.1.example.com",
        "https://",
        "https://a.example//",
        "https://a.example/a//",
        "https://a.example/a/../b",
        "https://a.example/.well-known",
        "https://a.example/%61",
        "https://a.example/a;b",
        "https://a.example/a?x",
        "https://user@a.example",
        "https://A.example",
        "https://a.example:0",
        "https://a.example:99999",
        "https://a.example:+1",
        "https://a.example?x",
        "ftp://a.example",
    ] {
        assert!(PublicUrl::parse(bad).is_err(), "{bad}");
    }
}

/// M2: only the configured host is served; loopback has several names.
#[test]
fn only_the_configured_host_and_origin_are_accepted() {
    let public = PublicUrl::parse("https://mcp.example.com").unwrap();
    assert!(public.accepts_host("MCP.example.com") && public.accepts_host("mcp.example.com:443"));
    assert!(!public.accepts_host("evil.example.com") && !public.accepts_host("mcp.example.com:444"));
    assert!(!public.accepts_host("127.0.0.1") && !public.accepts_host(""));
    assert!(public.accepts_origin("https://mcp.example.com"));
    assert!(!public.accepts_origin("http://mcp.example.com") && !public.accepts_origin("null"));

    let local = PublicUrl::parse("http://127.0.0.1:3001").unwrap();
    assert!(local.accepts_host("localhost:3001") && local.accepts_host("[::1]:3001"));
    assert!(!local.accepts_host("localhost:3002") && !local.accepts_host("evil.example.com:3001"));
    assert!(local.accepts_origin("http://localhost:3001") && !local.accepts_origin("http://localhost:6274"));
}
