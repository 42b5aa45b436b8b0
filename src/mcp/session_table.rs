//! The session table: every legacy session by its id, behind one mutex. Nothing under the lock waits or runs foreign code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::session::Session;
use crate::base::capacity::Capacity;
use crate::base::identity::{GrantId, Principal, UserId};

/// Every session.
#[derive(Debug, Default)]
pub(super) struct SessionTable {
    /// Guards which sessions there are.
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
}

/// There are as many sessions as the server can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl SessionTable {
    /// Adds a session. If its user has as many as one may, the least recently used of them makes room; if there are as many
    /// as the server can hold, that of whoever has most does, so that nobody is locked out by those who hoard.
    pub(super) fn insert(&self, session: Arc<Session>, capacity: &Capacity) -> Result<(), Full> {
        let displaced = {
            let mut sessions = self.lock();
            let displaced = displaced(&sessions, session.user(), capacity)?;
            if let Some(displaced) = &displaced {
                sessions.remove(displaced.id());
            }
            sessions.insert(session.id().into(), session);
            displaced
        };
        if let Some(displaced) = displaced {
            displaced.end();
        }
        Ok(())
    }

    /// The session `id`, if it is the caller's own. Another's is as unknown as none (M6).
    pub(super) fn find(&self, id: &str, principal: &Principal) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned();
        session.filter(|session| session.belongs_to(principal))
    }

    /// The caller's latest session that no request has named yet.
    pub(super) fn unnamed(&self, principal: &Principal) -> Option<Arc<Session>> {
        let candidates = self.all().into_iter();
        let candidates = candidates.filter(|each| each.is_unnamed() && each.belongs_to(principal));
        candidates.max_by_key(|each| each.used())
    }

    /// Ends the session `id`, if it is the caller's own; says whether it was.
    pub(super) fn end(&self, id: &str, principal: &Principal) -> bool {
        let session = self.find(id, principal);
        session.is_some_and(|session| self.end_one(&session))
    }

    /// Ends the sessions of a grant.
    pub(super) fn end_grant(&self, grant: GrantId) {
        self.end_where(|session| session.grant() == grant);
    }

    /// Ends all sessions.
    pub(super) fn close(&self) {
        self.end_where(|_| true);
    }

    /// Ends what nobody uses.
    pub(super) fn sweep(&self, now: Duration) {
        for session in self.all() {
            if session.sweep(now) {
                self.end_one(&session);
            }
        }
    }

    /// Every session, as of now.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// How many streams a user's sessions have open.
    pub(super) fn readers_of(&self, user: UserId) -> usize {
        let all = self.all();
        all.iter().filter(|session| session.user() == user).map(|session| session.readers()).sum()
    }

    /// Ends a session that was found before, without looking at the others; says whether nobody else has.
    fn end_one(&self, session: &Session) -> bool {
        let ended = self.lock().remove(session.id());
        ended.inspect(|session| session.end()).is_some()
    }

    fn end_where(&self, unwanted: impl Fn(&Arc<Session>) -> bool) {
        let ended: Vec<_> = self.lock().extract_if(|_, session| unwanted(session)).collect();
        for (_, session) in ended {
            session.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes room for one more session of `user`, if something must.
fn displaced(sessions: &HashMap<Box<str>, Arc<Session>>, user: UserId) -> Result<Option<Arc<Session>>, Full> {
    let mut counts: HashMap<UserId, usize> = HashMap::from([(user, 0)]);
    for session in sessions.values() {
        let count = counts.entry(session.user()).or_default();
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
    let theirs = sessions.values().filter(|each| each.user() == whose);
    Ok(theirs.min_by_key(|each| each.used()).cloned())
}
