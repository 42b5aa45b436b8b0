//! The configured capacity of a server, and the limits that are derived from it.

use super::limits;

/// Limits on concurrent connections, streams and sessions. The defaults are those of [`limits`]; [`Capacity::fault`] checks that they
/// fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Connections, one thread each.
    pub connections: usize,
    /// Open streams, each on one of these connections.
    pub streams: usize,
    /// Sessions of the legacy era.
    pub sessions: usize,
    /// Open streams of one user.
    pub streams_per_user: usize,
    /// Sessions of one user; at the limit, the least recently used one is ended.
    pub sessions_per_user: usize,
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity {
            connections: limits::CONNECTIONS,
            streams: limits::STREAMS,
            sessions: limits::SESSIONS,
            streams_per_user: limits::STREAMS_PER_USER,
            sessions_per_user: limits::SESSIONS_PER_USER,
        }
    }
}

impl Capacity {
    /// A description of values that do not fit together: streams must leave connections for logins and calls.
    pub fn fault(&self) -> Option<&'static str> {
        let kept_free = self.connections.div_ceil(4);
        (self.streams > self.connections.saturating_sub(kept_free)).then_some(
            "a quarter of the connections stays free for logins and calls: lower it, or raise MCP_MAX_CONNECTIONS",
        )
    }

    /// Connections from one IPv4 address or one IPv6 /64: an eighth of all.
    pub fn connections_per_address(&self) -> usize {
        self.connections.div_ceil(8)
    }

    /// Requests that wait for a worker: each connection has one at a time; those of the operator's socket are additional.
    pub fn queue(&self) -> usize {
        self.connections.saturating_mul(2)
    }

    /// Requests that the door for a trusted proxy serves concurrently; one more is answered 503. Each holds a thread, a stream as long
    /// as it is open. The proxy should open no more connections than this.
    pub fn tiny_threads(&self) -> usize {
        self.streams.saturating_add(limits::TINY_THREADS_BESIDE_STREAMS)
    }

    /// Descriptors that the process needs with the edge: one per connection, and those of everything else.
    pub fn descriptors(&self) -> usize {
        self.connections.saturating_add(limits::DESCRIPTORS_BESIDE_CONNECTIONS)
    }

    /// Descriptors that the process needs behind a proxy, where tiny_http takes two per connection.
    pub fn tiny_descriptors(&self) -> usize {
        let of_connections = self.tiny_threads().saturating_mul(limits::TINY_DESCRIPTORS_PER_CONNECTION);
        of_connections.saturating_add(limits::DESCRIPTORS_BESIDE_CONNECTIONS)
    }
}

#[cfg(test)]
mod tests;
