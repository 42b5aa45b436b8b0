//! The backend: a client's call becomes a request of the instance that serves this client, and the answer comes back as it is.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::handshake::Greeting;
use super::instances::{Instance, InstanceSettings, Instances, Job, Launcher};
use super::peer::{PeerQuestion, Requester, Settled};
use super::transport::Undelivered;
use super::unavailable::Unavailable;
use crate::base::identity::{GrantId, Principal, UserId};
use crate::base::limits;
use crate::base::quota::Quota;
use crate::mcp::{
    Backend, CallError, Capability, Consent, Context, Description, Error, InputRequest, Level, Members,
    Publisher, Reply, ToolRules,
};

/// One server behind the login.
pub(crate) struct Bridge {
    consent: Consent,
    instances: Arc<Instances>,
    /// Tells clients of changes; known from the first call on.
    publisher: Arc<OnceLock<Publisher>>,
    /// Threads that wait for the answer to a question.
    questions: Arc<Quota<UserId>>,
    /// Requests that wait for the first description of their instance: each holds a worker.
    waiting: Arc<Quota<UserId>>,
    start: Duration,
}

impl Bridge {
    pub(super) fn new(consent: Consent, settings: InstanceSettings, launcher: Box<dyn Launcher>) -> Bridge {
        let publisher: Arc<OnceLock<Publisher>> = Arc::default();
        let (start, tells) = (settings.start, Arc::clone(&publisher));
        let changes = move |grant: GrantId, method: &str, params: Option<&RawValue>| {
            if let Some(publisher) = tells.get() {
                publish(&publisher.for_grant(grant), method, params);
            }
        };
        Bridge {
            consent,
            instances: Instances::new(settings, launcher, Box::new(changes)),
            publisher,
            questions: Arc::new(Quota::new(limits::bridge::QUESTIONS_WAITING)),
            waiting: Arc::new(Quota::new(limits::bridge::FIRST_CALLERS)),
            start,
        }
    }
}

/// Tells clients what has changed at their peer.
fn publish(publisher: &Publisher, method: &str, params: Option<&RawValue>) {
    #[derive(Deserialize)]
    struct Updated {
        uri: String,
    }
    match method {
        "notifications/tools/list_changed" => publisher.tools_changed(),
        "notifications/prompts/list_changed" => publisher.prompts_changed(),
        "notifications/resources/list_changed" => publisher.resources_changed(),
        "notifications/resources/updated" => {
            let updated = params.and_then(|params| serde_json::from_str(params.get()).ok());
            if let Some(Updated { uri }) = updated {
                publisher.resource_updated(&uri);
            }
        }
        _ => {}
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
        let _place = self.waiting.take(caller.user).ok_or_else(busy)?;
        let (sender, receiver) = bounded(1);
        let job: Job = Box::new(move |found| {
            let _ = sender.send(found.map(|(_, greeting)| Arc::clone(&greeting.description))); // read once, or given up
        });
        self.instances.with(caller, job);
        // The instance's own deadline comes first.
        let found = receiver.recv_timeout(self.start.saturating_add(limits::bridge::CLOSE));
        found.unwrap_or(Err(Unavailable::Ended)).map_err(|why| unavailable(server, &why))
    }

    fn call(&self, context: Context) {
        self.publisher.get_or_init(|| context.publisher().clone());
        let call = PassedCall {
            context,
            instances: Arc::clone(&self.instances),
            questions: Arc::clone(&self.questions),
            is_modern_peer: OnceLock::new(),
        };
        Arc::new(call).run(Attempt::First);
    }

    fn tool_rules(&self, _: &Principal, _: &str) -> Option<Arc<ToolRules>> {
        None
    }

    fn grants(&self) -> Vec<GrantId> {
        self.instances.grants()
    }

    fn end_grant(&self, grant: GrantId) {
        self.instances.end_grant(grant);
    }

    fn close(&self) {
        self.instances.close();
    }

    fn stop(&self, patience: Duration) {
        self.instances.stop(patience);
    }
}

fn unavailable(server: &str, why: &Unavailable) -> Error {
    let code = match why {
        Unavailable::TooMany => Error::BUSY,
        Unavailable::NotStarted(_)
        | Unavailable::Slow(_)
        | Unavailable::Handshake(_)
        | Unavailable::Failing(_)
        | Unavailable::Ended
        | Unavailable::Stopping => Error::INTERNAL,
    };
    Error::new(code, format!("The server {server:?} is not available: {why}"))
}

/// Whether a call may be tried once more: its instance may have ended between being found and being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

/// A client's call that is passed on.
struct PassedCall {
    context: Context,
    instances: Arc<Instances>,
    questions: Arc<Quota<UserId>>,
    /// Whether the peer writes results of 2026-07-28.
    is_modern_peer: OnceLock<bool>,
}

impl PassedCall {
    fn run(self: Arc<PassedCall>, attempt: Attempt) {
        let call = Arc::clone(&self);
        let job: Job = Box::new(move |found| match found {
            Ok((instance, greeting)) => call.send(instance, greeting, attempt),
            Err(Unavailable::Ended) if attempt == Attempt::First => call.run(Attempt::Second),
            Err(why) => call.fail(unavailable(call.instances.server(), &why)),
        });
        self.instances.with(self.context.principal(), job);
    }

