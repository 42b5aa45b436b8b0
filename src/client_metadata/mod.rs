//! Finds the metadata documents of clients whose id is a URL: remembers them for a while, and fetches them for strangers
//! without becoming their tool (I2, I3, I5).
//!
//! `address` says where a connection may lead, `fetch` makes it, `flights` limits how many are under way, `cache`
//! remembers what was found.

/// The private classifier, for tests/fuzz alone.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    /// Whether an address is on the public internet.
    #[must_use]
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::cache::{Cache, Known};
use self::fetch::Fetcher;
use self::flights::{Flights, Full, Turn};
use crate::base::clock::Clock;
use crate::base::limits;
use crate::base::log::{self, Field};
use crate::base::neighbour::Neighbour;
use crate::base::rate::{Quota, RateLimit};
use crate::base::throttle::Throttle;
use crate::http::PublicUrl;
use crate::oauth::{ClientDocument, ClientDocuments, ClientUrl};
use crate::trust::Trust;

/// Every document that this process knows or may fetch.
pub struct Documents {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    /// Guards what was found; locked for a look or a change, never while fetching.
    cache: Mutex<Cache>,
    flights: Flights,
    by_sender: RateLimit,
    by_host: RateLimit<String>,
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
    /// Too many for this sender, or for all.
    SenderRate,
    /// Too many at this host, or at all.
    HostRate,
    /// Too many at this moment.
    Busy(Full),
    /// Whoever fetched it for several came back without.
    NoneEither,
    /// It was not to be had.
    Fetch(fetch::FetchError),
    /// It breaks a rule.
    Invalid,
}

impl Documents {
    /// Documents from the public internet, for the server at `own`.
    #[must_use]
    pub fn new(own: &PublicUrl, trust: &Trust, clock: Arc<dyn Clock>) -> Documents {
        Documents::with(Fetcher::new(own, trust), clock)
    }

    fn with(fetcher: Fetcher, clock: Arc<dyn Clock>) -> Documents {
        let (minutes, hour) = (Duration::from_secs(600), Duration::from_secs(3600));
        let quotas = |(each, all)| (Quota { count: each, per: minutes }, Quota { count: all, per: hour });
        let (sender, senders) = quotas(limits::DOCUMENT_LOOKUPS);
        let (host, hosts) = quotas(limits::DOCUMENT_LOOKUPS_PER_HOST);
        Documents {
            fetcher,
            clock,
            cache: Mutex::default(),
            flights: Flights::default(),
            by_sender: RateLimit::new(sender, senders),
            by_host: RateLimit::new(host, hosts),
            told: Throttle::new(1),
        }
    }

    fn look(&self, url: &ClientUrl) -> Known {
        self.cache().look(url.as_str(), self.clock.monotonic())
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is not remembered costs the sender some of what they may ask for, whoever else asks at the same time.
    fn look_for(&self, url: &ClientUrl, peer: Option<IpAddr>) -> Result<Arc<ClientDocument>, NotFound> {
        self.by_sender.spend(peer, self.clock.monotonic()).map_err(|_| NotFound::SenderRate)?;
        let sender = Neighbour::elsewhere(peer);
        let turn =
            self.flights.board(url.as_str(), sender, limits::DOCUMENT_FETCH).map_err(NotFound::Busy)?;
        match (self.look(url), turn) {
            (Known::Fresh(document), _) => Ok(document),
            (Known::Stale | Known::Unknown, Turn::Fetched) => Err(NotFound::NoneEither),
            // A URL that had a document is asked at most once a minute, whatever else is asked of its host: nobody can
            // lock a client out by asking the same host for documents that are not there.
            (Known::Stale, Turn::Fetch(_flight)) => self.fetch(url),
            (Known::Unknown, Turn::Fetch(_flight)) => {
                let host = Some(url.host().to_owned());
                self.by_host.spend_as(host, self.clock.monotonic()).map_err(|_| NotFound::HostRate)?;
                self.fetch(url)
            }
        }
    }

    fn fetch(&self, url: &ClientUrl) -> Result<Arc<ClientDocument>, NotFound> {
        let fetched = self.fetcher.fetch(url).map_err(NotFound::Fetch).and_then(|answer| {
            let document = ClientDocument::parse(url, &answer.body).ok_or(NotFound::Invalid)?;
            Ok((Arc::new(document), cache::lifetime(&answer.cache_control)))
        });
        match fetched {
            Ok((document, lifetime)) => {
                let expires = self.clock.monotonic().saturating_add(lifetime);
                self.cache().keep(url.as_str(), Arc::clone(&document), expires);
                Ok(document)
            }
            Err(error) => {
                // The draft, section 4.4: neither errors nor invalid documents are kept, nor what was there before.
                self.cache().forget(url.as_str());
                Err(error)
            }
        }
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
        match self.look_for(url, peer) {
            Ok(document) => Some(document),
            Err(error) => {
                self.tell(url, &error);
                None
            }
        }
    }
}

impl NotFound {
    fn reason(&self) -> &'static str {
        match self {
            NotFound::SenderRate => "too many from this sender",
            NotFound::HostRate => "too many at this host",
            NotFound::Busy(Full::Sender) => "several at once from this sender",
            NotFound::Busy(Full::All) => "too many at once",
            NotFound::NoneEither => "nor for others",
            NotFound::Fetch(_) => "not fetched",
            NotFound::Invalid => "not valid",
        }
    }
}
