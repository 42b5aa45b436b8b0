//! Access to the parts of a server: the only place that applies the caller's access rule to lists and calls, in both eras.
//! Subscriptions (`legacy`, `modern`), updates of resources (`subscribers`) and tasks (`modern`) check the rule where they are served.
//!
//! A call that the rule does not open is answered with the error for a subject that does not exist.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Core;
use super::arguments;
use super::call::{Call, Reply};
use super::jsonrpc::Error;
use super::members::Members;
use super::methods::{List, Operation};
use crate::base::{AccessRule, Principal, Who};
use crate::http::CallOutcome;

impl Core {
    /// The rule that applies to a caller. One that opens nothing if the rules have changed since the caller was admitted.
    pub(super) fn access(&self, caller: &Principal) -> Arc<AccessRule> {
        let rule = self.settings.access.rules().rule_for(Who::from(caller));
        rule.ok().flatten().unwrap_or_else(|| Arc::new(AccessRule::closed()))
    }

    /// Whether a caller under this rule may call a tool.
    pub(super) fn opens_tool(&self, rule: &AccessRule, caller: &Principal, tool: &str) -> bool {
        rule.opens_tool(tool)
            && (!rule.read_only || self.settings.backend.is_read_only(caller, tool) == Some(true))
    }

    /// Whether a call is open to its caller. May block if the rule opens read-only tools only.
    ///
    /// # Errors
    /// The reference of a completion is malformed.
    pub(super) fn opens(&self, call: &Call) -> Result<bool, Error> {
        let Call { access, subject, principal, .. } = call;
        let backend = &self.settings.backend;
        if call.operation == Operation::CallTool
            && access.read_only
            && access.opens_tool(subject)
            && backend.is_read_only(principal, subject).is_none()
        {
            backend.look_up(principal, subject);
        }
        Ok(match call.operation {
            _ if access.opens_everything() => true,
            Operation::List(_) => true,
            Operation::CallTool => self.opens_tool(access, principal, subject),
            Operation::GetPrompt => access.opens_prompt(subject),
            Operation::ReadResource => access.opens_resource(subject),
            Operation::Complete => {
                let reference = call.params.object("ref")?;
                reference.check_case(&["type", "name", "uri"])?;
                let named = |member| reference.require::<String>(member);
                match &*named("type")? {
                    "ref/prompt" => access.opens_prompt(&named("name")?),
                    "ref/resource" => access.opens_resource(&named("uri")?),
                    _ => false,
                }
            }
        })
    }
}

/// The logged outcome of a call that a rule closes.
pub(super) const CLOSED: CallOutcome = CallOutcome::ProtocolError("closed_by_rule");

/// The error of a call whose subject does not exist.
pub(super) fn absent(call: &Call) -> Error {
    match call.operation {
        Operation::CallTool => unknown("tool", &call.subject),
        Operation::GetPrompt => unknown("prompt", &call.subject),
        Operation::ReadResource => no_resource(&call.subject),
        Operation::Complete | Operation::List(_) => unknown_reference(),
    }
}

/// A list with only those entries that its caller may use. An entry that cannot be read is removed.
pub(super) fn filtered(call: &Call, reply: Reply) -> Result<Reply, Error> {
    let rule = &call.access;
    let Operation::List(list) = call.operation else { return Ok(reply) };
    if rule.opens_everything() {
        return Ok(reply);
    }
    let member = list.member();
    let Some(mut entries) = reply.entries(member).map_err(|_| Error::internal())? else { return Ok(reply) };
    entries.retain(|entry| ListEntry::read(entry).is_some_and(|entry| entry.is_open(list, rule)));
    reply.without(member).with(member, &entries)
}

/// An entry of a list. Parts of any size stay text: as values they would take many times the memory.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListEntry<'a> {
    pub(crate) name: Option<String>,
    uri: Option<String>,
    uri_template: Option<String>,
    #[serde(borrow)]
    pub(crate) input_schema: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

impl ListEntry<'_> {
    pub(crate) fn read(text: &RawValue) -> Option<ListEntry<'_>> {
        serde_json::from_str(text.get()).ok()
    }

    /// Whether the rule opens this entry of a list.
    fn is_open(&self, list: List, rule: &AccessRule) -> bool {
        match list {
            List::Tools => {
                self.name.as_deref().is_some_and(|name| rule.opens_tool(name))
                    && (!rule.read_only || self.is_read_only())
            }
            List::Prompts => self.name.as_deref().is_some_and(|name| rule.opens_prompt(name)),
            List::Resources => self.uri.as_deref().is_some_and(|uri| rule.opens_resource(uri)),
            List::ResourceTemplates => {
                self.uri_template.as_deref().is_some_and(|uri| rule.opens_resource(uri))
            }
        }
    }

    /// Whether its annotations declare a tool as read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        let annotations = self.annotations.and_then(|text| serde_json::from_str::<Members>(text.get()).ok());
        annotations.is_some_and(|members| matches!(members.read("readOnlyHint"), Ok(Some(true))))
    }
}

/// There is no tool or prompt of this name.
pub(super) fn unknown(what: &str, name: &str) -> Error {
    Error::invalid_params(format!("Unknown {what}: {}", arguments::cut(name)))
}

/// There is no resource at this URI.
pub(super) fn no_resource(uri: &str) -> Error {
    Error::new(Error::RESOURCE_NOT_FOUND, "Resource not found").with_data(&json!({ "uri": uri }))
}

/// There is no prompt or resource template of this name for a completion.
pub(super) fn unknown_reference() -> Error {
    Error::invalid_params("Unknown prompt or resource template")
}
