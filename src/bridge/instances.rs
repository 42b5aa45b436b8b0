//! The running instances of servers, one for each [`InstanceKey`]: started by the first call that needs one, once for simultaneous
//! calls; bounded per person and in total; ended when idle, when no grant is left that they serve, and when the server stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::entry::Isolation;
use super::handshake::{self, Greeting};
use super::interests::ToldInterests;
use super::listed::Listed;
use super::message::ClientInfo;
use super::parked::ParkedCalls;
use super::peer::Peer;
use super::pool::{Failures, InstanceKey, InstancePool, Place, Slot};
use super::transport::{Launcher, Receiver};
use super::unavailable::Unavailable;
use crate::base::{CallerSession, GrantId, Mutex, Principal, Subject, clock, limits, log};
use crate::mcp::{Description, Era, Interests, Publisher};

/// State shared by the instances of a server.
pub(super) struct InstanceSettings {
    /// The server's name in the log and in messages.
    pub(super) server: Arc<str>,
    pub(super) isolation: Isolation,
    /// The time limit from the start of a program to its answer to `initialize`.
    pub(super) start: Duration,
    /// The idle time after which an instance is ended.
    pub(super) idle: Duration,
    pub(super) client_info: ClientInfo,
    pub(super) pool: Arc<InstancePool<Instance>>,
}

/// The instances of one server, and the state that is kept for its clients.
pub(super) struct Instances {
    pub(super) settings: InstanceSettings,
    launcher: Box<dyn Launcher>,
    /// Tells the clients of changes; set before the first call.
    pub(super) publisher: OnceLock<Publisher>,
    /// The lists that the clients have read.
    pub(super) listed: Listed,
    pub(super) parked: ParkedCalls,
    /// Guards the only era of the server's peers, once one has refused the other: the next handshake starts with it.
    only_era: Mutex<Option<Era>>,
    /// Guards the record of failures.
    pub(super) failures: Mutex<Failures>,
    /// Whether the server's description has been replaced, so that nothing may be started from this one.
    is_retired: AtomicBool,
}

/// One running instance of a server.
pub(super) struct Instance {
    key: InstanceKey,
    /// The session that this instance alone serves: each ends with the other.
    session: Option<Arc<CallerSession>>,
    pub(super) peer: Arc<Peer>,
    /// Guards the sent interests. Held while messages are sent, which does not block, so that they stay in order.
    pub(super) told: Mutex<ToldInterests>,
    started: Instant,
    instances: Arc<Instances>,
    /// A digest of the GitHub token that it was started with.
    token: OnceLock<Option<[u8; 32]>>,
    /// Guards the phase, and the time of the last use.
    state: Mutex<InstanceState>,
    /// Released when the program and all its descendants have ended.
    _place: Place,
}

struct InstanceState {
    phase: InstancePhase,
    used: Instant,
}

enum InstancePhase {
    /// It has not answered `initialize`; these jobs wait for that.
    Starting(Vec<Job>),
    Ready(Arc<Greeting>),
    Over(Unavailable),
}

/// Work to be done with a ready instance, or with the reason why there is none.
pub(super) type Job = Box<dyn FnOnce(FoundInstance) + Send>;

/// A ready instance with its own description, or the reason why there is none.
pub(super) type FoundInstance = Result<(Arc<Instance>, Arc<Greeting>), Unavailable>;

impl Instances {
    pub(super) fn new(settings: InstanceSettings, launcher: Box<dyn Launcher>) -> Arc<Instances> {
        Arc::new(Instances {
            settings,
            launcher,
            publisher: OnceLock::new(),
            listed: Listed::default(),
            parked: ParkedCalls::default(),
            only_era: Mutex::default(),
            failures: Mutex::default(),
            is_retired: AtomicBool::new(false),
        })
    }

    pub(super) fn server(&self) -> &str {
        &self.settings.server
    }

    /// Runs `job` with the instance of this person, which is started if necessary.
    pub(super) fn with(self: &Arc<Instances>, person: &Principal, job: Job) {
        self.end_outdated(person);
        match self.find(person) {
            Ok(instance) => instance.when_ready(job),
            Err(why) => job(Err(why)),
        }
    }

    /// The instance of this person. Waits for its start, which has a deadline.
    pub(super) fn wait_for(self: &Arc<Instances>, person: &Principal) -> FoundInstance {
        let (sender, receiver) = bounded(1);
        let job: Job = Box::new(move |found| {
            let _ = sender.send(found); // read once, or the caller has given up
        });
        self.with(person, job);
        let found = receiver.recv_timeout(self.settings.start.saturating_add(limits::bridge::CLOSE));
        found.unwrap_or(Err(Unavailable::Ended))
    }

