//! An instance's reactions to messages, idleness and the end of its peer.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{Instance, InstancePhase, InstanceSettings};
use crate::bridge::interests::ToldInterests;
use crate::bridge::message;
use crate::bridge::transport::Receiver;
use crate::bridge::unavailable::Unavailable;

impl Receiver for Instance {
    fn receive(&self, text: &str) -> bool {
        self.peer.receive(text, self)
    }

    fn patience(&self) -> Duration {
        let InstanceSettings { start, idle, .. } = self.instances.settings;
        match self.state.lock().phase {
            InstancePhase::Starting(_) => return start.saturating_sub(self.started.elapsed()),
            InstancePhase::Over(_) => return Duration::ZERO,
            InstancePhase::Ready(_) => {}
        }
        // Checked again after that time if it is in use: a cancelled request ends without a message of the program.
        let left = self.idle_since().map_or(idle, |since| idle.saturating_sub(since.elapsed()));
        if left.is_zero() && !self.interests().resources.is_empty() { idle } else { left }
    }

    fn renewed(&self) {
        *self.told.lock() = ToldInterests::default();
        self.restore();
        self.lists_changed();
    }

    fn failed(&self, why: &str) {
        self.instances.failures.lock().failed(why);
    }

    fn reached(&self) {
        self.instances.failures.lock().is_failing = false;
    }

    fn ending(&self) {
        let is_starting = matches!(self.state.lock().phase, InstancePhase::Starting(_));
        match is_starting {
            true => self.fail(&Unavailable::Slow(self.instances.settings.start.as_secs())),
            false => self.over(&Unavailable::Ended),
        }
    }

    fn ended(&self, how: &str) {
        let was_ready = matches!(self.state.lock().phase, InstancePhase::Ready(_));
        if was_ready {
            // Before the running calls are answered, so that a client that retries at once gets a new instance.
            self.instances.failed(self, how.to_owned());
            self.over(&Unavailable::Ended);
        }
        self.peer.ended(how, self); // also fails a running handshake
    }

    fn notified(&self, method: &str, params: Option<&RawValue>) {
        let Some(publisher) = self.publisher() else { return };
        match (method, params) {
            ("notifications/tools/list_changed", _) => {
                self.instances.listed.tools_changed(self.key.subject, self.key.grant);
                publisher.tools_changed();
            }
            ("notifications/prompts/list_changed", _) => publisher.prompts_changed(),
            ("notifications/resources/list_changed", _) => publisher.resources_changed(),
            ("notifications/resources/updated", Some(params)) => {
                if let Some(uri) = message::member::<String>(params, "uri") {
                    publisher.resource_updated(&uri);
                }
            }
            // With several clients, the addressee of a log message is unknown.
            ("notifications/message", Some(params)) if self.key.grant.is_some() => {
                if let Some(level) = message::member(params, "level") {
                    publisher.forward_log(level, params);
                }
            }
            _ => {}
        }
    }
}
