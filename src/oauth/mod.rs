//! The OAuth 2.1 authorization server: a state machine whose stages travel as sealed values, over one table of grants.
//!
//! ```text
//! GET /authorize   AuthorizationRequest       client, redirect URI, PKCE, scope, resource: all checked
//!                  PendingAuthorization       sealed into the consent form, bound to a cookie
//! POST /consent    GitHubLogin                sealed into GitHub's state, same cookie
//! GET /auth/callback  Grant + AuthorizationCode  GitHub said who, policy said yes: the first thing that is stored
//! POST /token      AccessToken + RefreshToken the grant turns: generation 0, 1, 2, …
//! POST /revoke     the grant is deleted, and everything issued under it is dead
//! GET, POST /account  a person sees their grants, and ends them
//! ```
//!
//! One file an endpoint; each decides on values and commits at its end. Nothing here knows MCP.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, Timestamp};
use crate::base::identity::{ClientFingerprint, GrantId, Scopes};
use crate::base::lock::RwLock;
use crate::base::random::Random;
use crate::base::rate::{Rate, RateLimit};
use crate::base::secret::Secret;
use crate::base::throttle::Throttle;
use crate::base::{limits, log};
use crate::http::PublicUrl;
use crate::http::Response;
use crate::seal::Keyring;
use crate::store::{self, Expiry, Grant, Grants, Stage};

mod account;
mod account_page;
mod answer;
mod authorize;
mod bearer;
mod browser;
mod callback;
mod client;
mod client_metadata;
mod client_url;
mod clients;
#[cfg(test)]
mod clock_tests;
mod configured;
mod consent;
mod deny;
mod document;
mod endings;
mod expiry;
mod github_answer;
mod home_page;
mod issued;
mod login_quota;
mod metadata;
mod obstacle;
mod page;
mod policy;
mod problem;
pub mod provider;
mod redirect;
mod register;
mod revoke;
mod rules;
mod schemes;
mod short_lived;
mod spent_logins;
mod token;
mod token_error;
mod upstream;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod model_tests;

pub use bearer::token_of;
pub use client_url::ClientUrl;
pub use clients::{Clients, Registration};
pub use configured::{ConfiguredClient, ConfiguredMembers};
pub use deny::DenyList;
pub use document::{ClientDocument, ClientDocuments};
use endings::Endings;
use expiry::Readings;
use login_quota::LoginQuota;
pub use page::Pages;
pub use policy::{AllowRule, Policy};
use problem::Problem;
pub use rules::Rules;
pub use schemes::RedirectSchemes;
use spent_logins::SpentLogins;
use upstream::Upstreams;

/// Told of every grant that ends, so that its sessions and streams end with it.
pub type GrantEnded = Box<dyn Fn(GrantId) + Send + Sync>;

/// What the authorization server is told about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    public_url: PublicUrl,
    resource: String,
    callback: String,
    scopes: Scopes,
    required_scope: Scopes,
    registrations_per_hour: usize,
    pages: Pages,
}

impl Settings {
    /// The settings of a server reached at `public_url`, with its MCP endpoint at `/mcp` and the one scope `mcp`.
    pub fn new(public_url: PublicUrl) -> Settings {
        let scopes = Scopes::parse("mcp").unwrap_or_default();
        Settings {
            resource: public_url.join("/mcp"),
            callback: public_url.join("/auth/callback"),
            required_scope: scopes.clone(),
            scopes,
            registrations_per_hour: limits::REGISTRATIONS,
            pages: Pages::new("mcp", "MCP server", Vec::new()),
            public_url,
        }
    }

    /// The same with pages that name the server and its scopes.
    pub fn pages(mut self, pages: Pages) -> Settings {
        self.pages = pages;
        self
    }

    /// The same, with scopes that tools need beyond `mcp`. Clients learn of them, people are shown them.
    pub fn tool_scopes(mut self, scopes: &Scopes) -> Settings {
        self.scopes = self.scopes.union(scopes);
        self
    }

    /// The same, with another limit on the registrations of one sender.
    pub fn registrations_per_hour(mut self, count: usize) -> Settings {
        self.registrations_per_hour = count;
        self
    }

    /// O13: the canonical MCP URI, or the origin that some clients name instead; scheme and host in any case, any name of
    /// loopback for another, the default port written or not, one slash at the end or none.
    fn is_our_resource(&self, text: &str) -> bool {
        let scheme = if self.public_url.is_https() { "https" } else { "http" };
        let Some((their_scheme, rest)) = text.split_once("://") else { return false };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        their_scheme.eq_ignore_ascii_case(scheme)
            && self.public_url.accepts_host(authority)
            && matches!(path, "" | "/" | "/mcp" | "/mcp/" | "/sse" | "/sse/")
    }
}

