//! The valid grants: those in the table that the current rules admit and that have not been ended.
//!
//! While the table cannot be read, the grants to be ended cannot be looked up. Such endings wait: any grant that they apply to is
//! refused at once, and they are carried out when the table can be read again (S3).

use std::collections::HashMap;
use std::sync::Arc;

use super::expiry::Readings;
use super::policy::Rules;
use super::problem::Problem;
use super::resource::ProtectedResource;
use crate::audit;
use crate::base::{Clock, GrantId, Mutex, Principal, RateLimit, Timestamp, UserId, limits, log};
use crate::store::{self, Expiry, Grant, Grants, Picks, RENEWAL, Stage};

/// Called with every grant that ends, so that its sessions and streams end with it.
pub type GrantEnded = Box<dyn Fn(GrantId) + Send + Sync>;

/// The table with its rules and the endings that wait for it.
pub struct LiveGrants {
    pub(super) table: Arc<dyn Grants>,
    clock: Arc<dyn Clock>,
    on_end: GrantEnded,
    /// Guards which rules hold. Held to copy a pointer.
    rules: Mutex<Arc<Rules>>,
    /// Guards the endings that wait. New ones are added at the end; the sweep alone takes them out.
    waiting: Mutex<Vec<Arc<Ending>>>,
    /// Guards when service tokens were used since the last sweep, which takes it out.
    used: Mutex<HashMap<GrantId, Timestamp>>,
    /// Limits how often service tokens that end soon are looked for.
    warnings: RateLimit<()>,
    /// Limits the lines about a grant that was ended while it could not be read.
    unread: RateLimit<GrantId>,
    readings: Readings,
}

struct Ending {
    /// Limits the ending to one person's grants, if set.
    user: Option<UserId>,
    /// Grants that were created later are not affected.
    since: Timestamp,
    picks: Picks,
    reason: &'static str,
}

impl Ending {
    fn select(&self, grants: &[Arc<Grant>]) -> Vec<Arc<Grant>> {
        let theirs = |grant: &&Arc<Grant>| {
            self.user.is_none_or(|user| grant.subject.user() == Some(user)) && grant.created <= self.since
        };
        (self.picks)(&grants.iter().filter(theirs).cloned().collect::<Vec<_>>())
    }
}

impl LiveGrants {
    pub(super) fn new(
        table: Arc<dyn Grants>,
        clock: Arc<dyn Clock>,
        rules: Rules,
        on_end: GrantEnded,
    ) -> LiveGrants {
        let (rules, waiting) = (Mutex::new(Arc::new(rules)), Mutex::default());
        let (used, warnings) = (Mutex::default(), RateLimit::new(1, limits::service_token::BETWEEN_WARNINGS));
        let _ = warnings.spend_as((), clock.monotonic()); // the start itself warns of those that end soon
        let (unread, readings) = (RateLimit::new(1, limits::ACCESS_TOKEN_LIFETIME), Readings::default());
        LiveGrants { table, clock, on_end, rules, waiting, used, warnings, unread, readings }
    }

