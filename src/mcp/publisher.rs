//! Telling clients that something has changed: sessions by their own stream, listeners by theirs.

use std::sync::Arc;

use serde::Serialize;

use super::jsonrpc;
use super::listeners::Listeners;
use super::session::SessionTable;

/// What can change.
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

/// Everybody who can be told of a change.
#[derive(Debug, Default)]
pub(super) struct Audience {
    pub(super) sessions: SessionTable,
    pub(super) listeners: Listeners,
}

/// Tells clients that something has changed. Clones tell the same clients; never waits for any.
#[derive(Clone, Debug)]
pub struct Publisher(pub(super) Arc<Audience>);

impl Publisher {
    /// Other tools are offered than before.
    pub fn tools_changed(&self) {
        self.publish(Change::Tools);
    }

    /// Other prompts are offered than before.
    pub fn prompts_changed(&self) {
        self.publish(Change::Prompts);
    }

    /// Other resources are offered than before.
    pub fn resources_changed(&self) {
        self.publish(Change::Resources);
    }

    /// A resource has other contents than before. Told to those who subscribed to it.
    pub fn resource_updated(&self, uri: &str) {
        self.publish(Change::Resource(uri));
    }

    fn publish(&self, change: Change<'_>) {
        #[derive(Serialize)]
        struct Updated<'a> {
            uri: &'a str,
        }
        let params = change.uri().map(|uri| Updated { uri });
        let message = jsonrpc::notification(change.method(), params.as_ref());
        for session in self.0.sessions.all() {
            if session.wants(change) {
                session.standalone().publish(&message);
            }
        }
        self.0.listeners.publish(change);
    }
}
