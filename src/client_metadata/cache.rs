//! The documents that were found: fresh for as long as they say, stale for another day. Failures are never kept.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::limits;
use crate::base::neighbour::Neighbour;
use crate::oauth::ClientDocument;

/// What is known of a URL.
#[derive(Debug)]
pub(super) enum Known {
    /// Its document, still good.
    Fresh(Arc<ClientDocument>),
    /// Its document, which has to be looked for again, and is good only if that is not possible.
    Stale(Arc<ClientDocument>),
    /// Nothing.
    Unknown,
}

/// At most [`limits::DOCUMENTS`] documents.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    document: Arc<ClientDocument>,
    /// The sender that it was fetched for; `None` is this machine.
    sender: Option<Neighbour>,
    /// Both on the monotonic clock.
    fresh_until: Duration,
    stale_until: Duration,
}

impl Cache {
    pub(super) fn look(&self, url: &str, now: Duration) -> Known {
        match self.entries.get(url) {
            Some(entry) if entry.fresh_until > now => Known::Fresh(Arc::clone(&entry.document)),
            Some(entry) if entry.stale_until > now => Known::Stale(Arc::clone(&entry.document)),
            Some(_) | None => Known::Unknown,
        }
    }

    /// Keeps a document that was fetched for `sender`. If the cache is full, the sender with most documents loses the one that
    /// expires soonest: nobody's documents push out those of others. A document that two senders fetched counts for the one
    /// with fewer documents.
    pub(super) fn keep(
        &mut self,
        url: &str,
        sender: Option<Neighbour>,
        document: Arc<ClientDocument>,
        fresh_until: Duration,
    ) {
        let count = |sender| self.entries.values().filter(|entry| entry.sender == sender).count();
        let known = self.entries.get(url).map(|entry| entry.sender);
        let sender = known.filter(|known| count(*known) <= count(sender)).unwrap_or(sender);
        if self.entries.len() >= limits::DOCUMENTS && known.is_none() {
            let mut counts = HashMap::<_, usize>::new();
            self.entries.values().for_each(|entry| *counts.entry(entry.sender).or_default() += 1);
            let rank = |entry: &Entry| (counts.get(&entry.sender).copied(), Reverse(entry.fresh_until));
            let last = self.entries.iter().max_by_key(|(_, entry)| rank(entry)).map(|(url, _)| url.clone());
            last.and_then(|url| self.entries.remove(&url));
        }
        let stale_until = fresh_until.saturating_add(limits::DOCUMENT_STALE);
        self.entries.insert(url.to_owned(), Entry { document, sender, fresh_until, stale_until });
    }

    /// Puts the next look for a document off, because its host does not answer: not each login has to wait for that.
    pub(super) fn put_off(&mut self, url: &str, now: Duration) {
        if let Some(entry) = self.entries.get_mut(url) {
            entry.fresh_until = now.saturating_add(limits::DOCUMENT_LIFETIME.0).min(entry.stale_until);
        }
    }

    /// Forgets a URL that has no document any more.
    pub(super) fn forget(&mut self, url: &str) {
        self.entries.remove(url);
    }
}

/// How long a document may be kept that came with this Cache-Control field (RFC 9111 section 5.2.2), within our bounds.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{ClientUrl, RedirectSchemes};

    fn document() -> Arc<ClientDocument> {
        let url = ClientUrl::parse("https://a.example/c").unwrap();
        let body = br#"{"client_id":"https://a.example/c","client_name":"A","redirect_uris":["https://a.example/cb"]}"#;
        Arc::new(ClientDocument::parse(&url, body, &RedirectSchemes::default()).unwrap())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// I5: a minute at least, a day at most, whatever the document's server says.
    #[test]
    fn a_lifetime_is_bounded() {
        let check = |field: &str, expected| assert_eq!(lifetime(field).as_secs(), expected, "{field}");
        check("", 60);
        check("max-age=0", 60);
        check("max-age=59", 60);
        check("max-age=61", 61);
        check("public, Max-Age=3600, immutable", 3600);
        check("max-age=\"3600\"", 3600);
        check("max-age=86400", 86_400);
        check("max-age=86401", 86_400);
        check("max-age=18446744073709551615", 86_400);
        check("max-age=99999999999999999999", 60);
        check("max-age=-1", 60);
        check("max-age=3600, no-store", 60);
        check("no-cache, max-age=3600", 60);
        check("s-maxage=3600", 60);
    }

    #[test]
    fn a_document_is_good_until_it_expires() {
        let mut cache = Cache::default();
        assert!(matches!(cache.look("a", seconds(0)), Known::Unknown));
        cache.keep("a", None, document(), seconds(60));
        assert!(matches!(cache.look("a", seconds(59)), Known::Fresh(_)));
        assert!(matches!(cache.look("a", seconds(60)), Known::Stale(_)));
        assert!(matches!(cache.look("a", seconds(86_459)), Known::Stale(_)));
        assert!(matches!(cache.look("a", seconds(86_460)), Known::Unknown));
        cache.put_off("a", seconds(100));
        assert!(matches!(cache.look("a", seconds(159)), Known::Fresh(_)));
        assert!(matches!(cache.look("a", seconds(160)), Known::Stale(_)));
        // Not beyond the day, however often it is put off.
        cache.put_off("a", seconds(86_450));
        assert!(matches!(cache.look("a", seconds(86_459)), Known::Fresh(_)));
        assert!(matches!(cache.look("a", seconds(86_460)), Known::Unknown));
        cache.forget("a");
        assert!(matches!(cache.look("a", seconds(0)), Known::Unknown));
    }

    /// I5: a thousand documents, and the one that expires soonest makes room for one more.
    #[test]
    fn the_number_of_documents_is_bounded() {
        let mut cache = Cache::default();
        let document = document();
        for number in 0..=u64::try_from(limits::DOCUMENTS).unwrap() {
            cache.keep(&number.to_string(), None, Arc::clone(&document), seconds(100 + number));
        }
        assert_eq!(cache.entries.len(), limits::DOCUMENTS);
        assert!(matches!(cache.look("0", seconds(0)), Known::Unknown));
        cache.keep("1", None, document, seconds(99));
        assert_eq!(cache.entries.len(), limits::DOCUMENTS);
    }
    /// I5: a sender with a thousand documents of its own, good for a day, pushes out its own.
    #[test]
    fn the_sender_with_most_documents_makes_room() {
        let mut cache = Cache::default();
        let sender = |last| Some(Neighbour::V4([192, 0, 2, last]));
        let mut keep = |url: &str, last, until| cache.keep(url, sender(last), document(), seconds(until));
        keep("known", 1, 60);
        keep("shared", 2, 60);
        keep("first", 2, 86_399);
        for number in 0..limits::DOCUMENTS {
            keep(&number.to_string(), 2, 86_400);
            // Fetched again by a sender with fewer documents, and then by the one with most.
            if number == 10 {
                keep("shared", 3, 60);
                keep("shared", 2, 60);
                keep("known", 2, 60);
            }
        }
        assert_eq!(cache.entries.len(), limits::DOCUMENTS);
        let is_kept = |url: &str| !matches!(cache.look(url, seconds(0)), Known::Unknown);
        assert_eq!(["known", "shared", "first"].map(is_kept), [true, true, false]);
    }
}
