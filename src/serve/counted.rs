//! The numbers of a running server that are looked up for `/metrics` and `status`.

use std::fmt::Display;
use std::sync::Arc;

use crate::audit;
use crate::base::Timestamp;
use crate::bridge::{Bridges, ServerSummary};
use crate::edge::DoorState;
use crate::github::GitHub;
use crate::mcp::Mcp;
use crate::metrics::{self, Page};
use crate::operator::Running;
use crate::store::Grants;
use crate::workers::Pool;

/// The sources of these numbers.
pub(super) struct Counted {
    pub(super) version: &'static str,
    pub(super) started: Timestamp,
    pub(super) door: Arc<DoorState>,
    pub(super) pool: Arc<Pool>,
    /// Of any of the servers: they count together.
    pub(super) mcp: Mcp,
    pub(super) grants: Arc<dyn Grants>,
    pub(super) github: Arc<GitHub>,
    pub(super) bridges: Option<Arc<Bridges>>,
}

impl Counted {
    fn servers(&self) -> Vec<ServerSummary> {
        self.bridges.as_ref().map(|bridges| bridges.list()).unwrap_or_default()
    }

    pub(super) fn running(&self) -> Running {
        let counts = self.mcp.counts();
        Running {
            version: self.version.to_owned(),
            since: self.started.rfc3339(),
            sessions: counts.sessions,
            streams: self.door.streams.held(),
            calls: counts.calls,
            programs: self.servers().iter().map(|server| server.running).sum(),
        }
    }

    pub(super) fn add_to(&self, page: &mut Page) {
        let (mcp, servers) = (self.mcp.counts(), self.servers());
        let help = "Connections and request heads that a listener refused, by reason.";
        page.counters("mcp_door_refusals_total", help, "reason", &self.door.refusals.counts());
        let help = "Requests that break the protocol and were served, by kind.";
        page.counters("mcp_tolerated_total", help, "kind", &self.mcp.tolerated());
        let help = "Lines for the audit log: written, or failed.";
        page.counters("mcp_audit_lines_total", help, "outcome", &audit::counts());
        let calls = self.github.outcomes();
        page.counters("mcp_github_calls_total", "Calls to GitHub by outcome.", "outcome", &calls);
        page.family("mcp_build_info", "gauge", "Always 1; the label says which version runs.");
        page.sample("mcp_build_info", &[("version", &self.version.escape_default().to_string())], 1);
        let mut by_server = |name: &str, kind, help, value: fn(&ServerSummary) -> &dyn Display| {
            page.family(name, kind, help);
            for server in &servers {
                page.sample(name, &[("server", &server.name.escape_default().to_string())], value(server));
            }
        };
        let help = "Programs that run, or sessions at an upstream.";
        by_server("mcp_programs", "gauge", help, |it| &it.running);
        let help = "Starts of programs after a failure, and ends by `servers restart`.";
        by_server("mcp_program_restarts_total", "counter", help, |it| &it.restarts);
        let help = "Programs that died or could not be started.";
        by_server("mcp_program_failures_total", "counter", help, |it| &it.failures);
        page.gauge("mcp_connections", "Open connections.", self.door.running.held());
        page.gauge("mcp_streams", "Open streams.", self.door.streams.held());
        page.gauge("mcp_sessions", "Sessions of the older protocol era.", mcp.sessions);
        page.gauge("mcp_listeners", "Open subscriptions of the newer era.", mcp.listeners);
        page.gauge("mcp_calls", "Calls that run.", mcp.calls);
        page.gauge("mcp_queue", "Requests that wait for a worker.", self.pool.waiting());
        page.gauge("mcp_workers", "Workers that run.", self.pool.workers());
        let help = "Start of the server, in seconds since 1970.";
        page.gauge("process_start_time_seconds", help, self.started.0);
        // A number that cannot be read is left out, which a monitor can tell from zero.
        if let Ok(grants) = self.grants.count() {
            page.gauge("mcp_grants", "Grants in the table.", grants);
        }
        if let Some(bytes) = metrics::resident_bytes() {
            page.gauge("process_resident_memory_bytes", "Memory in RAM.", bytes);
        }
    }
}
