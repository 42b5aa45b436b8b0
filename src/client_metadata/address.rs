//! Which addresses are on the public internet (I2). Pure: an address in, yes or no out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What of IPv4 is not global: first address, prefix length (IANA special-purpose registry; RFC 6890 and its successors).
const V4_NOT_GLOBAL: [(Ipv4Addr, u32); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carrier-grade NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local; cloud metadata services
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),     // multicast, reserved, broadcast
];

/// What of IPv6's global unicast space 2000::/3 is not global: first address, prefix length. Outside of 2000::/3 nothing
/// is: not ::, ::1, v4-compatible ::/96, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, discard 100::/64, SRv6 5f00::/16, unique
/// local fc00::/7, link-local fe80::/10, site-local fec0::/10, multicast ff00::/8.
const V6_NOT_GLOBAL: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // Teredo, ORCHID, benchmarks
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: an IPv4 address inside
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

const V6_GLOBAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Whether a connection to `address` leads onto the public internet, and nowhere into this host or its network.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !V4_NOT_GLOBAL.iter().any(|&(first, length)| {
            let kept = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or_default();
            (u32::from(address) ^ u32::from(first)) & kept == 0
        }),
        // A v4-mapped address is outside of 2000::/3, so it is refused whatever it maps to.
        IpAddr::V6(address) => {
            is_within(address, V6_GLOBAL)
                && !V6_NOT_GLOBAL.iter().any(|&network| is_within(address, network))
                && !is_isatap(address)
        }
    }
}

fn is_within(address: Ipv6Addr, (first, length): (Ipv6Addr, u32)) -> bool {
    let kept = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or_default();
    (u128::from(address) ^ u128::from(first)) & kept == 0
}

/// RFC 5214: an interface identifier that carries an IPv4 address behind `5efe`.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, flags, marker, _, _] = address.segments();
    marker == 0x5efe && flags & 0xfcff == 0
}

#[cfg(test)]
mod tests {
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
        check(
            &["192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255"],
            false,
        );
        check(&["191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0"], true);
        check(&["192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255"], false);
        check(&["192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"], true);
        check(&["198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255"], false);
        check(&["198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0"], true);
        check(&["224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255"], false);
    }

    /// I2: and of IPv6.
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
}
