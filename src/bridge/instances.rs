//! The running copies of one server, one per grant, which is a person with one client program: started at the first call that needs
//! one, once for simultaneous calls; bounded per person and in all; ended when idle, when the grant is gone, and when the server stops.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::handshake::{self, Greeting};
use super::message::ClientInfo;
use super::peer::{Observer, Peer};
use super::transport::{ProgramEnd, Receiver, Transport};
use super::unavailable::Unavailable;
use crate::base::identity::{GrantId, Principal, UserId};
use crate::base::lock::Mutex;
use crate::base::quota::{Held, Quota};
use crate::base::{clock, limits, log};
use crate::mcp::Description;

/// Starts a transport for a person. Programs are the product's; tests have their own.
pub(super) trait Launcher: Send + Sync {
    fn launch(&self, person: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>>;
}

/// What instances of a server have in common.
pub(super) struct InstanceSettings {
    /// The server's name in the log and in messages.
    pub(super) server: Arc<str>,
    /// From the start of a program to its answer to `initialize`.
    pub(super) start: Duration,
    /// How long an instance is kept that nobody uses.
    pub(super) idle: Duration,
    /// Instances of one person, and in all.
    pub(super) most: (usize, usize),
    pub(super) client_info: ClientInfo,
}

/// The instances of one server.
pub(super) struct Instances {
    this: Weak<Instances>,
    settings: InstanceSettings,
    launcher: Box<dyn Launcher>,
    /// Programs that live, those included that are being ended: twice what may be in use.
    places: Arc<Quota<UserId>>,
    /// Guards which instance serves whom, and who has to wait after failures.
    slots: Mutex<Slots>,
    changes: Changes,
}

#[derive(Default)]
struct Slots {
    by_grant: HashMap<GrantId, Slot>,
    is_closed: bool,
}

#[derive(Default)]
struct Slot {
    instance: Option<Arc<Instance>>,
    /// What the latest instance said of itself: a client that comes back is served before the program has started again.
    description: Option<Arc<Description>>,
    /// Failures in a row, and when the latest was.
    failures: u32,
    failed: Option<Instant>,
}

/// One running copy of a server.
pub(super) struct Instance {
    /// The person and the client program that it serves.
    grant: GrantId,
    user: UserId,
    pub(super) peer: Arc<Peer>,
    started: Instant,
    instances: Weak<Instances>,
    /// Guards how far it has come, and when it was used last.
    state: Mutex<InstanceState>,
    /// Given back when the program and all that it started are gone.
    _place: Held<UserId>,
}

struct InstanceState {
    phase: InstancePhase,
    used: Instant,
}

enum InstancePhase {
    /// It has not answered `initialize`; these wait for that.
    Starting(Vec<Job>),
    Ready(Arc<Greeting>),
    Over(Unavailable),
}

/// Told what a program says of its lists and resources: whose program, the notification and its params.
pub(super) type Changes = Box<dyn Fn(GrantId, &str, Option<&RawValue>) + Send + Sync>;

/// What is to be done with an instance that is ready, or once it is known that there will be none.
pub(super) type Job = Box<dyn FnOnce(Result<(&Arc<Instance>, &Arc<Greeting>), Unavailable>) + Send>;

impl Instances {
    pub(super) fn new(
        settings: InstanceSettings,
        launcher: Box<dyn Launcher>,
        changes: Changes,
    ) -> Arc<Instances> {
        let (of_user, in_all) = settings.most;
        let places = Arc::new(Quota::new((of_user.saturating_mul(2), in_all.saturating_mul(2))));
        Arc::new_cyclic(|this| Instances {
            this: Weak::clone(this),
            settings,
            launcher,
            places,
            slots: Mutex::default(),
            changes,
        })
    }

    pub(super) fn server(&self) -> &str {
        &self.settings.server
    }

    /// Does `job` with the instance that serves this person, started if need be.
    pub(super) fn with(&self, person: &Principal, job: Job) {
        match self.find(person) {
            Ok((instance, is_new)) => {
                instance.when_ready(job);
                if is_new {
                    self.launch(&instance, person);
                }
            }
            Err(why) => job(Err(why)),
        }
    }

    /// What the latest instance of this person said of itself; `None` before there was one.
    pub(super) fn description(&self, person: &Principal) -> Option<Arc<Description>> {
        self.slots.lock().by_grant.get(&person.grant)?.description.clone()
    }

    /// Ends the instance of a grant and forgets it.
    pub(super) fn end_grant(&self, grant: GrantId) {
        let slot = self.slots.lock().by_grant.remove(&grant);
        if let Some(instance) = slot.and_then(|slot| slot.instance) {
            instance.end();
        }
    }

    /// The grants that have an instance.
    pub(super) fn grants(&self) -> Vec<GrantId> {
        let slots = self.slots.lock();
        slots.by_grant.iter().filter(|(_, slot)| slot.instance.is_some()).map(|(grant, _)| *grant).collect()
    }

