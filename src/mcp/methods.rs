//! The methods that clients may call, one row each, and the operations of backends among them. Each era serves a subset.

use std::borrow::Cow;

use super::jsonrpc::Error;
use super::members::Members;
use crate::base::json;

/// A request that a backend serves, in both eras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `tools/list`, `prompts/list`, `resources/list` or `resources/templates/list`
    List(List),
    /// `tools/call`
    CallTool,
    /// `prompts/get`
    GetPrompt,
    /// `resources/read`
    ReadResource,
    /// `completion/complete`
    Complete,
}

impl Operation {
    /// Whether it is a list, which is cheap to serve.
    pub fn is_list(self) -> bool {
        matches!(self, Operation::List(_))
    }

    /// Whether it may ask the client for input (MRTR, "Supported Requests").
    pub fn may_ask(self) -> bool {
        matches!(self, Operation::CallTool | Operation::GetPrompt | Operation::ReadResource)
    }

    /// The method's name.
    pub fn method(self) -> &'static str {
        let row = METHODS.iter().find(|row| row.operation == Some(self));
        row.map_or("", |row| row.name)
    }
}

/// A list of the parts of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    ResourceTemplates,
}

impl List {
    /// The member of the result that holds the entries.
    pub fn member(self) -> &'static str {
        match self {
            List::Tools => "tools",
            List::Prompts => "prompts",
            List::Resources => "resources",
            List::ResourceTemplates => "resourceTemplates",
        }
    }
}

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
    row("initialize", None, "", None),
    row("ping", None, "", None),
    row("logging/setLevel", None, "", None),
    row("resources/subscribe", None, "", Some("uri")),
    row("resources/unsubscribe", None, "", Some("uri")),
    row("server/discover", None, "", None),
    row("subscriptions/listen", None, "", None),
    row("tasks/get", None, "", Some("taskId")),
    row("tasks/update", None, "", Some("taskId")),
    row("tasks/cancel", None, "", Some("taskId")),
    row("tools/list", Some(Operation::List(List::Tools)), "tools", None),
    row("tools/call", Some(Operation::CallTool), "tools", Some("name")),
    row("prompts/list", Some(Operation::List(List::Prompts)), "prompts", None),
    row("prompts/get", Some(Operation::GetPrompt), "prompts", Some("name")),
    row("resources/list", Some(Operation::List(List::Resources)), "resources", None),
    row("resources/templates/list", Some(Operation::List(List::ResourceTemplates)), "resources", None),
    row("resources/read", Some(Operation::ReadResource), "resources", Some("uri")),
    row("completion/complete", Some(Operation::Complete), "completions", None),
];

const fn row(
    name: &'static str,
    operation: Option<Operation>,
    capability: &'static str,
    subject: Option<&'static str>,
) -> MethodRow {
    MethodRow { name, operation, capability, subject }
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

#[cfg(test)]
mod tests;
