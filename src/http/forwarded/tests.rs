use super::*;

/// The client of a request from `peer` (empty: the Unix socket) with these X-Forwarded-For fields.
fn check(trusted: &str, (peer, fields): (&str, &[&str]), expected: &str) {
    let mut headers = Headers::default();
    fields.iter().for_each(|field| headers.push("X-Forwarded-For", field));
    let proxies = match trusted {
        "" => TrustedProxies::default(),
        list => TrustedProxies::parse(list).unwrap(),
    };
    let client = proxies.client(peer.parse().ok(), &headers);
    let client = client.map_or("unix".to_owned(), |client| client.to_string());
    assert_eq!(client, expected, "{trusted} {peer} {fields:?}");
}

/// H10: nobody can choose the address they are counted under.
#[test]
fn the_client_is_the_rightmost_hop_that_is_no_trusted_proxy() {
    let lan = "10.0.0.0/8,127.0.0.1";
    check("", ("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
    check("", ("", &["198.51.100.1"]), "unix");
    check(lan, ("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
    check(lan, ("", &["198.51.100.1"]), "unix");
    check(lan, ("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    check(lan, ("127.0.0.1", &["6.6.6.6, 198.51.100.1"]), "198.51.100.1");
    check(lan, ("127.0.0.1", &["6.6.6.6, 198.51.100.1, 10.1.2.3"]), "198.51.100.1");
    check(lan, ("127.0.0.1", &["6.6.6.6", "198.51.100.1,10.1.2.3"]), "198.51.100.1");
    check(lan, ("127.0.0.1", &["10.9.9.9, 10.1.2.3"]), "10.9.9.9");
    check(lan, ("127.0.0.1", &[]), "127.0.0.1");
    check("unix", ("", &["6.6.6.6,\t198.51.100.1"]), "198.51.100.1");
    check("unix", ("127.0.0.1", &["198.51.100.1"]), "127.0.0.1");
    check("unix, 10.0.0.0/8", ("", &["198.51.100.1, 10.0.0.1"]), "198.51.100.1");
}

#[test]
fn a_hop_that_cannot_be_read_ends_the_search() {
    check("127.0.0.1", ("127.0.0.1", &["198.51.100.1, unknown"]), "127.0.0.1");
    check("127.0.0.1", ("127.0.0.1", &[""]), "127.0.0.1");
    check("127.0.0.1", ("127.0.0.1", &["198.51.100.1, _hidden, 127.0.0.1"]), "127.0.0.1");
    check("127.0.0.1", ("127.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
    check("127.0.0.1", ("127.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
    check("127.0.0.1", ("127.0.0.1", &["2001:db8::1"]), "2001:db8::1");
    check("127.0.0.1", ("127.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1");
}

#[test]
fn networks_end_where_their_prefix_says() {
    let contains = |text: &str, address: &str| {
        TrustedProxies::parse(text).unwrap().contain(Some(address.parse().unwrap()))
    };
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("0.0.0.0/0", "::ffff:203.0.113.1", "2001:db8::1"),
        ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
        ("::1", "::1", "::2"),
        ("::/0", "2001:db8::1", "192.0.2.1"),
    ] {
        assert!(contains(network, inside) && !contains(network, outside), "{network}");
    }
    for bad in ["", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0.0/+8", "10.0.0.0/", "any", "unix,", "10/8"]
    {
        assert!(TrustedProxies::parse(bad).is_err(), "{bad}");
    }
}
