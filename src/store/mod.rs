//! The one table: grants. Written only after a GitHub login that policy admits, or by the operator; holds no token, code or client secret of
//! this server, nor a hash of one, and GitHub's tokens encrypted (docs/storage.md shows a record and says what a thief of it learns).

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::base::{
    ClientFingerprint, GrantId, Memberships, Network, Scopes, Subject, Throttle, Timestamp, UserId, Who,
    clock, limits, log,
};
use crate::seal::Keyring;

mod backup;
mod cache;
#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod fake;
pub mod key_file;
mod opening;
mod place;
mod private;
mod redb;
mod schema;
mod tables;
#[cfg(test)]
mod tests;
#[cfg(feature = "valkey")]
mod valkey;

pub use self::backup::{deliver, withdraw};
#[cfg(test)]
pub(crate) use self::fake::MemoryGrants;
pub use self::opening::KeyRotation;
pub use self::place::{StorePlace, StoreUrl};
pub use self::private::{OpenedFor, StateDirectory, check_directory, create_new};
pub use self::redb::{NAME as GRANTS_FILE, RedbGrants};

/// One user's consent to one client, and the state of its tokens; or a service token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Names the grant.
    pub id: GrantId,
    /// Counts the writes; [`Grants::update`] compares it.
    pub revision: u64,
    /// The user who logged in, or the service token that the operator has made.
    #[serde(rename = "user")]
    pub subject: Subject,
    /// The user's login when GitHub was last asked, or `token:NAME`. For display and for rules like `user:LOGIN`.
    pub login: String,
    /// The client that they consented to.
    pub client: GrantClient,
    /// The scopes that they consented to. Never grows.
    pub scopes: Scopes,
    /// The one resource that tokens of this grant are for (RFC 8707); of a service token all its resources, separated by spaces.
    pub resource: String,
    /// When they logged in.
    pub created: Timestamp,
    /// When tokens were last made. They may have been used for an hour after that: [`limits::ACCESS_TOKEN_LIFETIME`]. Of a service
    /// token: a use, less than [`limits::service_token::USE`] before the last; when it was made if it was never used.
    pub last_used: Timestamp,
    /// When the policy last admitted this user.
    pub admitted: Timestamp,
    /// GitHub's answer then about the memberships that the server's rules ask for.
    #[serde(default, skip_serializing_if = "Memberships::is_empty")]
    pub memberships: Memberships,
    /// The end that no refresh moves. Before the code is redeemed: the code's end.
    pub expires: Timestamp,
    /// The state of its tokens.
    pub stage: Stage,
    /// GitHub's own token, encrypted under the server's key *and* the grant secret that only this grant's tokens carry;
    /// base64url. Absent if neither a tool nor a rule about groups needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
}

/// The client of a grant, as far as its owner wants to recognise it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantClient {
    /// The client's fingerprint.
    pub fingerprint: ClientFingerprint,
    /// Its name for itself.
    pub name: String,
    /// The host that describes it, if its id is the URL of a metadata document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Scheme, host and port of the redirect URI.
    pub redirect: String,
}

/// The stage of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stage {
    /// Its code waits to be redeemed.
    CodeIssued,
    /// Its code was redeemed; refresh tokens of this generation are live.
    Live {
        /// Counts the refreshes.
        generation: u32,
        /// When this generation was made.
        #[serde(rename = "turned")]
        rotated_at: Timestamp,
    },
    /// It has one service token, which nothing renews.
    Service {
        /// Where it may be used from; anywhere if empty.
        addresses: Vec<Network>,
    },
}

impl Stage {
    /// Whether tokens of the grant may be used from this address. No address is the Unix socket.
    pub fn admits_from(&self, peer: Option<IpAddr>) -> bool {
        match self {
            Stage::Service { addresses } if !addresses.is_empty() => {
                peer.is_some_and(|peer| addresses.iter().any(|network| network.contains(peer)))
            }
            Stage::CodeIssued | Stage::Live { .. } | Stage::Service { .. } => true,
        }
    }
}

impl Grant {
    /// Its owner, as rules see them.
    pub fn who(&self) -> Who<'_> {
        Who { subject: self.subject, login: &self.login, memberships: &self.memberships }
    }

    /// Its user in records and indices: 0 for a service token.
    fn user_number(&self) -> u64 {
        self.subject.user().map_or(0, |user| user.0)
    }

    /// When this grant is over unless it is refreshed.
    pub fn end(&self) -> Timestamp {
        match self.stage {
            Stage::CodeIssued | Stage::Service { .. } => self.expires,
            Stage::Live { rotated_at, .. } => self.expires.min(rotated_at.plus(limits::REFRESH_IDLE)),
        }
    }

    /// Whether nothing that belongs to this grant is valid any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.end()
    }

    /// Whether it is a service token's, and about to end.
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        matches!(self.stage, Stage::Service { .. }) && self.is_over(now.plus(limits::service_token::WARNING))
    }

    /// The grant as an update stores it.
    pub(crate) fn next_revision(&self) -> Grant {
        Grant { revision: self.revision.wrapping_add(1), ..self.clone() }
    }
}

/// Advice about a service token that ends soon.
pub const RENEWAL: &str =
    "make another with `tokens add`, under another name; give it to the client, and revoke this one";