    /// Whether the instance of this person is ready, so that a call does not wait for a start.
    pub(super) fn is_ready(&self, person: &Principal) -> bool {
        self.running_for(person)
            .is_some_and(|instance| matches!(instance.state.lock().phase, InstancePhase::Ready(_)))
    }

    /// The description that the latest instance of this person gave of itself; `None` if there was none.
    pub(super) fn description(&self, person: &Principal) -> Option<Arc<Description>> {
        let key = self.key(person);
        self.settings.pool.slots.lock().history(&key)?.description.clone()
    }

    /// Ends and forgets the instances that serve only this grant, and what is kept for it.
    pub(super) fn end_grant(&self, grant: GrantId) {
        let ended = self.settings.pool.slots.lock().without_grant(&self.settings.server, grant);
        ended.iter().for_each(|instance| instance.end());
        self.parked.end_grant(grant);
        self.listed.end_grant(grant);
    }

    /// The grants that have an instance.
    pub(super) fn grants(&self) -> Vec<GrantId> {
        let slots = self.settings.pool.slots.lock();
        slots.of_server(self.server()).flat_map(|slot| slot.grants.iter().copied()).collect()
    }

    /// The number of instances, without those that are being ended.
    pub(super) fn count(&self) -> usize {
        self.settings.pool.slots.lock().of_server(self.server()).count()
    }

    /// Whether an instance is running that serves this person, or any instance if `None`.
    pub(super) fn is_running_for(&self, subject: Option<Subject>) -> bool {
        let slots = self.settings.pool.slots.lock();
        let mut instances = slots.of_server(self.server()).map(|slot| &slot.instance);
        instances.any(|instance| subject.is_none() || [None, subject].contains(&instance.key.subject))
    }

    /// Ends all instances, forgets their history, and returns their number.
    pub(super) fn restart(&self) -> usize {
        let ended = self.settings.pool.slots.lock().without_server(self.server());
        ended.iter().map(|instance| instance.end()).count()
    }

    /// Ends all instances, and refuses new ones. A concurrent start finds the flag, or is ended with the others.
    pub(super) fn retire(&self) {
        self.parked.close();
        self.is_retired.store(true, Ordering::SeqCst);
        self.restart();
    }

    /// Refuses new instances, and ends the idle ones, of all servers.
    pub(super) fn close(&self) {
        self.parked.close();
        let all = self.settings.pool.close();
        all.iter().filter(|instance| instance.idle_since().is_some()).for_each(|instance| instance.end());
    }

    /// Ends all instances of all servers and waits for their end, up to `patience`.
    pub(super) fn stop(&self, patience: Duration) {
        self.parked.close();
        self.settings.pool.close().iter().for_each(|instance| instance.end());
        self.settings.pool.places.wait_below(1, patience);
    }

    fn key(&self, person: &Principal) -> InstanceKey {
        let key = InstanceKey::new(&self.settings.server, self.settings.isolation, person);
        // Clients without sessions are of 2026-07-28, or cannot be asked anything in any case.
        if person.session.is_some() || !self.launcher.mirrors_era() {
            return key;
        }
        let modern = InstanceKey { era: Era::Modern, ..key.clone() };
        let may_be_modern = self.only_era.lock().is_none();
        // The instance that revealed the only era goes on serving its callers.
        let is_served = || self.settings.pool.slots.lock().running.contains_key(&modern);
        if may_be_modern || is_served() { modern } else { key }
    }

    fn running_for(&self, person: &Principal) -> Option<Arc<Instance>> {
        let key = self.key(person);
        self.settings.pool.slots.lock().running.get(&key).map(|slot| Arc::clone(&slot.instance))
    }

