//! The instances of all servers, under shared limits: their keys, and the history that outlives them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::Isolation;
use crate::base::{GrantId, Held, Mutex, Principal, Quota, Subject, Timestamp, clock, limits};
use crate::mcp::{Description, Era, Publisher};

/// State shared by all bridges of a process, so that the limits hold for all servers together.
pub(super) struct InstancePool<I> {
    /// Limits on instances per person, and in total.
    pub(super) most: (usize, usize),
    /// Living instances, including those that are being ended: twice as many as may be in use.
    pub(super) places: Arc<Quota<()>>,
    /// Instances per person. One that all share counts for nobody.
    of_persons: Arc<Quota<Subject>>,
    /// Requests that wait for the first description of their instance: each holds a worker.
    pub(super) first_callers: Arc<Quota<Subject>>,
    /// Running calls and lists: each holds a thread if its peer is an upstream.
    pub(super) calls: Arc<Quota<Subject>>,
    /// Questions to persons: each holds a thread.
    pub(super) questions: Arc<Quota<Subject>>,
    /// Guards the instances by key, and the delays after failures.
    pub(super) slots: Mutex<Slots<I>>,
}

impl<I> InstancePool<I> {
    /// Limits of `of_user` instances per person and `in_all` in total.
    pub(super) fn new((of_user, in_all): (usize, usize)) -> Arc<InstancePool<I>> {
        Arc::new(InstancePool {
            most: (of_user, in_all),
            places: Quota::in_total(in_all.saturating_mul(2)),
            of_persons: Quota::per_key(of_user.saturating_mul(2)),
            first_callers: Arc::new(Quota::new(limits::bridge::FIRST_CALLERS)),
            calls: Arc::new(Quota::new(limits::bridge::PASSED)),
            questions: Arc::new(Quota::new(limits::bridge::QUESTIONS_WAITING)),
            slots: Mutex::new(Slots { running: HashMap::new(), histories: HashMap::new(), is_closed: false }),
        })
    }

    /// A place for one more instance of this person, or for everybody; `None` if there is none.
    pub(super) fn place(&self, person: Option<Subject>) -> Option<Place> {
        let of_person = match person {
            Some(person) => Some(self.of_persons.take(person)?),
            None => None,
        };
        Some((self.places.take(())?, of_person))
    }

    /// Refuses new instances from now on. Returns the running ones.
    pub(super) fn close(&self) -> Vec<Arc<I>> {
        let mut slots = self.slots.lock();
        slots.is_closed = true;
        slots.running.values().map(|slot| Arc::clone(&slot.instance)).collect()
    }

    /// Waits for the instances that are being ended. Returns whether all have ended.
    pub(super) fn wait_for_ended(&self, patience: Duration) -> bool {
        let running = self.slots.lock().running.len();
        self.places.wait_below(running.saturating_add(1), patience)
    }
}

/// The place of one instance in total, and in its person's limit.
pub(super) type Place = (Held<()>, Option<Held<Subject>>);

/// The key of an instance: callers with the same key share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InstanceKey {
    pub(super) server: Arc<str>,
    /// `None`: everybody.
    pub(super) subject: Option<Subject>,
    /// `None`: all client programs of the person.
    pub(super) grant: Option<GrantId>,
    /// `None`: all sessions of the client program.
    pub(super) session: Option<Arc<str>>,
    /// The era that the handshake starts with, for peers that may support both.
    pub(super) era: Era,
}

impl InstanceKey {
    /// The key of a caller. Clients of 2026-07-28 have no sessions: with [`Isolation::Session`] their grant takes the place of a session.
    pub(super) fn new(server: &Arc<str>, isolation: Isolation, caller: &Principal) -> InstanceKey {
        let (subject, grant) = (Some(caller.subject), Some(caller.grant));
        let session = || caller.session.as_ref().map(|session| (&*session.id).into());
        let (subject, grant, session) = match isolation {
            Isolation::Shared => (None, None, None),
            Isolation::User => (subject, None, None),
            Isolation::Grant => (subject, grant, None),
            Isolation::Session => (subject, grant, session()),
        };
        InstanceKey { server: Arc::clone(server), subject, grant, session, era: Era::Legacy }
    }

    /// The key of the history: all sessions of a client program share it.
    pub(super) fn without_session(&self) -> InstanceKey {
        InstanceKey { session: None, ..self.clone() }
    }

    /// A publisher to the clients that the instance serves.
    pub(super) fn audience(&self, everybody: &Publisher) -> Publisher {
        match (&self.session, self.grant, self.subject) {
            (Some(session), ..) => everybody.for_session(session),
            (None, Some(grant), _) => everybody.for_grant(grant),
            (None, None, Some(subject)) => everybody.for_subject(subject),
            (None, None, None) => everybody.clone(),
        }
    }
}

/// The instances by key.
pub(super) struct Slots<I> {
    pub(super) running: HashMap<InstanceKey, Slot<I>>,
    histories: HashMap<InstanceKey, History>,
    /// Whether no more may be added.
    pub(super) is_closed: bool,
}

pub(super) struct Slot<I> {
    pub(super) instance: Arc<I>,
    /// The grants that it serves; not recorded for an instance that all share.
    pub(super) grants: BTreeSet<GrantId>,
}

/// The history of a key, which outlives its instances.
#[derive(Default)]
pub(super) struct History {
    /// The latest instance's description of itself: a returning client is served before the program has started again.
    pub(super) description: Option<Arc<Description>>,
    /// Whether the operator has ended the described instance: the next one may differ.
    pub(super) was_ended: bool,
    /// The number of consecutive failures, and the time of the latest.
    pub(super) failures: u32,
    pub(super) failed: Option<Instant>,
}

