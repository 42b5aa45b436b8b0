//! The public door: an accept loop and one thread per connection, on std's sockets.
//!
//! It knows nothing of OAuth or MCP. Bytes become a checked [`http::Request`](crate::http::Request) or a refusal before
//! any other code sees them; everything that costs memory or a thread is bounded first (H1-H13).

mod accept;
pub(crate) mod body_budget;
pub mod chunked;
mod connection;
mod connections;
pub mod head;
pub(crate) mod listener;
mod refusal;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod wire;

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use listener::{Access, Listener};
pub use refusal::Refusal;
pub use tls::Tls;

use crate::base::cancel::CancelToken;
use crate::base::capacity::Capacity;
use crate::base::counters::Counters;
use crate::base::limits;
use crate::base::quota::Quota;
use crate::base::throttle::Throttle;
use crate::http::{Handler, TrustedProxies};
use crate::workers::Pool;
use body_budget::BodyBudget;
use connections::Connections;

/// The limits and timeouts of an edge. The defaults are those of [`limits`]; tests use shorter timeouts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one IPv4 address or one IPv6 /64, loopback excepted.
    pub connections_per_address: usize,
    /// Open streams at once.
    pub streams: usize,
    /// Total bytes of small bodies in memory.
    pub body_bytes_in_flight: usize,
    /// Total bytes of bodies above [`limits::UNCHECKED_BODY_BYTES`] in memory.
    pub large_body_bytes_in_flight: usize,
    /// Proxies, whose connections carry many people and are not counted by address.
    pub trusted_proxies: TrustedProxies,
    /// The TLS settings; `None` serves TCP in the clear.
    pub tls: Option<Arc<Tls>>,
    /// For the TLS handshake.
    pub handshake_deadline: Duration,
    /// From the first byte of a head to its last.
    pub head_deadline: Duration,
    /// For a whole body.
    pub body_deadline: Duration,
    /// How long, at its start, a body may be slower than [`limits::BODY_BYTES_PER_SECOND`].
    pub body_grace: Duration,
    /// How long a connection waits for its next request.
    pub keep_alive_idle: Duration,
    /// How long a write may make no progress.
    pub write_stall: Duration,
    /// Bounds two waits: before the answer, for the rest of a small refused body; after it, for the client to read it.
    pub drain_time: Duration,
    /// The time without an answer after which the hook of [`crate::http::Responder::when_slow`] runs.
    pub slow_call: Duration,
    /// The interval in which waiting clients are checked for disconnection.
    pub client_check: Duration,
    /// The maximum time that a stream may be silent.
    pub stream_keep_alive: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::of(&Capacity::default())
    }
}

impl Settings {
    /// The default limits of a door for this capacity.
    pub fn of(capacity: &Capacity) -> Settings {
        Settings {
            connections: capacity.connections,
            connections_per_address: capacity.connections_per_address(),
            streams: capacity.streams,
            body_bytes_in_flight: capacity.body_bytes_in_flight(),
            large_body_bytes_in_flight: limits::LARGE_BODY_BYTES_IN_FLIGHT,
            trusted_proxies: TrustedProxies::default(),
            tls: None,
            handshake_deadline: limits::HANDSHAKE_DEADLINE,
            head_deadline: limits::HEAD_DEADLINE,
            body_deadline: limits::BODY_DEADLINE,
            body_grace: limits::BODY_GRACE,
            keep_alive_idle: limits::KEEP_ALIVE_IDLE,
            write_stall: limits::WRITE_STALL,
            drain_time: limits::DRAIN_TIME,
            slow_call: limits::SLOW_CALL,
            client_check: limits::CLIENT_CHECK,
            stream_keep_alive: limits::STREAM_KEEP_ALIVE,
        }
    }
}

/// The counts of a door, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Open connections; for the trusted door, requests that are being answered.
    pub connections: usize,
    /// Open streams.
    pub streams: usize,
    /// Refusals before there was a request, by reason, since the start.
    pub refusals: Vec<(&'static str, u64)>,
}

