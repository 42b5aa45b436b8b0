//! The URL that is a client's id and where its metadata document is (draft-ietf-oauth-client-id-metadata-document,
//! section 3). Only its spelling is judged here; where its name leads is judged when it is fetched.

use crate::base::limits;

/// Endings of names that are never found through the public DNS, or never lead to another machine.
const LOCAL_DOMAINS: [&str; 4] = ["arpa", "internal", "local", "localhost"];

/// A `client_id` that a document may be fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientUrl {
    text: String,
    host: String,
}

impl ClientUrl {
    /// What every such id starts with, and no id of a registered client does.
    pub(super) const PREFIX: &'static str = "https://";

    /// Reads a `client_id`; `None` unless it is an https URL with a host of the public DNS on port 443 and a path, spelled
    /// in the one way that no parser reads differently (I1).
    pub fn parse(text: &str) -> Option<ClientUrl> {
        let rest = text.strip_prefix(ClientUrl::PREFIX)?;
        // No fragment, user, backslash, or anything that a URL library would escape or normalise.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?[]!$&'()*+,;=%".contains(&b);
        if text.len() > limits::URI_BYTES || !text.bytes().all(plain) {
            return None;
        }
        let (authority, path_and_query) = rest.split_at(rest.find(['/', '?'])?);
        let host = authority.strip_suffix(":443").unwrap_or(authority);
        let path = path_and_query.split('?').next().unwrap_or_default();
        let fine = is_public_name(host) && path.len() > 1 && !has_dot_segment(path);
        fine.then(|| ClientUrl { text: text.to_owned(), host: host.to_owned() })
    }

    /// Any URL at all, for tests of what is behind this check.
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

/// Whether `host` is a DNS name of at least two labels whose last one is no number: no spelling of an IP address is.
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

fn has_dot_segment(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, host: Option<&str>) {
        assert_eq!(ClientUrl::parse(text).as_ref().map(ClientUrl::host), host, "{text}");
    }

    /// I1: which URLs can be a client's id.
    #[test]
    fn a_client_url_is_https_with_a_name_and_a_path() {
        check("https://claude.ai/oauth/mcp-oauth-client-metadata", Some("claude.ai"));
        check("https://a.example:443/client.json", Some("a.example"));
        check("https://xn--bcher-kva.example/c", Some("xn--bcher-kva.example"));
        check("https://a.example/c?v=1", Some("a.example"));
        check("https://a.example//", Some("a.example"));
        check("https://1.2.3.4.example/c", Some("1.2.3.4.example"));
        let longest = format!("https://a.example/{}", "c".repeat(limits::URI_BYTES - 18));
        check(&longest, Some("a.example"));
        check(&(longest + "c"), None);
    }

    /// I1: everything else about the URL itself.
    #[test]
    fn other_urls_are_no_client_ids() {
        for text in [
            "",
            "http://a.example/c",
            "HTTPS://a.example/c",
            "https:/a.example/c",
            "https:///c",
            "https://a.example",
            "https://a.example/",
            "https://a.example?c",
            "https://a.example/?c",
            "https://a.example/c#",
            "https://a.example/c#f",
            "https://u@a.example/c",
            "https://u:p@a.example/c",
            "https://a.example:8443/c",
            "https://a.example:/c",
            "https://a.example:0443/c",
            "https://a.example:443:443/c",
            "https://a.example/./c",
            "https://a.example/c/..",
            "https://a.example/%2e%2E/c",
            "https://a.example/.%2e",
            "https://a.example\\@b.example/c",
            "https://a.example/c\\d",
            "https://a.example/c d",
            "https://a.example/\r\n",
            "https://a.example/ä",
        ] {
            check(text, None);
        }
    }

    /// I1: a host that is an address in some spelling, or that only this network knows.
    #[test]
    fn the_host_is_a_name_of_the_public_dns() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}example", "a.".repeat(124));
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "017700000001",
            "1.2.3.0x4",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "localhost",
            "a.localhost",
            "router",
            "printer.local",
            "metadata.google.internal",
            "nas.home.arpa",
            "1.0.0.127.in-addr.arpa",
            "a.example.",
            ".example",
            "a..example",
            "-a.example",
            "a-.example",
            "a_b.example",
            "A.example",
            "a.example%2f",
            "bücher.example",
            &long_label,
            &long_name,
        ] {
            check(&format!("https://{host}/c"), None);
        }
    }
}
