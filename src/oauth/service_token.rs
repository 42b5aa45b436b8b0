//! Service tokens: bearer tokens that the operator makes for programs that cannot log in. Each is a grant of its own kind, and one
//! sealed value that is shown once. It is worth nothing at the other endpoints: no other value has its type.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::bearer::{BearerCheck, BearerError};
use super::issued::ServiceToken;
use super::live_grants::LiveGrants;
use super::resource::ProtectedResource;
use crate::audit;
use crate::base::access::Who;
use crate::base::clock::Clock;
use crate::base::identity::{
    ClientFingerprint, GrantId, Principal, Scopes, Subject, TokenName, UpstreamToken,
};
use crate::base::membership::Memberships;
use crate::base::network::Network;
use crate::base::secret::Secret;
use crate::base::startup_error::StartupError;
use crate::base::{limits, log, trace};
use crate::http::Head;
use crate::seal;
use crate::store::{Grant, GrantClient, RENEWAL, Stage};

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenOrder {
    pub name: TokenName,
    /// The names of its servers. None where there is one server.
    pub servers: Vec<String>,
    pub days: u16,
    /// Where it may be used from; anywhere if empty.
    pub addresses: Vec<Network>,
}

/// A service token that was made. Shown once: nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedToken {
    #[serde(with = "seal::secret_text")]
    pub token: Secret<String>,
    /// Name and URL of each server for a client.
    pub servers: Vec<(String, String)>,
    /// RFC 3339.
    pub ends: String,
}

/// The token at GitHub of a caller who is no user there.
struct NoUser;

impl UpstreamToken for NoUser {
    fn token(&self) -> Option<Secret<String>> {
        None
    }

    fn is_good(&self) -> bool {
        false
    }
}

impl AuthorizationServer {
    /// Makes a service token.
    ///
    /// # Errors
    /// What to write instead, or why it cannot be stored.
    pub fn add_token(&self, order: &TokenOrder) -> Result<AddedToken, StartupError> {
        let (subject, clock) = (Subject::Token(order.name), &self.token.clock);
        let (_, most_days) = limits::service_token::DAYS;
        if !(1..=most_days).contains(&order.days) {
            return Err(StartupError::unusable("--days", format!("write 1 to {most_days}")));
        }
        if clock.is_behind() {
            return Err(StartupError::new(
                "the clock is more than a day behind the newest record: set it, and try again",
            ));
        }
        let resources = self.chosen(&order.servers)?;
        let who = Who { subject, login: "", memberships: &Memberships::default() };
        if let Some(closed) = resources.iter().find(|each| each.access.rules().rule_for(who).is_none()) {
            return Err(StartupError::new(format!(
                "no access rule of {} names {subject}: write it into \"allow\" of one, send SIGHUP, and try again",
                closed.name().unwrap_or("the server")
            )));
        }
        let unreadable = |error: crate::store::Error| StartupError::new(error.to_string());
        let now = clock.now();
        let grants = self.grants.table.list().map_err(unreadable)?;
        if grants.iter().any(|grant| grant.subject == subject && !grant.is_over(now)) {
            return Err(StartupError::new(format!(
                "there is a service token {:?} already: end it with `tokens revoke {0}`, or choose another name",
                order.name.as_str()
            )));
        }
        let uris: Vec<&str> = resources.iter().map(|resource| &*resource.uri).collect();
        let grant = Grant {
            id: GrantId(self.token.random.bytes()),
            revision: 0,
            subject,
            login: subject.to_string(),
            client: GrantClient {
                fingerprint: ClientFingerprint::of(&subject.to_string()),
                name: "service token".to_owned(),
                host: None,
                redirect: "-".to_owned(),
            },
            scopes: resources.iter().fold(Scopes::default(), |all, each| all.union(&each.scopes)),
            resource: uris.join(" "),
            created: now,
            last_used: now,
            admitted: now,
            memberships: Memberships::default(),
            expires: now.plus(std::time::Duration::from_secs(u64::from(order.days).saturating_mul(86_400))),
            stage: Stage::Service { addresses: order.addresses.clone() },
            upstream: None,
        };
        self.grants.table.insert(&grant).map_err(unreadable)?;
        let fields =
            [log::Field::User(subject), log::Field::Grant(grant.id), log::Field::Url(&grant.resource)];
        audit::info("operator.token_added", &fields);
        let (id, client) = (grant.id, grant.client.fingerprint);
        let token = ServiceToken { grant: id, client, expires: grant.expires };
        let name = |resource: &ProtectedResource| resource.name().unwrap_or(order.name.as_str()).to_owned();
        Ok(AddedToken {
            token: Secret::new(seal::seal(&self.token.keys, &token, &*self.token.random)),
            servers: resources.iter().map(|each| (name(each), each.uri.to_string())).collect(),
            ends: grant.expires.rfc3339(),
        })
    }

