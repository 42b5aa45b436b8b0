//! The table of sessions: how many there may be, and what becomes of those that nobody uses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::session::Session;
use super::table::{Full, Owner, Row, Rows, Table};
use crate::base::capacity::Capacity;
use crate::base::identity::{Principal, UserId};

/// Every session.
pub(super) type SessionTable = Table<Session>;

impl SessionTable {
    /// Adds a session. If its user has as many as one may, the least recently used of them makes room; if there are as many
    /// as the server can hold, that of whoever has most does, so that nobody is locked out by those who hoard.
    pub(super) fn insert(&self, session: &Arc<Session>, capacity: &Capacity) -> Result<(), Full> {
        self.put(session, |sessions| displaced(sessions, session.owner().user, capacity))
    }

    /// The caller's latest session that no request has named yet.
    pub(super) fn unnamed(&self, principal: &Principal) -> Option<Arc<Session>> {
        let owner = Owner::from(principal);
        let candidates = self.all().into_iter().filter(|each| each.is_unnamed() && *each.owner() == owner);
        candidates.max_by_key(|each| each.used())
    }

    /// Ends what nobody uses.
    pub(super) fn sweep(&self, now: Duration) {
        for session in self.all() {
            if session.sweep(now) {
                self.end(&session);
            }
        }
    }
}

/// What makes room for one more session of `user`, if something must.
fn displaced(
    sessions: &Rows<Session>,
    user: UserId,
    capacity: &Capacity,
) -> Result<Option<Arc<Session>>, Full> {
    let mut counts: HashMap<UserId, usize> = HashMap::from([(user, 0)]);
    for session in sessions.values() {
        let count = counts.entry(session.owner().user).or_default();
        *count = count.saturating_add(1);
    }
    let own = counts.get(&user).copied().unwrap_or_default();
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    let whose = match most {
        _ if own >= capacity.sessions_per_user => user,
        _ if sessions.len() < capacity.sessions => return Ok(None),
        // Whoever has one more than the newcomer would gain nothing by an exchange.
        Some((whose, count)) if count > own.saturating_add(1) => whose,
        Some(_) | None => return Err(Full),
    };
    let theirs = sessions.values().filter(|each| each.owner().user == whose);
    Ok(theirs.min_by_key(|each| each.used()).cloned())
}
