//! The MCP backend for one bridged server: its offers for each caller, and clean-up when sessions, streams and grants end.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::entry::Isolation;
use super::instances::Instances;
use super::passed_call;
use crate::base::{GrantId, Principal, ServerAccess, limits};
use crate::mcp::{
    Backend, Consent, Context, Description, Error, List, Members, Operation, Publisher, ToolRules,
};

/// One server behind the login.
pub(crate) struct Bridge {
    /// `program` or `upstream`.
    pub(super) kind: &'static str,
    /// The digest of the description that it was built from.
    pub(super) digest: [u8; 32],
    pub(crate) access: Arc<ServerAccess>,
    pub(super) consent: Consent,
    pub(super) instances: Arc<Instances>,
}

impl Bridge {
    /// The server's name in paths, directories, the log and messages.
    pub(crate) fn name(&self) -> &str {
        self.instances.server()
    }
}

impl Backend for Bridge {
    fn consent(&self) -> &Consent {
        &self.consent
    }

    fn description(&self, caller: &Principal) -> Result<Arc<Description>, Error> {
        if let Some(description) = self.instances.description(caller) {
            return Ok(description);
        }
        let server = self.name();
        let busy = || Error::new(Error::BUSY, format!("Too many requests wait for {server:?} to start"));
        let _place = self.instances.settings.pool.first_callers.take(caller.subject).ok_or_else(busy)?;
        let found = self.instances.wait_for(caller);
        found.map(|(_, greeting)| Arc::clone(&greeting.description)).map_err(|why| why.as_error(server))
    }

    fn call(&self, context: Context) {
        passed_call::pass(&self.instances, context);
    }

    /// A call that needs GitHub's token may block on a request to GitHub.
    fn is_quick(&self, caller: &Principal, _: Option<Operation>, _: &str) -> bool {
        !self.consent.keeps_github_tokens && self.instances.is_ready(caller)
    }

    fn passes_on(&self) -> bool {
        true
    }

    fn connect(&self, publisher: Publisher) {
        let _ = self.instances.publisher.set(publisher); // set once
    }

    fn interests_changed(&self, caller: &Principal) {
        // One that is being started gets them afterwards, so that nothing has to wait for it.
        if let Ok(instance) = self.instances.find(caller) {
            instance.restore();
        }
    }

    fn tool_rules(&self, caller: &Principal, tool: &str) -> Option<Arc<ToolRules>> {
        self.instances.listed.rules(caller.grant, tool)
    }

    fn is_read_only(&self, caller: &Principal, tool: &str) -> Option<bool> {
        self.instances.listed.is_read_only(caller.grant, tool)
    }

    /// Reads the peer's tool list on behalf of this caller, up to the page limit of any server.
    fn look_up(&self, caller: &Principal, tool: &str) {
        let (listed, reader) = (&self.instances.listed, (caller.subject, caller.grant));
        let changes = listed.changes(caller.grant);
        let Ok((instance, _)) = self.instances.wait_for(caller) else { return };
        let mut params = Members::default();
        for _ in 0..limits::bridge::LIST_PAGES {
            let Ok(page) = instance.peer.ask("tools/list", &params) else { return };
            listed.note(reader, Operation::List(List::Tools), &page);
            if self.is_read_only(caller, tool).is_some() {
                return;
            }
            let Some(cursor) = page.get("nextCursor") else { break };
            params = Members::default().with("cursor", &cursor).unwrap_or_default(); // a cursor is JSON
        }
        listed.looked_up(reader, changes);
    }

    fn known(&self, caller: &Principal, operation: Operation, name: &str) -> Option<Cow<'_, str>> {
        self.instances.listed.has(caller.grant, operation, name).then(|| Cow::Owned(name.to_owned()))
    }

    /// Lists may be recorded while their grant is being ended.
    fn grants(&self) -> Vec<GrantId> {
        [self.instances.grants(), self.instances.listed.some_grants()].concat()
    }

    fn keeps_sessions(&self) -> bool {
        self.instances.settings.isolation == Isolation::Session
    }

    fn end_grant(&self, grant: GrantId) {
        self.instances.end_grant(grant);
    }

    fn close(&self) {
        self.instances.close();
    }

    fn stop(&self, patience: Duration) {
        self.instances.stop(patience);
    }
}

#[cfg(test)]
mod tests;
