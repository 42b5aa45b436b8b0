//! The methods that clients may call: one row each. Each era serves a subset.

use std::borrow::Cow;

use super::call::Operation;
use super::jsonrpc::Error;
use super::members::Members;
use crate::base::json;

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