    /// How many there are, those left out that are being ended.
    pub(super) fn count(&self) -> usize {
        self.slots.lock().by_grant.values().filter(|slot| slot.instance.is_some()).count()
    }

    /// Starts nothing any more, and ends what nobody uses.
    pub(super) fn close(&self) {
        self.slots.lock().is_closed = true;
        self.end_where(|instance| instance.peer.running() == 0);
    }

    /// Ends everything and waits until it is gone, up to `patience`.
    pub(super) fn stop(&self, patience: Duration) {
        self.slots.lock().is_closed = true;
        self.end_where(|_| true);
        self.places.wait_below(1, patience);
    }

    /// The instance of this person, and whether it is new and has to be launched.
    fn find(&self, person: &Principal) -> Result<(Arc<Instance>, bool), Unavailable> {
        let grant = person.grant;
        let now = clock::instant();
        let mut slots = self.slots.lock();
        if let Some(instance) = slots.by_grant.get(&grant).and_then(|slot| slot.instance.as_ref()) {
            return Ok((Arc::clone(instance), false));
        }
        if slots.is_closed {
            return Err(Unavailable::Stopping);
        }
        if let Some(wait) = slots.by_grant.get(&grant).and_then(|slot| slot.pause(now)) {
            return Err(Unavailable::Failing(wait.as_secs().saturating_add(1)));
        }
        let evicted = slots.make_room(person.user, self.settings.most)?;
        let place = self.places.take(person.user).ok_or(Unavailable::TooMany)?;
        let instance = Instance::new(grant, person.user, (now, Weak::clone(&self.this), place));
        slots.forget_failures(now);
        slots.by_grant.entry(grant).or_default().instance = Some(Arc::clone(&instance));
        drop(slots);
        evicted.into_iter().for_each(|evicted| evicted.end());
        Ok((instance, true))
    }

    fn launch(&self, instance: &Arc<Instance>, person: &Principal) {
        match self.launcher.launch(person, Arc::clone(instance) as Arc<dyn Receiver>) {
            Ok(transport) => {
                instance.peer.connect(transport);
                let starting = Arc::clone(instance);
                let done = Box::new(move |greeting| starting.greeted(greeting));
                handshake::start(&instance.peer, self.settings.client_info, done);
            }
            Err(error) => {
                let why = error.to_string();
                let fields = [log::Field::Server(&self.settings.server), log::Field::Error(&why)];
                log::error("program.not_started", &fields);
                instance.fail(&Unavailable::NotStarted(why));
            }
        }
    }

    fn end_where(&self, unwanted: impl Fn(&Instance) -> bool) {
        let all: Vec<_> =
            self.slots.lock().by_grant.values().filter_map(|slot| slot.instance.clone()).collect();
        all.iter().filter(|instance| unwanted(instance)).for_each(|instance| instance.end());
    }

    /// Takes an instance out of its slot.
    fn remove(&self, instance: &Instance) {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.by_grant.get_mut(&instance.grant)
            && slot.instance.as_deref().is_some_and(|other| std::ptr::eq(other, instance))
        {
            slot.instance = None;
        }
    }

    /// Notes what an instance says of itself.
    fn described(&self, instance: &Instance, greeting: &Greeting) {
        if let Some(slot) = self.slots.lock().by_grant.get_mut(&instance.grant) {
            slot.description = Some(Arc::clone(&greeting.description));
        }
    }

    /// Notes that an instance has failed.
    fn failed(&self, instance: &Instance) {
        let now = clock::instant();
        let was_steady = now.saturating_duration_since(instance.started) >= limits::bridge::STEADY;
        let mut slots = self.slots.lock();
        let slot = slots.by_grant.entry(instance.grant).or_default();
        slot.failures = if was_steady { 0 } else { slot.failures.saturating_add(1) };
        slot.failed = Some(now);
    }
}

impl Slot {
    /// How long the next start has to wait. The first failure costs nothing: it may stay the only one.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let doublings = self.failures.checked_sub(2)?.min(16);
        let pause = limits::bridge::PAUSE.saturating_mul(1 << doublings).min(limits::bridge::PAUSE_MAX);
        let left = (self.failed? + pause).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

impl Slots {
    /// Takes out what has to go so that `user` can have one more: the instance that nobody has used for the longest time.
    fn make_room(
        &mut self,
        user: UserId,
        (of_user, in_all): (usize, usize),
    ) -> Result<Option<Arc<Instance>>, Unavailable> {
        let all = || self.by_grant.values().filter_map(|slot| slot.instance.as_ref());
        let is_theirs = |instance: &&Arc<Instance>| instance.user == user;
        let candidates: Vec<&Arc<Instance>> = if all().filter(is_theirs).count() >= of_user {
            all().filter(is_theirs).collect()
        } else if all().count() >= in_all {
            all().collect()
        } else {
            return Ok(None);
        };
        let idle = candidates.into_iter().filter_map(|instance| Some((instance.idle_since()?, instance)));
        let (_, longest) = idle.min_by_key(|(since, _)| *since).ok_or(Unavailable::TooMany)?;
        let longest = Arc::clone(longest);
        if let Some(slot) = self.by_grant.get_mut(&longest.grant) {
            slot.instance = None;
        }
        Ok(Some(longest))
    }

