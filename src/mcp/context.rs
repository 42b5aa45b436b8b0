//! The interface of one call for handlers and backends, and the messages that they can send to its client before it ends.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::call::{Call, CallError, Capability, ClientCapabilities, InputRequest, Level, Reply};
use super::calls::Permit;
use super::exchange::Exchange;
use super::jsonrpc::{self, Error, RequestId};
use super::members::Members;
use super::subscribers::Publisher;
use crate::base::{CancelToken, Principal, json};

/// A report of progress.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Progress {
    /// Increases with every report.
    pub progress: f64,
    /// Its final value, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// A description of the current step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A call, for its handler or backend. Dropped without [`Context::complete`], the call fails with an internal error. The
/// call counts among its user's running calls until the context is dropped: drop it once the call is complete.
pub struct Context {
    pub(super) exchange: Arc<Exchange>,
    pub(super) publisher: Publisher,
    /// The call's place.
    pub(super) permit: Permit,
}

impl Context {
    /// The request.
    pub fn call(&self) -> &Call {
        &self.exchange.call
    }

    /// The request's guards of quotas. A backend that keeps the request's text after it has dropped the context must keep them too.
    pub(crate) fn held(&self) -> Option<Arc<dyn Send + Sync>> {
        self.exchange.held.clone()
    }

    /// The caller.
    pub fn principal(&self) -> &Principal {
        &self.exchange.call.principal
    }

    /// The client's capabilities.
    pub fn client(&self) -> &ClientCapabilities {
        &self.exchange.call.client
    }

