//! The numbers of a running server that are looked up for `/metrics` and `status`.

use std::sync::Arc;

use crate::audit;
use crate::base::clock::Timestamp;
use crate::bridge::{Bridges, ServerSummary};
use crate::edge::DoorState;
use crate::github::GitHub;
use crate::mcp::Mcp;
use crate::metrics::{self, Snapshot};
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

    pub(super) fn snapshot(&self) -> Snapshot {
        let (door, mcp) = (&self.door, self.mcp.counts());
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut gauges = vec![
            ("mcp_connections", "Open connections.", number(door.running.held())),
            ("mcp_streams", "Open streams.", number(door.streams.held())),
            ("mcp_sessions", "Sessions of the older protocol era.", number(mcp.sessions)),
            ("mcp_listeners", "Open subscriptions of the newer.", number(mcp.listeners)),
            ("mcp_calls", "Calls that run.", number(mcp.calls)),
            ("mcp_queue", "Requests that wait for a worker.", number(self.pool.waiting())),
            ("mcp_workers", "Workers that run.", number(self.pool.workers())),
            ("process_start_time_seconds", "Start of the server, in seconds since 1970.", self.started.0),
        ];
        // A number that cannot be read is left out, which a monitor can tell from zero.
        if let Ok(grants) = self.grants.count() {
            gauges.push(("mcp_grants", "Grants in the table.", grants));
        }
        if let Some(bytes) = metrics::resident_bytes() {
            gauges.push(("process_resident_memory_bytes", "Memory in RAM.", bytes));
        }
        let (version, github_calls) = (self.version, self.github.outcomes());
        let tolerated = self.mcp.tolerated();
        let servers = self.servers().into_iter();
        let servers =
            servers.map(|server| (server.name, [number(server.running), server.restarts, server.failures]));
        let servers = servers.collect();
        let audit_lines = audit::counts().into_iter().flatten().collect();
        Snapshot {
            version,
            gauges,
            github_calls,
            door_refusals: door.refusals.counts(),
            tolerated,
            audit_lines,
            servers,
        }
    }
}
