//! The client's address behind proxies (H10): X-Forwarded-For is believed of proxies that the operator has named, up to the
//! first address that is not one of them. For limits, the log and the addresses of service tokens; an address alone gives nobody a
//! right.

use std::net::IpAddr;

use super::request::Headers;
use crate::base::Network;

/// The proxies that are believed about their clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    unix_socket: bool,
}

impl TrustedProxies {
    /// Reads a comma list of addresses, of networks like `10.0.0.0/8` or `2001:db8::/32`, and `unix` for all who come
    /// through the Unix socket.
    ///
    /// # Errors
    /// Advice on what to write instead.
    pub fn parse(text: &str) -> Result<TrustedProxies, &'static str> {
        let mut proxies = TrustedProxies::default();
        for entry in text.split(',').map(str::trim) {
            match Network::parse(entry) {
                Ok(network) => proxies.networks.push(network),
                Err(_) if entry == "unix" => proxies.unix_socket = true,
                Err(_) => return Err("write a comma list of addresses, networks like 10.0.0.0/8, and unix"),
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
        self.networks.iter().any(Network::is_everybody)
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
