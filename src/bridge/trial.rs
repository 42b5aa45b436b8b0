//! The trial of `check --start`: one instance of a server is started, asked what it offers, and ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};
use serde_json::{Map, Value};

use super::handshake::Greeting;
use super::instances::{Instance, Instances};
use super::peer::{Requester, Settled};
use crate::base::clock::Timestamp;
use crate::base::identity::{ClientFingerprint, GrantId, Principal, Scopes, Subject, UpstreamToken, UserId};
use crate::base::limits;
use crate::base::secret::Secret;
use crate::mcp::Members;

/// The person of a trial, who is nobody at GitHub: accounts are numbered from 1.
const NOBODY: UserId = UserId(0);

/// The lists, the capability that promises each, and the member that names an entry.
const LISTS: [(&str, &str); 3] = [("tools", "name"), ("prompts", "name"), ("resources", "uri")];

/// The directory above the home directories of a trial. Dropped, it is removed, with those above it that were made for it.
pub(super) struct TrialDirectory {
    pub(super) path: PathBuf,
    /// The missing directories above it, the innermost first.
    missing: Vec<PathBuf>,
}

impl TrialDirectory {
    /// A directory below that of all home directories, which others find in the same way. Makes nothing.
    pub(super) fn below(root: &Path) -> TrialDirectory {
        let missing = root.ancestors().take_while(|directory| !directory.exists());
        TrialDirectory {
            path: root.join(format!(".check-{}", process::id())), // no server's name begins with a dot
            missing: missing.map(Path::to_owned).collect(),
        }
    }
}

impl Drop for TrialDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // nothing was made if nothing was started
        for directory in &self.missing {
            let _ = fs::remove_dir(directory); // it stays if another process has put something there
        }
    }
}

/// Starts an instance and says what it offers.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn run(instances: &Arc<Instances>) -> Result<String, String> {
    let found = instances.wait_for(&nobody()).map_err(|why| why.to_string());
    let offer = found.map(|(instance, greeting)| describe(&instance, &greeting));
    instances.restart();
    instances.settings.pool.wait_for_ended(limits::DRAIN);
    offer
}

fn describe(instance: &Instance, greeting: &Greeting) -> String {
    let text = |member: &str| greeting.description.info.get(member).and_then(Value::as_str).unwrap_or("?");
    let mut offer = format!("{} {}, protocol {}", text("name"), text("version"), greeting.version);
    for (list, member) in LISTS {
        if !greeting.description.capabilities.contains_key(list) {
            continue;
        }
        let names = ask(instance, &format!("{list}/list")).and_then(|result| names(&result, list, member));
        offer.push_str(&match names {
            Ok(names) if names.is_empty() => format!("; no {list}"),
            Ok(names) => format!("; {} {list}: {}", names.len(), names.join(", ")),
            Err(why) => format!("; {list}: {why}"),
        });
    }
    offer
}

/// The names in the first page of a list.
fn names(result: &Map<String, Value>, list: &str, member: &str) -> Result<Vec<String>, String> {
    let entries = result.get(list).and_then(Value::as_array).ok_or("its answer is no list")?;
    let name = |entry: &Value| entry.get(member).and_then(Value::as_str).unwrap_or("?").to_owned();
    let more = result.contains_key("nextCursor").then(|| "…".to_owned());
    Ok(entries.iter().map(name).chain(more).collect())
}

/// Sends a request and waits for its result.
fn ask(instance: &Instance, method: &str) -> Result<Map<String, Value>, String> {
    let (sender, receiver) = bounded(1);
    let sent = instance.peer.request(method, &Members::default(), Arc::new(TrialRequest(sender)));
    sent.map_err(|_| "it cannot be asked".to_owned())?;
    receiver.recv_timeout(limits::bridge::NOTIFY).unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// A request of a trial.
struct TrialRequest(Sender<Result<Map<String, Value>, String>>);

impl Requester for TrialRequest {
    fn answer(self: Arc<Self>, answer: Settled<'_>) {
        let read = match answer {
            Settled::Answered(Ok(result)) => {
                serde_json::from_str(result.get()).map_err(|_| "its answer is no object".to_owned())
            }
            Settled::Answered(Err(_)) => Err("it answers with an error".to_owned()),
            Settled::Ended(end) => Err(end.to_string()),
        };
        let _ = self.0.send(read); // nobody waits any more
    }
}

fn nobody() -> Principal {
    struct NoToken;
    impl UpstreamToken for NoToken {
        fn token(&self) -> Option<Secret<String>> {
            None
        }

        fn is_good(&self) -> bool {
            false
        }
    }
    Principal {
        subject: Subject::User(NOBODY),
        login: Arc::from("check"),
        client: ClientFingerprint::of("check"),
        scopes: Arc::new(Scopes::default()),
        grant: GrantId([0; 16]),
        resource: Arc::from(""),
        expires: Timestamp(u64::MAX),
        session: None,
        upstream: Arc::new(NoToken),
    }
}
