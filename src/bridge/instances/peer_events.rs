//! What an instance does when its peer says something, falls silent or ends.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{Instance, InstancePhase};
use crate::bridge::peer::Observer;
use crate::bridge::transport::{ProgramEnd, Receiver};
use crate::bridge::unavailable::Unavailable;

impl Receiver for Instance {
    fn receive(&self, text: &str) -> bool {
        self.peer.receive(text)
    }

    fn patience(&self) -> Duration {
        let Some((start, idle)) = self.settings() else { return Duration::ZERO };
        let is_busy = self.peer.running() > 0;
        let used = {
            let state = self.state.lock();
            match state.phase {
                InstancePhase::Starting(_) => return start.saturating_sub(self.started.elapsed()),
                // Looked at again after that time: a request that was cancelled ends without a word of the program.
                InstancePhase::Ready(_) if is_busy => return idle,
                InstancePhase::Ready(_) => state.used,
                InstancePhase::Over(_) => return Duration::ZERO,
            }
        };
        let left = idle.saturating_sub(used.elapsed());
        if left.is_zero() && !self.interests().resources.is_empty() { idle } else { left }
    }

    fn renewed(&self) {
        self.told.forget();
        self.restore();
        self.lists_changed();
    }

    fn failed(&self, why: &str) {
        if let Some(instances) = self.instances.upgrade() {
            instances.failures.failed(why.to_owned());
        }
    }

    fn reached(&self) {
        if let Some(instances) = self.instances.upgrade() {
            instances.failures.clear();
        }
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
            self.note_failure(end.to_string());
            self.over(&Unavailable::Ended);
        }
        self.peer.ended(end); // a running handshake fails by this
    }
}

impl Observer for Instance {
    fn notified(&self, method: &str, params: Option<&RawValue>) {
        if let Some(instances) = self.instances.upgrade() {
            instances.audience.tell(&self.key, method, params);
        }
    }

    fn stopped_listening(&self) {
        self.restore();
        self.lists_changed(); // what happened meanwhile is not known
    }
}
