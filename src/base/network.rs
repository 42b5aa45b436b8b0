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
        let (bits, length) = bits_of(first);
        let digits =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let prefix: u32 = prefix.map_or(Some(length), digits).filter(|&n| n <= length).ok_or(FORMS)?;
        // A prefix of all 128 bits leaves no bit behind it.
        if bits.checked_shl(prefix).unwrap_or_default() != 0 {
            return Err("the address of a network ends in zeros, like 10.0.0.0/8");
        }
        Ok(Network { first, prefix })
    }

    /// Whether the address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (first, length) = bits_of(self.first);
        let (address, length_of_address) = bits_of(address.to_canonical());
        length == length_of_address && (first ^ address).leading_zeros() >= self.prefix
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
        if *prefix == bits_of(*first).1 { write!(f, "{first}") } else { write!(f, "{first}/{prefix}") }
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

/// The bits of an address, the first one leftmost, and their number. The others are zero.
fn bits_of(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << (u128::BITS - u32::BITS), u32::BITS),
        IpAddr::V6(address) => (address.to_bits(), u128::BITS),
    }
}

#[cfg(test)]
mod tests;
