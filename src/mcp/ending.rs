//! The end of the state of a grant, of unused state, and of the endpoint as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::session::Kind;
use super::table::{Owner, Row};
use super::{Core, Mcp};
use crate::base::{GrantId, outlive};

impl Mcp {
    /// Ends the state of a grant at once: its sessions, streams, calls and tasks. A service token may lose one server alone, named by its
    /// URI.
    pub fn end_grant(&self, grant: GrantId, server: Option<&str>) {
        let is_there = |owner: &Owner| server.is_none_or(|server| *owner.server == *server);
        let is_meant = |owner: &Owner| owner.grant == grant && is_there(owner);
        self.0.calls.end_where(is_meant);
        outlive(|| self.0.settings.backend.end_grant(grant));
        self.0.tasks.end_where(|task| is_meant(task.owner()));
        self.0.subscribers.sessions.end_where(|session| is_meant(session.owner()));
        self.0.subscribers.end_where(is_meant);
    }

    /// Ends the sessions and streams of all servers but these, named by their URIs.
    pub fn keep_only(&self, servers: &[Arc<str>]) {
        let is_gone = |owner: &Owner| !servers.contains(&owner.server);
        self.0.subscribers.sessions.end_where(|session| is_gone(session.owner()));
        self.0.subscribers.close_where(|subscription| is_gone(&subscription.owner));
    }

    /// The grants of the sessions, streams and calls of this server.
    pub fn grants(&self) -> BTreeSet<GrantId> {
        let Core { settings, subscribers, calls, .. } = &*self.0;
        let (sessions, subscriptions) = (subscribers.sessions.all(), subscribers.subscriptions());
        let owners = sessions.iter().map(|session| session.owner());
        let owners = owners.chain(subscriptions.iter().map(|subscription| &subscription.owner));
        let here = owners.filter(|owner| owner.server == settings.resource);
        let mut grants: BTreeSet<GrantId> = here.map(|owner| owner.grant).collect();
        grants.extend(calls.grants_at(&settings.resource));
        grants.extend(outlive(|| settings.backend.grants()).unwrap_or_default());
        grants
    }

    /// Ends unused sessions and streams, and calls that run for too long. To be called every `SWEEP`.
    pub fn sweep(&self) {
        let now = self.0.settings.clock.monotonic();
        self.0.calls.sweep(now);
        self.0.subscribers.sessions.sweep(now);
        self.0.tasks.sweep(now);
        self.0.subscribers.sweep(now);
        if self.0.closing.is_tripped() {
            // Not earlier: a message to it may have waited for a worker when the server began to stop.
            self.0.subscribers.sessions.end_where(|each| each.kind == Kind::HttpSse && !each.is_busy());
        }
    }

    /// Lets running calls finish, for a server that stops. Streams that belong to no call end, and so do tasks, whose results no
    /// client could fetch any more. The stream of an HTTP+SSE client brings the answers of calls and ends with the last of them.
    pub fn close(&self) {
        self.0.closing.trip();
        self.0.tasks.end_where(|_| true);
        self.0.settings.backend.close();
        self.0.end_open_streams();
    }

    /// Ends all sessions and all calls that still run; the callers get an error with the reason.
    pub fn give_up(&self) {
        self.0.calls.close("The server is stopping: call again in a moment");
        self.0.subscribers.sessions.end_where(|_| true);
    }

    /// Stops the backend, after the calls. Waits up to `patience`.
    pub fn stop_backend(&self, patience: Duration) {
        self.0.settings.backend.stop(patience);
    }
}

impl Core {
    /// Ends the streams that belong to no call, if the server is stopping. Also called after each request, which may have opened
    /// one meanwhile.
    pub(super) fn end_open_streams(&self) {
        if !self.closing.is_tripped() {
            return;
        }
        self.subscribers.close_where(|_| true);
        let sessions = self.subscribers.sessions.all();
        let others = sessions.iter().filter(|each| each.kind != Kind::HttpSse);
        others.for_each(|each| each.standalone.finish());
    }
}
