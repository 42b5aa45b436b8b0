//! The id of a legacy session: a sealed value from which the session can be restarted (M6), valid until its grant ends. Also the ids
//! of the latest sessions that their clients have ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Core;
use super::call::ClientCapabilities;
use super::era;
use crate::base::{BoundedMap, GrantId, Mutex, Timestamp, limits, sha256};
use crate::seal::{self, Sealed};

/// The contents of a session's id. Names are short, because some clients limit the length of ids.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionId {
    #[serde(rename = "g")]
    pub(super) grant: GrantId,
    #[serde(rename = "v")]
    pub(super) version: Box<str>,
    #[serde(rename = "c")]
    client: u8,
}

impl Sealed for SessionId {
    const PREFIX: &'static str = "mcp_session_";

    /// Not checked here: the check of each request's token ensures that the grant is alive.
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

impl SessionId {
    pub(super) fn new(grant: GrantId, version: &str, client: ClientCapabilities) -> SessionId {
        SessionId { grant, version: version.into(), client: client.0 }
    }

    pub(super) fn client(&self) -> ClientCapabilities {
        ClientCapabilities(self.client)
    }

    /// The id: visible ASCII, different each time.
    pub(super) fn seal(&self, core: &Core) -> String {
        seal::seal(&core.settings.keys, self, &*core.settings.random)
    }

    /// The contents of an id that this server gave, under one of its keys.
    pub(super) fn open(id: &str, core: &Core) -> Option<SessionId> {
        let contents: SessionId = seal::open(&core.settings.keys, id, core.settings.clock.now()).ok()?;
        era::LEGACY_VERSIONS.contains(&&*contents.version).then_some(contents)
    }
}

/// The latest sessions that their clients have ended: their ids stay unknown.
#[derive(Debug)]
pub(super) struct EndedSessions {
    /// Guards the digests of their ids, each kept for the longest lifetime of a grant. They are not bounded per user: a removed one
    /// would only allow an empty session for its own grant.
    digests: Mutex<BoundedMap<[u8; 32], ()>>,
}

impl Default for EndedSessions {
    fn default() -> EndedSessions {
        EndedSessions { digests: Mutex::new(BoundedMap::new(limits::SESSIONS_ENDED)) }
    }
}

impl EndedSessions {
    /// Records an id. `now` is a time of the monotonic clock.
    pub(super) fn insert(&self, id: &str, now: Duration) {
        let ends = now.saturating_add(limits::GRANT_LIFETIME);
        self.digests.lock().insert(sha256(id.as_bytes()), (), (), (now, ends));
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.digests.lock().owner_and_end_of_any_age(&sha256(id.as_bytes())).is_some()
    }
}

#[cfg(test)]
mod tests;
