//! Endings that wait for the table: while it cannot be read, who wants grants ended is known, but not which grants those are.
//!
//! They hold at once for every grant that is in memory, and are carried out when the table can be read again (S3).

use std::sync::{Arc, MutexGuard};

use super::AuthorizationServer;
use crate::base::clock::Timestamp;
use crate::base::identity::{GrantId, UserId};
use crate::base::lock::Mutex;
use crate::base::{limits, log};
use crate::store::{Grant, Picks};

/// The endings that wait.
#[derive(Default)]
pub(super) struct Endings {
    /// Guards the list. New ones are added at its end; the sweep alone takes them out.
    waiting: Mutex<Vec<Ending>>,
}

struct Ending {
    /// Whose grants they are, if one person's.
    user: Option<UserId>,
    /// Grants that were made later are not meant.
    since: Timestamp,
    picks: Picks,
    reason: &'static str,
}

impl Endings {
    fn lock(&self) -> MutexGuard<'_, Vec<Ending>> {
        self.waiting.lock()
    }

    /// Whether this grant was ended.
    pub(super) fn include(&self, grant: &Arc<Grant>) -> bool {
        self.lock().iter().any(|ending| !ending.among(std::slice::from_ref(grant)).is_empty())
    }
}

impl Ending {
    /// Those of these grants that are meant.
    fn among(&self, grants: &[Arc<Grant>]) -> Vec<GrantId> {
        let theirs = |grant: &&Arc<Grant>| {
            self.user.is_none_or(|user| user == grant.user) && grant.created <= self.since
        };
        (self.picks)(&grants.iter().filter(theirs).cloned().collect::<Vec<_>>())
    }
}

impl AuthorizationServer {
    /// Has the grants that `picks` finds, of one person or of all, refused from now on and ended when the table can be read.
    /// Returns whether there was room to remember that.
    pub fn end_later(&self, user: Option<UserId>, reason: &'static str, picks: Picks) -> bool {
        let mut waiting = self.endings.lock();
        let theirs = waiting.iter().filter(|ending| ending.user == user).count();
        let (of_user, of_all) = limits::WAITING_ENDINGS;
        if theirs >= of_user || waiting.len() >= of_all {
            return false;
        }
        waiting.push(Ending { user, since: self.clock.now(), picks, reason });
        true
    }

    /// Whether tokens of a grant that is not over are still good, as far as can be said without GitHub (T13, D6, S3).
    pub(super) fn is_good(&self, grant: &Arc<Grant>) -> bool {
        self.rules().still_admit(grant) && !self.endings.include(grant)
    }

