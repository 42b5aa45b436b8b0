//! The methods that clients may call: one row each. Each era decides which of them it serves. Also the words for a call in the log:
//! its method and its subject, as this server knows them. A name of the client's own choice is logged as `unknown`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Core;
use super::call::Operation;
use super::exchange::Caller;
use super::intake::Message;
use super::jsonrpc::{Encoded, Error};
use super::members::Members;
use crate::base::{json, trace};
use crate::http::{CallNote, Response};

/// A method that clients may call.
#[derive(Debug)]
pub(crate) struct MethodRow {
    pub(super) name: &'static str,
    /// The operation of the backend that serves it. All other methods are served here.
    pub(super) operation: Option<Operation>,
    /// The server's capability that the operation belongs to.
    pub(super) capability: &'static str,
    /// The member of params with the target of a call. `Mcp-Name` repeats it.
    subject: Option<&'static str>,
}

const METHODS: [MethodRow; 18] = [
    ours("initialize", None),
    ours("ping", None),
    ours("logging/setLevel", None),
    ours("resources/subscribe", Some("uri")),
    ours("resources/unsubscribe", Some("uri")),
    ours("server/discover", None),
    ours("subscriptions/listen", None),
    ours("tasks/get", Some("taskId")),
    ours("tasks/update", Some("taskId")),
    ours("tasks/cancel", Some("taskId")),
    of_backend(Operation::ListTools, "tools", None),
    of_backend(Operation::CallTool, "tools", Some("name")),
    of_backend(Operation::ListPrompts, "prompts", None),
    of_backend(Operation::GetPrompt, "prompts", Some("name")),
    of_backend(Operation::ListResources, "resources", None),
    of_backend(Operation::ListResourceTemplates, "resources", None),
    of_backend(Operation::ReadResource, "resources", Some("uri")),
    of_backend(Operation::Complete, "completions", None),
];

const fn ours(name: &'static str, subject: Option<&'static str>) -> MethodRow {
    MethodRow { name, operation: None, capability: "", subject }
}

const fn of_backend(
    operation: Operation,
    capability: &'static str,
    subject: Option<&'static str>,
) -> MethodRow {
    MethodRow { name: operation.method(), operation: Some(operation), capability, subject }
}

impl MethodRow {
    pub(crate) fn find(name: &str) -> Option<&'static MethodRow> {
        METHODS.iter().find(|row| row.name == name)
    }

    /// The target of a call: the name, URI or id in its params. `None` if the method has no such member.
    ///
    /// # Errors
    /// [`Error::INVALID_PARAMS`] if the params lack it.
    pub(crate) fn subject<'a>(&self, params: &'a Members) -> Result<Option<Cow<'a, str>>, Error> {
        let subject = self.subject.map(|member| params.require(member)).transpose()?;
        Ok(subject.map(|json::Text(subject)| subject))
    }
}

/// Why a call was not run that had to be recorded first.
const NOT_RECORDED: &str =
    "This server cannot write its audit log, so the call was not run: tell the operator of the server";

impl Core {
    /// Records method, subject and arguments of a call with its responder, for the log. Returns the refusal of a call that must be
    /// recorded and cannot be.
    pub(super) fn note_call(&self, message: &Message, caller: &Caller) -> Option<Response> {
        let (Message::Request { id, method, params }, Some(witness)) = (message, caller.responder.witness())
        else {
            return None;
        };
        let Some(row) = MethodRow::find(method) else {
            witness.called(CallNote { method: "unknown", ..CallNote::default() });
            return None;
        };
        let subject = row.subject(params).ok().flatten();
        let operation = match row.name {
            "resources/subscribe" | "resources/unsubscribe" => Some(Operation::ReadResource),
            _ => row.operation,
        };
        let known = operation.zip(subject.as_deref());
        let backend = &self.settings.backend;
        let target =
            known.and_then(|(operation, subject)| backend.known(&caller.principal, operation, subject));
        let arguments = ["arguments", "argument", "uri"].iter().find_map(|member| params.get(member));
        let is_recorded = witness.called(CallNote {
            method: row.name,
            target: target.as_deref(),
            asked: known.map(|(_, subject)| subject),
            arguments: arguments.map(RawValue::get),
        });
        if is_recorded {
            return None;
        }
        trace::refused("not_recorded");
        Some(Encoded::error(503, Some(id), &Error::new(Error::BUSY, NOT_RECORDED)).into_response())
    }
}
