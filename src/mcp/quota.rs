//! What one user may do (M17): how many calls run at once, for how long, and how to stop them all when their grant ends; how
//! many sessions and streams are opened in a while.
//!
//! Calls have no rate: one that is quick costs next to nothing, one that is slow counts among those that run. What stays
//! behind when it has been opened has one.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::Duration;

use super::Core;
use super::exchange::Exchange;
use crate::base::budget::{Budget, Share};
use crate::base::cancel::CancelToken;
use crate::base::identity::{GrantId, Principal, UserId};
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::base::quota::Held;
use crate::base::rate::{Rate, TooMany};

/// What is kept of all users' bytes.
pub(super) struct Budgets {
    pub(super) unread: Arc<Budget>,
    pub(super) replay: Arc<Budget>,
    pub(super) kept: Arc<Budget>,
}

/// One user's parts of that.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// What their streams have said and they have not read.
    pub(super) unread: Share,
    /// What their streams have said and `Last-Event-ID` can ask for again.
    pub(super) replay: Share,
    /// What stays until they ask for it, or end it.
    pub(super) kept: Share,
}

impl Budgets {
    pub(super) fn new() -> Budgets {
        Budgets {
            unread: Budget::bytes(limits::UNREAD_BYTES),
            replay: Budget::bytes(limits::REPLAY_BYTES_KEPT),
            kept: Budget::bytes(limits::KEPT_BYTES),
        }
    }

    pub(super) fn of(&self, user: UserId) -> Shares {
        Shares {
            unread: self.unread.share(user),
            replay: self.replay.share(user),
            kept: self.kept.share(user),
        }
    }
}

/// What a stream has that belongs to no call.
#[derive(Debug)]
pub(super) struct Standing {
    /// Its place among its user's (M17).
    pub(super) place: Held<UserId>,
    /// When the token that opened it expires, on the monotonic clock (T17).
    pub(super) until: Duration,
}

/// Every call that runs.
#[derive(Default)]
pub(super) struct Calls {
    /// Guards the running calls by number.
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    next: u64,
    calls: HashMap<u64, Entry>,
    /// Why no call begins any more.
    over: Option<&'static str>,
}

struct Entry {
    user: UserId,
    grant: GrantId,
    cancel: CancelToken,
    /// A time of the monotonic clock.
    started: Duration,
    is_task: bool,
    /// Its answer in the making, once that is there.
    exchange: Weak<Exchange>,
}

/// A call's place among those that run; free again when this is dropped.
pub(super) struct Permit {
    calls: Arc<Calls>,
    number: u64,
}

/// Why a call may not run now, in words for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom(pub(super) &'static str);

impl Calls {
    /// A place for one more call (M17).
    pub(super) fn begin(
        self: &Arc<Calls>,
        principal: &Principal,
        cancel: &CancelToken,
        now: Duration,
    ) -> Result<Permit, NoRoom> {
        let mut running = self.lock();
        if let Some(why) = running.over {
            return Err(NoRoom(why));
        }
        let of_user = running.calls.values().filter(|entry| entry.user == principal.user).count();
        if running.calls.len() >= limits::CALLS || of_user >= limits::CALLS_PER_USER {
            return Err(NoRoom("Too many calls at once"));
        }
        let number = running.next;
        running.next = number.wrapping_add(1);
        let entry = Entry {
            user: principal.user,
            grant: principal.grant,
            cancel: cancel.clone(),
            started: now,
            is_task: false,
            exchange: Weak::new(),
        };
        running.calls.insert(number, entry);
        Ok(Permit { calls: Arc::clone(self), number })
    }

    /// Gives up on calls that have run for too long, and on those whose answer nobody has read for as long as it could
    /// have been taken up again: their places are others' (M17).
    pub(super) fn sweep(&self, now: Duration) {
        let with_exchange = |entry: &Entry| Some((entry.started, entry.exchange.upgrade()?));
        // A task has a lifetime of its own, and nobody reads along.
        let calls: Vec<_> =
            self.lock().calls.values().filter(|entry| !entry.is_task).filter_map(with_exchange).collect();
        for (started, exchange) in calls {
            if now.saturating_sub(started) >= limits::CALL {
                exchange.give_up("The call took too long");
            } else if exchange.is_abandoned(now) {
                exchange.give_up("Nobody read the answer");
            }
        }
    }

    /// Cancels every call of a grant.
    pub(super) fn cancel_grant(&self, grant: GrantId) {
        let tokens: Vec<CancelToken> = {
            let running = self.lock();
            let of_grant = running.calls.values().filter(|entry| entry.grant == grant);
            of_grant.map(|entry| entry.cancel.clone()).collect()
        };
        for token in tokens {
            token.trip();
        }
    }

    /// Ends every call with an error in these words, and lets none begin any more.
    pub(super) fn give_up_all(&self, why: &'static str) {
        let exchanges: Vec<_> = {
            let mut running = self.lock();
            running.over = Some(why);
            running.calls.values().filter_map(|entry| entry.exchange.upgrade()).collect()
        };
        for exchange in exchanges {
            exchange.give_up(why);
        }
    }

    /// Whose they are.
    pub(super) fn grants(&self) -> Vec<GrantId> {
        self.lock().calls.values().map(|entry| entry.grant).collect()
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        self.lock().calls.len()
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock()
    }
}

impl Permit {
    /// Has the call's answer looked after as well.
    pub(super) fn watch(&self, exchange: &Arc<Exchange>) {
        if let Some(entry) = self.calls.lock().calls.get_mut(&self.number) {
            entry.exchange = Arc::downgrade(exchange);
        }
    }

