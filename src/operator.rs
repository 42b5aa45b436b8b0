//! Operations on the grants and the key. The same code answers on the operator's socket of a running server and, when none
//! runs, inside the command itself (`operate`).
//!
//! The socket is a file of mode 0600 in the state directory: a process that can open it acts for the operator. The public
//! door has none of this (A1).

mod selection;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::selection::Selection;
use crate::audit;
use crate::base::{Cause, Clock, GrantId, Network, Quota, Scopes, StartupError, Subject, limits, log};
use crate::bridge::{Bridges, ServerSummary};
use crate::http::{Admission, Handler, Head, Method, Request, Response};
use crate::oauth::{AddedToken, AuthorizationServer, TokenOrder};
use crate::store::{self, Grant, GrantClient, Grants, KeyRotation, Stage};

/// The file in the state directory that a copy of the table is written to.
pub const COPY: &str = "backup.new";
/// The operator's socket in the state directory.
pub const SOCKET: &str = "operator.sock";
/// The path of the endpoint that takes an [`Operation`] and answers an [`Outcome`], or an [`ErrorAnswer`], as JSON.
pub const PATH: &str = "/operation";

/// An operation that the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// List the grants that are not over.
    ListGrants,
    /// List those of service tokens.
    ListTokens,
    /// Make a service token.
    AddToken(TokenOrder),
    /// End these grants, and everything that was issued under them.
    Revoke(Selection),
    /// Seal with a new key from now on; the older ones still open.
    RotateKey,
    /// Count the grants, and what a running server has open.
    Status,
    /// Copy the table to a file in the state directory.
    BackUp,
    /// Copy every grant from one place to another, while no server runs. Each is a URL, or `redb` for the file.
    CopyStore { from: String, to: String },
    /// List the MCP servers behind this one.
    ListServers,
    /// End the running instances of this server. The next call starts it again.
    RestartServer(String),
    /// Remove the home directories that are kept for this server, or those of one person or service token there.
    ForgetServer { server: String, subject: Option<Subject> },
}

/// The result of an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The grants, the latest used first.
    Grants(Vec<GrantSummary>),
    /// Those of service tokens, by name.
    Tokens(Vec<GrantSummary>),
    /// The service token, shown this once.
    TokenAdded(AddedToken),
    /// The grants that have ended.
    Revoked(Vec<GrantId>),
    /// The number of keys in the key file.
    Rotated { keys: usize },
    /// The number of grants that are not over, and the server, if one runs.
    Status { grants: usize, server: Option<Running> },
    /// The table was copied to [`COPY`] in the state directory, from where the command takes it.
    BackedUp,
    /// How many grants were copied to another place.
    Copied { grants: usize },
    /// The MCP servers behind this one.
    Servers(Vec<ServerSummary>),
    /// How many programs or sessions were ended.
    Restarted { ended: usize },
    /// How many persons' directories were removed.
    Forgotten { removed: usize },
}

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub version: String,
    /// The time of its start, RFC 3339.
    pub since: String,
    /// Sessions of the older protocol era.
    pub sessions: usize,
    pub streams: usize,
    /// Running calls.
    pub calls: usize,
    /// Programs that run for the servers behind it, or sessions there.
    pub programs: usize,
}

/// A grant as the operator sees it. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantSummary {
    pub id: GrantId,
    #[serde(rename = "user")]
    pub subject: Subject,
    /// The user's login when they logged in, or `token:NAME`.
    pub login: String,
    pub client: GrantClient,
    /// The URI of the server that it is for; of a service token all of them, separated by spaces.
    pub resource: String,
    pub scopes: Scopes,
    pub created: String,
    /// The time of the last token response. Its tokens may have been used for an hour after that: [`limits::ACCESS_TOKEN_LIFETIME`].
    pub last_used: String,
    /// The end of the grant unless it is refreshed.
    pub ends: String,
    /// Where a service token may be used from; anywhere if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Network>,
}

/// The answer of the endpoint when there is no [`Outcome`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorAnswer {
    pub error: String,
}

/// Carries out the operator's operations.
pub struct Operator {
    pub grants: Arc<dyn Grants>,
    pub clock: Arc<dyn Clock>,
    pub rotate_key: KeyRotation,
    /// The path of [`COPY`].
    pub copy: PathBuf,
    /// Has one place, which is held while a file of the state directory is written. Nobody waits for it.
    pub writing: Arc<Quota<()>>,
    /// `None` inside a command.
    pub server: Option<RunningServer>,
}

/// The running server that the operations are about.
pub struct RunningServer {
    pub oauth: Arc<AuthorizationServer>,
    pub look: Box<dyn Fn() -> Running + Send + Sync>,
    /// The servers behind it.
    pub bridges: Option<Arc<Bridges>>,
    /// Answers `/metrics`.
    pub metrics: Arc<dyn Handler>,
}

