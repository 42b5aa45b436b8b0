//! Networks at their first and last addresses.

use super::*;

fn check(addresses: &[&str], expected: bool) {
    for text in addresses {
        assert_eq!(is_global(text.parse().unwrap()), expected, "{text}");
    }
}

#[test]
fn public_addresses_are_global() {
    check(&["1.1.1.1", "8.8.8.8", "140.82.121.4", "104.18.32.47", "223.255.255.255"], true);
    check(&["2606:4700::6810:85e5", "2a00:1450:4001:80f::200e", "2001:200::1", "2620:fe::fe"], true);
}

/// I2: the first and the last address of every network that is not global, and their neighbours that are.
#[test]
fn special_networks_of_ipv4_are_refused_to_their_edges() {
    check(&["0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255"], false);
    check(&["1.0.0.0", "9.255.255.255", "11.0.0.0"], true);
    check(&["100.64.0.0", "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.255.255.255"], false);
    check(&["100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"], true);
    check(&["169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255"], false);
    check(&["169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0"], true);
    check(&["192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255"], false);
    check(&["191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0"], true);
    check(&["192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255"], false);
    check(&["192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"], true);
    check(&["198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255"], false);
    check(&["198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0"], true);
    check(&["224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255"], false);
}

/// I2: the same for IPv6.
#[test]
fn special_networks_of_ipv6_are_refused_to_their_edges() {
    check(&["::", "::1", "::2", "::ffff:ffff", "::127.0.0.1", "::8.8.8.8"], false);
    check(&["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8"], false);
    check(&["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "64:ff9b:1:ffff::", "100::1"], false);
    check(&["2001::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1ff:ffff::", "2001:20::1"], false);
    check(&["2001:200::", "2001:db7:ffff::", "2001:db9::"], true);
    check(&["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff::1"], false);
    check(&["2002::", "2002:7f00:1::", "2002:ffff::1"], false);
    check(&["2003::", "2001:ffff::", "3fff:1000::1"], true);
    check(&["fc00::", "fdff::1", "fe80::1", "febf::1", "fec0::1", "feff::1", "ff00::", "ff02::1"], false);
    check(&["5f00::1", "1fff::1", "4000::1", "8000::1", "e000::1", "fbff::1"], false);
}

/// I2: an IPv4 address inside a global-looking IPv6 one.
#[test]
fn isatap_is_refused() {
    check(
        &[
            "2a00:1450::5efe:127.0.0.1",
            "2a00:1450::5efe:8.8.8.8",
            "2a00:1450::200:5efe:10.0.0.1",
            "2a00:1450::300:5efe:a00:1",
        ],
        false,
    );
    check(&["2a00:1450::1:5efe:7f00:1", "2a00:1450::5eff:7f00:1"], true);
}