    /// Makes the call one of the tasks that run, if there is room for one more; says whether there was (M17).
    pub(super) fn begin_task(&self) -> bool {
        let (each, all) = limits::TASKS_RUNNING;
        let mut running = self.calls.lock();
        let user = running.calls.get(&self.number).map(|entry| entry.user);
        let tasks = || running.calls.values().filter(|entry| entry.is_task);
        let of_user = tasks().filter(|entry| Some(entry.user) == user).count();
        let room = tasks().count() < all && of_user < each;
        if room && let Some(entry) = running.calls.get_mut(&self.number) {
            entry.is_task = true;
        }
        room
    }

    /// Makes it a call as before.
    pub(super) fn no_task(&self) {
        if let Some(entry) = self.calls.lock().calls.get_mut(&self.number) {
            entry.is_task = false;
        }
    }
}

/// What each user has opened lately.
#[derive(Debug, Default)]
pub(super) struct Openings {
    /// Guards when each user's allowance will be whole again. Users are those who were let in; see [`Openings::spend`].
    whole_again: Mutex<HashMap<UserId, Duration>>,
}

const OPENINGS: Rate = Rate { count: limits::OPENINGS, per: Duration::from_secs(60) };

impl Openings {
    /// Counts one more of a user's at `now`, a time of the monotonic clock.
    pub(super) fn spend(&self, user: UserId, now: Duration) -> Result<(), TooMany> {
        let mut all = self.whole_again.lock();
        let next = OPENINGS.spend(all.get(&user).copied().unwrap_or_default(), now)?;
        // S5: whoever has a whole allowance need not be remembered.
        if all.len() >= limits::RATE_SENDERS {
            all.retain(|_, whole_again| *whole_again > now);
        }
        all.insert(user, next);
        Ok(())
    }
}

impl Core {
    /// Whether a user may open one more session or stream now (M17).
    pub(super) fn may_open(&self, user: UserId) -> bool {
        self.openings.spend(user, self.clock.monotonic()).is_ok()
    }

    /// One more stream of the caller's that belongs to no call, if they may have one.
    pub(super) fn stand(&self, principal: &Principal) -> Option<Standing> {
        let place = self.streams.take(principal.user).filter(|_| self.may_open(principal.user))?;
        let until = self.clock.monotonic().saturating_add(principal.expires.since(self.clock.now()));
        Some(Standing { place, until })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.calls.lock().calls.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::fake;

    /// M17: calls are bounded per user and in all.
    #[test]
    fn calls_are_bounded_per_user_and_in_all() {
        let calls: Arc<Calls> = Arc::default();
        let begin = |user| calls.begin(&fake::principal(user), &CancelToken::new(), Duration::ZERO);
        let mine: Vec<_> = (0..limits::CALLS_PER_USER).map(|_| begin(1).unwrap()).collect();
        assert!(begin(1).is_err());
        let others: Vec<_> = (2..).map_while(|user| begin(user).ok()).collect();
        assert_eq!(mine.len() + others.len(), limits::CALLS);
        assert!(mine.len() * 3 < limits::CALLS, "three users leave room for others");
        drop(mine);
        assert!(begin(1).is_ok());
        assert_eq!(calls.count(), others.len());
    }

    /// M17: limit and limit plus one, for one user; another has an allowance of their own, and time gives it back.
    #[test]
    fn what_a_user_opens_has_a_rate() {
        let openings = Openings::default();
        let start = Duration::from_secs(1000);
        let spend = |user, now| openings.spend(UserId(user), now).is_ok();
        assert!((0..limits::OPENINGS).all(|_| spend(1, start)));
        assert!(!spend(1, start));
        assert!(spend(2, start));
        assert!(spend(1, start + Duration::from_secs(1)));
    }

    /// S5: however many users there are, what is kept of them is bounded by those who were here lately.
    #[test]
    fn users_are_forgotten() {
        let openings = Openings::default();
        let most = u64::try_from(limits::RATE_SENDERS).unwrap();
        for user in 0..3 * most {
            openings.spend(UserId(user), Duration::from_secs(user)).unwrap();
        }
        assert!(openings.whole_again.lock().len() <= limits::RATE_SENDERS);
    }

    /// M17: at the limit and one above, for one user and for all. What is no task any more, or over, makes room.
    #[test]
    fn tasks_that_run_leave_calls_their_places() {
        let (each, all) = limits::TASKS_RUNNING;
        let calls: Arc<Calls> = Arc::default();
        let begin = |user| calls.begin(&fake::principal(user), &CancelToken::new(), Duration::ZERO).unwrap();
        let begin_task = |user| Some(begin(user)).filter(Permit::begin_task);
        let mine: Vec<_> = std::iter::from_fn(|| begin_task(1)).collect();
        assert_eq!(mine.len(), each);
        mine[0].no_task();
        assert!(mine[0].begin_task());
        let others: Vec<_> = (2..=limits::CALLS as u64).map_while(begin_task).collect();
        assert_eq!(mine.len() + others.len(), all);
        let calls: Vec<_> = (each..limits::CALLS_PER_USER).map(|_| begin(1)).collect();
        drop((others, calls));
        assert!(begin_task(2).is_some() && begin_task(1).is_none());
    }

    #[test]
    fn a_grants_end_cancels_its_calls_only() {
        let calls: Arc<Calls> = Arc::default();
        let (mine, other) = (CancelToken::new(), CancelToken::new());
        let begin = |user, cancel| calls.begin(&fake::principal(user), cancel, Duration::ZERO);
        let _permits = [begin(1, &mine), begin(2, &other)];
        calls.cancel_grant(fake::principal(1).grant);
        assert!(mine.is_tripped());
        assert!(!other.is_tripped());
    }
}
