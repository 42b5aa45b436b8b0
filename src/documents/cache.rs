//! The cache of documents. They are fresh for the lifetime of their Cache-Control, and usable for another day while their host does not
//! answer. Failures are not cached.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{BoundedMap, Mutex, Sender, limits};
use crate::oauth::{Client, ClientUrl};

#[cfg(test)]
mod tests;

/// The documents by URL. Each is owned by the sender for which it was fetched (`None` is this machine) and expires when it is no
/// longer usable. Times are those of the monotonic clock.
pub(super) struct DocumentCache {
    /// Guards the documents; locked for one look-up or change.
    documents: Mutex<BoundedMap<ClientUrl, CachedDocument, Option<Sender>>>,
}

struct CachedDocument {
    document: Arc<Client>,
    fresh_until: Duration,
}

impl Default for DocumentCache {
    fn default() -> DocumentCache {
        let documents = BoundedMap::per_owner((limits::DOCUMENTS, limits::DOCUMENTS));
        DocumentCache { documents: Mutex::new(documents) }
    }
}

impl DocumentCache {
    /// A fresh document, which is used without a fetch.
    pub(super) fn fresh(&self, url: &ClientUrl, now: Duration) -> Option<Arc<Client>> {
        let documents = self.documents.lock();
        let cached = documents.get(url, now).filter(|cached| cached.fresh_until > now);
        cached.map(|cached| Arc::clone(&cached.document))
    }

    /// A fresh or stale document, which may be used if a fetch fails.
    pub(super) fn usable(&self, url: &ClientUrl, now: Duration) -> Option<Arc<Client>> {
        self.documents.lock().get(url, now).map(|cached| Arc::clone(&cached.document))
    }

    /// Keeps a document that was fetched for `sender` at `now`. A document that two senders fetched counts for the one with
    /// fewer documents.
    pub(super) fn keep(
        &self,
        url: &ClientUrl,
        sender: Option<Sender>,
        document: Arc<Client>,
        (now, fresh_until): (Duration, Duration),
    ) {
        let mut documents = self.documents.lock();
        let count = |sender: &Option<Sender>| documents.count_of(sender);
        let known = documents.owner_and_end_of_any_age(url).map(|(owner, _)| *owner);
        let owner = known.filter(|known| count(known) <= count(&sender)).unwrap_or(sender);
        let ends = fresh_until.saturating_add(limits::DOCUMENT_STALE);
        documents.insert(url.clone(), CachedDocument { document, fresh_until }, owner, (now, ends));
    }

    /// Postpones the next fetch of a document whose host does not answer, so that not every login waits for the host.
    pub(super) fn put_off(&self, url: &ClientUrl, now: Duration) {
        if let Some(cached) = self.documents.lock().get_mut(url, now) {
            cached.fresh_until = now.saturating_add(limits::DOCUMENT_LIFETIME.0);
        }
    }

    pub(super) fn forget(&self, url: &ClientUrl) {
        self.documents.lock().remove(url);
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
