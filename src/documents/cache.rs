//! The documents that were found: fresh for as long as they say, usable for another day while their host does not answer.
//! Failures are never kept.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::limits;
use crate::base::neighbour::Neighbour;
use crate::oauth::ClientDocument;

#[cfg(test)]
mod tests;

/// At most [`limits::DOCUMENTS`] documents. Times are those of the monotonic clock.
#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<String, Entry>,
}

struct Entry {
    document: Arc<ClientDocument>,
    /// The sender for which it was fetched; `None` is this machine.
    sender: Option<Neighbour>,
    fresh_until: Duration,
    usable_until: Duration,
}

impl Cache {
    /// A document that need not be fetched again yet.
    pub(super) fn fresh(&self, url: &str, now: Duration) -> Option<Arc<ClientDocument>> {
        let entry = self.entries.get(url).filter(|entry| entry.fresh_until > now)?;
        Some(Arc::clone(&entry.document))
    }

    /// A document that may be used if it cannot be fetched again.
    pub(super) fn usable(&self, url: &str, now: Duration) -> Option<Arc<ClientDocument>> {
        let entry = self.entries.get(url).filter(|entry| entry.usable_until > now)?;
        Some(Arc::clone(&entry.document))
    }

    /// Keeps a document that was fetched for `sender`. If the cache is full, the sender with most documents loses the one that
    /// expires first: no sender's documents push out those of another. A document that two senders fetched counts for the one
    /// with fewer documents.
    pub(super) fn keep(
        &mut self,
        url: &str,
        sender: Option<Neighbour>,
        document: Arc<ClientDocument>,
        fresh_until: Duration,
    ) {
        let mut counts = HashMap::<_, usize>::new();
        self.entries.values().for_each(|entry| *counts.entry(entry.sender).or_default() += 1);
        let count = |sender| counts.get(&sender).copied().unwrap_or_default();
        let known = self.entries.get(url).map(|entry| entry.sender);
        let sender = known.filter(|known| count(*known) <= count(sender)).unwrap_or(sender);
        if known.is_none() && self.entries.len() >= limits::DOCUMENTS {
            let rank = |entry: &Entry| (count(entry.sender), Reverse(entry.fresh_until));
            let last = self.entries.iter().max_by_key(|(_, entry)| rank(entry)).map(|(url, _)| url.clone());
            last.and_then(|url| self.entries.remove(&url));
        }
        let usable_until = fresh_until.saturating_add(limits::DOCUMENT_STALE);
        self.entries.insert(url.to_owned(), Entry { document, sender, fresh_until, usable_until });
    }

    /// Postpones the next fetch of a document whose host does not answer, so that not every login waits for the host.
    pub(super) fn put_off(&mut self, url: &str, now: Duration) {
        if let Some(entry) = self.entries.get_mut(url) {
            entry.fresh_until = now.saturating_add(limits::DOCUMENT_LIFETIME.0).min(entry.usable_until);
        }
    }

    pub(super) fn forget(&mut self, url: &str) {
        self.entries.remove(url);
    }
}

/// How long a document with this Cache-Control field is fresh (RFC 9111 section 5.2.2), within our bounds.
pub(super) fn lifetime(cache_control: &str) -> Duration {
    let (least, most) = limits::DOCUMENT_LIFETIME;
    let mut max_age = Duration::ZERO;
    for directive in cache_control.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return least,
            "max-age" => {
                max_age = value.trim().trim_matches('"').parse().map(Duration::from_secs).unwrap_or_default()
            }
            _ => {}
        }
    }
    max_age.clamp(least, most)
}