/// A running door: for strangers an [`Edge`], for a trusted peer a [`Tiny`](crate::tiny::Tiny).
pub trait Door {
    /// A function that returns the door's counts, also for callers that do not own the door.
    fn counter(&self) -> Box<dyn Fn() -> Counts + Send + Sync>;

    /// Stops accepting connections (H13). Running requests continue.
    fn close(&mut self);

    /// Waits until a closed door has answered everything. Returns whether it has within `patience`.
    fn wait(&self, patience: Duration) -> bool;

    /// Closes the door, and after `patience` cuts off the rest as far as possible.
    fn stop(&mut self, patience: Duration);
}

/// The door for strangers.
pub struct Edge {
    shared: Arc<Shared>,
    /// Shutting it down wakes the accept loop, which polls the other end.
    wake: UnixStream,
    /// Taken when the door is closed.
    acceptor: Option<JoinHandle<()>>,
}

/// The state shared by all connections of one edge.
struct Shared {
    handler: Arc<dyn Handler>,
    pool: Arc<Pool>,
    settings: Settings,
    connections: Arc<Connections>,
    streams: Arc<Quota<()>>,
    bodies: BodyBudget,
    refusals: Counters,
    /// Bounds the log lines about connections that were refused or evicted.
    log_limit: Throttle,
    /// Tripped when the door closes: requests that have arrived are answered, streams continue until the application ends them;
    /// nothing else is read.
    closing: CancelToken,
    /// Tripped when everything is cut off.
    ended: CancelToken,
}

impl Edge {
    /// Starts serving all of `listeners` as one: the limits apply to their connections together.
    ///
    /// # Errors
    /// The operating system cannot start a thread, or refuses an option of a listener.
    pub fn start(
        listeners: Vec<Listener>,
        handler: Arc<dyn Handler>,
        pool: Arc<Pool>,
        settings: Settings,
    ) -> io::Result<Edge> {
        for listener in &listeners {
            listener.tune(settings.write_stall)?;
        }
        let (wake, woken) = UnixStream::pair()?;
        let shared = Arc::new(Shared {
            handler,
            pool,
            connections: Connections::new(settings.connections, settings.connections_per_address),
            streams: Quota::in_total(settings.streams),
            bodies: BodyBudget::new(settings.body_bytes_in_flight, settings.large_body_bytes_in_flight),
            refusals: Counters::default(),
            log_limit: Throttle::new(1),
            settings,
            closing: CancelToken::new(),
            ended: CancelToken::new(),
        });
        let watching = Arc::clone(&shared);
        // Ends when `Edge::stop` trips `ended`.
        thread::Builder::new()
            .name("edge-watch".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || {
                watching.connections.watch_streams(watching.settings.client_check, &watching.ended)
            })?;
        let acceptor = accept::Acceptor::new(Arc::clone(&shared), woken)?;
        // Ends when it is woken by `Edge::close`.
        let acceptor =
            thread::Builder::new().name("edge-accept".to_owned()).spawn(move || acceptor.run(&listeners))?;
        Ok(Edge { shared, wake, acceptor: Some(acceptor) })
    }

    /// The number of open connections.
    #[cfg(test)]
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }
}

impl Door for Edge {
    fn counter(&self) -> Box<dyn Fn() -> Counts + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Box::new(move || Counts {
            connections: shared.connections.count(),
            streams: shared.streams.held(),
            refusals: shared.refusals.counts(),
        })
    }

    /// Connections without a whole request end at once. Running requests are answered with `Connection: close`.
    fn close(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.shared.closing.trip();
        let _ = self.wake.shutdown(Shutdown::Both);
        let _ = acceptor.join(); // after this no connection is added
        self.shared.connections.shut();
    }

    fn wait(&self, patience: Duration) -> bool {
        self.shared.connections.wait_for_end(patience)
    }

    fn stop(&mut self, patience: Duration) {
        self.close();
        let over = self.wait(patience);
        self.shared.ended.trip();
        if over {
            return;
        }
        self.shared.connections.cut();
        // A thread that waits for a worker checks `ended` in this interval.
        self.wait(self.shared.settings.client_check.saturating_mul(2));
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}