    /// The instance of this person, which is launched if it is new.
    pub(super) fn find(self: &Arc<Instances>, person: &Principal) -> Result<Arc<Instance>, Unavailable> {
        let (key, pool) = (self.key(person), &self.settings.pool);
        let grants = key.subject.map(|_| person.grant);
        let session = person.session.clone().filter(|_| key.session.is_some());
        let now = clock::instant();
        let mut slots = pool.slots.lock();
        if let Some(slot) = slots.running.get_mut(&key) {
            slot.grants.extend(grants);
            return Ok(Arc::clone(&slot.instance));
        }
        if slots.is_closed {
            return Err(Unavailable::Stopping);
        }
        if session.as_ref().is_some_and(|session| session.ended.is_tripped()) {
            return Err(Unavailable::SessionOver);
        }
        if let Some(wait) = slots.history(&key).and_then(|past| past.pause(now)) {
            return Err(Unavailable::Failing(wait.as_secs().saturating_add(1)));
        }
        if self.is_retired.load(Ordering::SeqCst) {
            return Err(Unavailable::Ended);
        }
        let is_restart = slots.history(&key).is_some_and(|past| past.failed.is_some());
        // Before the eviction, whose instances must be ended.
        let place = pool.place(key.subject).ok_or(Unavailable::TooMany)?;
        let evicted = slots.make_room(key.subject, pool.most, Instance::idle_since);
        let evicted = evicted.ok_or(Unavailable::TooMany)?;
        let instance = Instance::new(key.clone(), session.clone(), (now, Arc::clone(self), place));
        slots.forget_failures(now);
        let slot = Slot { instance: Arc::clone(&instance), grants: grants.into_iter().collect() };
        slots.running.insert(key, slot);
        drop(slots);
        if is_restart {
            self.failures.lock().restarted(1);
        }
        evicted.into_iter().for_each(|evicted| evicted.end());
        if let Some(session) = session {
            let instance = Arc::downgrade(&instance);
            session.ended.on_trip(move || instance.upgrade().iter().for_each(|instance| instance.end()));
        }
        self.launch(&instance, person);
        Ok(instance)
    }

    fn launch(&self, instance: &Arc<Instance>, person: &Principal) {
        let _ = instance.token.set(self.launcher.token_digest(person)); // launched once
        match self.launcher.launch(person, Arc::clone(instance) as Arc<dyn Receiver>) {
            Ok(transport) => {
                instance.peer.connect(transport);
                let starting = Arc::clone(instance);
                let done = Arc::new(move |greeting| starting.greeted(greeting));
                let first = self.only_era.lock().unwrap_or(instance.key.era);
                handshake::start(&instance.peer, self.settings.client_info, (first, done));
            }
            Err(error) => instance.fail(&Unavailable::NotStarted(error.to_string())),
        }
    }

    /// Ends the instance of this person if it is idle and holds a GitHub token that has been replaced since.
    fn end_outdated(&self, person: &Principal) {
        let running = self.running_for(person);
        if let Some(instance) = running.filter(|instance| instance.idle_since().is_some())
            && let Some(digest) = self.launcher.token_digest(person)
            && instance.token.get() != Some(&Some(digest))
        {
            instance.end();
        }
    }

    /// Records the description of an instance. Returns whether it has a predecessor. An instance that was removed during its start is
    /// ignored, because the server's configuration may have changed.
    fn described(&self, instance: &Instance, greeting: &Greeting) -> bool {
        let is_successor = {
            let mut slots = self.settings.pool.slots.lock();
            if !slots.holds(&instance.key, instance) {
                return false;
            }
            slots.history_mut(&instance.key).described(Arc::clone(&greeting.description))
        };
        self.failures.lock().is_failing = false;
        let mut only_era = self.only_era.lock();
        *only_era = (greeting.is_only_era || *only_era == Some(greeting.era)).then_some(greeting.era);
        is_successor && self.settings.isolation != Isolation::Session // with this isolation the predecessor may belong to another session
    }

    /// Records the failure of an instance, once, and removes it. The end of an instance that was removed before was intended.
    fn failed(&self, instance: &Instance, why: String) {
        let now = clock::instant();
        let was_steady = now.saturating_duration_since(instance.started) >= limits::bridge::STEADY;
        {
            let mut slots = self.settings.pool.slots.lock();
            if !slots.remove(&instance.key, instance) {
                return;
            }
            let history = slots.history_mut(&instance.key);
            history.failures = if was_steady { 0 } else { history.failures.saturating_add(1) };
            history.failed = Some(now);
        }
        self.failures.lock().failed(&why);
    }
}

impl Instance {
    fn new(
        key: InstanceKey,
        session: Option<Arc<CallerSession>>,
        (now, instances, place): (Instant, Arc<Instances>, Place),
    ) -> Arc<Instance> {
        Arc::new(Instance {
            key,
            session,
            token: OnceLock::new(),
            peer: Peer::new(),
            told: Mutex::default(),
            started: now,
            instances,
            state: Mutex::new(InstanceState { phase: InstancePhase::Starting(Vec::new()), used: now }),
            _place: place,
        })
    }

