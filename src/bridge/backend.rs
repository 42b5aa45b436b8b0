//! The backend for one server: who is offered what, and what ends when.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::bounded;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::Isolation;
use super::instance_key::InstanceKey;
use super::instance_pool::InstancePool;
use super::instances::{Instance, InstanceSettings, Instances, Job};
use super::launcher::{Audience, Launcher};
use super::passed_call::PassedCalls;
use super::unavailable::Unavailable;
use crate::base::identity::{GrantId, Principal, Subject};
use crate::base::limits;
use crate::base::quota::Quota;
use crate::mcp::{
    Backend, Consent, Context, Description, Error, Interests, Level, Operation, Publisher, ToolRules,
};

/// What all bridges of a process share, so that its limits hold for all servers together.
pub(super) struct BridgeLimits {
    /// Requests that wait for the first description of their instance: each holds a worker.
    waiting: Arc<Quota<Subject>>,
    /// Questions that wait for a person: each holds a thread.
    questions: Arc<Quota<Subject>>,
    /// Calls and lists that run: each holds a thread where its peer is an upstream.
    passed: Arc<Quota<Subject>>,
    pub(super) pool: Arc<InstancePool<Instance>>,
}

impl BridgeLimits {
    /// At most so many instances of one person, and in all.
    pub(super) fn new(most: (usize, usize)) -> BridgeLimits {
        BridgeLimits {
            pool: InstancePool::new(most),
            waiting: Arc::new(Quota::new(limits::bridge::FIRST_CALLERS)),
            questions: Arc::new(Quota::new(limits::bridge::QUESTIONS_WAITING)),
            passed: Arc::new(Quota::new(limits::bridge::PASSED)),
        }
    }
}

/// One server behind the login.
pub(crate) struct Bridge {
    consent: Consent,
    instances: Arc<Instances>,
    /// Tells clients of changes; there before the first call.
    publisher: Arc<OnceLock<Publisher>>,
    calls: Arc<PassedCalls>,
    waiting: Arc<Quota<Subject>>,
    start: Duration,
}

impl Bridge {
    pub(super) fn new(
        consent: Consent,
        settings: InstanceSettings,
        launcher: Box<dyn Launcher>,
        limits: &BridgeLimits,
    ) -> Bridge {
        let publisher: Arc<OnceLock<Publisher>> = Arc::default();
        let start = settings.start;
        let instances = Instances::new(settings, launcher, Box::new(Arc::clone(&publisher)));
        Bridge {
            consent,
            calls: PassedCalls::new(
                Arc::clone(&instances),
                Arc::clone(&limits.passed),
                Arc::clone(&limits.questions),
            ),
            instances,
            publisher,
            waiting: Arc::clone(&limits.waiting),
            start,
        }
    }

    /// The server's name in paths, directories, the log and messages.
    pub(crate) fn name(&self) -> &str {
        self.instances.server()
    }

    /// The instances, for the operator.
    pub(super) fn instances(&self) -> &Arc<Instances> {
        &self.instances
    }
}

impl Audience for Arc<OnceLock<Publisher>> {
    fn tell(&self, key: &InstanceKey, method: &str, params: Option<&RawValue>) {
        #[derive(Deserialize)]
        struct Updated {
            uri: String,
        }
        #[derive(Deserialize)]
        struct Logged {
            level: Level,
        }
        let Some(publisher) = self.get().map(|publisher| key.audience(publisher)) else { return };
        match (method, params) {
            ("notifications/tools/list_changed", _) => publisher.tools_changed(),
            ("notifications/prompts/list_changed", _) => publisher.prompts_changed(),
            ("notifications/resources/list_changed", _) => publisher.resources_changed(),
            ("notifications/resources/updated", Some(params)) => {
                if let Ok(Updated { uri }) = serde_json::from_str(params.get()) {
                    publisher.resource_updated(&uri);
                }
            }
            // Of several clients it is not clear whose it is.
            ("notifications/message", Some(params)) if key.grant.is_some() => {
                if let Ok(Logged { level }) = serde_json::from_str(params.get()) {
                    publisher.forward_log(level, params);
                }
            }
            _ => {}
        }
    }

    fn interests(&self, key: &InstanceKey) -> Interests {
        self.get().map(|publisher| key.audience(publisher).interests()).unwrap_or_default()
    }
}

impl Backend for Bridge {
    fn consent(&self) -> &Consent {
        &self.consent
    }

    fn description(&self, caller: &Principal) -> Result<Arc<Description>, Error> {
        if let Some(description) = self.instances.description(caller) {
            return Ok(description);
        }
        let server = self.instances.server();
        let busy = || Error::new(Error::BUSY, format!("Too many requests wait for {server:?} to start"));
        let _place = self.waiting.take(caller.subject).ok_or_else(busy)?;
        let (sender, receiver) = bounded(1);
        let job: Job = Box::new(move |found| {
            let _ = sender.send(found.map(|(_, greeting)| Arc::clone(&greeting.description))); // read once, or given up
        });
        self.instances.with(caller, job);
        // The instance's own deadline comes first.
        let found = receiver.recv_timeout(self.start.saturating_add(limits::bridge::CLOSE));
        found.unwrap_or(Err(Unavailable::Ended)).map_err(|why| why.as_error(server))
    }

    fn call(&self, context: Context) {
        self.calls.pass(context);
    }

    /// What GitHub's token is needed for may ask GitHub.
    fn is_quick(&self, caller: &Principal, _: Option<Operation>, _: &str) -> bool {
        !self.consent.keeps_github_tokens && self.instances.is_ready(caller)
    }

    fn connect(&self, publisher: Publisher) {
        let _ = self.publisher.set(publisher); // once
    }

    fn interests_changed(&self, caller: &Principal) {
        let job: Job = Box::new(|found| {
            if let Ok((instance, _)) = found {
                instance.restore();
            }
        });
        self.instances.with(caller, job);
    }

    fn tool_rules(&self, caller: &Principal, tool: &str) -> Option<Arc<ToolRules>> {
        self.calls.listed.rules(caller.grant, tool)
    }

    fn known(&self, caller: &Principal, operation: Operation, name: &str) -> Option<Cow<'_, str>> {
        self.calls.listed.has(caller.grant, operation, name).then(|| Cow::Owned(name.to_owned()))
    }

    fn grants(&self) -> Vec<GrantId> {
        self.instances.grants()
    }

    fn keeps_sessions(&self) -> bool {
        self.instances.settings.isolation == Isolation::Session
    }

    fn end_grant(&self, grant: GrantId) {
        self.instances.end_grant(grant);
        self.calls.end_grant(grant);
    }

    fn close(&self) {
        self.calls.close();
        self.instances.close();
    }

    fn stop(&self, patience: Duration) {
        self.calls.close();
        self.instances.stop(patience);
    }
}

#[cfg(test)]
mod tests;
