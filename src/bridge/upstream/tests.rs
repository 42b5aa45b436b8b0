use super::*;

#[test]
fn urls_are_http_or_https_and_hold_no_credentials() {
    let check = |text: &str, expected: &str| {
        let error = UpstreamUrl::parse(text).err().unwrap_or_else(|| panic!("{text}"));
        assert!(error.contains(expected), "{text}: {error}");
    };
    for text in
        ["", "127.0.0.1:8000", "ftp://host/", "http://", "http:///mcp", "http://host/a b", "https://host/#x"]
    {
        check(text, "like http://127.0.0.1:8000/mcp");
    }
    check("https://me:pass@host/mcp", "into a header");
    check("https://host/${user.login}", "placeholders are for the values of headers");
    let url = UpstreamUrl::parse("https://host:8443/mcp?key=canary").unwrap();
    assert_eq!(
        (url.to_string().as_str(), url.as_str()),
        ("https://host:8443/mcp", "https://host:8443/mcp?key=canary")
    );
}

/// M5: the URLs that `${github.token}` may be sent to.
#[test]
fn a_private_url_is_encrypted_or_on_this_machine() {
    let check = |text: &str, expected: bool| {
        assert_eq!(UpstreamUrl::parse(text).unwrap().is_private(), expected, "{text}")
    };
    for text in ["https://host/mcp", "http://127.0.0.1:1/", "http://localhost/", "http://[::1]:80/mcp"] {
        check(text, true);
    }
    for text in
        ["http://host/mcp", "http://10.0.0.1/", "http://127.0.0.1.example/", "http://localhost.example/"]
    {
        check(text, false);
    }
}

#[test]
fn headers_that_cannot_be_used_are_said_in_words() {
    let check = |url: &str, (name, value): (&str, &str), expected: &str| {
        let url = UpstreamUrl::parse(url).unwrap();
        let error = url.header(name, value, &Variables::new()).err().unwrap();
        assert!(error.contains(expected) && !error.contains("canary"), "{name}: {error}");
    };
    check("http://localhost/", ("a b", "canary"), "no name for a header");
    check("http://localhost/", ("Host", "canary"), "host is set by this server");
    check("http://localhost/", ("Mcp-Session-Id", "canary"), "set by this server");
    check("http://localhost/", ("X", "${env.ABSENT}"), "x: the variable ABSENT is not set");
    check("http://host/", ("X", "${github.token}"), "https or a loopback URL only");
    let url = UpstreamUrl::parse("https://host/").unwrap();
    let header = url.header("X", "${github.token}", &Variables::new());
    assert!(header.is_ok_and(|(_, value)| value.names_github_token()));
}
