//! The client's address behind proxies (H10): X-Forwarded-For is believed of proxies that the operator has named, up to the
//! first address that is not one of them. For limits and the log, never for a decision about rights.

use std::net::IpAddr;

use super::request::Headers;

/// The proxies that are believed about their clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    unix_socket: bool,
}

/// Every address of the same family that begins like the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    /// How many bits at the beginning all addresses share.
    prefix: u32,
}

impl TrustedProxies {
    /// Reads a comma list of addresses, of networks like `10.0.0.0/8` or `2001:db8::/32`, and `unix` for all who come
    /// through the Unix socket.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<TrustedProxies, &'static str> {
        let mut proxies = TrustedProxies::default();
        for entry in text.split(',').map(str::trim) {
            if entry == "unix" {
                proxies.unix_socket = true;
            } else {
                proxies.networks.push(Network::parse(entry)?);
            }
        }
        Ok(proxies)
    }

    /// Whether the other end of a connection is one of them. No address is the Unix socket.
    pub fn contain(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix_socket, |peer| self.networks.iter().any(|network| network.contains(peer)))
    }

    /// Whether a whole address family is trusted, so that every client could lie.
    pub fn contain_everybody(&self) -> bool {
        self.networks.iter().any(|network| network.prefix == 0)
    }

    /// The address that a request came from. Each proxy appends its caller to X-Forwarded-For, so the field is read from its
    /// end: up to the first address that is no trusted proxy, or the last trusted one if a hop cannot be read.
    pub fn client(&self, peer: Option<IpAddr>, headers: &Headers) -> Option<IpAddr> {
        if !self.contain(peer) {
            return peer;
        }
        let fields: Vec<&str> = headers.all("x-forwarded-for").collect();
        let hops = fields.iter().rev().flat_map(|field| field.rsplit(','));
        let mut client = peer;
        for hop in hops {
            let Some(address) = hop_address(hop.trim_matches([' ', '\t'])) else { return client };
            client = Some(address);
            if !self.contain(client) {
                return client;
            }
        }
        client
    }
}

impl Network {
    fn parse(text: &str) -> Result<Network, &'static str> {
        const FORMS: &str = "write a comma list of addresses and networks like 10.0.0.7,192.168.0.0/16,2001:db8::/32, or unix";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| FORMS)?;
        let (bits, zeros_at_end) = match first {
            IpAddr::V4(first) => (u32::BITS, first.to_bits().trailing_zeros()),
            IpAddr::V6(first) => (u128::BITS, first.to_bits().trailing_zeros()),
        };
        let digits =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let prefix: u32 = prefix.map_or(Some(bits), digits).ok_or(FORMS)?;
        let free_bits = bits.checked_sub(prefix).ok_or(FORMS)?;
        if zeros_at_end < free_bits {
            return Err("the address of a network ends in zeros, like 10.0.0.0/8");
        }
        Ok(Network { first, prefix })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let shared_bits = match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => (first.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V6(first), IpAddr::V6(address)) => (first.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        shared_bits >= self.prefix
    }
}

/// One hop: an address, in brackets or not, and perhaps a port, as some proxies add it.
fn hop_address(text: &str) -> Option<IpAddr> {
    let address = match (text.strip_prefix('['), text.rsplit_once(':')) {
        (Some(rest), _) => rest.split_once(']')?.0,
        (None, Some((host, _))) if !host.contains(':') => host,
        (None, _) => text,
    };
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests;
