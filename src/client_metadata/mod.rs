//! Finds the metadata documents of clients whose id is a URL: remembers them for a while, and fetches them for strangers
//! without becoming their tool (I2, I3, I5).
//!
//! `address` says where a connection may lead, `fetch` makes it, `flights` limits how many are under way, `cache` remembers what
//! was found. Limits are per sender: no number of strangers uses up what others need.

/// The private classifier, for tests/fuzz alone.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod fuzzing {
    /// Whether an address is on the public internet.
    pub fn is_global(address: std::net::IpAddr) -> bool {
        super::address::is_global(address)
    }
}

mod address;
mod cache;
mod fetch;
mod flights;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use self::cache::{Cache, Known};
use self::fetch::Fetcher;
use self::flights::{Busy, Flights, Turn};
use crate::base::clock::Clock;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::base::log::{self, Field};
use crate::base::neighbour::Neighbour;
use crate::base::rate::{Rate, RateLimit};
use crate::base::throttle::Throttle;
use crate::http::PublicUrl;
use crate::oauth::{ClientDocument, ClientDocuments, ClientUrl, RedirectSchemes};
use crate::trust::Trust;

/// Every document that this process knows or may fetch.
pub struct Documents {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    /// Guards what was found; locked for a look or a change, never while fetching.
    cache: Mutex<Cache>,
    flights: Flights,
    by_sender: RateLimit,
    /// Private-use schemes that the operator lets redirect URIs have.
    schemes: RedirectSchemes,
    /// What the log has been told of documents that were not found: strangers choose how often that is.
    told: Throttle,
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("flights", &self.flights).finish_non_exhaustive()
    }
}

/// Why no document is looked for or used. For the log.
enum NotFound {
    /// Too many for this sender.
    SenderRate,
    /// Too many at this moment.
    Busy,
    /// The fetch that it waited for came back without.
    NoneEither,
    /// It was not to be had.
    Fetch(fetch::FetchError),
    /// It breaks a rule.
    Invalid,
}

impl Documents {
    /// Documents from the public internet, for the server at `own`.
    pub fn new(own: &PublicUrl, trust: &Trust, schemes: RedirectSchemes, clock: Arc<dyn Clock>) -> Documents {
        Documents::with(Fetcher::new(own, trust), schemes, clock)
    }

    fn with(fetcher: Fetcher, schemes: RedirectSchemes, clock: Arc<dyn Clock>) -> Documents {
        let quota = |count| Rate { count, per: Duration::from_secs(600) };
        Documents {
            fetcher,
            clock,
            cache: Mutex::default(),
            flights: Flights::default(),
            by_sender: RateLimit::new(quota(limits::DOCUMENT_LOOKUPS), quota(u32::MAX)),
            schemes,
            told: Throttle::new(1),
        }
    }

    fn look(&self, url: &ClientUrl) -> Known {
        self.cache().look(url.as_str(), self.clock.monotonic())
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock()
    }

    /// Costs one of the sender's allowance: fetching a document that is not remembered, and every fetch that brings none, for
    /// those who waited for it as well. Waiting for a document that comes, and refreshing a remembered one, cost nothing.
    fn look_for(&self, url: &ClientUrl, peer: Option<IpAddr>) -> Result<Arc<ClientDocument>, NotFound> {
        self.by_sender.check(peer, self.clock.monotonic()).map_err(|_| NotFound::SenderRate)?;
        let spend = || self.by_sender.spend(peer, self.clock.monotonic()).map_err(|_| NotFound::SenderRate);
        // A site of IPv6 is one sender: it has 65,536 networks, and there are fewer places.
        let sender = Neighbour::elsewhere(peer).map(|sender| sender.site().unwrap_or(sender));
        // There is no need to wait if a stale copy can be used.
        let is_stale = matches!(self.look(url), Known::Stale(_));
        let patience = if is_stale { Duration::ZERO } else { limits::DOCUMENT_WAIT };
        let turn = self.flights.board(url.as_str(), sender, patience).map_err(|Busy| NotFound::Busy)?;
        match (self.look(url), turn) {
            (Known::Fresh(document), _) => Ok(document),
            (Known::Stale(_) | Known::Unknown, Turn::Fetched) => {
                spend()?;
                Err(NotFound::NoneEither)
            }
            (Known::Unknown, Turn::Fetch(flight)) => {
                spend()?;
                let found = self.fetch(url, sender);
                flight.land();
                found
            }
            (Known::Stale(_), Turn::Fetch(flight)) => {
                let found = self.fetch(url, sender);
                flight.land();
                if found.is_err() {
                    spend()?;
                }
                found
            }
        }
    }

    fn fetch(&self, url: &ClientUrl, sender: Option<Neighbour>) -> Result<Arc<ClientDocument>, NotFound> {
        let fetched = self.fetcher.fetch(url).map_err(NotFound::Fetch).and_then(|answer| {
            let document =
                ClientDocument::parse(url, &answer.body, &self.schemes).ok_or(NotFound::Invalid)?;
            Ok((Arc::new(document), cache::lifetime(&answer.cache_control)))
        });
        let now = self.clock.monotonic();
        match &fetched {
            Ok((document, lifetime)) => {
                let fresh_until = now.saturating_add(*lifetime);
                self.cache().keep(url.as_str(), sender, Arc::clone(document), fresh_until);
            }
            Err(NotFound::Fetch(error)) if error.is_outage() => self.cache().put_off(url.as_str(), now),
            // The draft, section 4.4: neither errors nor invalid documents are kept. The host has answered that there is no
            // document any more, so what was there before is not kept either.
            Err(_) => self.cache().forget(url.as_str()),
        }
        fetched.map(|(document, _)| document)
    }
}

impl Documents {
    /// Once a second for each reason.
    fn tell(&self, url: &ClientUrl, error: &NotFound) {
        let reason = error.reason();
        let Some(omitted) = self.told.pass(reason, self.clock.monotonic()) else { return };
        let detail = if let NotFound::Fetch(error) = error { Some(error.to_string()) } else { None };
        let mut fields = vec![Field::Addr(url.host()), Field::Reason(reason), Field::Omitted(omitted)];
        fields.extend(detail.as_deref().map(Field::Error));
        log::info("client_document.not_found", &fields);
    }
}

impl ClientDocuments for Documents {
    fn find(&self, url: &ClientUrl, peer: Option<IpAddr>) -> Option<Arc<ClientDocument>> {
        if let Known::Fresh(document) = self.look(url) {
            return Some(document);
        }
        let error = match self.look_for(url, peer) {
            Ok(document) => return Some(document),
            Err(error) => error,
        };
        self.tell(url, &error);
        // What is left now was not withdrawn by its host: an outage, or a crowd here, keeps no known client out.
        match self.look(url) {
            Known::Fresh(document) | Known::Stale(document) => Some(document),
            Known::Unknown => None,
        }
    }
}

impl NotFound {
    fn reason(&self) -> &'static str {
        match self {
            NotFound::SenderRate => "sender_rate",
            NotFound::Busy => "too_many_at_once",
            NotFound::NoneEither => "concurrent_fetch_failed",
            NotFound::Fetch(_) => "not_fetched",
            NotFound::Invalid => "not_valid",
        }
    }
}
