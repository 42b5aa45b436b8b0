//! What serves the calls: tools in this process, a child process, another server. And what it is told of a call.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::call::{Call, CallError, Capability, ClientCapabilities, InputRequest, Level, Operation, Reply};
use super::calls::Permit;
use super::exchange::Exchange;
use super::intake::without_absent;
use super::jsonrpc::{self, Error, RequestId};
use super::subscribers::Publisher;
use crate::base::cancel::CancelToken;
use crate::base::identity::{Principal, Scopes};
use crate::base::json;
#[cfg(doc)]
use crate::base::limits;

/// Serves calls. [`ToolServer`](super::ToolServer) is the one for tools in this process.
pub trait Backend: Send + Sync {
    /// What this server is and offers. Asked for each discovery, so it must be cheap.
    fn description(&self) -> &Description;

    /// Serves one call: ends it with [`Context::complete`], now or later, from any thread. Lists are not counted as calls
    /// that run, so they must be cheap.
    fn call(&self, call: Call, context: Context);

    /// The arguments of a tool that a 2026-07-28 client repeats in headers (`x-mcp-header`).
    fn mirrored(&self, tool: &str) -> Option<Arc<[Mirrored]>>;

    /// How this backend spells what a call is for, for the log: a tool or a prompt by its name, a resource by its URI or the template
    /// that it matches. `None` if it does not know it.
    fn known(&self, _operation: Operation, _name: &str) -> Option<&str> {
        None
    }

    /// The scopes that a tool needs beyond the one that every caller has; `None` if it needs none.
    fn scopes(&self, tool: &str) -> Option<Arc<Scopes>>;
}

/// An argument that is repeated in a header `Mcp-Param-…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The header's name in lower case.
    pub header: String,
    /// The names from the arguments' object down to the value.
    pub path: Vec<String>,
}

/// What a server is and offers.
#[derive(Clone, Debug)]
pub struct Description {
    /// Name and version.
    pub info: Implementation,
    /// What a model should know about the server as a whole.
    pub instructions: Option<String>,
    /// What can be asked; everything else is "method not found".
    pub operations: Vec<Operation>,
    /// Whether the lists may change while the server runs: clients are promised to be told (`listChanged`).
    pub lists_change: bool,
    /// The scopes that any of the tools needs beyond the one that every caller has.
    pub scopes: Scopes,
    /// What scopes allow, in words for the consent page; one without words is shown as it is.
    pub scope_words: Vec<(String, String)>,
    /// Whether calls may become tasks ([`Context::become_task`]).
    pub has_tasks: bool,
    /// Whether tools use the caller's own token at GitHub (`Principal::upstream`). If not, it is not kept.
    pub keeps_github_tokens: bool,
}