    /// The servers of these names, or the only one.
    fn chosen(&self, names: &[String]) -> Result<Vec<Arc<ProtectedResource>>, StartupError> {
        let all = self.resources.all();
        let known: Vec<&str> = all.iter().filter_map(|resource| resource.name()).collect();
        let unusable = |why: fmt::Arguments<'_>| StartupError::unusable("--server", why);
        let chosen = match all.as_slice() {
            [only] if names.is_empty() => vec![Arc::clone(only)],
            _ if names.is_empty() => {
                let known = known.join(", ");
                return Err(unusable(format_args!("say for which servers the token is: {known}")));
            }
            _ => {
                let find = |name: &String| {
                    let found = all.iter().find(|resource| resource.name() == Some(name));
                    found.map(Arc::clone).ok_or_else(|| match known.as_slice() {
                        [] => unusable(format_args!("there is one server, which has no name: leave it out")),
                        known => {
                            unusable(format_args!("there is no {name:?}; there are {}", known.join(", ")))
                        }
                    })
                };
                names.iter().map(find).collect::<Result<_, _>>()?
            }
        };
        match chosen.iter().find(|resource| resource.needs_user) {
            None => Ok(chosen),
            Some(resource) => Err(StartupError::new(format!(
                "{} needs to know which person calls (${{user.…}} or ${{github.token}} in its env or headers), and a service token is no \
                 person: describe it a second time without these, under another name, and make the token for that",
                resource.name().unwrap_or("the server")
            ))),
        }
    }
}

impl BearerCheck {
    /// The caller with a service token. GitHub and `MCP_ALLOW` are not asked: the operator has let it in.
    pub(super) fn service_principal(
        &self,
        resource: &ProtectedResource,
        head: &Head,
        text: &str,
    ) -> Result<Principal, BearerError> {
        let now = self.clock.now();
        let token: ServiceToken = seal::open(&self.keys, text, now).map_err(|_| BearerError::Invalid)?;
        trace::names_client(&token.client);
        let invalid = |reason| {
            trace::refused(reason);
            BearerError::Invalid
        };
        if now >= token.expires {
            return Err(invalid("token_expired"));
        }
        let grant = self.grants.table.get(token.grant)?.filter(|grant| self.grants.is_good(grant));
        let grant = grant.ok_or_else(|| invalid("token_revoked"))?;
        let Stage::Service { addresses } = &grant.stage else { return Err(BearerError::Invalid) };
        let principal = Principal {
            subject: grant.subject,
            login: grant.login.as_str().into(),
            memberships: Arc::default(),
            client: token.client,
            scopes: Arc::new(grant.scopes.clone()),
            grant: grant.id,
            resource: Arc::clone(&resource.uri),
            expires: grant.expires,
            upstream: Arc::new(NoUser),
            session: None,
        };
        let is_near = |address| addresses.iter().any(|network| network.contains(address));
        let (reason, error) = if !grant.resource.split(' ').any(|uri| *uri == *resource.uri) {
            ("another_server", BearerError::Invalid)
        } else if !addresses.is_empty() && !head.peer.is_some_and(is_near) {
            ("address_not_allowed", BearerError::Forbidden)
        } else if resource.needs_user {
            ("needs_user", BearerError::Forbidden)
        } else if resource.access.rules().rule_for(Who::from(&principal)).is_none() {
            ("no_access_rule", BearerError::NotAllowed)
        } else {
            self.grants.note_use(grant.id, now);
            return Ok(principal);
        };
        trace::refused(reason);
        trace::names_caller(&principal);
        Err(error)
    }
}

impl LiveGrants {
    /// Logs the service tokens that end soon. Called once a day.
    pub fn warn_of_ends(&self) {
        let Ok(grants) = self.table.list() else { return }; // the sweep logs why
        let now = self.now();
        for grant in grants.iter().filter(|grant| grant.ends_soon(now)) {
            let hint = format!("it ends at {}: {RENEWAL}", grant.end().rfc3339());
            let fields =
                [log::Field::User(grant.subject), log::Field::Grant(grant.id), log::Field::Hint(&hint)];
            log::warn("token.ends_soon", &fields);
        }
    }
}

#[cfg(test)]
mod tests;
