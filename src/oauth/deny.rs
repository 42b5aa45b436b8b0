//! The operator's deny list: clients that are refused by id, URL or host (D6). A program that registers anew has a new id: closed
//! registration stops it.

use std::collections::HashSet;

use super::client_url::ClientUrl;
use crate::base::ClientFingerprint;
use crate::store::GrantClient;

/// Clients by fingerprint, as the log names them, and hosts that vouch for clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList {
    fingerprints: HashSet<ClientFingerprint>,
    hosts: HashSet<String>,
}

impl DenyList {
    /// Reads a comma list: a client's fingerprint, the URL that is its id, or a host with everything below it.
    ///
    /// # Errors
    /// A sentence that says what an entry can be.
    pub fn parse(text: &str) -> Result<DenyList, &'static str> {
        let mut list = DenyList::default();
        for entry in text.split(',').map(str::trim) {
            if let Some(url) = ClientUrl::parse(entry) {
                list.fingerprints.insert(ClientFingerprint::of(url.as_str()));
            } else if let Some(fingerprint) = ClientFingerprint::parse(entry) {
                list.fingerprints.insert(fingerprint);
            } else if ClientUrl::parse(&format!("https://{entry}/x")).is_some_and(|url| url.host() == entry) {
                list.hosts.insert(entry.to_owned());
            } else {
                return Err(
                    "an entry is a client's fingerprint from the log, its https URL, or a host in lower case",
                );
            }
        }
        Ok(list)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fingerprints.is_empty() && self.hosts.is_empty()
    }

    /// Whether the client with this id is on the list.
    pub(super) fn names(&self, client_id: &str) -> bool {
        self.fingerprints.contains(&ClientFingerprint::of(client_id))
            || ClientUrl::parse(client_id).is_some_and(|url| self.names_host(url.host()))
    }

    /// Whether the client of a grant is on the list.
    pub(super) fn names_client_of(&self, client: &GrantClient) -> bool {
        self.fingerprints.contains(&client.fingerprint)
            || client.host.as_deref().is_some_and(|host| self.names_host(host))
    }

    /// Whether a host or one of its parent domains is on the list.
    fn names_host(&self, host: &str) -> bool {
        let parents = host.match_indices('.').filter_map(|(dot, _)| host.get(dot.saturating_add(1)..));
        std::iter::once(host).chain(parents).any(|name| self.hosts.contains(name))
    }
}

#[cfg(test)]
mod tests;
