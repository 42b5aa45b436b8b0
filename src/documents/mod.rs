//! The metadata documents of clients whose id is a URL: cached, and fetched for unauthenticated clients, who must not be able to probe
//! or flood other hosts in this way (I2, I3, I5).
//!
//! `address` decides to which addresses a connection may be made, `fetch` makes it, `flights` limits concurrent fetches, `cache` keeps
//! the documents. Limits are per sender, so that one sender cannot use up the capacity for others.

mod address;
mod cache;
mod fetch;
mod flights;
mod not_found;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use self::cache::DocumentCache;
use self::fetch::Fetcher;
use self::flights::Flights;
use self::not_found::NotFound;
use crate::base::log::{self, Field};
use crate::base::{Clock, RateLimit, Sender, Throttle, limits};
use crate::http::PublicUrl;
use crate::oauth::{Client, ClientDocuments, ClientUrl, RedirectSchemes};
use crate::trust::Trust;

/// For tests/fuzz.
#[cfg(feature = "internals")]
pub use self::address::is_global;

/// The documents of clients, cached or fetched.
pub struct Documents {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    cache: DocumentCache,
    flights: Flights,
    allowances: RateLimit,
    /// Private-use URI schemes that the operator admits in redirect URIs.
    schemes: RedirectSchemes,
    /// Bounds the log: unauthenticated clients can cause any number of failed look-ups.
    log_limit: Throttle,
}

impl ClientDocuments for Documents {
    fn find(&self, url: &ClientUrl, peer: Option<IpAddr>) -> Option<Arc<Client>> {
        if let Some(client) = self.cache.fresh(url, self.clock.monotonic()) {
            return Some(client);
        }
        match self.look_up(url, peer) {
            Ok(client) => Some(client),
            Err(error) => {
                self.log(url, &error);
                // A document that is still cached was not withdrawn by its host. An outage, or a flood of look-ups, does not lock out a
                // known client.
                self.cache.usable(url, self.clock.monotonic())
            }
        }
    }
}

impl Documents {
    /// Documents from the public internet, for the server at `own`.
    pub fn new(own: &PublicUrl, trust: &Trust, schemes: RedirectSchemes, clock: Arc<dyn Clock>) -> Documents {
        Documents::with(Fetcher::new(own, trust), schemes, clock)
    }

    fn with(fetcher: Fetcher, schemes: RedirectSchemes, clock: Arc<dyn Clock>) -> Documents {
        Documents {
            fetcher,
            clock,
            cache: DocumentCache::default(),
            flights: Flights::default(),
            allowances: RateLimit::new(limits::DOCUMENT_LOOKUPS, Duration::from_secs(600)),
            schemes,
            log_limit: Throttle::new(1),
        }
    }

    /// The document, from the cache or fetched. A fetch of a document that is not cached is charged to the sender, and so is every failed
    /// fetch, its own or one that it waited for. Waiting for a fetch that succeeds, and refreshing a cached document, are free.
    fn look_up(&self, url: &ClientUrl, peer: Option<IpAddr>) -> Result<Arc<Client>, NotFound> {
        let now = || self.clock.monotonic();
        let spend = || self.allowances.spend(peer, now()).map_err(|_| NotFound::SenderRate);
        self.allowances.check(peer, now()).map_err(|_| NotFound::SenderRate)?;
        // A site of IPv6 is one sender here: its 65,536 networks are more than there are places.
        let sender = Sender::elsewhere(peer).map(Sender::site);
        let is_remembered = self.cache.usable(url, now()).is_some();
        let patience = if is_remembered { Duration::ZERO } else { limits::DOCUMENT_WAIT };
        let flight = self.flights.wait_for_turn(url.as_str(), sender, patience);
        // Without a turn as well: the fetch that this look-up waited for may have succeeded, which is free.
        if let Some(document) = self.cache.fresh(url, now()) {
            return Ok(document);
        }
        // With a turn, the fetch below is charged; without one, the fetch that this look-up waited for: it has failed.
        let costs = match &flight {
            Ok(_) => !is_remembered,
            Err(error) => matches!(error, NotFound::ConcurrentFetch),
        };
        if costs {
            spend()?;
        }
        let flight = flight?;
        let found = self.fetch(url, sender);
        flight.finish();
        if is_remembered && found.is_err() {
            spend()?;
        }
        found
    }

    fn fetch(&self, url: &ClientUrl, sender: Option<Sender>) -> Result<Arc<Client>, NotFound> {
        let fetched = self.fetcher.fetch(url).and_then(|(body, cache_control)| {
            let client = Client::described(url, &body, &self.schemes).map_err(NotFound::Invalid)?;
            Ok((Arc::new(client), cache::lifetime(&cache_control)))
        });
        let now = self.clock.monotonic();
        match &fetched {
            Ok((document, lifetime)) => {
                let fresh_until = now.saturating_add(*lifetime);
                self.cache.keep(url, sender, Arc::clone(document), (now, fresh_until));
            }
            Err(error) if error.is_outage() => self.cache.put_off(url, now),
            // The draft, section 4.4: neither errors nor invalid documents are cached. The host has answered, so the earlier document
            // is no longer valid either.
            Err(_) => self.cache.forget(url),
        }
        fetched.map(|(document, _)| document)
    }

    /// Logs each reason at most once per second.
    fn log(&self, url: &ClientUrl, error: &NotFound) {
        let (reason, detail) = error.reason();
        let Some(omitted) = self.log_limit.pass(reason, self.clock.monotonic()) else { return };
        let mut fields = vec![Field::Addr(url.host()), Field::Reason(reason), Field::Omitted(omitted)];
        fields.extend(detail.as_deref().map(Field::Detail));
        log::info("client_document.not_found", &fields);
    }
}