    /// Carries out what waits. A deletion that cannot be written is remembered by the table.
    pub(super) fn carry_out_endings(&self) {
        let count = self.endings.lock().len();
        if count == 0 {
            return;
        }
        let Ok(grants) = self.grants.list() else { return }; // the sweep has logged why
        let ended: Vec<_> = {
            let waiting = self.endings.lock();
            let each = waiting.iter().take(count);
            each.flat_map(|one| one.among(&grants).into_iter().map(|id| (id, one.reason))).collect()
        };
        for (id, reason) in ended {
            if let Err(error) = self.end_grant(id, reason) {
                log::error("store.failed", &[log::Field::Error(&error.to_string())]);
            }
        }
        self.endings.lock().drain(..count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::bearer::BearerError;
    use crate::oauth::client::AuthMethod;
    use crate::oauth::fake::{Browser, Fixture, fixture, fixture_over};
    use crate::oauth::{DenyList, Rules};
    use crate::store::conformance::Removable;

    fn put_back(file: &Removable, fixture: &Fixture) {
        file.put_back();
        fixture.clock.advance(std::time::Duration::from_secs(1));
        fixture.server.sweep();
        assert!(fixture.grants.list().is_ok());
    }

    /// S3: a client that is told 503 has ended its grant all the same, whether or not the server still knew it.
    #[test]
    fn a_revocation_without_a_table_is_carried_out_when_it_is_back() {
        for (by_access_token, known) in [(true, true), (true, false), (false, true), (false, false)] {
            let file = Removable::new();
            let fixture = fixture_over(file.table.clone());
            let mut browser = Browser::new(&fixture);
            let pair = browser.tokens();
            assert!(!known || fixture.bearer(&pair.access).is_ok());
            file.take_away();
            let token = if by_access_token { &pair.access } else { &pair.refresh };
            let body = format!("token={token}&client_id={}", browser.client_id);
            assert_eq!(fixture.post("/revoke", &body).status(), 503);
            assert_eq!(fixture.bearer(&pair.access).unwrap_err(), BearerError::Invalid);
            assert_eq!(fixture.ended().len(), 1);
            put_back(&file, &fixture);
            assert_eq!(fixture.bearer(&pair.access).unwrap_err(), BearerError::Invalid);
            assert_eq!(browser.refresh(&pair.refresh).status(), 400);
            assert!(fixture.grants.list().unwrap().is_empty());
        }
    }

    /// T14: without a table, too, a refresh token is ended by its own client alone.
    #[test]
    fn a_foreign_client_revokes_nothing_without_a_table() {
        let file = Removable::new();
        let fixture = fixture_over(file.table.clone());
        let refresh = Browser::new(&fixture).tokens().refresh;
        file.take_away();
        let other = fixture.client_id(AuthMethod::None, &["https://other.example/cb"]);
        assert_eq!(fixture.post("/revoke", &format!("token={refresh}&client_id={other}")).status(), 200);
        put_back(&file, &fixture);
        assert_eq!(fixture.grants.list().unwrap().len(), 1);
    }

    /// S3, D6: what the operator ends, or a rule about clients, holds at once for grants in memory, and is carried out for all
    /// when the table is back, even if the rule is gone by then. What is made later is not meant.
    #[test]
    fn endings_without_a_table_wait_for_it() {
        let by_operator = |fixture: &Fixture, _: &str| {
            let all: Picks = Box::new(|grants| grants.iter().map(|grant| grant.id).collect());
            assert!(fixture.server.end_later(None, "operator", all));
        };
        let by_rule = |fixture: &Fixture, clients: &str| {
            let before = (*fixture.server.rules()).clone();
            let denied = DenyList::parse(clients).unwrap();
            fixture.server.change_rules(Rules { denied, ..before.clone() });
            fixture.server.change_rules(before);
        };
        let check = |end: &dyn Fn(&Fixture, &str)| {
            let file = Removable::new();
            let fixture = fixture_over(file.table.clone());
            let pairs = [Browser::new(&fixture).tokens(), Browser::new(&fixture).tokens()];
            fixture.bearer(&pairs[0].access).unwrap();
            let grants = fixture.grants.list().unwrap();
            let clients: Vec<_> = grants.iter().map(|grant| grant.client.fingerprint.as_str()).collect();
            file.take_away();
            end(&fixture, &clients.join(","));
            assert_eq!(fixture.bearer(&pairs[0].access).unwrap_err(), BearerError::Invalid);
            put_back(&file, &fixture);
            assert!(fixture.grants.list().unwrap().is_empty());
            assert_eq!(fixture.ended().len(), 2);
            let later = Browser::new(&fixture).tokens();
            fixture.server.sweep();
            assert!(fixture.bearer(&later.access).is_ok());
        };
        check(&by_operator);
        check(&by_rule);
    }

    /// S5: what waits is bounded, of each person too; whoever finds no room is told so.
    #[test]
    fn few_endings_wait() {
        let fixture = fixture();
        let wait = |user| fixture.server.end_later(Some(UserId(user)), "owner", Box::new(|_| Vec::new()));
        let (of_user, of_all) = limits::WAITING_ENDINGS;
        assert_eq!((0..of_user + 5).filter(|_| wait(0)).count(), of_user);
        let others = u64::try_from(of_all + 5).unwrap();
        assert_eq!((1..others).filter(|user| wait(*user)).count(), of_all - of_user);
        fixture.server.sweep();
        assert!(wait(0));
    }
}
