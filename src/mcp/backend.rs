//! The interface of backends, which serve calls: tools in this process, a child process, another server.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::call::TASKS_EXTENSION;
use super::context::Context;
use super::jsonrpc::Error;
use super::methods::Operation;
use super::mirrored::Mirrored;
use super::subscribers::Publisher;
use crate::base::{GrantId, Principal, Scopes};

/// Serves calls. [`ToolServer`](super::ToolServer) is the one for tools in this process.
pub trait Backend: Send + Sync {
    /// The text of the consent page. Read when the server starts.
    fn consent(&self) -> &Consent;

    /// The description of the server for this caller. Read once per request that needs it. May block while a peer starts.
    ///
    /// # Errors
    /// The error for the client, if the description is not available.
    fn description(&self, caller: &Principal) -> Result<Arc<Description>, Error>;

    /// Serves one call: ends it with [`Context::complete`], now or later, from any thread.
    fn call(&self, context: Context);

    /// Gives the backend the publisher for notifications to clients. Called once, before any other method.
    fn connect(&self, _publisher: Publisher) {}

    /// Called when a caller has set another log level or subscribed to other resources: see [`Publisher::interests`]. Not called
    /// when a caller's session or stream ends. Must not block.
    fn interests_changed(&self, _caller: &Principal) {}

    /// Whether [`Backend::description`] and, if `operation` is one, [`Backend::call`] return at once: the thread of the client's
    /// connection then runs them, without a worker. They must not wait for I/O. `subject` is the tool, prompt or URI. A call that
    /// is wrongly classified as quick delays its own client only.
    fn is_quick(&self, _caller: &Principal, _operation: Option<Operation>, _subject: &str) -> bool {
        false
    }

    /// Whether calls are passed on to another process, so that a quick one costs almost nothing in this one.
    fn passes_on(&self) -> bool {
        false
    }

    /// The rules for calls of a tool; `None` if there are none, or the tool is unknown.
    fn tool_rules(&self, caller: &Principal, tool: &str) -> Option<Arc<ToolRules>>;

    /// Whether a tool is declared as read-only (`readOnlyHint`); `None` if that is unknown. Used if the operator's rules open only such
    /// tools to the caller: unknown ones are closed.
    fn is_read_only(&self, _caller: &Principal, _tool: &str) -> Option<bool> {
        None
    }

    /// Called before a call of a tool for which [`Backend::is_read_only`] is unknown, to look it up. May block.
    fn look_up(&self, _caller: &Principal, _tool: &str) {}

    /// The subject of a call in the backend's own spelling, for the log: a tool or a prompt by its name, a resource by its URI
    /// or the template that it matches. `None` if the backend does not know it, or not for this caller.
    fn known(&self, _caller: &Principal, _operation: Operation, _name: &str) -> Option<Cow<'_, str>> {
        None
    }

    /// The grants for which the backend keeps state.
    fn grants(&self) -> Vec<GrantId> {
        Vec::new()
    }

    /// Whether the backend keeps state for each session. If so, a session that this server has dropped (after a restart, or unused)
    /// is unknown from then on; otherwise it is restarted under its id.
    fn keeps_sessions(&self) -> bool {
        false
    }

    /// Removes the state of a grant that has ended.
    fn end_grant(&self, _grant: GrantId) {}

    /// Called before the server stops: ends everything that no running call needs, and starts nothing new.
    fn close(&self) {}

    /// Called twice when the server stops: with a patience of zero once the calls are over or cancelled, to begin ending everything, and
    /// at last to wait for the end, up to `patience`.
    fn stop(&self, _patience: Duration) {}
}

/// The text of the consent page, and the scopes that exist.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// The server's name, for programs.
    pub name: String,
    /// The server's name, for people.
    pub title: String,
    /// The scopes that any of the tools needs beyond the one that every caller has.
    pub scopes: Scopes,
    /// Scopes, each with the text for people; a scope without a text is shown by its name.
    pub scope_words: Vec<(String, String)>,
    /// Whether tools use the caller's own token at GitHub ([`Principal::upstream`]). If not, it is not kept.
    pub keeps_github_tokens: bool,
    /// Whether every call needs a user at GitHub, so that service tokens are refused.
    pub needs_user: bool,
    /// The scopes at GitHub of the callers' tokens, if these are handed to another server, which then acts with them.
    pub handed_github_scopes: Option<Scopes>,
}

/// The identity of a server, and its capabilities.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// `serverInfo`: `name`, `version`, and perhaps `title`, `icons`, `websiteUrl`.
    pub info: Map<String, Value>,
    /// Instructions for models that use the server.
    pub instructions: Option<String>,
    /// The capabilities as in the result of `initialize`. Methods of other capabilities are "method not found".
    pub capabilities: Map<String, Value>,
    /// Whether calls may become tasks ([`Context::become_task`]).
    pub has_tasks: bool,
}

/// The rules for calls of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRules {
    /// The scopes that a caller's token needs beyond the one that every token has.
    pub scopes: Scopes,
    /// The arguments that a 2026-07-28 client repeats in headers (`x-mcp-header`).
    pub mirrored: Vec<Mirrored>,
}

impl Description {
    pub(super) fn offers(&self, capability: &str) -> bool {
        self.capabilities.contains_key(capability)
    }

    /// Whether a capability has this flag: `listChanged`, `subscribe`.
    pub(crate) fn promises(&self, capability: &str, flag: &str) -> bool {
        let capability = self.capabilities.get(capability);
        capability.and_then(|capability| capability.get(flag)) == Some(&Value::Bool(true))
    }

    /// The capabilities as `server/discover` has them.
    pub(super) fn modern_capabilities(&self) -> Map<String, Value> {
        let mut capabilities = self.capabilities.clone();
        if self.has_tasks {
            let extensions = capabilities.entry("extensions").or_insert_with(|| json!({}));
            if let Some(extensions) = extensions.as_object_mut() {
                extensions.insert(TASKS_EXTENSION.to_owned(), json!({}));
            }
        }
        capabilities
    }
}
