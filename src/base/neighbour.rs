//! Which addresses count as one sender.

use std::net::IpAddr;

/// An IPv4 address, or an IPv6 /64, which is what one customer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Neighbour {
    /// The address.
    V4([u8; 4]),
    /// The first half of the address.
    V6([u16; 4]),
}

impl Neighbour {
    /// The sender that an address belongs to.
    #[must_use]
    pub fn of(address: IpAddr) -> Neighbour {
        match address.to_canonical() {
            IpAddr::V4(address) => Neighbour::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Neighbour::V6([a, b, c, d])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_of_ipv6_is_a_64() {
        let of = |text: &str| Neighbour::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
