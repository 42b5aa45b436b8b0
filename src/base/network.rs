//! Networks of IP addresses in the configuration (CIDR notation).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// All addresses of one family that share a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: IpAddr,
    /// The length of the prefix (bits).
    prefix: u32,
}

impl Network {
    /// Reads an address, or a network like `10.0.0.0/8` or `2001:db8::/32`.
    ///
    /// # Errors
    /// Advice on the right form.
    pub fn parse(text: &str) -> Result<Network, &'static str> {
        const FORMS: &str =
            "write a comma list of addresses and networks like 10.0.0.7,192.168.0.0/16,2001:db8::/32";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| FORMS)?;
        // Callers' addresses are compared as IPv4: this network would contain none.
        if first.to_canonical() != first {
            return Err("write IPv4 addresses without ::ffff: before them");
        }
        let bits = bits_of(first);
        let zeros_at_end = match first {
            IpAddr::V4(first) => first.to_bits().trailing_zeros(),
            IpAddr::V6(first) => first.to_bits().trailing_zeros(),
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

    /// Whether the address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shared_bits = match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => (first.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V6(first), IpAddr::V6(address)) => (first.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        shared_bits >= self.prefix
    }

    /// Whether it is a whole address family.
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

impl fmt::Display for Network {
    /// `10.0.0.0/8`, or the one address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Network { first, prefix } = self;
        if *prefix == bits_of(*first) { write!(f, "{first}") } else { write!(f, "{first}/{prefix}") }
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Network, &'static str> {
        Network::parse(&text)
    }
}

fn bits_of(address: IpAddr) -> u32 {
    if address.is_ipv4() { u32::BITS } else { u128::BITS }
}

#[cfg(test)]
mod tests;