impl Operator {
    pub fn perform(&self, operation: &Operation) -> Result<Outcome, StartupError> {
        match operation {
            Operation::ListGrants => Ok(Outcome::Grants(self.list(|_| true)?)),
            Operation::ListTokens => {
                let mut tokens = self.list(|grant| grant.subject.user().is_none())?;
                tokens.sort_by_key(|token| token.subject);
                Ok(Outcome::Tokens(tokens))
            }
            Operation::AddToken(order) => {
                // Held so that two commands do not make one name twice.
                let _claim = self.writing.take(()).ok_or_else(busy)?;
                self.running()?.oauth.add_token(order).map(Outcome::TokenAdded)
            }
            Operation::Revoke(selection) => self.revoke(selection),
            Operation::RotateKey => self.rotate_key(),
            Operation::Status => self.status(),
            Operation::BackUp => self.back_up(),
            Operation::CopyStore { .. } => {
                Err(StartupError::new("grants that change meanwhile would be missed: stop the server first"))
            }
            Operation::ListServers => Ok(Outcome::Servers(self.bridges()?.list())),
            Operation::RestartServer(server) => {
                let see = "`servers list` names those there are";
                let none = || missing(format!("there is no server {server:?} behind the running one; {see}"));
                let ended = self.bridges()?.restart(server).ok_or_else(none)?;
                let fields = [log::Field::Server(server), log::Field::Count(number(ended))];
                audit::info("operator.server_restarted", &fields);
                Ok(Outcome::Restarted { ended })
            }
            Operation::ForgetServer { server, subject } => {
                let mut removed = 0;
                let outcome = self.bridges()?.forget(server, *subject, &mut removed);
                let mut fields = vec![log::Field::Server(server), log::Field::Count(number(removed))];
                fields.extend(subject.map(log::Field::User));
                if outcome.is_ok() || removed > 0 {
                    audit::info("operator.server_forgotten", &fields);
                }
                let kept = |why| StartupError::new(format!("not everything was removed: {why}"));
                outcome.map_err(kept).map(|()| Outcome::Forgotten { removed })
            }
        }
    }

    fn server(&self) -> Option<&RunningServer> {
        self.server.as_ref()
    }

    fn running(&self) -> Result<&RunningServer, StartupError> {
        let none = "no server runs with this state directory: start it, or name another with --state-dir";
        self.server().ok_or_else(|| missing(none))
    }

    fn bridges(&self) -> Result<&Bridges, StartupError> {
        let none = "the running server has tools of its own and no MCP servers behind it; to put some there, start it with \
                    -- COMMAND, --upstream or --servers";
        self.running()?.bridges.as_deref().ok_or_else(|| missing(none))
    }

    /// The grants that are not over, the latest used first.
    fn list(&self, is_wanted: fn(&Grant) -> bool) -> Result<Vec<GrantSummary>, StartupError> {
        let now = self.clock.now();
        let mut grants = self.grants.list().map_err(unreadable)?;
        grants.retain(|grant| !grant.is_over(now) && is_wanted(grant));
        grants.sort_by_key(|grant| std::cmp::Reverse((grant.last_used, grant.created, grant.id)));
        Ok(grants.iter().map(|grant| GrantSummary::of(grant)).collect())
    }

    /// Ends grants in batches. An error in one does not keep the next from being tried.
    fn revoke(&self, selection: &Selection) -> Result<Outcome, StartupError> {
        let target = selection.to_string();
        // Before they are listed: a login meanwhile is not counted as unreadable.
        let counted = if *selection == Selection::All { self.grants.count() } else { Ok(0) };
        let grants = self.grants.list().map_err(|error| {
            let wanted = selection.clone();
            let picks = Box::new(move |grants: &[Arc<Grant>]| wanted.of(grants));
            if !self.server().is_some_and(|server| server.oauth.grants.end_later(None, "operator", picks)) {
                return unreadable(error);
            }
            audit::info("operator.revoked", &[log::Field::Target(&target)]); // how many, only the table knows
            StartupError::new(format!(
                "{error}. The server refuses these grants from now on, and ends them when it can read the table; if it is \
                 restarted before that, do this again"
            ))
        })?;
        let is_complete = counted.is_ok_and(|counted| counted <= number(grants.len()));
        let selected = selection.of(&grants);
        let (mut revoked, mut failed, mut last_error) = (Vec::new(), 0_usize, None);
        for batch in selected.chunks(limits::SWEEP_BATCH) {
            let ended = match self.server() {
                Some(server) => server.oauth.grants.end_batch(batch, "operator"),
                None => self.grants.delete_all(&batch.iter().map(|it| it.id).collect::<Vec<_>>()),
            };
            match ended {
                Ok(ended) => revoked.extend(ended),
                Err(error) => (failed, last_error) = (failed.saturating_add(batch.len()), Some(error)),
            }
        }
        let fields = [log::Field::Target(&target), log::Field::Count(number(revoked.len()))];
        audit::info("operator.revoked", &fields);
        let total = selected.len();
        let why = match last_error {
            Some(error) => format!("{failed} of {total} grants could not be deleted, try again: {error}"),
            None if self.grants.takes_writes() && is_complete => return Ok(Outcome::Revoked(revoked)),
            None if self.grants.takes_writes() => format!(
                "{total} grants have ended, but the table has entries that cannot be read: their records are gone, damaged, or \
                 under a key that is not in this server's key file. A server with that key accepts them: run this there, too"
            ),
            // S3: of an earlier attempt, perhaps.
            None => "the storage refuses writes: a revocation may not be on the disk yet. Try again".into(),
        };
        Err(StartupError::new(why))
    }

