//! The public door: an accept loop and one thread per connection, on std's sockets.
//!
//! It knows nothing of OAuth or MCP. Bytes become a checked [`http::Request`](crate::http::Request) or a refusal before
//! any other code sees them; everything that costs memory or a thread is bounded first (H1-H13).

mod accept;
pub mod chunked;
mod connection;
mod connections;
mod door;
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
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use door::{Door, DoorState};
pub use listener::{Access, Listener};
pub use refusal::Refusal;
pub use tls::Tls;

use crate::base::{Capacity, limits};
use crate::http::{Handler, TrustedProxies};
use crate::workers::Pool;

/// The limits and timeouts of a door. The defaults are those of [`limits`]; tests use shorter timeouts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one IPv4 address or one IPv6 /64, loopback excepted.
    pub connections_per_address: usize,
    /// Open streams at once.
    pub streams: usize,
    /// Total bytes of bodies above [`limits::UNCHECKED_BODY_BYTES`] in memory.
    pub large_body_bytes_in_flight: usize,
    /// Proxies, whose connections carry many people and are not counted by address.
    pub trusted_proxies: TrustedProxies,
    /// The TLS settings; `None` serves TCP in the clear.
    pub tls: Option<Arc<Tls>>,
    /// From the first byte of a head to its last. For a TLS handshake as well, from the start of its connection.
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
            large_body_bytes_in_flight: limits::LARGE_BODY_BYTES_IN_FLIGHT,
            trusted_proxies: TrustedProxies::default(),
            tls: None,
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

/// Opens a door for strangers, which serves all of `listeners` as one: the limits apply to their connections together.
///
/// # Errors
/// The operating system cannot start a thread, or refuses an option of a listener.
pub fn open(
    listeners: Vec<Listener>,
    handler: Arc<dyn Handler>,
    pool: Arc<Pool>,
    settings: Settings,
) -> io::Result<Door> {
    for listener in &listeners {
        listener.tune(settings.write_stall)?;
    }
    let (shutter, woken) = UnixStream::pair()?;
    let state = DoorState::new(handler, pool, settings);
    let watched = Arc::clone(&state);
    // Ends when `Door::stop` trips `ended`.
    thread::Builder::new()
        .name("edge-watch".to_owned())
        .stack_size(limits::CONNECTION_STACK_BYTES)
        .spawn(move || watched.connections.watch_streams(watched.settings.client_check, &watched.ended))?;
    let acceptor = accept::Acceptor::new(Arc::clone(&state), woken)?;
    // Ends when `Door::close` shuts the other end of `woken`, which its accept loop polls.
    let acceptor =
        thread::Builder::new().name("edge-accept".to_owned()).spawn(move || acceptor.run(&listeners))?;
    Ok(Door { state, shutter, acceptor: Some(acceptor) })
}
