//! Changes outside of calls, and the filter of those that a client wants to be told.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::members::absent_or;

/// A change, and the notification of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Tools,
    Prompts,
    Resources,
    Resource(&'a str),
}

impl Change<'_> {
    pub(super) fn method(self) -> &'static str {
        match self {
            Change::Tools => "notifications/tools/list_changed",
            Change::Prompts => "notifications/prompts/list_changed",
            Change::Resources => "notifications/resources/list_changed",
            Change::Resource(_) => "notifications/resources/updated",
        }
    }

    pub(super) fn uri(&self) -> Option<&str> {
        match self {
            Change::Tools | Change::Prompts | Change::Resources => None,
            Change::Resource(uri) => Some(uri),
        }
    }
}

/// The `notifications` of `subscriptions/listen`: what a client asks for, and what it is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "absent_or")]
    pub(super) tools_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "absent_or")]
    pub(super) prompts_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "absent_or")]
    pub(super) resources_list_changed: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", deserialize_with = "absent_or")]
    pub(super) resource_subscriptions: BTreeSet<String>,
    /// Tasks, of which there are no notifications: clients poll.
    #[serde(skip_serializing, deserialize_with = "absent_or")]
    pub(super) task_ids: Vec<String>,
}

impl Filter {
    /// The bytes that it keeps.
    pub(super) fn size(&self) -> usize {
        self.resource_subscriptions.iter().map(String::len).sum()
    }

    pub(super) fn wants(&self, change: Change<'_>) -> bool {
        match change {
            Change::Tools => self.tools_list_changed,
            Change::Prompts => self.prompts_list_changed,
            Change::Resources => self.resources_list_changed,
            Change::Resource(uri) => self.resource_subscriptions.contains(uri),
        }
    }
}
