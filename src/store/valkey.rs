//! The table in a Valkey or Redis server that several servers share.
//!
//! Every change is one script, so it happens as a whole or not at all. Four kinds of keys, and one channel on which a changed
//! grant's id is published; docs/replicas.md shows them. A record that was not written with one of the server's keys is as absent. While the server does not answer, every operation fails and nothing is
//! granted. Grants that were read are kept in memory only while the channel is heard, so a revocation at another server takes
//! effect here: [`super::cache`] has the rules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, IntoConnectionInfo, PubSub, RedisError, RedisResult};

mod connections;
mod record;
mod scripts;

use self::connections::StoreConnections;
use self::scripts::{DELETE, PUT};

use super::cache::Cache;
use super::place::{StorePlace, StoreUrl};
use super::schema::{self, key_checks};
use super::{Error, Expiry, Grant, Grants, OpenedFor};
use crate::base::limits::{self, valkey::HEARD, valkey::PAUSES, valkey::SILENCE};
use crate::base::{CancelToken, GrantId, Mutex, StartupError, Timestamp, UserId, clock, log};
use crate::seal::Keyring;

/// Before each key. The braces keep all keys in one slot of a cluster.
const PREFIX: &str = "{mcp-oauth}:";
/// The schema that this program reads and writes.
const VERSION: &str = "1";

/// The table.
pub struct ValkeyGrants {
    shared: Arc<Shared>,
    keys: Arc<Keyring>,
    newest: Timestamp,
}

struct Shared {
    connections: StoreConnections,
    /// Where the ids of changed grants are published.
    channel: String,
    /// Guards the cache and the unwritten deletions; held for a look-up, never during I/O.
    state: Mutex<State>,
    stop: CancelToken,
}

struct State {
    cache: Cache,
    /// When something was last heard on the channel, if it is open. The cache is used for [`HEARD`] after that.
    heard: Option<Instant>,
    /// Grants whose deletion could not be written. Reads do not return them any more; every sweep tries again (S3).
    unwritten_deletions: BTreeSet<GrantId>,
    /// Whether the server refused the last change.
    refuses_writes: bool,
}

impl ValkeyGrants {
    /// Makes an empty table unless there is one.
    pub(super) fn create(place: &StorePlace, url: &StoreUrl, keys: &Keyring) -> Result<(), StartupError> {
        place.password()?;
        let written = place.connect(url).and_then(|mut connection| {
            let mut pipe = redis::pipe();
            pipe.atomic().hset_nx(meta(), "schema", VERSION).hset_nx(meta(), "key_check", key_check(keys));
            pipe.exec(&mut connection)
        });
        written.map_err(|error| unusable(url, &error))
    }

    /// Opens the table if there is one. Fails if it was made with another key, or by a later version.
    pub(super) fn existing(
        place: &StorePlace,
        url: &StoreUrl,
        keys: &Arc<Keyring>,
        opened_for: OpenedFor,
    ) -> Result<Option<ValkeyGrants>, StartupError> {
        place.password()?;
        let read = || {
            let mut connection = place.connect(url)?;
            let fields = ["schema", "key_check", "newest"];
            redis::cmd("HMGET").arg(meta()).arg(&fields).query(&mut connection)
        };
        let (version, check, newest): (Option<String>, Option<Vec<u8>>, Option<u64>) =
            read().map_err(|error| unusable(url, &error))?;
        let Some(version) = version else { return Ok(None) };
        if version != VERSION {
            let text =
                format!("{} was written by another version of this program (schema {version})", url.as_str());
            return Err(StartupError::new(text));
        }
        if !key_checks(keys).iter().any(|key| key.matches(check.as_deref().unwrap_or_default())) {
            let advice =
                "All servers that share it need the same keys: copy the key file, or name another database";
            return Err(schema::other_key(url.as_str(), advice));
        }
        let info = url.as_str().into_connection_info().map_err(|error| unusable(url, &error))?;
        let state = State {
            cache: Cache::new(limits::CACHED_GRANTS),
            heard: None,
            unwritten_deletions: BTreeSet::new(),
            refuses_writes: false,
        };
        let shared = Arc::new(Shared {
            connections: StoreConnections::new(place.clone(), url.clone()),
            // A channel is of all databases of a server.
            channel: format!("{PREFIX}{}", info.redis_settings().db()),
            state: Mutex::new(state),
            stop: CancelToken::new(),
        });
        if opened_for == OpenedFor::Server {
            let listener = Arc::clone(&shared);
            // Ends when `stop` is tripped: when the table is dropped.
            let thread = thread::Builder::new().name("store-listener".to_owned());
            let started = thread.spawn(move || listener.listen());
            started
                .map_err(|error| StartupError::new(format!("the system gives no more threads: {error}")))?;
        }
        Ok(Some(ValkeyGrants { shared, keys: Arc::clone(keys), newest: Timestamp(newest.unwrap_or(0)) }))
    }

    fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        self.shared.connections.ask(command)
    }

    /// Runs a script that changes these grants.
    fn write<T: FromRedisValue>(&self, ids: &[GrantId], script: &Cmd) -> Result<T, Error> {
        let outcome = self.ask(script);
        let mut state = self.shared.state.lock();
        ids.iter().for_each(|&id| state.cache.forget(id));
        state.refuses_writes = outcome.is_err();
        outcome
    }

    fn put(&self, grant: &Grant, expected: &str) -> Result<(), Error> {
        let (id, user) = (grant.id.to_string(), grant.user_number());
        // F14: counted from this change, so the server's clock need not agree with ours.
        let kept = grant.end().since(grant.last_used).saturating_add(limits::EXPIRED_KEPT);
        let mut script = self.script(PUT);
        script.arg(&id).arg(expected).arg(record::print(grant, &self.keys)?);
        script.arg(kept.as_secs()).arg(format!("{user}:{id}")).arg(grant.end().0);
        script
            .arg(grant.last_used.0)
            .arg(limits::CLOCK_BEHIND.as_secs())
            .arg(VERSION)
            .arg(key_check(&self.keys));
        if self.write::<bool>(&[grant.id], &script)? { Ok(()) } else { Err(Error::Conflict) }
    }

    /// A script with its first two arguments.
    fn script(&self, text: &str) -> Cmd {
        let mut script = redis::cmd("EVAL");
        script.arg(text).arg(0).arg(PREFIX).arg(&self.shared.channel);
        script
    }

    /// Deletes records that are given by id, revision and entry.
    fn delete_entries(&self, records: &[(GrantId, String, &str)]) -> Result<Vec<GrantId>, Error> {
        let mut script = self.script(DELETE);
        for (id, revision, entry) in records {
            script.arg(id.to_string()).arg(revision).arg(entry);
        }
        let ids: Vec<GrantId> = records.iter().map(|(id, ..)| *id).collect();
        let gone: Vec<String> = self.write(&ids, &script)?;
        Ok(gone.into_iter().filter_map(|id| GrantId::try_from(id).ok()).collect())
    }

    /// The records of these entries of an index, each as it is stored; one for each entry, whatever is in it.
    fn records(&self, entries: &[String]) -> Result<Vec<Option<String>>, Error> {
        let mut records = Vec::new();
        for batch in entries.chunks(limits::SWEEP_BATCH) {
            let keys: Vec<_> = batch.iter().map(|entry| grant_key(entry_id(entry))).collect();
            records.extend(self.ask::<Vec<Option<String>>>(redis::cmd("MGET").arg(keys))?);
        }
        Ok(records)
    }

    /// The grants of the entries that `find` lists, apart from those whose deletion is still to be written and those that cannot
    /// be read.
    fn read_all(&self, find: &Cmd) -> Result<Vec<Arc<Grant>>, Error> {
        let (entries, mut grants) = (self.ask::<Vec<String>>(find)?, Vec::new());
        for (entry, record) in entries.iter().zip(self.records(&entries)?) {
            match record::parse(entry_id(entry), record.as_deref(), &self.keys) {
                Ok(grant) => grants.extend(grant),
                Err(error) => error.log(), // the others can still be shown and ended
            }
        }
        let state = self.shared.state.lock();
        grants.retain(|grant| !state.unwritten_deletions.contains(&grant.id));
        grants.sort_by_key(|grant| grant.id);
        Ok(grants)
    }

    /// Writes the deletions that could not be written before.
    fn write_deletions(&self) -> Result<(), Error> {
        let ids: Vec<GrantId> = self.shared.state.lock().unwritten_deletions.iter().copied().collect();
        for batch in ids.chunks(limits::SWEEP_BATCH) {
            let records: Vec<_> = batch.iter().map(|&id| (id, "*".to_owned(), "")).collect();
            self.delete_entries(&records)?;
            self.shared.state.lock().unwritten_deletions.retain(|id| !batch.contains(id));
        }
        Ok(())
    }
}

impl Drop for ValkeyGrants {
    fn drop(&mut self) {
        self.shared.stop.trip();
    }
}