    /// The current rules. A decision in several steps reads them once.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock())
    }

    /// Replaces the rules. Returns whether they changed. Grants of clients that are now denied end at once (D6). People who are not
    /// admitted any more are refused at their next request; if groups decide, at the first refresh that GitHub answers, a day after its last
    /// answer at most (T13).
    pub fn change_rules(&self, rules: Rules) -> bool {
        if *self.rules() == rules {
            return false;
        }
        *self.rules.lock() = Arc::new(rules);
        self.end_denied();
        true
    }

    /// Whether tokens of a grant that has not expired are valid, as far as can be told without asking GitHub (T13, D6, S3).
    pub(super) fn is_good(&self, grant: &Arc<Grant>) -> bool {
        self.rules().still_admit(grant) && !self.is_ending(grant)
    }

    /// Whether this grant was ended while the table could not be read.
    pub(super) fn is_ending(&self, grant: &Arc<Grant>) -> bool {
        self.waiting().iter().any(|ending| !ending.select(std::slice::from_ref(grant)).is_empty())
    }

    /// The endings that wait. What they pick is found out without the lock.
    fn waiting(&self) -> Vec<Arc<Ending>> {
        self.waiting.lock().clone()
    }

    /// Whether tokens of this grant are let in to this server. While the table cannot be read, every grant is taken to be.
    pub fn is_live(&self, resource: &ProtectedResource, id: GrantId) -> bool {
        let now = self.clock.now();
        let is_let_in = |grant: &Arc<Grant>| {
            !grant.is_over(now) && self.is_good(grant) && resource.refusal(grant.who()).is_none()
        };
        match self.table.get(id) {
            Ok(grant) => grant.as_ref().is_some_and(is_let_in),
            Err(_) => true,
        }
    }

    /// Whether grants can be made and changed, as far as is known.
    pub fn is_ready(&self) -> bool {
        self.table.takes_writes()
    }

    /// Ends a grant and everything that belongs to it. Returns whether there was one. `reason` is a fixed word for the log.
    ///
    /// # Errors
    /// [`store::Error`] if the deletion is not durable yet. S3: the grant, its sessions and its streams have ended all the same.
    pub fn end(&self, id: GrantId, reason: &'static str) -> Result<bool, store::Error> {
        let (known, deleted) = (self.table.get(id), self.table.delete(id));
        (self.on_end)(id);
        match (known, &deleted) {
            (Ok(None), _) | (_, Ok(false)) => {}
            (Ok(Some(grant)), _) => log_ended(&grant, reason),
            // The later deletion logs nothing. Once, because a client can repeat a revocation that failed.
            (Err(_), _) if self.unread.spend_as(id, self.clock.monotonic()).is_err() => {}
            (Err(_), _) => audit::info("grant.ended", &[log::Field::Grant(id), log::Field::Reason(reason)]),
        }
        deleted
    }

    /// Ends the grants that `picks` finds, of one person or of all.
    ///
    /// # Errors
    /// [`Problem::EndedInMemory`] if that is not durable yet, [`Problem::TableUnreadable`] if nothing was done.
    pub(super) fn end_picked(
        &self,
        user: Option<UserId>,
        reason: &'static str,
        picks: Picks,
    ) -> Result<(), Problem> {
        let listed = user.map_or_else(|| self.table.list(), |user| self.table.of_user(user));
        match listed {
            Ok(grants) => self.end_all(&picks(&grants), reason),
            Err(error) => {
                error.log();
                let remembered = self.end_later(user, reason, picks);
                Err(if remembered { Problem::EndedInMemory } else { Problem::TableUnreadable })
            }
        }
    }

    /// Ends at most [`limits::SWEEP_BATCH`] grants in one write. Returns the ids of those that were in the table.
    ///
    /// # Errors
    /// As [`LiveGrants::end`].
    pub fn end_batch(&self, batch: &[Arc<Grant>], why: &'static str) -> Result<Vec<GrantId>, store::Error> {
        let ids: Vec<GrantId> = batch.iter().map(|grant| grant.id).collect();
        // T17: before the write, which takes as long as the disk does, or fails. A session that is opened meanwhile ends with the
        // next sweep, which finds its grant gone.
        ids.iter().for_each(|id| (self.on_end)(*id));
        let deleted = self.table.delete_all(&ids);
        // After an error, too, they have ended all the same.
        let has_ended = |it: &&Arc<Grant>| deleted.as_ref().map_or(true, |deleted| deleted.contains(&it.id));
        batch.iter().filter(has_ended).for_each(|grant| log_ended(grant, why));
        deleted
    }

    /// Ends grants, in batches. An error in one does not keep the next from being tried.
    fn end_all(&self, grants: &[Arc<Grant>], reason: &'static str) -> Result<(), Problem> {
        let fails =
            |batch: &&[Arc<Grant>]| self.end_batch(batch, reason).inspect_err(store::Error::log).is_err();
        let failed = grants.chunks(limits::SWEEP_BATCH).filter(fails).count();
        // S3: a repeated request finds no grant to delete any more, but is not done either before the first deletion is on the disk.
        if failed == 0 && self.is_ready() { Ok(()) } else { Err(Problem::EndedInMemory) }
    }

    /// Refuses the grants that `picks` finds from now on, and ends them when the table can be read. Returns whether there was room
    /// to remember that.
    pub fn end_later(&self, user: Option<UserId>, reason: &'static str, picks: Picks) -> bool {
        let mut waiting = self.waiting.lock();
        let theirs = waiting.iter().filter(|ending| ending.user == user).count();
        let (per_user, in_total) = limits::WAITING_ENDINGS;
        if theirs >= per_user || waiting.len() >= in_total {
            return false;
        }
        waiting.push(Arc::new(Ending { user, since: self.clock.now(), picks, reason }));
        true
    }

    /// D6: ends the grants of clients that are on the deny list. Called before anything is served, and when the list has changed.
    pub fn end_denied(&self) {
        let rules = self.rules();
        if rules.denied.is_empty() {
            return;
        }
        let picks = move |grants: &[Arc<Grant>]| {
            let theirs = grants.iter().filter(|grant| rules.denied.names_client_of(&grant.client));
            theirs.cloned().collect()
        };
        // An error can be ignored: as long as the list names the clients their tokens are refused, and the sweep ends their sessions.
        let _ = self.end_picked(None, "client_denied", Box::new(picks));
    }

    /// Deletes expired grants, and does all other periodic work on them. Called every [`limits::SWEEP`].
    pub fn sweep(&self) {
        let now = self.clock.now();
        let settled = self.readings.settled(self.clock.monotonic(), now);
        match self.table.sweep(Expiry { settled, now }) {
            Ok(ended) => ended.iter().for_each(|grant| {
                log_ended(grant, if grant.stage == Stage::CodeIssued { "not_redeemed" } else { "expired" });
                (self.on_end)(grant.id);
            }),
            Err(error) => error.log(),
        }
        self.carry_out_endings();
        self.store_uses();
        for grant in self.ending_soon() {
            let hint = format!("it ends at {}: {RENEWAL}", grant.end().rfc3339());
            log_grant(log::warn, "token.ends_soon", &grant, log::Field::Hint(&hint));
        }
    }

    /// The service tokens that end soon; once a day, else none.
    pub(super) fn ending_soon(&self) -> Vec<Arc<Grant>> {
        if self.warnings.spend_as((), self.clock.monotonic()).is_err() {
            return Vec::new();
        }
        let now = self.clock.now();
        let grants = self.table.list().unwrap_or_default(); // the sweep has logged why
        grants.into_iter().filter(|grant| grant.ends_soon(now)).collect()
    }

    /// Notes the use of a service token. The request itself writes nothing.
    pub(super) fn note_use(&self, caller: &Principal, now: Timestamp) {
        if caller.subject.user().is_none() {
            self.used.lock().insert(caller.grant, now);
        }
    }

    /// Stores when service tokens were used. Errors can be ignored: the time is for the operator alone, and a token in use is noted again.
    fn store_uses(&self) {
        let used = std::mem::take(&mut *self.used.lock());
        for (id, last_used) in used {
            let Ok(Some(grant)) = self.table.get(id) else { continue };
            let is_first = grant.last_used == grant.created && last_used > grant.created;
            if is_first || last_used.since(grant.last_used) >= limits::service_token::USE {
                let _ = self.table.update(&Grant { last_used, ..(*grant).clone() });
            }
        }
    }

    /// Carries out the endings that wait, if the table can be read. Errors of writing can be ignored: the table remembers deletions
    /// that it could not write.
    fn carry_out_endings(&self) {
        let waiting = self.waiting();
        if waiting.is_empty() {
            return;
        }
        let Ok(grants) = self.table.list() else { return }; // the sweep has logged why
        for ending in &waiting {
            let _ = self.end_all(&ending.select(&grants), ending.reason);
        }
        self.waiting.lock().drain(..waiting.len());
    }
}

/// Logs an event of a grant.
pub(super) fn log_grant(
    log: fn(&'static str, &[log::Field<'_>]),
    event: &'static str,
    grant: &Grant,
    detail: log::Field<'_>,
) {
    let fields = [
        log::Field::User(grant.subject),
        log::Field::Client(grant.client.fingerprint.as_str()),
        log::Field::Grant(grant.id),
        detail,
    ];
    log(event, &fields);
}

pub(super) fn log_ended(grant: &Grant, reason: &'static str) {
    log_grant(audit::info, "grant.ended", grant, log::Field::Reason(reason));
}

#[cfg(test)]
mod tests;