    /// Forgets failures of long ago; if there are too many slots, all that have no instance.
    fn forget_failures(&mut self, now: Instant) {
        let is_fresh = |failed: Instant| now < failed + limits::bridge::PAUSE_MAX + limits::bridge::STEADY;
        let is_known = |slot: &Slot| slot.description.is_some() || slot.failed.is_some_and(is_fresh);
        self.by_grant.retain(|_, slot| slot.instance.is_some() || is_known(slot));
        if self.by_grant.len() >= limits::bridge::SLOTS {
            self.by_grant.retain(|_, slot| slot.instance.is_some());
        }
    }
}

impl Instance {
    fn new(
        grant: GrantId,
        user: UserId,
        (now, instances, place): (Instant, Weak<Instances>, Held<UserId>),
    ) -> Arc<Instance> {
        Arc::new_cyclic(|this: &Weak<Instance>| Instance {
            grant,
            user,
            peer: Peer::new(Weak::clone(this) as Weak<dyn Observer>),
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
        match outcome {
            Ok(greeting) => job(Ok((self, &greeting))),
            Err(why) => job(Err(why)),
        }
    }

    /// The handshake is over.
    fn greeted(self: &Arc<Instance>, greeting: Result<Greeting, Unavailable>) {
        let greeting = match greeting {
            Ok(greeting) => Arc::new(greeting),
            Err(error) => {
                self.fail(&error);
                return self.end();
            }
        };
        if let Some(instances) = self.instances.upgrade() {
            instances.described(self, &greeting);
        }
        let waiting = {
            let mut state = self.state.lock();
            let InstancePhase::Starting(waiting) = &mut state.phase else { return };
            let waiting = std::mem::take(waiting);
            (state.phase, state.used) = (InstancePhase::Ready(Arc::clone(&greeting)), clock::instant());
            waiting
        };
        waiting.into_iter().for_each(|job| job(Ok((self, &greeting))));
    }

    /// Since when nobody uses it; `None` if somebody does, or waits for it.
    fn idle_since(&self) -> Option<Instant> {
        if self.peer.running() > 0 {
            return None;
        }
        let state = self.state.lock();
        matches!(state.phase, InstancePhase::Ready(_)).then_some(state.used)
    }

    /// Has the program end. Requests that run have until its end.
    fn end(&self) {
        self.peer.end();
        self.over(&Unavailable::Ended);
    }

    fn fail(&self, why: &Unavailable) {
        if let Some(instances) = self.instances.upgrade() {
            instances.failed(self);
        }
        self.over(why);
    }

    /// Nothing begins here any more; what waits for the start is told why.
    fn over(&self, why: &Unavailable) {
        if let Some(instances) = self.instances.upgrade() {
            instances.remove(self);
        }
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
    }

    fn settings(&self) -> Option<(Duration, Duration)> {
        self.instances.upgrade().map(|instances| (instances.settings.start, instances.settings.idle))
    }
}

impl Receiver for Instance {
    fn receive(&self, text: &str) -> bool {
        self.peer.receive(text)
    }

    fn patience(&self) -> Duration {
        let Some((start, idle)) = self.settings() else { return Duration::ZERO };
        let is_busy = self.peer.running() > 0;
        let (since, limit) = {
            let state = self.state.lock();
            match state.phase {
                InstancePhase::Starting(_) => (self.started, start),
                // Looked at again after that time: a request that was cancelled ends without a word of the program.
                InstancePhase::Ready(_) if is_busy => return idle,
                InstancePhase::Ready(_) => (state.used, idle),
                InstancePhase::Over(_) => return Duration::ZERO,
            }
        };
        limit.saturating_sub(since.elapsed())
    }

    fn ending(&self) {
        let is_starting = matches!(self.state.lock().phase, InstancePhase::Starting(_));
        match self.settings() {
            Some((start, _)) if is_starting => self.fail(&Unavailable::Slow(start.as_secs())),
            Some(_) | None => self.over(&Unavailable::Ended),
        }
    }

    fn ended(&self, end: &ProgramEnd) {
        let was_ready = matches!(self.state.lock().phase, InstancePhase::Ready(_));
        if was_ready {
            // Before the calls that ran are told, so that a client that calls again at once meets a new instance.
            self.fail(&Unavailable::Ended);
        }
        self.peer.ended(end); // a running handshake fails by this
    }
}

impl Observer for Instance {
    fn notified(&self, method: &str, params: Option<&RawValue>) {
        if let Some(instances) = self.instances.upgrade() {
            (instances.changes)(self.grant, method, params);
        }
    }
}

#[cfg(test)]
mod tests;
