//! The addresses that count as one sender.

use std::net::IpAddr;

/// An IPv4 address, a network of IPv6, or the Unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The address.
    V4([u8; 4]),
    /// A /64, the first half of the address: the smallest network of one customer.
    V6([u16; 4]),
    /// No address: a Unix socket.
    Unix,
    /// The first 48 bits: a site, all of which one customer may have.
    V6Site([u16; 3]),
}

impl Sender {
    /// The sender at the other end of a connection.
    pub fn of(peer: Option<IpAddr>) -> Sender {
        match peer.map(|address| address.to_canonical()) {
            None => Sender::Unix,
            Some(IpAddr::V4(address)) => Sender::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Sender::V6([a, b, c, d])
            }
        }
    }

    /// The sender; `None` for one on this machine, which may be a proxy for many people.
    pub fn elsewhere(peer: Option<IpAddr>) -> Option<Sender> {
        let elsewhere = peer.is_some_and(|address| !address.to_canonical().is_loopback());
        elsewhere.then(|| Sender::of(peer))
    }

    /// The /48 of an IPv6 sender, whose 65,536 networks must not count as that many senders; else the sender itself.
    pub fn site(self) -> Sender {
        match self {
            Sender::V6([a, b, c, _]) => Sender::V6Site([a, b, c]),
            Sender::V4(_) | Sender::Unix | Sender::V6Site(_) => self,
        }
    }
}

#[cfg(test)]
mod tests;