    fn when_ready(self: &Arc<Instance>, job: Job) {
        let outcome = {
            let mut state = self.state.lock();
            state.used = clock::instant();
            match &mut state.phase {
                InstancePhase::Starting(waiting) if waiting.len() < limits::bridge::REQUESTS => {
                    return waiting.push(job);
                }
                InstancePhase::Starting(_) => Err(Unavailable::TooMany),
                InstancePhase::Ready(greeting) => Ok(Arc::clone(greeting)),
                InstancePhase::Over(why) => Err(why.clone()),
            }
        };
        job(outcome.map(|greeting| (Arc::clone(self), greeting)));
    }

    /// The handshake has ended. A second outcome changes nothing: a failed instance is removed, and another is over or ready.
    fn greeted(self: &Arc<Instance>, greeting: Result<Greeting, Unavailable>) {
        let greeting = match greeting {
            Ok(greeting) => Arc::new(greeting),
            Err(error) => {
                self.fail(&error);
                return self.end();
            }
        };
        let is_restarted = self.instances.described(self, &greeting);
        let waiting = {
            let mut state = self.state.lock();
            let InstancePhase::Starting(waiting) = &mut state.phase else { return };
            let waiting = std::mem::take(waiting);
            (state.phase, state.used) = (InstancePhase::Ready(Arc::clone(&greeting)), clock::instant());
            waiting
        };
        self.restore();
        waiting.into_iter().for_each(|job| job(Ok((Arc::clone(self), Arc::clone(&greeting)))));
        if is_restarted {
            self.lists_changed();
        }
    }

    /// Sends the clients' interests to the peer, if they are not up to date.
    pub(super) fn restore(&self) {
        let greeting = match &self.state.lock().phase {
            InstancePhase::Ready(greeting) => Arc::clone(greeting),
            InstancePhase::Starting(_) | InstancePhase::Over(_) => return,
        };
        let wanted = self.interests();
        self.told.lock().update(&self.peer, &greeting, wanted);
    }

    /// Tells clients that the lists may have changed, because the peer was replaced.
    fn lists_changed(&self) {
        for list in ["tools", "prompts", "resources"] {
            self.notified(&format!("notifications/{list}/list_changed"), None);
        }
    }

    /// The publisher to the clients that it serves.
    fn publisher(&self) -> Option<Publisher> {
        self.instances.publisher.get().map(|everybody| self.key.audience(everybody))
    }

    fn interests(&self) -> Interests {
        self.publisher().map(|publisher| publisher.interests()).unwrap_or_default()
    }

    /// The start of its idle time; `None` if it is in use, or a call waits for it.
    fn idle_since(&self) -> Option<Instant> {
        let unused = self.peer.unused_since(self.started)?;
        let state = self.state.lock();
        matches!(state.phase, InstancePhase::Ready(_)).then_some(unused.max(state.used))
    }

    /// Has the program end. Running requests may be answered until it has ended.
    fn end(&self) {
        self.peer.end();
        self.over(&Unavailable::Ended);
    }

    /// Records a failed start, in the log as well, unless a line about the program's end or the upstream's failure is there.
    fn fail(&self, why: &Unavailable) {
        let text = why.to_string();
        let is_upstream = self.instances.launcher.mirrors_era();
        if !matches!((why, is_upstream), (Unavailable::Died(_), _) | (Unavailable::Refused(_), true)) {
            let fields = [log::Field::Server(self.instances.server()), log::Field::Error(&text)];
            log::error("program.not_started", &fields);
        }
        self.instances.failed(self, text);
        self.over(why);
    }

    /// Accepts no work any more; jobs that wait for the start get the reason.
    fn over(&self, why: &Unavailable) {
        self.instances.settings.pool.slots.lock().remove(&self.key, self);
        let phase = {
            let mut state = self.state.lock();
            if matches!(state.phase, InstancePhase::Over(_)) {
                return;
            }
            std::mem::replace(&mut state.phase, InstancePhase::Over(why.clone()))
        };
        if let InstancePhase::Starting(waiting) = phase {
            waiting.into_iter().for_each(|job| job(Err(why.clone())));
        }
        if let Some(session) = &self.session {
            session.ended.trip();
        }
    }
}

mod peer_events;
#[cfg(test)]
mod tests;
