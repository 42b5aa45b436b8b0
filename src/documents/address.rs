//! The test whether an address is on the public internet (I2). A pure function.

use std::net::{IpAddr, Ipv6Addr};

use crate::base::Network;

#[cfg(test)]
mod tests;

/// The networks of IPv4, and of IPv6's global unicast space [`GLOBAL_IPV6`], that are not global (IANA special-purpose registries;
/// RFC 6890 and its successors).
const NOT_GLOBAL: [&str; 18] = [
    "0.0.0.0/8",       // this network
    "10.0.0.0/8",      // private
    "100.64.0.0/10",   // carrier-grade NAT
    "127.0.0.0/8",     // loopback
    "169.254.0.0/16",  // link-local; cloud metadata services
    "172.16.0.0/12",   // private
    "192.0.0.0/24",    // protocol assignments
    "192.0.2.0/24",    // documentation
    "192.88.99.0/24",  // 6to4 relays
    "192.168.0.0/16",  // private
    "198.18.0.0/15",   // benchmarks
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/3",     // multicast, reserved, broadcast
    "2001::/23",       // Teredo, ORCHID, benchmarks
    "2001:db8::/32",   // documentation
    "2002::/16",       // 6to4: an IPv4 address inside
    "3fff::/20",       // documentation
];

/// No other address of IPv6 is global: not ::, ::1, v4-compatible ::/96, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, discard 100::/64, SRv6
/// 5f00::/16, unique local fc00::/7, link-local fe80::/10, site-local fec0::/10, multicast ff00::/8. Nor is a v4-mapped address, which
/// [`Network`] takes for one of IPv4.
const GLOBAL_IPV6: &str = "2000::/3";

/// Whether `address` is on the public internet, and not on this host or in its network.
pub fn is_global(address: IpAddr) -> bool {
    let is_in = |network: &str| Network::parse(network).map(|network| network.contains(address));
    let is_candidate = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => is_in(GLOBAL_IPV6) == Ok(true) && !is_isatap(address),
    };
    is_candidate && NOT_GLOBAL.into_iter().all(|network| is_in(network) == Ok(false))
}

/// RFC 5214: an interface identifier that carries an IPv4 address behind `5efe`.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, flags, marker, _, _] = address.segments();
    marker == 0x5efe && flags & 0xfcff == 0
}