/// The grants that a sweep deletes: two times, because the wall clock may have jumped ahead.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// Grants whose end is not after this time, which has been past for a while by a clock that does not jump.
    pub settled: Timestamp,
    /// Grants whose code was not redeemed by this time, the wall clock's: if it is wrong, the person logs in once more.
    pub now: Timestamp,
}

impl Expiry {
    /// Whether this grant is to be deleted.
    pub(crate) fn covers(self, grant: &Grant) -> bool {
        grant.is_over(self.settled) || (grant.stage == Stage::CodeIssued && grant.is_over(self.now))
    }
}

/// Selects some of these grants.
pub type Picks = Box<dyn Fn(&[Arc<Grant>]) -> Vec<Arc<Grant>> + Send + Sync>;

/// Why an operation failed. Nothing may be issued. Nothing was changed either, unless a Valkey server got the change and its answer
/// did not arrive.
#[derive(Debug)]
pub enum Error {
    /// Another request changed the grant first: read it again and decide again.
    Conflict,
    /// This record cannot be read, or this copy not written. The table can still be used.
    Record(String),
    /// The disk is full, gone, read-only or damaged, or the Valkey server does not answer or refuses.
    Storage(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Conflict => f.write_str("the grant was changed by another request"),
            Error::Record(detail) | Error::Storage(detail) => {
                write!(f, "the grants table could not be read or written: {detail}")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Bounds the lines about failures: while the table is away, each request is one.
static LOGGED: LazyLock<Throttle> = LazyLock::new(|| Throttle::new(limits::FAILURES_PER_SECOND));

impl Error {
    /// Logs it, unless an error of its kind was logged in this second: the next line counts those that were left out.
    pub fn log(&self) {
        let kind = match self {
            Error::Conflict => "conflict",
            Error::Record(_) => "record",
            Error::Storage(_) => "storage",
        };
        if let Some(omitted) = LOGGED.pass(kind, clock::monotonic()) {
            let fields = [log::Field::Error(&self.to_string()), log::Field::Omitted(omitted)];
            log::error("store.failed", &fields);
        }
    }
}

/// The table. Every change is durable before the call returns, in Valkey as far as its operator has it write. Each call may end with
/// [`Error::Storage`].
pub trait Grants: Send + Sync {
    /// Adds a grant whose id is new; [`Error::Conflict`] if there is one with this id.
    fn insert(&self, grant: &Grant) -> Result<(), Error>;

    /// The grant with this id.
    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error>;

    /// Replaces the grant with `grant.id` if the stored one still has `grant.revision`; the stored one then has the next
    /// revision. This compare-and-swap settles every race: [`Error::Conflict`] if the grant was changed or deleted since it
    /// was read.
    fn update(&self, grant: &Grant) -> Result<(), Error>;

    /// Deletes a grant: everything issued under it is dead. Returns whether there was one.
    fn delete(&self, id: GrantId) -> Result<bool, Error> {
        self.delete_all(&[id]).map(|deleted| !deleted.is_empty())
    }

    /// Deletes these grants, [`limits::SWEEP_BATCH`] at most, in one write. Returns those that there were.
    fn delete_all(&self, ids: &[GrantId]) -> Result<Vec<GrantId>, Error>;

    /// Every grant, in the order of their ids.
    fn list(&self) -> Result<Vec<Arc<Grant>>, Error>;

    /// How many grants there are.
    fn count(&self) -> Result<u64, Error> {
        self.list().map(|grants| u64::try_from(grants.len()).unwrap_or(u64::MAX))
    }

    /// The grants of one user.
    fn of_user(&self, user: UserId) -> Result<Vec<Arc<Grant>>, Error>;

    /// Deletes a batch of the grants that `expiry` covers and returns them.
    fn sweep(&self, expiry: Expiry) -> Result<Vec<Arc<Grant>>, Error>;

    /// Whether writes succeed, as far as is known, and every deletion is written. While not, each [`Grants::sweep`] tries.
    fn takes_writes(&self) -> bool {
        true
    }

    /// Ends the login with this hash for all servers that share the table, for [`limits::LOGIN_LIFETIME`]. Returns whether none of
    /// them had ended it. A table of one server has nothing to remember: the server does.
    fn spend_login(&self, _login: &str) -> Result<bool, Error> {
        Ok(true)
    }

    /// Waits some seconds for another server that shares the table to replace the provider's token in this grant. Returns whether one
    /// has. A table of one server does not wait.
    fn wait_for_upstream(&self, _grant: &Grant) -> Result<bool, Error> {
        Ok(false)
    }

    /// The newest time that had been written when the table was opened. 1970 for a new table.
    fn newest(&self) -> Timestamp {
        Timestamp(0)
    }

    /// Records which key seals now, so that the older key can be removed from the key file. If that fails, the next start, with
    /// both keys, does it.
    fn adopt_key(&self, _keys: &Keyring) -> Result<(), Error> {
        Ok(())
    }

    /// Writes a consistent copy into a new file at `path`.
    fn back_up(&self, _path: &Path) -> Result<(), Error> {
        Err(Error::Record("back up the Valkey server itself, which has this table".to_owned()))
    }
}
