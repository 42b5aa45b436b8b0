//! Which URLs may be a client's id.

use super::*;

fn check(text: &str, host: Option<&str>) {
    assert_eq!(ClientUrl::parse(text).as_ref().map(ClientUrl::host), host, "{text}");
}

/// I1: which URLs can be a client's id.
#[test]
fn a_client_url_is_https_with_a_name_and_a_path() {
    check("https://claude.ai/oauth/mcp-oauth-client-metadata", Some("claude.ai"));
    check("https://a.example:443/client.json", Some("a.example"));
    check("https://xn--bcher-kva.example/c", Some("xn--bcher-kva.example"));
    check("https://a.example/c?v=1", Some("a.example"));
    check("https://a.example//", Some("a.example"));
    check("https://1.2.3.4.example/c", Some("1.2.3.4.example"));
    let longest = format!("https://a.example/{}", "c".repeat(limits::URI_BYTES - 18));
    check(&longest, Some("a.example"));
    check(&(longest + "c"), None);
}

/// I1: everything else about the URL itself.
#[test]
fn other_urls_are_refused_as_client_ids() {
    for text in [
        "",
        "http://a.example/c",
        "HTTPS://a.example/c",
        "https:/a.example/c",
        "https:///c",
        "https://a.example",
        "https://a.example/",
        "https://a.example?c",
        "https://a.example/?c",
        "https://a.example/c#",
        "https://a.example/c#f",
        "https://u@a.example/c",
        "https://u:p@a.example/c",
        "https://a.example:8443/c",
        "https://a.example:/c",
        "https://a.example:0443/c",
        "https://a.example:443:443/c",
        "https://a.example/./c",
        "https://a.example/c/..",
        "https://a.example/%2e%2E/c",
        "https://a.example/.%2e",
        "https://a.example\\@b.example/c",
        "https://a.example/c\\d",
        "https://a.example/c d",
        "https://a.example/\r\n",
        "https://a.example/ä",
    ] {
        check(text, None);
    }
}

/// I1: a host that is an address in some spelling, or that only this network knows.
#[test]
fn the_host_is_a_name_of_the_public_dns() {
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name = format!("{}example", "a.".repeat(124));
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "017700000001",
        "1.2.3.0x4",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "a.localhost",
        "router",
        "printer.local",
        "metadata.google.internal",
        "nas.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "a.example.",
        ".example",
        "a..example",
        "-a.example",
        "a-.example",
        "a_b.example",
        "A.example",
        "a.example%2f",
        "bücher.example",
        &long_label,
        &long_name,
    ] {
        check(&format!("https://{host}/c"), None);
    }
}
