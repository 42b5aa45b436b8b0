//! The servers behind the login: created at the start, changed by SIGHUP, listed and restarted by the operator.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::backend::Bridge;
use super::entry::BridgeSetup;
use super::instances::Instance;
use super::launch::directory_of;
use super::pool::{Failures, InstancePool};
use super::trial::{self, TrialDirectory};
use crate::base::{Mutex, StartupError, Subject, limits};
use crate::mcp::Backend;

/// All bridges of this process.
pub(crate) struct Bridges {
    /// The parent of all home directories.
    directory: PathBuf,
    pool: Arc<InstancePool<Instance>>,
    /// Whether each server has a path of its own.
    have_paths: bool,
    /// Guards the list, which SIGHUP replaces.
    current: Mutex<Vec<Arc<Bridge>>>,
}

/// A server behind the login, for the operator's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSummary {
    pub name: String,
    /// Its path below the public URL.
    pub path: String,
    /// `program` or `upstream`.
    pub kind: String,
    /// Programs that run, or sessions at the upstream.
    pub running: usize,
    /// Starts after a failure, and ends by `servers restart`.
    pub restarts: u64,
    pub failures: u64,
    /// Time (RFC 3339) and reason of the latest failure.
    pub last_failure: Option<(String, String)>,
}

/// The names of servers whose description has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerChanges {
    pub(crate) added: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
}

/// The name of a tried server, with a summary of its offers or the reason why it cannot be used.
type TrialOutcome = (String, Result<String, String>);

impl Bridges {
    /// Builds the bridges to the servers that `setup` describes.
    ///
    /// # Errors
    /// All mistakes.
    pub(crate) fn open(setup: BridgeSetup<'_>) -> Result<Bridges, Vec<StartupError>> {
        let bridges = Bridges {
            directory: setup.home_directories(),
            pool: InstancePool::new(setup.options.most),
            have_paths: setup.options.file.is_some(),
            current: Mutex::default(),
        };
        bridges.reread(setup)?;
        Ok(bridges)
    }

    /// Builds the bridges anew, and replaces the access rules. Bridges with an unchanged description are kept; the instances of the
    /// others are ended. Returns the changes.
    ///
    /// # Errors
    /// All mistakes. Then nothing has changed.
    pub(crate) fn reread(&self, setup: BridgeSetup<'_>) -> Result<ServerChanges, Vec<StartupError>> {
        let before = self.all();
        let (mut current, mut rules): (Vec<Arc<Bridge>>, _) = (Vec::new(), Vec::new());
        let entries = setup.entries()?;
        let unusable = entries.iter().filter_map(|entry| entry.check_user(&self.directory).err());
        let unusable: Vec<StartupError> = unusable.collect();
        if !unusable.is_empty() {
            return Err(unusable);
        }
        let mut changes = ServerChanges::default();
        for mut entry in entries {
            rules.push(std::mem::take(&mut entry.access));
            match before.iter().find(|bridge| bridge.name() == &*entry.name) {
                Some(bridge) if bridge.digest == entry.digest => {
                    current.push(Arc::clone(bridge));
                    continue;
                }
                Some(_) => changes.changed.push(entry.name.to_string()),
                None => changes.added.push(entry.name.to_string()),
            }
            current.push(Arc::new(setup.bridge(entry, &self.pool)?));
        }
        for (bridge, rules) in current.iter().zip(rules) {
            let name = bridge.name();
            let is_named = changes.added.iter().chain(&changes.changed).any(|other| other == name);
            if bridge.access.replace(rules) && !is_named {
                changes.changed.push(name.to_owned());
            }
        }
        self.current.lock().clone_from(&current);
        for earlier in before {
            if current.iter().all(|bridge| bridge.digest != earlier.digest) {
                earlier.instances.retire();
            }
            if current.iter().all(|bridge| bridge.name() != earlier.name()) {
                changes.removed.push(earlier.name().to_owned());
            }
        }
        Ok(changes)
    }

