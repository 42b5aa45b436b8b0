//! The grants that an operation is about.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{ClientFingerprint, GrantId, Subject, TokenName, UserId};
use crate::store::Grant;

/// Which grants to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    Grant(GrantId),
    User(UserId),
    /// The user with this number, unless another user had it as a login: the operator may mean either.
    Number(UserId),
    /// Grants of users who had this login, in any case, when they logged in. If such a user was renamed since, the grants under
    /// the other login are included: they belong to the same number.
    Login(String),
    Client(ClientFingerprint),
    /// The service token of this name.
    Token(TokenName),
    All,
}

impl Selection {
    /// The selected grants.
    pub(super) fn of(&self, grants: &[Arc<Grant>]) -> Vec<Arc<Grant>> {
        let login = match self {
            Selection::Login(login) => login.clone(),
            Selection::Number(user) => user.0.to_string(),
            Selection::Grant(_) | Selection::User(_) | Selection::Client(_) => String::new(),
            Selection::Token(_) | Selection::All => String::new(),
        };
        let had_login = grants.iter().filter(|grant| grant.login.eq_ignore_ascii_case(&login));
        let users: BTreeSet<UserId> = had_login.filter_map(|grant| grant.subject.user()).collect();
        let meant = |grant: &&Arc<Grant>| match self {
            Selection::Grant(id) => grant.id == *id,
            Selection::User(user) => grant.subject == Subject::User(*user),
            Selection::Number(user) => {
                grant.subject == Subject::User(*user) && users.iter().all(|other| other == user)
            }
            Selection::Login(_) => grant.subject.user().is_some_and(|user| users.contains(&user)),
            Selection::Client(client) => grant.client.fingerprint == *client,
            Selection::Token(name) => grant.subject == Subject::Token(*name),
            Selection::All => true,
        };
        grants.iter().filter(meant).cloned().collect()
    }
}

impl fmt::Display for Selection {
    /// In the words of the log: `all`, `github:583231`, `user:LOGIN`, `token:NAME`, `client:FINGERPRINT` or `grant:ID`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::Grant(id) => write!(f, "grant:{id}"),
            Selection::User(user) | Selection::Number(user) => user.fmt(f),
            Selection::Login(login) => write!(f, "user:{login}"),
            Selection::Client(client) => write!(f, "client:{}", client.as_str()),
            Selection::Token(name) => name.fmt(f),
            Selection::All => f.write_str("all"),
        }
    }
}
