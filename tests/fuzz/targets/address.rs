//! The classification of public addresses, compared with a parser that writes every address in binary digits and searches a list
//! of all networks that are not public.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::is_global;

/// docs/requirements.md I2 and the IANA registries, verbatim; for IPv6 also everything outside of 2000::/3.
const NOT_PUBLIC: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    // Not allocated.
    "::/3",
    "4000::/3",
    "6000::/3",
    "8000::/3",
    "a000::/3",
    "c000::/3",
    "e000::/4",
    "f000::/5",
    "f800::/6",
    "fe00::/9",
];

/// `0` and `1`, one for each bit of the address.
fn bits(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
        IpAddr::V6(address) => address.octets().iter().map(|byte| format!("{byte:08b}")).collect(),
    }
}

/// The list in binary digits, and the length of each prefix.
static NETWORKS: LazyLock<Vec<(String, usize)>> = LazyLock::new(|| {
    let network = |text: &&str| {
        let (first, length) = text.split_once('/').unwrap();
        (bits(first.parse().unwrap()), length.parse().unwrap())
    };
    NOT_PUBLIC.iter().map(network).collect()
});

fn is_public(address: IpAddr) -> bool {
    let bits = bits(address);
    let listed = NETWORKS
        .iter()
        .any(|(first, length)| first.len() == bits.len() && first[..*length] == bits[..*length]);
    // RFC 5214: an interface identifier that begins 0000:5efe or 0200:5efe (with the group bit or without).
    let isatap = bits.len() == 128 && {
        let (flags, marker) = (&bits[64..80], &bits[80..96]);
        marker == format!("{:016b}", 0x5efe) && flags[..6] == *"000000" && flags[8..] == *"00000000"
    };
    !listed && !isatap
}

/// An address from these bytes: one of IPv4, one of IPv6, or one in or beside a network of the list.
fn address(data: &[u8]) -> Option<IpAddr> {
    let (kind, rest) = data.split_first()?;
    if let Some((first, length)) = NETWORKS.get(usize::from(*kind)) {
        let number = u128::from_str_radix(first, 2).ok()?;
        // The host bits are arbitrary, and flipping the last network bit gives the adjacent network.
        let width = first.len();
        let mut given = [0; 16];
        given[16 - rest.len().min(16)..].copy_from_slice(&rest[..rest.len().min(16)]);
        let host = u128::from_be_bytes(given) & (1_u128 << (width - length)).wrapping_sub(1);
        let beside = u128::from(rest.first()? & 1) << (width - length);
        let number = (number | host) ^ beside;
        return Some(if width == 32 {
            Ipv4Addr::from(u32::try_from(number).ok()?).into()
        } else {
            Ipv6Addr::from(number).into()
        });
    }
    match rest.len() {
        4 => <[u8; 4]>::try_from(rest).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(rest).ok().map(IpAddr::from),
        _ => None,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(address) = address(data) else { return };
    assert_eq!(is_global(address), is_public(address), "{address}");
    if let IpAddr::V4(v4) = address {
        let [high, low] = [v4.octets()[0..2].try_into().unwrap(), v4.octets()[2..4].try_into().unwrap()]
            .map(u16::from_be_bytes);
        // In any IPv6 form of it, it is not public either.
        for hidden in [
            v4.to_ipv6_mapped(),
            v4.to_ipv6_compatible(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0x5efe, high, low),
        ] {
            assert!(!is_global(hidden.into()), "{hidden}");
        }
    }
});