impl Description {
    /// Whether `operation` is offered.
    pub fn offers(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    /// The same as the `capabilities` of `initialize` and `server/discover`.
    pub(super) fn capabilities(&self) -> ServerCapabilities {
        let list_changed = self.lists_change;
        let list = |operation| self.offers(operation).then_some(ListCapability { list_changed });
        ServerCapabilities {
            tools: list(Operation::ListTools),
            prompts: list(Operation::ListPrompts),
            resources: self
                .offers(Operation::ListResources)
                .then_some(ResourceCapability { subscribe: true, list_changed }),
            logging: Empty {},
            completions: self.offers(Operation::Complete).then_some(Empty {}),
            extensions: None,
        }
    }

    /// The same with the extensions of 2026-07-28.
    pub(super) fn modern_capabilities(&self) -> ServerCapabilities {
        let extensions = self.has_tasks.then_some(Extensions { tasks: Empty {} });
        ServerCapabilities { extensions, ..self.capabilities() }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ServerCapabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<ListCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompts: Option<ListCapability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<ResourceCapability>,
    logging: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    completions: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions>,
}

#[derive(Debug, Serialize)]
struct Extensions {
    #[serde(rename = "io.modelcontextprotocol/tasks")]
    tasks: Empty,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListCapability {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    list_changed: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceCapability {
    subscribe: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    list_changed: bool,
}

#[derive(Debug, Serialize)]
struct Empty {}

/// A program's name and version, and what else clients may show of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Implementation {
    /// The name, for programs.
    pub name: String,
    /// The version.
    pub version: String,
    /// `title` (the name for people), `icons`, `websiteUrl`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Implementation {
    /// The name for people: the title, if there is one.
    pub fn title(&self) -> &str {
        self.more.get("title").and_then(Value::as_str).unwrap_or(&self.name)
    }
}

/// How far a call has come.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Progress {
    /// Grows with every report.
    pub progress: f64,
    /// What it grows to, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// What is happening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a backend is told of a call, and its way to say something. Dropped without an outcome, the call fails with an
/// internal error.
pub struct Context {
    pub(super) principal: Principal,
    pub(super) client: ClientCapabilities,
    pub(super) progress_token: Option<RequestId>,
    pub(super) publisher: Publisher,
    /// What is asked, for backends that run handlers.
    pub(super) call: Option<Call>,
    pub(super) exchange: Arc<Exchange>,
    /// Gives the call's place back when it is over; lists need none.
    pub(super) permit: Option<Permit>,
}

impl Context {
    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What the client can do.
    pub fn client(&self) -> &ClientCapabilities {
        &self.client
    }

    /// What the client put under a key of the request's `_meta`, if it is a `T`: a key of your own, or `traceparent`,
    /// `tracestate` and `baggage`, by which your calls to other services join the client's trace (W3C Trace Context).
    pub fn meta<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, rename = "_meta")]
            meta: BTreeMap<String, &'a RawValue>,
        }
        let Params { meta } = self.call.as_ref()?.params().ok()?;
        json::read(meta.get(key)?.get()).ok()
    }

    /// Tripped when nobody wants the result any more, or the call has run for `CALL` (a task:
    /// `TASK_LIFETIME`). Wait on it instead of sleeping.
    pub fn cancel(&self) -> &CancelToken {
        self.exchange.cancelled()
    }

    /// Makes the call a task, if its client takes tasks and there is room for one more (`TASKS_RUNNING`); says whether it is one now. The
    /// client gets the handle, and will ask for the result when there is one; what [`Context::ask`] asks from now on waits
    /// for the answer. So what has to be asked before should be, see [`super::TaskSupport::ByHandler`].
    ///
    /// # Errors
    /// [`CallError::Cancelled`] if nobody waits for the call any more.
    pub fn become_task(&self) -> Result<bool, CallError> {
        if self.exchange.task().is_some() {
            return Ok(true);
        }
        if self.cancel().is_tripped() {
            return Err(CallError::Cancelled);
        }
        let Some(permit) = &self.permit else { return Ok(false) };
        let Some(place) = permit.task_place() else { return Ok(false) };
        let is_task = self.exchange.become_task(&self.principal, &self.client);
        if is_task {
            permit.hold(place);
        }
        Ok(is_task)
    }

    /// Tells clients that something has changed.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Sends a log message, if the client wants messages of this level.
    pub fn log(&self, level: Level, data: &impl Serialize) {
        #[derive(Serialize)]
        struct Params<'a, T> {
            level: Level,
            data: &'a T,
        }
        if self.wants_log(level) {
            let params = Params { level, data };
            self.exchange.say(&jsonrpc::notification("notifications/message", Some(&params)));
        }
    }

    /// Reports progress, if the client gave a token for it.
    pub fn progress(&self, progress: &Progress) {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            progress_token: &'a RequestId,
            #[serde(flatten)]
            progress: &'a Progress,
        }
        if let Some(progress_token) = &self.progress_token {
            let params = Params { progress_token, progress };
            self.exchange.say(&jsonrpc::notification("notifications/progress", Some(&params)));
        }
    }

    /// Checks that the client can do what is needed.
    ///
    /// # Errors
    /// [`CallError::MissingCapability`].
    pub fn require(&self, capability: Capability) -> Result<(), CallError> {
        if self.client.supports(capability) { Ok(()) } else { Err(CallError::MissingCapability(capability)) }
    }

    /// Asks the client one thing. Up to 2025-11-25 this waits for the answer, `ASK` at most, and so does a
    /// task. In 2026-07-28 it ends the call with `?`, and
    /// the handler runs again, from its start, when the client calls again with the answer; so a handler should ask before
    /// it acts.
    ///
    /// # Errors
    /// [`CallError`]; hand it on with `?`.
    pub fn ask<T: DeserializeOwned>(&self, request: InputRequest) -> Result<T, CallError> {
        self.ask_all(vec![request])?
            .into_iter()
            .next()
            .map_or(Err(CallError::Cancelled), |answer| from_answer(answer.get()))
    }

    /// Has the person fill in a form; `None` if they declined. `key` names the question within its call, `form` is a flat JSON
    /// object schema. Asks as [`Context::ask`] does, so a handler should ask before it acts.
    ///
    /// # Errors
    /// As [`Context::ask`].
    pub fn elicit<T: DeserializeOwned>(
        &self,
        key: &str,
        message: &str,
        form: &impl Serialize,
    ) -> Result<Option<T>, CallError> {
        #[derive(Deserialize)]
        struct Elicited {
            action: String,
            content: Option<Box<RawValue>>,
        }
        let Elicited { action, content } = self.ask(InputRequest::elicitation(key, message, form)?)?;
        match &*action {
            // A form without fields may come back without content.
            "accept" => from_answer(content.as_deref().map_or("{}", RawValue::get)).map(Some),
            _ => Ok(None),
        }
    }

    /// Asks several things at once; the answers stand in the order of the questions.
    ///
    /// # Errors
    /// As [`Context::ask`].
    pub fn ask_all(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        for request in &requests {
            self.require(request.capability)?;
        }
        let capabilities: Vec<_> = requests.iter().map(|request| request.capability).collect();
        let answers = match self.exchange.task() {
            Some(task) => task.ask(requests),
            None => self.exchange.dialect().ask(&self.exchange, requests),
        }?;
        let seen = |(capability, answer): (Capability, Box<RawValue>)| match capability {
            // A form's content may be absent, which clients write in several ways.
            Capability::Elicitation => match without_absent(&answer) {
                Ok(Some(Cow::Owned(answer))) => answer,
                Ok(Some(Cow::Borrowed(_)) | None) | Err(_) => answer,
            },
            Capability::Sampling | Capability::Roots => answer,
        };
        Ok(capabilities.into_iter().zip(answers).map(seen).collect())
    }

    /// What [`Context::remember`] was given in an earlier round of this call; `None` in the first.
    pub fn remembered<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.exchange.dialect().round()?.remembered()?.get()).ok()
    }

    /// Keeps `value` for the next round, should this one end with a question. It travels with the client, sealed.
    ///
    /// # Errors
    /// [`Error::INTERNAL`] if `value` cannot be JSON.
    pub fn remember(&self, value: &impl Serialize) -> Result<(), CallError> {
        let value = to_raw_value(value).map_err(|_| Error::internal())?;
        if let Some(round) = self.exchange.dialect().round() {
            round.remember(value);
        }
        Ok(())
    }

    /// Ends the connection but not the call, where clients can take a stream up again: frees it during a long wait.
    pub fn disconnect(&self) {
        self.exchange.disconnect();
    }

    /// Runs `action` when [`Context::cancel`] is tripped, on the thread that trips it; at once if it is tripped already. For
    /// backends that serve a call without a thread that waits on it. It must not block.
    pub fn on_cancel(&self, action: impl FnOnce() + Send + 'static) {
        self.cancel().on_trip(action);
    }

    /// Whether the client wants log messages of this level.
    pub fn wants_log(&self, level: Level) -> bool {
        self.exchange.dialect().wants_log(level)
    }

    /// Passes a notification of another server on, as it stands. Does not wait: one that the client is too slow for is lost.
    pub fn forward(&self, method: &str, params: &RawValue) {
        self.exchange.try_say(&jsonrpc::notification(method, Some(&params)));
    }

    /// Ends the call, if it is not over. For `tools/call`, [`CallError::Tool`] is a JSON-RPC error: a failure that the model is to read is a result
    /// with `isError`.
    pub fn complete(&self, result: Result<Reply, CallError>) {
        self.exchange.complete(result);
    }
}

fn from_answer<T: DeserializeOwned>(answer: &str) -> Result<T, CallError> {
    json::read(answer).map_err(|_| Error::invalid_params("The client's answer has the wrong shape").into())
}
