//! The trial of `check --start`: one instance of a server is started, asked for its lists, and ended.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::child_user;
use super::handshake::Greeting;
use super::instances::{Instance, Instances};
use super::message;
use crate::base::{
    ClientFingerprint, GrantId, Principal, Scopes, Secret, Subject, Timestamp, UpstreamToken, UserId, limits,
};
use crate::mcp::{ListEntry, Members};

/// The person of a trial, which is no GitHub account: the largest number that every reader of JSON keeps. In a range of users it has
/// a number of its own; 0 is that of programs that serve everybody.
pub(super) const NOBODY: Subject = Subject::User(UserId((1 << 53) - 1));

/// The lists: the capability of each, and the member that names an entry.
const LISTS: [(&str, &str); 3] = [("tools", "name"), ("prompts", "name"), ("resources", "uri")];

/// The parent of a trial's home directories. When dropped, it is removed, with those ancestors that were created for it.
pub(super) struct TrialDirectory {
    pub(super) path: PathBuf,
    /// Its missing ancestors, the innermost first.
    missing: Vec<PathBuf>,
}

impl TrialDirectory {
    /// A directory below the parent of all home directories, so that other users can traverse the same ancestors. Created only if
    /// persons have numbers of a range of users, which a trial must not use: it leads to their assignment.
    pub(super) fn below(root: &Path) -> TrialDirectory {
        let missing = root.ancestors().take_while(|directory| !directory.exists());
        let path = root.join(format!(".check-{}", process::id())); // no server's name begins with a dot
        if let Ok(users) = root.join(child_user::DIRECTORY).canonicalize() {
            let _ = fs::remove_dir_all(&path); // of a trial that was killed
            // If the directory cannot be created, nothing can be started either.
            let _ = fs::create_dir(&path).and_then(|()| symlink(users, path.join(child_user::DIRECTORY)));
        }
        TrialDirectory { path, missing: missing.map(Path::to_owned).collect() }
    }
}

impl Drop for TrialDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // nothing was created if nothing was started
        for directory in &self.missing {
            let _ = fs::remove_dir(directory); // kept if another process has created something there
        }
    }
}

/// Starts an instance and summarises its offers.
///
/// # Errors
/// The reason why it cannot be used.
pub(super) fn run(instances: &Arc<Instances>) -> Result<String, String> {
    let offer = instances.wait_for(&nobody()).map(|(instance, greeting)| describe(&instance, &greeting));
    instances.restart();
    instances.settings.pool.wait_for_ended(limits::DRAIN);
    offer.map_err(|why| why.to_string())
}

fn describe(instance: &Instance, greeting: &Greeting) -> String {
    let text = |member: &str| greeting.description.info.get(member).and_then(Value::as_str).unwrap_or("?");
    let mut offer = format!("{} {}, protocol {}", text("name"), text("version"), greeting.version);
    for (list, member) in LISTS {
        if !greeting.description.capabilities.contains_key(list) {
            continue;
        }
        let names = instance
            .peer
            .ask(&format!("{list}/list"), &Members::default())
            .and_then(|result| names(&result, list, member));
        offer.push_str(&match names {
            Ok(names) if names.is_empty() => format!("; no {list}"),
            Ok(names) if names.len() == 1 => {
                format!("; 1 {}: {}", list.trim_end_matches('s'), names.concat())
            }
            Ok(names) => format!("; {} {list}: {}", names.len(), names.join(", ")),
            Err(why) => format!("; {list}: {why}"),
        });
    }
    offer
}

/// The names in the first page of a list.
fn names(result: &Members, list: &str, member: &str) -> Result<Vec<String>, String> {
    let entries = result.entries(list).ok().flatten().ok_or("its answer is no list")?;
    let name = |entry: &RawValue| {
        let name = message::member(entry, member).unwrap_or_else(|| "?".to_owned());
        let hint = ListEntry::read(entry).is_some_and(|entry| entry.is_read_only());
        name + if hint { " (readOnlyHint)" } else { "" } // access rules may depend on it
    };
    let more = result.get("nextCursor").map(|_| "...".to_owned());
    Ok(entries.iter().map(|entry| name(entry)).chain(more).collect())
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
        subject: NOBODY,
        login: Arc::from("check"),
        memberships: Arc::default(),
        client: ClientFingerprint::of("check"),
        scopes: Arc::new(Scopes::default()),
        grant: GrantId([0; 16]),
        resource: Arc::from(""),
        expires: Timestamp(u64::MAX),
        session: None,
        upstream: Arc::new(NoToken),
    }
}
