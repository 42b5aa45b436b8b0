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
    /// Adds a session. Of one user's, the least recently used makes room.
    pub(super) fn insert(&self, session: Arc<Session>, capacity: &Capacity) -> Result<(), Full> {
        let displaced = {
            let mut sessions = self.lock();
            let of_user = sessions.values().filter(|each| each.user() == session.user());
            let (count, oldest) = of_user.fold((0_usize, None), older);
            let displaced = oldest.filter(|_| count >= capacity.sessions_per_user);
            if let Some(displaced) = &displaced {
                sessions.remove(displaced.id());
            }
            if sessions.len() >= capacity.sessions {
                return Err(Full);
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

/// Counts sessions and keeps the least recently used one.
fn older(
    (count, oldest): (usize, Option<Arc<Session>>),
    session: &Arc<Session>,
) -> (usize, Option<Arc<Session>>) {
    let oldest = match oldest {
        Some(oldest) if oldest.used() <= session.used() => oldest,
        Some(_) | None => Arc::clone(session),
    };
    (count.saturating_add(1), Some(oldest))
}