    fn send(self: Arc<PassedCall>, instance: &Arc<Instance>, greeting: &Greeting, attempt: Attempt) {
        if self.context.cancel().is_tripped() {
            return self.fail(Error::internal());
        }
        let _ = self.is_modern_peer.set(greeting.is_modern); // the second attempt's instance is of the same program
        let call = self.context.call();
        let sent = instance.peer.request(
            call.operation.method(),
            &call.params,
            Arc::clone(&self) as Arc<dyn Requester>,
        );
        match sent {
            Ok(id) => {
                let peer = Arc::downgrade(&instance.peer);
                self.context.on_cancel(move || {
                    if let Some(peer) = peer.upgrade() {
                        peer.cancel(id, "The client does not wait for the result any more");
                    }
                });
            }
            Err(Undelivered::Ended) if attempt == Attempt::First => self.run(Attempt::Second),
            Err(Undelivered::Ended) => self.fail(unavailable(self.instances.server(), &Unavailable::Ended)),
            Err(Undelivered::Full) => {
                let server = self.instances.server();
                self.fail(Error::new(
                    Error::BUSY,
                    format!("The server {server:?} is too busy: try again in a moment"),
                ));
            }
        }
    }

    fn fail(&self, error: Error) {
        self.context.complete(Err(error.into()));
    }

    /// The result as a reply of ours: the front adds what its era adds.
    fn reply(&self, result: &RawValue) -> Result<Reply, CallError> {
        let unusable = || {
            Error::new(
                Error::INTERNAL,
                format!("The server {:?} answered with no result", self.instances.server()),
            )
        };
        let reply: Members = serde_json::from_str(result.get()).map_err(|_| unusable())?;
        if !self.is_modern_peer.get().copied().unwrap_or_default() {
            return Ok(reply);
        }
        match reply.read::<String>("resultType")?.as_deref() {
            None | Some("complete") => Ok(reply.without("resultType").without("ttlMs").without("cacheScope")),
            Some(_) => Err(unusable().into()),
        }
    }
}

impl Requester for PassedCall {
    fn answer(&self, answer: Settled<'_>) {
        let result = match answer {
            Settled::Answered(Ok(result)) => self.reply(result),
            Settled::Answered(Err(error)) => Err(as_error(error).into()),
            Settled::Ended(end) => {
                let text = format!(
                    "The server {:?} did not answer: {end}. The next call starts it again",
                    self.instances.server()
                );
                Err(Error::new(Error::INTERNAL, text).into())
            }
        };
        self.context.complete(result);
    }

    fn owner(&self) -> Option<GrantId> {
        Some(self.context.principal().grant)
    }

    fn progress(&self, params: &RawValue) {
        self.context.forward("notifications/progress", params);
    }

    fn log(&self, params: &RawValue) {
        #[derive(Deserialize)]
        struct Leveled {
            level: Level,
        }
        let level = serde_json::from_str::<Leveled>(params.get()).ok();
        if level.is_some_and(|Leveled { level }| self.context.wants_log(level)) {
            self.context.forward("notifications/message", params);
        }
    }

    fn ask(self: Arc<Self>, question: PeerQuestion) {
        let capability = match question.method.as_str() {
            "sampling/createMessage" => Capability::Sampling,
            "elicitation/create" if !asks_for_url(&question.params) => Capability::Elicitation,
            _ => return question.refuse(&Error::method_not_found()),
        };
        if !self.context.client().supports(capability) {
            let text = format!("The client does not support {}", capability.name());
            return question.refuse(&Error::new(Error::INVALID_REQUEST, text));
        }
        let Some(place) = self.questions.take(self.context.principal().user) else {
            return question.refuse(&Error::new(Error::BUSY, "Too many questions at once"));
        };
        let work = move || {
            let _place = place;
            self.ask_and_wait(capability, question);
        };
        // Ends when the client has answered, or after `ASK`. Where there is no thread, the question is dropped, and so refused.
        let _ = thread::Builder::new()
            .name("bridge-question".to_owned())
            .stack_size(limits::bridge::STACK_BYTES)
            .spawn(work);
    }
}

impl PassedCall {
    fn ask_and_wait(&self, capability: Capability, question: PeerQuestion) {
        let params = question.params.clone();
        let request = InputRequest { key: "question".to_owned(), capability, params };
        match self.context.ask_all(vec![request]) {
            Ok(answers) => match answers.first() {
                Some(answer) => question.answer(answer),
                None => question.refuse(&Error::internal()),
            },
            Err(CallError::Tool(text)) => question.refuse(&Error::new(Error::INTERNAL, text)),
            Err(CallError::Protocol(error)) => question.refuse(&error),
            Err(
                CallError::InputRequired(_)
                | CallError::MissingCapability(_)
                | CallError::TaskRequired
                | CallError::Cancelled,
            ) => question.refuse(&Error::new(Error::INTERNAL, "The client cannot be asked during this call")),
        }
    }
}

/// Whether an elicitation wants a URL to be opened, which is another capability.
fn asks_for_url(params: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Elicitation {
        mode: Option<String>,
    }
    serde_json::from_str(params.get()).is_ok_and(|Elicitation { mode }| mode.as_deref() == Some("url"))
}

/// A peer's error as one of ours; one that cannot be read is internal.
fn as_error(error: &RawValue) -> Error {
    serde_json::from_str(error.get()).unwrap_or_else(|_| Error::internal())
}

#[cfg(test)]
mod tests;