    /// A value of the request's `_meta`, if it is a `T`: under a key of your own, or under `traceparent`, `tracestate` and `baggage`, with
    /// which calls to other services join the client's trace (W3C Trace Context).
    pub fn meta<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.call().params.object("_meta").ok()?.read(key).ok()?
    }

    /// Tripped when the result is no longer wanted, or the call has run for fifteen minutes (a task: for an hour). Wait on it
    /// instead of sleeping. The token has no meaning once the call is complete: it may be tripped when the client has read the
    /// result.
    pub fn cancel(&self) -> &CancelToken {
        self.exchange.cancelled()
    }

    /// Makes the call a task, if its client supports tasks and there is room for one more. Returns whether it is one now. The
    /// client gets the handle of the task and asks for the result later. Questions to the client should come before: those of
    /// a task wait until the client polls it, see [`super::TaskSupport::ByHandler`].
    ///
    /// # Errors
    /// [`CallError::Cancelled`] if the result is no longer wanted.
    pub fn become_task(&self) -> Result<bool, CallError> {
        if self.exchange.task().is_some() {
            return Ok(true);
        }
        if self.cancel().is_tripped() {
            return Err(CallError::Cancelled);
        }
        let place = self.permit.task_place();
        Ok(place.is_some_and(|place| self.exchange.become_task(place)))
    }

    /// The publisher for notifications of changes.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Sends a log message, if the client wants messages of this level. Data that cannot be JSON is dropped: a map with keys other than
    /// strings.
    pub fn log(&self, level: Level, data: &impl Serialize) {
        if self.wants_log(level) {
            let params = Reply::default().with("level", &level).and_then(|params| params.with("data", data));
            let send =
                |params| self.exchange.send(&jsonrpc::notification("notifications/message", Some(params)));
            params.iter().for_each(send);
        }
    }

    /// Reports progress, if the request has a progress token. JSON has no infinite numbers and no NaN: a report with one is dropped.
    pub fn progress(&self, progress: &Progress) {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            progress_token: &'a RequestId,
            #[serde(flatten)]
            progress: &'a Progress,
        }
        let is_json = progress.progress.is_finite() && progress.total.is_none_or(f64::is_finite);
        if let Some(progress_token) = self.progress_token().filter(|_| is_json) {
            let params = Params { progress_token, progress };
            self.exchange.send(&jsonrpc::notification("notifications/progress", Some(&params)));
        }
    }

    /// Checks that the client has a capability.
    ///
    /// # Errors
    /// [`CallError::MissingCapability`].
    pub fn require(&self, capability: Capability) -> Result<(), CallError> {
        self.client().supports(capability).then_some(()).ok_or(CallError::MissingCapability(capability))
    }

    /// Asks the client one question. Up to 2025-11-25, and in a task, this waits for the answer for up to five minutes. In
    /// 2026-07-28 it ends the call with `?`, and the handler runs again, from its start, when the client calls again with the
    /// answer. So a handler should ask before it acts.
    ///
    /// # Errors
    /// [`CallError::MissingCapability`] if the client takes no such questions, [`CallError::Tool`] if its answer is an error or does not
    /// come, [`CallError::Protocol`] if it does not fit `T`, [`CallError::Cancelled`] if the result is no longer wanted,
    /// [`CallError::InputRequired`] in 2026-07-28; hand them on with `?`.
    pub fn ask<T: DeserializeOwned>(&self, request: InputRequest) -> Result<T, CallError> {
        let answers = self.ask_all(vec![request])?;
        from_answer(answers.first().ok_or(CallError::Cancelled)?.get())
    }

    /// Asks the person to fill in a form; `None` if they declined or closed it. `key` names the question within its call, `form` is a flat JSON
    /// object schema. Asks as [`Context::ask`] does, so a handler should ask before it acts.
    ///
    /// # Errors
    /// The errors of [`Context::ask`]; content that does not fit `T` is one of them.
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

    /// Asks several questions at once. Returns the answers in the order of the questions.
    ///
    /// # Errors
    /// The errors of [`Context::ask`].
    pub fn ask_all(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        self.answers(requests).map_err(|error| {
            let CallError::Protocol(error) = error else { return error };
            format!("The client answered with an error: {}", error.message).into()
        })
    }

    /// [`Context::ask_all`] with the client's error as it is, as [`CallError::Protocol`].
    pub(crate) fn answers(&self, requests: Vec<InputRequest>) -> Result<Vec<Box<RawValue>>, CallError> {
        requests.iter().try_for_each(|request| self.require(request.capability))?;
        let capabilities: Vec<_> = requests.iter().map(|request| request.capability).collect();
        let answers = match self.exchange.task() {
            Some(task) => task.ask(requests),
            None => self.exchange.dialect.ask(&self.exchange, requests),
        }?;
        let seen = |(capability, answer): (Capability, Box<RawValue>)| match capability {
            // A form's content may be absent, which clients write in several ways.
            Capability::Elicitation => {
                let members = serde_json::from_str::<Members>(answer.get()).ok();
                members.and_then(|members| members.present().to_raw().ok()).unwrap_or(answer)
            }
            Capability::Sampling | Capability::SamplingTools | Capability::Roots => answer,
        };
        Ok(capabilities.into_iter().zip(answers).map(seen).collect())
    }

    /// The value that an earlier round of this call has kept with [`Context::remember`]; `None` in the first round.
    pub fn remembered<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.exchange.dialect.round()?.remembered()?.get()).ok()
    }

    /// Whether a question ends this request, so that the client sends the answers in another one (2026-07-28).
    pub fn has_rounds(&self) -> bool {
        self.exchange.dialect.round().is_some()
    }

    /// Keeps `value` for the next round, if this one ends with a question. It is a part of the sealed `requestState`.
    ///
    /// # Errors
    /// [`Error::INTERNAL`] if `value` cannot be serialized as JSON.
    pub fn remember(&self, value: &impl Serialize) -> Result<(), CallError> {
        let value = to_raw_value(value).map_err(|_| Error::internal())?;
        if let Some(round) = self.exchange.dialect.round() {
            round.remember(value);
        }
        Ok(())
    }

    /// Ends the connection but not the call, for a long wait. Does nothing if the client cannot resume the stream.
    pub fn disconnect(&self) {
        self.exchange.disconnect();
    }

    /// Runs `action` when [`Context::cancel`] is tripped, on the thread that trips it; at once if it is tripped already. For
    /// backends that serve a call without a waiting thread. It must not block; a panic in it is logged. Once the call
    /// is complete the action is dropped instead, with its captures.
    pub fn on_cancel(&self, action: impl FnOnce() + Send + 'static) {
        self.cancel().on_trip(action);
    }

    /// The progress token of the request, if it has one.
    pub fn progress_token(&self) -> Option<&RequestId> {
        self.exchange.call.progress_token.as_ref()
    }

    /// The lowest level of log messages that the client wants; `None` if it has not set one.
    pub fn log_level(&self) -> Option<Level> {
        self.exchange.dialect.log_level()
    }

    /// Whether the client wants log messages of this level. Up to 2025-11-25 the default is all.
    pub fn wants_log(&self, level: Level) -> bool {
        self.exchange.dialect.wants_log(level)
    }

    /// Passes on a notification of another server, unchanged. Does not wait: the notification is dropped if the client is too slow.
    pub fn forward(&self, method: &str, params: &RawValue) {
        self.exchange.try_send(&jsonrpc::notification(method, Some(&params)));
    }

    /// Ends the call; later calls have no effect. [`CallError::Tool`] becomes a JSON-RPC error here: return a failure for the
    /// model as a result with `isError`.
    pub fn complete(&self, result: Result<Reply, CallError>) {
        self.exchange.complete(result);
    }
}

fn from_answer<T: DeserializeOwned>(answer: &str) -> Result<T, CallError> {
    json::read(answer).map_err(|_| Error::invalid_params("The client's answer has the wrong shape").into())
}