/// Where clients use their tokens: one resource, known to clients of 2024-11-05 by another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/mcp`
    Mcp,
    /// `/sse`
    Sse,
}

impl Endpoint {
    fn path(self) -> &'static str {
        match self {
            Endpoint::Mcp => "/mcp",
            Endpoint::Sse => "/sse",
        }
    }
}

/// What the authorization server stands on.
pub struct Parts {
    /// Seals everything that is handed out.
    pub keys: Arc<Keyring>,
    /// The one table.
    pub grants: Arc<dyn Grants>,
    /// Says who a person is.
    pub provider: Arc<dyn provider::IdentityProvider>,
    /// Says who may come in.
    pub policy: Policy,
    /// Says through which clients.
    pub clients: Clients,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Whether tools need GitHub's tokens.
    pub upstream: Upstream,
    /// Told of every grant that ends.
    pub grant_ended: GrantEnded,
}

/// The authorization server. Each endpoint is a method from a request to a response.
pub struct AuthorizationServer {
    settings: Settings,
    keys: Arc<Keyring>,
    grants: Arc<dyn Grants>,
    provider: Arc<dyn provider::IdentityProvider>,
    /// Guards which rules hold: taken to copy a pointer.
    rules: RwLock<Arc<Rules>>,
    clients: Clients,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    grant_ended: GrantEnded,
    upstreams: Arc<Upstreams>,
    upstream: Upstream,
    readings: Readings,
    /// The time of the newest record at the start, and the monotonic time of the start.
    newest: Timestamp,
    opened: Duration,
    rates: Rates,
    /// Events of strangers that the log has been told.
    strangers: Throttle,
    endings: Endings,
    logins: LoginQuota,
    /// The one place where a login is decided.
    spent_logins: SpentLogins,
}

/// Whether GitHub's own tokens are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Encrypted, for tools that call GitHub as the caller.
    Keep,
    /// Only if the policy has to ask GitHub again.
    Discard,
}

/// What strangers may do how often (docs/requirements.md).
struct Rates {
    registrations: RateLimit,
    logins: RateLimit,
    sign_ins: RateLimit,
    token_failures: RateLimit,
}

impl Rates {
    fn new(settings: &Settings) -> Rates {
        let (minutes, hour) = (Duration::from_secs(600), Duration::from_secs(3600));
        let limit = |(each, all), per_each, per_all| {
            RateLimit::new(Rate { count: each, per: per_each }, Rate { count: all, per: per_all })
        };
        let registrations = u32::try_from(settings.registrations_per_hour).unwrap_or(u32::MAX);
        Rates {
            registrations: limit((registrations, u32::MAX), hour, hour),
            logins: limit(limits::LOGINS, minutes, hour),
            sign_ins: limit(limits::SIGN_INS, minutes, hour),
            token_failures: limit(limits::TOKEN_FAILURES, minutes, minutes),
        }
    }
}

impl AuthorizationServer {
    /// Puts one together.
    pub fn new(settings: Settings, parts: Parts) -> AuthorizationServer {
        let Parts { keys, grants, provider, policy, mut clients, clock, random, upstream, grant_ended } =
            parts;
        let rules = Rules { policy, denied: std::mem::take(&mut clients.denied) };
        let upstreams = Arc::new(Upstreams {
            keys: Arc::clone(&keys),
            grants: Arc::clone(&grants),
            provider: Arc::clone(&provider),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            turns: upstream::turns(),
            places: upstream::places(),
        });
        AuthorizationServer {
            rates: Rates::new(&settings),
            strangers: Throttle::new(limits::LOG_STRANGERS_PER_SECOND),
            settings,
            keys,
            grants,
            provider,
            rules: RwLock::new(Arc::new(rules)),
            clients,
            newest: Timestamp(0),
            opened: clock.monotonic(),
            clock,
            random,
            grant_ended,
            upstreams,
            upstream,
            readings: Readings::default(),
            endings: Endings::default(),
            logins: LoginQuota::new(),
            spent_logins: SpentLogins::default(),
        }
    }

    /// The same over a table whose newest record is of this time.
    pub fn after(mut self, newest: Timestamp) -> AuthorizationServer {
        self.newest = newest;
        self
    }

