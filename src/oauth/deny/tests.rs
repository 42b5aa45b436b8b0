use super::*;

const ID: &str = "mcp_ci_abc";

fn check(list: &str, client_id: &str, expected: bool) {
    assert_eq!(DenyList::parse(list).unwrap().names(client_id), expected, "{list}: {client_id}");
}

/// D6: by fingerprint, by URL, by host.
#[test]
fn clients_are_named_by_fingerprint_url_or_host() {
    let fingerprint = ClientFingerprint::of(ID);
    check(fingerprint.as_str(), ID, true);
    check(fingerprint.as_str(), "mcp_ci_abd", false);
    check("https://a.example/c", "https://a.example/c", true);
    check("https://a.example/c", "https://a.example/d", false);
    check("b.example, a.example", "https://a.example/d", true);
    check("a.example", "https://sub.a.example/d", true);
    check("a.example", "https://aa.example/d", false);
    check("sub.a.example", "https://a.example/d", false);
    check("a.example", ID, false);
}

#[test]
fn an_invalid_entry_is_refused() {
    for bad in
        ["", "a.example,", "name", "https://a.example/", "http://a.example/c", "A.example", "127.0.0.1"]
    {
        assert!(DenyList::parse(bad).is_err(), "{bad}");
    }
}