    /// The bridges.
    pub(crate) fn all(&self) -> Vec<Arc<Bridge>> {
        self.current.lock().clone()
    }

    /// The parent of all home directories, if there are programs.
    pub(crate) fn home_directories(&self) -> Option<&Path> {
        self.all().iter().any(|bridge| bridge.kind == "program").then_some(&*self.directory)
    }

    pub(crate) fn list(&self) -> Vec<ServerSummary> {
        let summary = |bridge: Arc<Bridge>| {
            let Failures { restarts, failures, latest, .. } = bridge.instances.failures.lock().clone();
            ServerSummary {
                name: bridge.name().to_owned(),
                path: if self.have_paths { format!("/{}/mcp", bridge.name()) } else { "/mcp".to_owned() },
                kind: bridge.kind.to_owned(),
                running: bridge.instances.count(),
                restarts,
                failures,
                last_failure: latest.map(|(when, why)| (when.rfc3339(), why)),
            }
        };
        self.all().into_iter().map(summary).collect()
    }

    /// The servers whose latest start or request failed, each with the reason.
    pub(crate) fn failing(&self) -> Vec<(String, String)> {
        let failing = self.all().into_iter().filter_map(|bridge| {
            let Failures { is_failing, latest, .. } = bridge.instances.failures.lock().clone();
            let (_, why) = latest.filter(|_| is_failing)?;
            Some((bridge.name().to_owned(), why))
        });
        failing.collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Bridge>> {
        self.all().into_iter().find(|bridge| bridge.name() == name)
    }

    /// Ends the running instances of a server. Returns their number; `None` if there is no such server.
    pub(crate) fn restart(&self, name: &str) -> Option<usize> {
        let bridge = self.find(name)?;
        let ended = bridge.instances.restart();
        let mut failures = bridge.instances.failures.lock();
        failures.restarted(ended);
        failures.is_failing = false;
        Some(ended)
    }

    /// Starts each server that `setup` describes once and ends it again. Returns a summary of its offers, or why it cannot be used.
    ///
    /// # Errors
    /// All mistakes.
    pub(crate) fn try_out(setup: BridgeSetup<'_>) -> Result<Vec<TrialOutcome>, Vec<StartupError>> {
        let homes = TrialDirectory::below(&setup.home_directories());
        let mut options = setup.options.clone();
        options.directory = Some(homes.path.clone());
        let bridges = Bridges::open(BridgeSetup { options: &options, ..setup })?;
        let trial = |bridge: &Arc<Bridge>| {
            let outcome = match bridge.consent().keeps_github_tokens {
                true => Ok("not started: it gets the token of a person, and there is none".to_owned()),
                false => trial::run(&bridge.instances),
            };
            (bridge.name().to_owned(), outcome)
        };
        Ok(bridges.all().iter().map(trial).collect())
    }

    /// Removes the home directories of a server, or only that of one person or service token. The server need not be configured any
    /// more. Counts them in `gone`, including partly removed ones.
    ///
    /// # Errors
    /// The reason why a directory was not removed.
    pub(crate) fn forget(&self, name: &str, person: Option<Subject>, gone: &mut usize) -> Result<(), String> {
        let is_segment =
            Path::new(name).components().eq([Component::Normal(name.as_ref())]) && !name.starts_with('.');
        let directory = self.directory.join(name);
        if !is_segment || !directory.is_dir() {
            return Ok(());
        }
        if self.find(name).is_some_and(|bridge| bridge.instances.is_running_for(person)) {
            return Err("programs are running there: end them with `servers restart`, and try again".into());
        }
        if !self.pool.wait_for_ended(limits::DRAIN) {
            return Err("programs are being ended: try again".to_owned());
        }
        let failed = |error: std::io::Error| error.to_string();
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_meant = |subject| path.file_name() == Some(directory_of(subject).as_ref());
            if person.is_none_or(is_meant) {
                *gone += 1;
                fs::remove_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
