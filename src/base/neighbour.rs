//! Which addresses count as one sender.

use std::net::IpAddr;

/// An IPv4 address, a network of IPv6, or the Unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Neighbour {
    /// The address.
    V4([u8; 4]),
    /// A /64, the first half of the address: what one customer gets at least.
    V6([u16; 4]),
    /// No address: a Unix socket.
    Unix,
    /// The first 48 bits: a site, of which a customer may have all.
    V6Site([u16; 3]),
}

impl Neighbour {
    /// The sender at the other end of a connection.
    pub fn of(peer: Option<IpAddr>) -> Neighbour {
        match peer.map(|address| address.to_canonical()) {
            None => Neighbour::Unix,
            Some(IpAddr::V4(address)) => Neighbour::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Neighbour::V6([a, b, c, d])
            }
        }
    }

    /// The same; `None` on this machine, from where one proxy may bring many people at once.
    pub fn elsewhere(peer: Option<IpAddr>) -> Option<Neighbour> {
        let elsewhere = peer.is_some_and(|address| !address.to_canonical().is_loopback());
        elsewhere.then(|| Neighbour::of(peer))
    }

    /// The site of an IPv6 sender.
    pub fn site(self) -> Option<Neighbour> {
        let Neighbour::V6([a, b, c, _]) = self else { return None };
        Some(Neighbour::V6Site([a, b, c]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_of_ipv6_is_a_64() {
        let of = |text: &str| Neighbour::of(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:0:1::1").site(), of("2001:db8:0:2::1").site());
        assert_ne!(of("2001:db8:0:1::1").site(), of("2001:db8:1:1::1").site());
        assert_eq!(of("192.0.2.1").site(), None);
    }
}
