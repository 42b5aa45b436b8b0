//! Service tokens: bearer tokens that the operator makes for programs that cannot log in. Each is a grant of its own kind, and one
//! sealed value that is shown once. It is worth nothing at the other endpoints: no other value has its type.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::bearer::BearerError;
use super::issued::{AccessToken, ServiceToken};
use super::resource::ProtectedResource;
use crate::audit;
use crate::base::{
    ClientFingerprint, GrantId, Memberships, Network, Scopes, Secret, StartupError, Subject, TokenName,
    limits, log,
};
use crate::seal;
use crate::store::{Grant, GrantClient, Stage};

/// The operator's request for a token.
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
    /// For the configuration of a client: the URL of each server, under its name, or that of the token if there is one server without a
    /// name.
    pub servers: Vec<(String, String)>,
    /// RFC 3339.
    pub ends: String,
}

impl AuthorizationServer {
    /// Makes a service token.
    ///
    /// # Errors
    /// Advice on a value that cannot be used, or why the token cannot be stored.
    pub fn add_token(&self, order: &TokenOrder) -> Result<AddedToken, StartupError> {
        let (subject, sealer) = (Subject::Token(order.name), &self.token.sealer);
        let (_, most_days) = limits::service_token::DAYS;
        if !(1..=most_days).contains(&order.days) {
            return Err(StartupError::unusable("--days", format!("write 1 to {most_days}")));
        }
        if sealer.is_behind() {
            return Err(StartupError::new(
                "the clock is more than a day behind the newest record: set it, and try again",
            ));
        }
        let resources = self.chosen(&order.servers)?;
        let unreadable = |error: crate::store::Error| StartupError::new(error.to_string());
        let now = sealer.clock.now();
        let grants = self.grants.table.list().map_err(unreadable)?;
        if grants.iter().any(|grant| grant.subject == subject && !grant.is_over(now)) {
            return Err(StartupError::new(format!(
                "there is a service token {:?} already: end it with `tokens revoke {0}`, or choose another name",
                order.name.as_str()
            )));
        }
        let uris: Vec<&str> = resources.iter().map(|resource| &*resource.uri).collect();
        let grant = Grant {
            id: GrantId(sealer.random.bytes()),
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
            expires: now.plus(Duration::from_secs(u64::from(order.days).saturating_mul(86_400))),
            stage: Stage::Service { addresses: order.addresses.clone() },
            upstream: None,
        };
        for resource in &resources {
            let server = resource.name().unwrap_or("the server");
            let why = match resource.refusal(grant.who()) {
                None => continue,
                Some(BearerError::NeedsUser) => format!(
                    "{server} needs to know which person calls (${{user.*}} or ${{github.token}} in its env or headers), and a service token \
                     is no person: add it to the servers file once more, under another name and without these, and make the token for that name"
                ),
                Some(_) => format!(
                    "no access rule of {server} names {subject}: add {{ \"allow\": [\"{subject}\"], \"tools\": [\"TOOL\"] }} with the tools that it \
                     needs to these rules (without \"tools\" all are open), send SIGHUP, and try again"
                ),
            };
            return Err(StartupError::new(why));
        }
        self.grants.table.insert(&grant).map_err(unreadable)?;
        let fields =
            [log::Field::User(subject), log::Field::Grant(grant.id), log::Field::Url(&grant.resource)];
        audit::info("operator.token_added", &fields);
        let access = AccessToken {
            grant: grant.id,
            scopes: grant.scopes,
            resource: grant.resource,
            secret: Secret::new(sealer.random.bytes()), // nothing is sealed with it: there is no GitHub token
            expires: grant.expires,
        };
        let token = ServiceToken { client: grant.client.fingerprint, access };
        let name = |resource: &ProtectedResource| resource.name().unwrap_or(order.name.as_str()).to_owned();
        Ok(AddedToken {
            token: Secret::new(sealer.seal(&token)),
            servers: resources.iter().map(|each| (name(each), each.uri.to_string())).collect(),
            ends: grant.expires.rfc3339(),
        })
    }

    /// The servers of these names, or the only one.
    fn chosen(&self, names: &[String]) -> Result<Vec<Arc<ProtectedResource>>, StartupError> {
        let mut all = self.resources.all();
        if names.is_empty() && all.len() == 1 {
            return Ok(all);
        }
        let known: Vec<&str> = all.iter().filter_map(|resource| resource.name()).collect();
        let unknown = names.iter().find(|name| !known.contains(&name.as_str()));
        let why = match (known.join(", "), unknown) {
            (known, _) if known.is_empty() => {
                "there is one server, which has no name: leave it out".to_owned()
            }
            (known, Some(unknown)) => format!("there is no {unknown:?}; there are {known}"),
            (known, None) if names.is_empty() => format!("say for which servers the token is: {known}"),
            (_, None) => {
                all.retain(|resource| names.iter().any(|name| resource.name() == Some(name)));
                return Ok(all);
            }
        };
        Err(StartupError::unusable("--server", why))
    }
}

#[cfg(test)]
mod tests;
