//! The OAuth 2.1 authorization server: a state machine whose stages travel as sealed values, over one table of grants.
//!
//! ```text
//! GET /authorize   AuthorizationRequest       client, redirect URI, PKCE, scope, resource: all checked
//!                  PendingAuthorization       sealed into the consent form, bound to a cookie
//! POST /consent    GitHubLogin                sealed into GitHub's state, same cookie
//! GET /auth/callback  Grant + AuthorizationCode  GitHub has identified the person, the policy admits them: the first record
//! POST /token      AccessToken + RefreshToken  the tokens rotate: generation 0, 1, 2, …
//! POST /revoke     the grant is deleted, and everything issued under it is dead
//! GET, POST /account  a person sees their grants, and ends them
//! ```
//!
//! Each endpoint has one file. It checks everything first and writes last. Nothing here knows MCP.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{
    ClientFingerprint, Clock, Mutex, Quota, Random, RateLimit, Throttle, Timestamp, limits, log,
};
use crate::http::PublicUrl;
use crate::seal::Keyring;
use crate::store::Grants;

mod account;
mod account_page;
mod answer;
mod authorization;
mod authorize;
mod bearer;
mod browser;
mod callback;
mod client;
pub mod client_metadata;
mod client_url;
mod clients;
#[cfg(test)]
mod clock_tests;
mod configured;
mod consent;
mod deny;
mod document;
mod expiry;
mod home_page;
mod issued;
mod live_grants;
mod login;
mod login_quota;
mod metadata;
mod page;
mod policy;
mod problem;
pub mod provider;
mod redirect;
mod register;
mod resource;
mod revoke;
mod schemes;
mod sealer;
mod service_token;
mod spent_logins;
mod token;
mod token_error;
mod upstream;

#[cfg(test)]
mod access_tests;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod servers_tests;

use account::AccountEndpoint;
use authorize::AuthorizeEndpoint;
use bearer::BearerCheck;
pub use bearer::token_of;
use callback::CallbackEndpoint;
pub use client::Client;
pub use client_url::ClientUrl;
use clients::ClientRegistry;
pub use clients::{Clients, Registration};
pub use configured::ConfiguredMembers;
use consent::ConsentEndpoint;
pub use deny::DenyList;
pub use document::ClientDocuments;
pub use live_grants::{GrantEnded, LiveGrants};
use login_quota::LoginQuota;
use metadata::MetadataEndpoint;
pub use page::Pages;
pub use policy::Rules;
use register::RegistrationEndpoint;
use resource::Resources;
pub use resource::{Endpoint, ProtectedResource};
pub use schemes::RedirectSchemes;
use sealer::Sealer;
pub use service_token::{AddedToken, TokenOrder};
use spent_logins::SpentLogins;
use token::TokenEndpoint;
use upstream::Upstreams;

/// The parts of an authorization server.
pub struct Parts {
    /// Where clients reach all servers.
    pub public_url: PublicUrl,
    /// The MCP servers that it guards.
    pub resources: Vec<Arc<ProtectedResource>>,
    /// Seals codes, tokens and the stages of logins.
    pub keys: Arc<Keyring>,
    /// The one table.
    pub grants: Arc<dyn Grants>,
    /// When the newest record of the table was written.
    pub newest: Timestamp,
    /// Identifies people.
    pub provider: Arc<dyn provider::IdentityProvider>,
    /// The rules of `MCP_ALLOW` and `MCP_DENY_CLIENTS`.
    pub rules: Rules,
    /// The sources of clients.
    pub clients: Clients,
    /// Registrations that a sender may make in an hour.
    pub registrations_per_hour: usize,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for secrets and salts.
    pub random: Arc<dyn Random>,
    /// Called with every grant that ends.
    pub grant_ended: GrantEnded,
}

/// The endpoints. Requests to those that each server has come with its resource.
pub struct AuthorizationServer {
    /// The MCP servers that are guarded.
    pub resources: Arc<Resources>,
    /// `/.well-known/…`
    pub metadata: MetadataEndpoint,
    /// `/register`
    pub register: RegistrationEndpoint,
    /// `/authorize`
    pub authorize: AuthorizeEndpoint,
    /// `/consent`
    pub consent: ConsentEndpoint,
    /// `/auth/callback`
    pub callback: CallbackEndpoint,
    /// `/account`
    pub account: AccountEndpoint,
    /// `/token` and `/revoke`
    pub token: TokenEndpoint,
    /// The access tokens of requests.
    pub bearer: BearerCheck,
    /// The grants, for the operator's commands and the sweep.
    pub grants: Arc<LiveGrants>,
}

