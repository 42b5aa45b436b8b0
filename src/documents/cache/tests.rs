//! Lifetime and eviction of documents.

use super::*;
use crate::oauth::RedirectSchemes;

fn document() -> Arc<Client> {
    let url = ClientUrl::parse("https://a.example/c").unwrap();
    let body =
        br#"{"client_id":"https://a.example/c","client_name":"A","redirect_uris":["https://a.example/cb"]}"#;
    Arc::new(Client::described(&url, body, &RedirectSchemes::default()).unwrap())
}

fn at(url: &str) -> ClientUrl {
    ClientUrl::unchecked(url)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// I5: a minute at least, a day at most, regardless of the Cache-Control.
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

/// Whether the document at `url` is fresh, and whether it is usable.
fn look(cache: &DocumentCache, url: &str, now: Duration) -> (bool, bool) {
    (cache.fresh(&at(url), now).is_some(), cache.usable(&at(url), now).is_some())
}

#[test]
fn a_document_is_good_until_it_expires() {
    const FRESH: (bool, bool) = (true, true);
    const STALE: (bool, bool) = (false, true);
    const UNKNOWN: (bool, bool) = (false, false);
    let cache = DocumentCache::default();
    let check =
        |cache: &DocumentCache, now, expected| assert_eq!(look(cache, "a", seconds(now)), expected, "{now}");
    check(&cache, 0, UNKNOWN);
    cache.keep(&at("a"), None, document(), (seconds(0), seconds(60)));
    check(&cache, 59, FRESH);
    check(&cache, 60, STALE);
    check(&cache, 86_459, STALE);
    check(&cache, 86_460, UNKNOWN);
    cache.put_off(&at("a"), seconds(100));
    check(&cache, 159, FRESH);
    check(&cache, 160, STALE);
    // Not beyond the day, regardless of the number of postponements.
    cache.put_off(&at("a"), seconds(86_450));
    check(&cache, 86_459, FRESH);
    check(&cache, 86_460, UNKNOWN);
    cache.forget(&at("a"));
    check(&cache, 0, UNKNOWN);
}

/// I5: a thousand documents, and one more evicts the one that expires first.
#[test]
fn the_number_of_documents_is_bounded() {
    let cache = DocumentCache::default();
    let document = document();
    for number in 0..=u64::try_from(limits::DOCUMENTS).unwrap() {
        cache.keep(
            &at(&number.to_string()),
            None,
            Arc::clone(&document),
            (seconds(0), seconds(100 + number)),
        );
    }
    assert_eq!(cache.documents.lock().len(), limits::DOCUMENTS);
    assert_eq!(look(&cache, "0", seconds(0)), (false, false));
    cache.keep(&at("1"), None, document, (seconds(0), seconds(99)));
    assert_eq!(cache.documents.lock().len(), limits::DOCUMENTS);
}

/// I5: a sender with a thousand documents that are fresh for a day evicts its own.
#[test]
fn the_sender_with_most_documents_makes_room() {
    let cache = DocumentCache::default();
    let sender = |last| Some(Sender::V4([192, 0, 2, last]));
    let keep =
        |url: &str, last, until| cache.keep(&at(url), sender(last), document(), (seconds(0), seconds(until)));
    keep("known", 1, 60);
    keep("shared", 2, 60);
    keep("first", 2, 86_399);
    for number in 0..limits::DOCUMENTS {
        keep(&number.to_string(), 2, 86_400);
        // Fetched again by a sender with fewer documents, and then by the one with most documents.
        if number == 10 {
            keep("shared", 3, 60);
            keep("shared", 2, 60);
            keep("known", 2, 60);
        }
    }
    assert_eq!(cache.documents.lock().len(), limits::DOCUMENTS);
    let is_kept = |url: &str| look(&cache, url, seconds(0)).1;
    assert_eq!(["known", "shared", "first"].map(is_kept), [true, true, false]);
}
