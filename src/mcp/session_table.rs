//! The table of sessions: their number, and the end of unused ones.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::session::Session;
use super::table::{self, Full, Owner, Row, Rows, Table};
use crate::base::capacity::Capacity;
use crate::base::identity::Principal;

/// Every session.
pub(super) type SessionTable = Table<Session>;

impl SessionTable {
    /// Adds a session. If its user has as many as one may, one of theirs makes room; if the table is full, one of the user with
    /// most.
    pub(super) fn insert(&self, session: &Arc<Session>, capacity: &Capacity) -> Result<Arc<Session>, Full> {
        self.put(session, |sessions| displaced(sessions, session.owner(), capacity))
    }

    /// The caller's latest session that no request has named yet.
    pub(super) fn unnamed(&self, principal: &Principal) -> Option<Arc<Session>> {
        let candidates =
            self.all().into_iter().filter(|each| each.is_unnamed() && each.owner().is(principal));
        candidates.max_by_key(|each| each.used())
    }

    /// Ends unused sessions.
    pub(super) fn sweep(&self, now: Duration) {
        for session in self.all() {
            if session.sweep(now) {
                self.end(&session);
            }
        }
    }
}

/// The session that makes room for one more of `newcomer`, if one must: of the client with most of that user's sessions, the least
/// recently used.
fn displaced(
    sessions: &Rows<Session>,
    newcomer: &Owner,
    capacity: &Capacity,
) -> Result<Option<Arc<Session>>, Full> {
    let most = (capacity.sessions_per_user, capacity.sessions);
    let Some(user) = table::displaced(sessions, newcomer.user, most)? else { return Ok(None) };
    let theirs = || sessions.values().filter(|each| each.owner().user == user);
    let of_grant = table::count(theirs().map(|each| each.owner().grant));
    let last = theirs().min_by_key(|each| {
        let grant = each.owner().grant;
        (Reverse(of_grant.get(&grant)), grant != newcomer.grant, each.used())
    });
    Ok(last.cloned())
}