    /// T18: whether the clock seems not to be set yet, as after the boot of a machine that keeps no time: what is issued now
    /// would have expired once it is. For [`limits::CLOCK_WAIT`] after the start at most: then the record is taken for wrong.
    fn clock_is_behind(&self) -> bool {
        self.newest.since(self.clock.now()) > limits::CLOCK_BEHIND
            && self.clock.monotonic().saturating_sub(self.opened) < limits::CLOCK_WAIT
    }

    /// The page that a login gets instead.
    fn wait_for_clock(&self) -> Option<Response> {
        let retry = limits::CLOCK_RETRY.as_secs().to_string();
        self.clock_is_behind().then(|| self.pages().problem(Problem::Clock).header("Retry-After", retry))
    }

    /// G6: GitHub's token is kept only if somebody will ask for it.
    fn needs_upstream(&self, rules: &Rules) -> bool {
        self.upstream == Upstream::Keep || rules.policy.has_groups()
    }

    /// `GET /`: what a person finds who opens the server in a browser.
    pub fn home(&self) -> Response {
        self.pages().home(200, &self.settings.resource)
    }

    /// Logs what somebody did whom nobody has authenticated, at most [`limits::LOG_STRANGERS_PER_SECOND`] times a second: they
    /// choose how often. The limits per sender do not bound it, because there can be many senders.
    fn log_of_stranger(&self, event: &'static str, client: &ClientFingerprint) {
        if let Some(omitted) = self.strangers.pass(event, self.clock.monotonic()) {
            log::info(event, &[log::Field::Client(client.as_str()), log::Field::Omitted(omitted)]);
        }
    }

    fn pages(&self) -> &Pages {
        &self.settings.pages
    }

    /// Deletes what has expired. Called now and then.
    pub fn sweep(&self) {
        let now = self.clock.now();
        let settled = self.readings.settled(self.clock.monotonic(), now);
        match self.grants.sweep(Expiry { settled, now }) {
            Ok(ended) => ended.iter().for_each(|grant| {
                log_ended(grant, if grant.stage == Stage::CodeIssued { "not_redeemed" } else { "expired" });
                (self.grant_ended)(grant.id);
            }),
            Err(error) => log::error("store.failed", &[log::Field::Error(&error.to_string())]),
        }
        self.carry_out_endings();
    }

    /// Whether grants can be made and changed, as far as is known.
    pub fn is_ready(&self) -> bool {
        self.grants.takes_writes()
    }

    /// Whether tokens of this grant are still good. While the table cannot be read nothing is taken for ended.
    pub fn is_live(&self, grant: GrantId) -> bool {
        let now = self.clock.now();
        match self.grants.get(grant) {
            Ok(grant) => grant.is_some_and(|grant| !grant.is_over(now) && self.is_good(&grant)),
            Err(_) => true,
        }
    }

    /// Ends a grant whose secret is at hand. G6: GitHub's token of it, which nobody can open any more, is given back; GitHub is
    /// asked once the grant is gone, for [`limits::GITHUB_CALL`] at most, and whatever it answers changes nothing.
    fn end_opened_grant(
        &self,
        id: GrantId,
        secret: &Secret<[u8; 32]>,
        reason: &'static str,
    ) -> Result<(), store::Error> {
        let grant = self.grants.get(id).ok().flatten();
        let kept = grant.and_then(|grant| Some((grant.user, self.upstreams.access(&grant, secret)?)));
        if self.end_grant(id, reason)?
            && let Some((user, access)) = kept
        {
            match self.upstreams.places.take(user) {
                Some(_place) => self.provider.discard(&access),
                None => log::warn("github.token_kept", &[log::Field::Reason("busy")]),
            }
        }
        Ok(())
    }

    /// Ends a grant and everything that belongs to it; says whether there was one. `reason` is a fixed word for the log.
    ///
    /// # Errors
    /// [`store::Error`] if that is not durable yet. S3: its sessions and streams have ended all the same.
    pub fn end_grant(&self, id: GrantId, reason: &'static str) -> Result<bool, store::Error> {
        let grant = self.grants.get(id).ok().flatten();
        let deleted = self.grants.delete(id);
        (self.grant_ended)(id);
        if let (Ok(true), Some(grant)) = (&deleted, grant) {
            log_ended(&grant, reason);
        }
        deleted
    }
}

fn log_ended(grant: &Grant, reason: &'static str) {
    let fields = [
        log::Field::User(&grant.user.to_string()),
        log::Field::Client(grant.client.fingerprint.as_str()),
        log::Field::Grant(&grant.id.to_string()),
        log::Field::Reason(reason),
    ];
    log::info("grant.ended", &fields);
}