impl History {
    /// Records an instance's description. Returns whether it has a predecessor.
    pub(super) fn described(&mut self, description: Arc<Description>) -> bool {
        let is_successor = self.is_successor();
        (self.description, self.was_ended) = (Some(description), false);
        is_successor
    }

    fn is_successor(&self) -> bool {
        self.was_ended || self.description.is_some()
    }

    /// The delay before the next start. A single failure causes none.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let doublings = self.failures.checked_sub(2)?.min(16);
        let pause = limits::bridge::PAUSE.saturating_mul(1 << doublings).min(limits::bridge::PAUSE_MAX);
        let left = (self.failed? + pause).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

/// The number of failures of a server's instances since this process started, for the operator.
#[derive(Clone, Default)]
pub(super) struct Failures {
    /// Starts after a failure, and ends by the operator's `servers restart`.
    pub(super) restarts: u64,
    pub(super) failures: u64,
    /// Time and reason of the latest.
    pub(super) latest: Option<(Timestamp, String)>,
    /// Whether nothing has succeeded since the latest failure: no start, no answer of an upstream, no `servers restart`.
    pub(super) is_failing: bool,
}

impl Failures {
    pub(super) fn restarted(&mut self, instances: usize) {
        self.restarts = self.restarts.saturating_add(u64::try_from(instances).unwrap_or(u64::MAX));
    }

    /// Control characters are removed from the reason, which may quote the peer, so that it stays on one line.
    pub(super) fn failed(&mut self, why: &str) {
        self.failures = self.failures.saturating_add(1);
        (self.latest, self.is_failing) = (Some((clock::now(), why.replace(char::is_control, " "))), true);
    }
}

impl<I> Slots<I> {
    pub(super) fn of_server(&self, server: &str) -> impl Iterator<Item = &Slot<I>> {
        self.running.iter().filter(move |(key, _)| *key.server == *server).map(|(_, slot)| slot)
    }

    /// Whether an instance serves its callers; false once it was removed.
    pub(super) fn holds(&self, key: &InstanceKey, instance: &I) -> bool {
        self.running.get(key).is_some_and(|slot| std::ptr::eq(&*slot.instance, instance))
    }

    /// Removes an instance, unless another has taken its place. Returns whether it was there.
    pub(super) fn remove(&mut self, key: &InstanceKey, instance: &I) -> bool {
        self.holds(key, instance) && self.running.remove(key).is_some()
    }

    /// Removes the instance that must make room for `user` to have one more: the one that has been idle for the longest time.
    /// `None`: all are in use.
    pub(super) fn make_room(
        &mut self,
        user: Option<Subject>,
        (of_user, in_all): (usize, usize),
        idle_since: impl Fn(&I) -> Option<Instant>,
    ) -> Option<Vec<Arc<I>>> {
        let theirs = || self.running.iter().filter(|(key, _)| key.subject == user);
        let candidates: Vec<_> = if user.is_some() && theirs().count() >= of_user {
            theirs().collect()
        } else if self.running.len() >= in_all {
            self.running.iter().collect()
        } else {
            return Some(Vec::new());
        };
        let idle = candidates.into_iter().filter_map(|(key, slot)| Some((idle_since(&slot.instance)?, key)));
        let longest = idle.min_by_key(|(since, _)| *since)?.1.clone();
        Some(self.running.remove(&longest).map(|slot| slot.instance).into_iter().collect())
    }

    /// Removes a grant from the slots of a server, and with it the slots and histories that served no other grant.
    pub(super) fn without_grant(&mut self, server: &str, grant: GrantId) -> Vec<Arc<I>> {
        let leaves = |slot: &mut Slot<I>| slot.grants.remove(&grant) && slot.grants.is_empty();
        let emptied = self.running.extract_if(|key, slot| *key.server == *server && leaves(slot));
        let emptied: Vec<_> = emptied.collect();
        let is_over = |key: &InstanceKey| {
            *key.server == *server
                && (key.grant == Some(grant) || emptied.iter().any(|(ended, _)| ended == key))
        };
        self.histories.retain(|key, _| !is_over(key));
        emptied.into_iter().map(|(_, slot)| slot.instance).collect()
    }

    /// Removes a server's slots and history, except for the callers who must be told that the next instance is another.
    pub(super) fn without_server(&mut self, server: &str) -> Vec<Arc<I>> {
        self.histories.retain(|key, past| {
            let was_ended = past.is_successor();
            let is_theirs = *key.server == *server;
            if is_theirs {
                *past = History { was_ended, ..History::default() };
            }
            !is_theirs || was_ended
        });
        let gone = self.running.extract_if(|key, _| *key.server == *server);
        gone.map(|(_, slot)| slot.instance).collect()
    }

    /// The history of a key.
    pub(super) fn history(&self, key: &InstanceKey) -> Option<&History> {
        self.histories.get(&key.without_session())
    }

    pub(super) fn history_mut(&mut self, key: &InstanceKey) -> &mut History {
        self.histories.entry(key.without_session()).or_default()
    }

    /// Forgets old failures; if there are too many histories, all that have no instance.
    pub(super) fn forget_failures(&mut self, now: Instant) {
        let is_fresh = |failed: Instant| now < failed + limits::bridge::PAUSE_MAX + limits::bridge::STEADY;
        let is_known = |past: &History| past.is_successor() || past.failed.is_some_and(is_fresh);
        self.histories.retain(|_, past| is_known(past));
        if self.histories.len() >= limits::bridge::SLOTS {
            let running: Vec<_> = self.running.keys().map(InstanceKey::without_session).collect();
            self.histories.retain(|key, _| running.contains(key));
        }
    }
}