impl AuthorizationServer {
    /// Builds the endpoints.
    pub fn new(parts: Parts) -> AuthorizationServer {
        let Parts { public_url, resources, provider, clients, clock, .. } = parts;
        let pages = match resources.as_slice() {
            [only] if only.name.is_none() => only.pages.clone(),
            _ => Pages::new("mcp", public_url.authority(), Vec::new()).at(public_url.path(), ""),
        };
        let resources = Arc::new(Resources { current: Mutex::new(resources), pages });
        let (hour, ten_minutes) = (Duration::from_secs(3600), Duration::from_secs(600));
        let registrations = u32::try_from(parts.registrations_per_hour).unwrap_or(u32::MAX);
        let grants = Arc::new(LiveGrants::new(parts.grants, clock.clone(), parts.rules, parts.grant_ended));
        let sealer = Arc::new(Sealer {
            url: public_url,
            keys: parts.keys,
            random: parts.random,
            started: clock.monotonic(),
            clock,
            newest: parts.newest,
        });
        let clients =
            Arc::new(ClientRegistry { sources: clients, sealer: sealer.clone(), grants: grants.clone() });
        let upstreams = Arc::new(Upstreams {
            sealer: sealer.clone(),
            grants: grants.clone(),
            provider: provider.clone(),
            // Bounded otherwise: each waiting request has a place, or is one of its user's calls.
            refresh_locks: Arc::new(Quota::new((1, usize::MAX)).waiting((usize::MAX, usize::MAX))),
            places: Arc::new(Quota::new(limits::REFRESH_PLACES).waiting(limits::REFRESH_WAITERS)),
        });
        let spent = Arc::new(SpentLogins::default());
        AuthorizationServer {
            metadata: MetadataEndpoint { clients: clients.clone() },
            register: RegistrationEndpoint {
                clients: clients.clone(),
                limit: RateLimit::new(registrations, hour),
                log_limit: Throttle::new(limits::LOG_STRANGERS_PER_SECOND),
            },
            authorize: AuthorizeEndpoint {
                clients: clients.clone(),
                sealer: sealer.clone(),
                grants: grants.clone(),
            },
            consent: ConsentEndpoint {
                sealer: sealer.clone(),
                spent: spent.clone(),
                grants: grants.clone(),
                provider: provider.clone(),
                answers: RateLimit::new(limits::LOGINS, ten_minutes),
                log_limit: Throttle::new(limits::LOG_STRANGERS_PER_SECOND),
            },
            callback: CallbackEndpoint {
                resources: resources.clone(),
                sealer: sealer.clone(),
                spent,
                provider: provider.clone(),
                grants: grants.clone(),
                upstreams: upstreams.clone(),
                quota: LoginQuota::new(),
            },
            account: AccountEndpoint {
                resources: resources.clone(),
                sealer: sealer.clone(),
                provider: provider.clone(),
                grants: grants.clone(),
                sign_ins: RateLimit::new(limits::SIGN_INS, ten_minutes),
            },
            token: TokenEndpoint {
                clients,
                sealer: sealer.clone(),
                grants: grants.clone(),
                upstreams: upstreams.clone(),
                provider,
                failures: RateLimit::new(limits::TOKEN_FAILURES, ten_minutes),
            },
            bearer: BearerCheck { sealer, grants: grants.clone(), upstreams },
            grants,
            resources,
        }
    }
}

/// Logs an event that an unauthenticated request can cause, at most [`limits::LOG_STRANGERS_PER_SECOND`] times a second. The limits
/// per sender do not bound the log, because there can be many senders.
fn log_stranger(log: &Throttle, now: Duration, event: &'static str, client: &ClientFingerprint) {
    if let Some(omitted) = log.pass(event, now) {
        log::info(event, &[log::Field::Client(client.as_str()), log::Field::Omitted(omitted)]);
    }
}