    fn rotate_key(&self) -> Result<Outcome, StartupError> {
        let _claim = self.writing.take(()).ok_or_else(busy)?;
        // The file may have changed nevertheless; then `error` says so.
        let unused = |error| StartupError::new(format!("no new key is in use: {error}"));
        let keys = (self.rotate_key)().map_err(unused)?;
        audit::info("operator.key_rotated", &[log::Field::Count(number(keys))]);
        Ok(Outcome::Rotated { keys })
    }

    fn status(&self) -> Result<Outcome, StartupError> {
        let grants = self.list(|_| true)?.len();
        Ok(Outcome::Status { grants, server: self.server().map(|server| (server.look)()) })
    }

    fn back_up(&self) -> Result<Outcome, StartupError> {
        let _claim = self.writing.take(()).ok_or_else(busy)?;
        self.grants.back_up(&self.copy).map_err(unreadable)?;
        audit::info("operator.backed_up", &[]);
        Ok(Outcome::BackedUp)
    }

    fn answer(&self, body: &[u8]) -> Response {
        let Ok(operation) = serde_json::from_slice::<Operation>(body) else {
            let error = "this server knows no such operation".to_owned();
            return Response::json(400, &ErrorAnswer { error });
        };
        match self.perform(&operation) {
            Ok(outcome) => Response::json(200, &outcome),
            Err(error) => {
                let status = match error.cause {
                    Cause::InUse => 409,
                    Cause::Missing => 404,
                    Cause::Denied | Cause::Other => 503,
                };
                Response::json(status, &ErrorAnswer { error: error.to_string() })
            }
        }
    }

    /// Ready means that a login could be stored and a token checked. MCP servers that fail are named, and it is ready
    /// nevertheless: only a call starts them again, and none would come.
    fn readiness(&self) -> Response {
        match self.grants.get(GrantId([0; 16])) {
            Ok(_) if self.grants.takes_writes() => {
                let bridges = self.server().and_then(|server| server.bridges.as_deref());
                let failing = bridges.into_iter().flat_map(Bridges::failing);
                let lines = failing.map(|(name, why)| format!("failing: {name}: {why}\n"));
                Response::text(200, "ready\n".to_owned() + &lines.collect::<String>())
            }
            Ok(_) => Response::text(503, "not ready: the storage refuses writes\n"),
            Err(error) => Response::text(503, format!("not ready: {error}\n")),
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Handler for Operator {
    fn admit(self: Arc<Self>, head: Head) -> Admission {
        if let Some(server) = self.server().filter(|_| &*head.path == "/metrics") {
            return Arc::clone(&server.metrics).admit(head);
        }
        Admission::Answered(match (&head.method, &*head.path) {
            (Method::Post, PATH) => {
                let answer = move |request: &Request| self.answer(&request.body);
                return Admission::up_to(limits::FORM_BYTES, head, answer);
            }
            (Method::Get | Method::Head, "/readyz") => {
                return Admission::up_to(0, head, move |_| self.readiness());
            }
            // A worker answers: workers that are stuck are noticed.
            (Method::Get | Method::Head, "/healthz") => {
                return Admission::up_to(0, head, |_| Response::text(200, "ok\n"));
            }
            (_, "/healthz" | "/readyz") => Response::text(405, "GET or HEAD.\n").header("Allow", "GET, HEAD"),
            (_, PATH) => Response::text(405, "POST.\n").header("Allow", "POST"),
            _ => Response::text(404, "The paths here are /healthz, /readyz, /metrics and /operation.\n"),
        })
    }
}

impl GrantSummary {
    fn of(grant: &Grant) -> GrantSummary {
        GrantSummary {
            id: grant.id,
            subject: grant.subject,
            login: grant.login.clone(),
            client: grant.client.clone(),
            resource: grant.resource.clone(),
            scopes: grant.scopes.clone(),
            created: grant.created.rfc3339(),
            last_used: grant.last_used.rfc3339(),
            ends: grant.end().rfc3339(),
            addresses: match &grant.stage {
                Stage::Service { addresses } => addresses.clone(),
                Stage::CodeIssued | Stage::Live { .. } => Vec::new(),
            },
        }
    }
}

fn missing(text: impl Into<String>) -> StartupError {
    StartupError { cause: Cause::Missing, ..StartupError::new(text) }
}

fn busy() -> StartupError {
    let text = "another command of the operator is at work right now: try again";
    StartupError { cause: Cause::InUse, ..StartupError::new(text) }
}

fn unreadable(error: store::Error) -> StartupError {
    StartupError::new(error.to_string())
}

#[cfg(test)]
mod tests;
