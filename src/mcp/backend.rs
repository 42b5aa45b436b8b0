//! What serves the calls: tools in this process, a child process, another server. And what it is told of a call.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::call::{
    Call, CallError, Capability, ClientCapabilities, InputRequest, Level, Operation, Reply, TASKS_EXTENSION,
};
use super::calls::Permit;
use super::exchange::Exchange;
use super::jsonrpc::{self, Error, RequestId};
use super::members::Members;
use super::subscribers::Publisher;
use crate::base::cancel::CancelToken;
use crate::base::identity::{Principal, Scopes};
use crate::base::json;
#[cfg(doc)]
use crate::base::limits;

/// Serves calls. [`ToolServer`](super::ToolServer) is the one for tools in this process.
pub trait Backend: Send + Sync {
    /// What people agree to at the login. Asked when the server starts.
    fn consent(&self) -> &Consent;

    /// What a caller is offered. Asked once for each request that needs it. It may block while a peer starts.
    ///
    /// # Errors
    /// The error that the client is told, if the description cannot be had.
    fn description(&self, caller: &Principal) -> Result<Arc<Description>, Error>;

    /// Serves one call: ends it with [`Context::complete`], now or later, from any thread. Lists are not counted as calls
    /// that run, so they must be cheap.
    fn call(&self, context: Context);

    /// What holds for calls of a tool; `None` if nothing does, or the tool is unknown.
    fn tool_rules(&self, caller: &Principal, tool: &str) -> Option<Arc<ToolRules>>;

    /// The subject of a call in the backend's own spelling, for the log: a tool or a prompt by its name, a resource by its URI
    /// or the template that it matches. `None` if the backend does not know it.
    fn known(&self, _operation: Operation, _name: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// What the login has to know of a backend: the text of the consent page, and which scopes there are.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// The server's name, for programs.
    pub name: String,
    /// The server's name, for people.
    pub title: String,
    /// The scopes that any of the tools needs beyond the one that every caller has.
    pub scopes: Scopes,
    /// What scopes allow, in words; a scope without words is shown as it is.
    pub scope_words: Vec<(String, String)>,
    /// Whether tools use the caller's own token at GitHub ([`Principal::upstream`]). If not, it is not kept.
    pub keeps_github_tokens: bool,
}

/// What a server is and offers.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// `serverInfo`: `name`, `version`, and perhaps `title`, `icons`, `websiteUrl`.
    pub info: Map<String, Value>,
    /// What a model should know about the server as a whole.
    pub instructions: Option<String>,
    /// The capabilities as `initialize` has them. What they do not name is "method not found".
    pub capabilities: Map<String, Value>,
    /// Whether calls may become tasks ([`Context::become_task`]).
    pub has_tasks: bool,
}

/// What holds for calls of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRules {
    /// The scopes that a caller's token needs beyond the one that every token has.
    pub scopes: Scopes,
    /// The arguments that a 2026-07-28 client repeats in headers (`x-mcp-header`).
    pub mirrored: Vec<Mirrored>,
}

/// An argument that is repeated in a header `Mcp-Param-…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The header's name in lower case.
    pub header: String,
    /// The names from the arguments' object down to the value.
    pub path: Vec<String>,
}

impl Description {
    /// Whether `operation` is offered.
    pub fn offers(&self, operation: Operation) -> bool {
        self.capabilities.contains_key(operation.capability())
    }

    /// Whether the capability that `operation` belongs to has this flag: `listChanged`, `subscribe`.
    pub(super) fn promises(&self, operation: Operation, flag: &str) -> bool {
        let capability = self.capabilities.get(operation.capability());
        capability.and_then(|capability| capability.get(flag)) == Some(&Value::Bool(true))
    }

    /// The capabilities as `server/discover` has them.
    pub(super) fn modern_capabilities(&self) -> Map<String, Value> {
        let mut capabilities = self.capabilities.clone();
        let extensions = capabilities.entry("extensions").or_insert_with(|| json!({}));
        match extensions.as_object_mut().filter(|_| self.has_tasks) {
            Some(extensions) => drop(extensions.insert(TASKS_EXTENSION.to_owned(), json!({}))),
            None => return self.capabilities.clone(),
        }
        capabilities
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
    pub(super) exchange: Arc<Exchange>,
    pub(super) publisher: Publisher,
    /// Gives the call's place back when it is over; lists need none.
    pub(super) permit: Option<Permit>,
}

impl Context {
    /// What is asked.
    pub fn call(&self) -> &Call {
        &self.exchange.call().call
    }

    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.exchange.call().principal
    }

    /// What the client can do.
    pub fn client(&self) -> &ClientCapabilities {
        &self.exchange.call().client
    }

    /// A value of the request's `_meta`, if it is a `T`: under a key of your own, or `traceparent`, `tracestate` and `baggage`,
    /// by which your calls to other services join the client's trace (W3C Trace Context).
    pub fn meta<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.call().params.object("_meta").ok()?.read(key).ok()?
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
        let is_task = self.exchange.become_task();
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
        if let Some(progress_token) = self.progress_token() {
            let params = Params { progress_token, progress };
            self.exchange.say(&jsonrpc::notification("notifications/progress", Some(&params)));
        }
    }

    /// Checks that the client can do what is needed.
    ///
    /// # Errors
    /// [`CallError::MissingCapability`].
    pub fn require(&self, capability: Capability) -> Result<(), CallError> {
        if self.client().supports(capability) {
            Ok(())
        } else {
            Err(CallError::MissingCapability(capability))
        }
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
        form: &Value,
    ) -> Result<Option<T>, CallError> {
        #[derive(Deserialize)]
        struct Elicited {
            action: String,
            content: Option<Box<RawValue>>,
        }
        let Elicited { action, content } = self.ask(InputRequest::elicitation(key, message, form))?;
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
            Capability::Elicitation => {
                let members = serde_json::from_str::<Members>(answer.get()).ok();
                members.and_then(|members| members.present().to_raw().ok()).unwrap_or(answer)
            }
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

    /// The token under which the client wants to hear of progress, if it does.
    pub fn progress_token(&self) -> Option<&RequestId> {
        self.exchange.call().progress_token.as_ref()
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