impl Shared {
    /// Hears which grants other servers change, until the table is dropped.
    fn listen(&self) {
        let mut pause = PAUSES.0;
        while !self.stop.is_tripped() {
            if let Err(error) = self.hear(&mut pause) {
                log::error("store.failed", &[log::Field::Error(&error.to_string())]);
                self.connections.note(Some(&error));
            }
            self.stop.wait(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn hear(&self, pause: &mut Duration) -> RedisResult<()> {
        let failures = self.connections.failures();
        let mut connection = self.connections.open()?;
        let mut channel = connection.as_pubsub();
        channel.set_read_timeout(Some(SILENCE))?;
        channel.subscribe(&self.channel)?;
        log::info("store.connected", &[log::Field::Url(self.connections.place())]);
        *pause = PAUSES.0;
        self.note_heard(Some(clock::instant()));
        let outcome = self.follow(&mut channel, failures);
        // Before the channel is closed, which waits for the server.
        self.note_heard(None);
        outcome
    }

    /// Until an operation fails: the server at the other end may not be the one that has the name any more.
    fn follow(&self, channel: &mut PubSub<'_>, failures: u64) -> RedisResult<()> {
        while !self.stop.is_tripped() && self.connections.failures() == failures {
            match channel.get_message() {
                Ok(message) => match GrantId::try_from(message.get_payload::<String>()?) {
                    Ok(id) => self.state.lock().cache.forget(id),
                    Err(_) => self.state.lock().cache.clear(),
                },
                Err(error) if error.is_timeout() => drop(channel.ping::<redis::Value>()?),
                Err(error) => return Err(error),
            }
            self.state.lock().heard = Some(clock::instant());
        }
        Ok(())
    }

    /// Notes that the channel is heard from now on, or not any more. What was read before may be old.
    fn note_heard(&self, heard: Option<Instant>) {
        let mut state = self.state.lock();
        state.cache.clear();
        state.heard = heard;
    }
}

impl State {
    fn may_use_cache(&self) -> bool {
        self.heard.is_some_and(|at| clock::instant().saturating_duration_since(at) < HEARD)
    }
}

impl Grants for ValkeyGrants {
    fn insert(&self, grant: &Grant) -> Result<(), Error> {
        self.put(grant, "")
    }

    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error> {
        let start = {
            let mut state = self.shared.state.lock();
            if state.unwritten_deletions.contains(&id) {
                drop(state);
                // Not `None` before that: a revocation that is asked for again would be answered as done, and other servers know
                // nothing of it yet.
                return self.write_deletions().map(|()| None);
            }
            if state.may_use_cache()
                && let Some(grant) = state.cache.look_up(id)
            {
                return Ok(Some(grant));
            }
            state.cache.start_read()
        };
        let name = id.to_string();
        let record: Option<String> = self.ask(redis::cmd("GET").arg(grant_key(&name)))?;
        let Some(grant) = record::parse(&name, record.as_deref(), &self.keys)? else { return Ok(None) };
        let mut state = self.shared.state.lock();
        if state.may_use_cache() {
            state.cache.fill(&grant, start);
        }
        Ok(Some(grant))
    }

    fn update(&self, grant: &Grant) -> Result<(), Error> {
        if self.shared.state.lock().unwritten_deletions.contains(&grant.id) {
            return Err(Error::Conflict);
        }
        self.put(&grant.next_revision(), &grant.revision.to_string())
    }

    fn delete_all(&self, ids: &[GrantId]) -> Result<Vec<GrantId>, Error> {
        let records: Vec<_> = ids.iter().map(|&id| (id, "*".to_owned(), "")).collect();
        let outcome = self.delete_entries(&records);
        if let Err(Error::Storage(_)) = outcome {
            self.shared.state.lock().unwritten_deletions.extend(ids);
        }
        outcome
    }

    fn list(&self) -> Result<Vec<Arc<Grant>>, Error> {
        self.read_all(redis::cmd("ZRANGE").arg(format!("{PREFIX}by_end")).arg(0).arg(-1))
    }

    /// Without reading them.
    fn count(&self) -> Result<u64, Error> {
        let stored: u64 = self.ask(redis::cmd("ZCARD").arg(format!("{PREFIX}by_end")))?;
        let unwritten = u64::try_from(self.shared.state.lock().unwritten_deletions.len()).unwrap_or(u64::MAX);
        Ok(stored.saturating_sub(unwritten))
    }

    fn of_user(&self, user: UserId) -> Result<Vec<Arc<Grant>>, Error> {
        // In the order of bytes, the entries of one user are between the colon and the semicolon that follows it.
        let (from, to) = (format!("[{}:", user.0), format!("({};", user.0));
        let mut find = redis::cmd("ZRANGEBYLEX");
        let mut grants = self.read_all(find.arg(format!("{PREFIX}by_user")).arg(from).arg(to))?;
        grants.retain(|grant| grant.subject.user() == Some(user)); // entries have no tag
        Ok(grants)
    }

    fn sweep(&self, expiry: Expiry) -> Result<Vec<Arc<Grant>>, Error> {
        self.write_deletions()?;
        let range = |command: &str, from: &str, to: &str| -> Result<Vec<String>, Error> {
            let mut command = redis::cmd(command);
            command.arg(format!("{PREFIX}by_end")).arg(from).arg(to).arg("LIMIT").arg(0);
            self.ask(command.arg(limits::SWEEP_BATCH))
        };
        let (settled, now) = (expiry.settled.0, expiry.now.0.max(expiry.settled.0));
        let mut entries = range("ZRANGEBYSCORE", "-inf", &settled.to_string())?;
        let ended = entries.len();
        // Of the others the latest first: codes that were not redeemed.
        entries.extend(range("ZREVRANGEBYSCORE", &now.to_string(), &format!("({settled}"))?);
        let (mut over, mut grants) = (Vec::new(), Vec::new());
        for (number, (entry, record)) in entries.iter().zip(self.records(&entries)?).enumerate() {
            let name = entry_id(entry);
            let Ok(id) = GrantId::try_from(name.to_owned()) else { continue };
            match record::parse(name, record.as_deref(), &self.keys) {
                Ok(Some(grant)) if expiry.covers(&grant) => {
                    over.push((id, grant.revision.to_string(), entry.as_str()));
                    grants.push(grant);
                }
                Ok(Some(_)) => {} // refreshed or redeemed meanwhile
                Err(_) | Ok(None) if number < ended => over.push((id, "*".to_owned(), entry)),
                Err(_) | Ok(None) => {}
            }
        }
        if !over.is_empty() {
            let gone = self.delete_entries(&over)?;
            grants.retain(|grant| gone.contains(&grant.id));
        }
        // A full server refuses this, so it comes after what makes room.
        if grants.is_empty() && !self.takes_writes() {
            self.write::<()>(&[], redis::cmd("HSET").arg(meta()).arg("schema").arg(VERSION))?;
        }
        Ok(grants)
    }

    fn takes_writes(&self) -> bool {
        let state = self.shared.state.lock();
        !state.refuses_writes && state.unwritten_deletions.is_empty() && !self.shared.connections.is_away()
    }

    fn spend_login(&self, login: &str) -> Result<bool, Error> {
        let mut set = redis::cmd("SET");
        set.arg(format!("{PREFIX}login:{login}")).arg("").arg("NX").arg("EX");
        self.ask(set.arg(limits::LOGIN_LIFETIME.as_secs()))
    }

    fn wait_for_upstream(&self, grant: &Grant) -> Result<bool, Error> {
        let end = clock::instant() + limits::valkey::EXCHANGE;
        loop {
            let current = self.get(grant.id)?;
            if current.as_ref().is_none_or(|current| current.upstream != grant.upstream) {
                return Ok(current.is_some());
            }
            if clock::instant() >= end || self.shared.stop.wait(limits::valkey::EXCHANGE_LOOK) {
                return Ok(false);
            }
        }
    }

    fn newest(&self) -> Timestamp {
        self.newest
    }

    fn adopt_key(&self, keys: &Keyring) -> Result<(), Error> {
        self.ask(redis::cmd("HSET").arg(meta()).arg("key_check").arg(key_check(keys)))
    }
}

fn meta() -> String {
    format!("{PREFIX}meta")
}

/// A proof of the sealing key.
fn key_check(keys: &Keyring) -> Vec<u8> {
    key_checks(keys).first().map(|check| check.expose().to_vec()).unwrap_or_default()
}

fn grant_key(id: &str) -> String {
    format!("{PREFIX}grant:{id}")
}

/// The grant's id in an entry of an index, `USER:ID`. Empty in an entry that is not of this form.
fn entry_id(entry: &str) -> &str {
    entry.split_once(':').unwrap_or_default().1
}

fn unusable(url: &StoreUrl, error: &RedisError) -> StartupError {
    let place = format!("MCP_STORE ({})", url.as_str());
    if error.is_timeout() {
        let why = "it does not answer within a second (does one side alone use TLS?)";
        return StartupError::unusable(place, why);
    }
    let advice = "See that it runs there, and that the user in MCP_STORE and the password in MCP_STORE_PASSWORD_FILE are right";
    StartupError { advice: advice.to_owned(), ..StartupError::unusable(place, error) }
}

#[cfg(test)]
mod tests;
