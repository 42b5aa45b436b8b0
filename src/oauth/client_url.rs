//! A URL that is a client's id and the address of its metadata document (draft-ietf-oauth-client-id-metadata-document,
//! section 3). Only its spelling is checked here; the addresses of its host are checked when it is fetched.

use crate::base::{is_plain, limits};
use crate::http::Uri;

#[cfg(test)]
mod tests;

/// Top-level names that the public DNS does not have, or that never lead to another machine.
const LOCAL_DOMAINS: [&str; 4] = ["arpa", "internal", "local", "localhost"];

/// A `client_id` that a document may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientUrl {
    text: String,
    host: String,
}

impl ClientUrl {
    /// Starts every such id, and no id of a registered client.
    pub(super) const PREFIX: &'static str = "https://";

    /// Reads a `client_id`; `None` unless it is an https URL with a host of the public DNS on port 443 and a path, in the one
    /// spelling that no parser reads differently (I1).
    pub fn parse(text: &str) -> Option<ClientUrl> {
        // No fragment, user, backslash, or anything that a URL library would escape or normalise.
        if !is_plain(text, "-._~:/?[]!$&'()*+,;=%", ..=limits::URI_BYTES) {
            return None;
        }
        let uri = Uri::split(text);
        let host = uri.authority.map(|authority| authority.strip_suffix(":443").unwrap_or(authority))?;
        let fine =
            uri.scheme == "https" && is_public_name(host) && uri.path.len() > 1 && !uri.has_dot_segment();
        fine.then(|| ClientUrl { text: text.to_owned(), host: host.to_owned() })
    }

    /// Any URL, for tests of the checks behind this one.
    #[cfg(test)]
    pub(crate) fn unchecked(text: &str) -> ClientUrl {
        ClientUrl { text: text.to_owned(), host: String::new() }
    }

    /// The URL, byte for byte as the client presented it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host that vouches for the client: a DNS name in lower case, international ones as A-labels.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Whether `host` is a DNS name of at least two labels whose last one is not a number, unlike every spelling of an IP address.
fn is_public_name(host: &str) -> bool {
    let label = |label: &str| {
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = host.rsplit('.').next().unwrap_or_default();
    host.len() <= limits::DNS_NAME_BYTES
        && host.contains('.')
        && host.split('.').all(label)
        && top.starts_with(|c: char| c.is_ascii_lowercase())
        && !LOCAL_DOMAINS.contains(&top)
}
