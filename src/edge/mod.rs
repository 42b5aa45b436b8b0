//! The door for the internet: an accept loop and one thread per connection, on std's sockets.
//!
//! It knows nothing of OAuth or MCP. Bytes become a checked [`http::Request`](crate::http::Request) or a refusal before
//! any other code sees them; everything that costs memory or a thread is capped first (H1-H13).

mod accept;
pub(crate) mod caps;
pub mod chunked;
mod connection;
pub mod head;
pub(crate) mod listener;
mod refusal;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod watch;
pub(crate) mod wire;

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use listener::{Access, Listener};
pub use refusal::Refusal;
pub use tls::Tls;

use crate::base::cancel::CancelToken;
use crate::base::capacity::Capacity;
use crate::base::counters::Counters;
use crate::base::lock::Mutex;
use crate::base::quota::Quota;
use crate::base::throttle::Throttle;
use crate::base::{clock, limits};
use crate::http::{Handler, TrustedProxies};
use crate::workers::Pool;
use caps::{Bodies, Connections};
use socket::Stream;
use watch::Watch;

/// The edge's numbers. The defaults are those of [`limits`]; tests use shorter times.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one IPv4 address or one IPv6 /64, loopback excepted.
    pub connections_per_address: usize,
    /// Open streams at once.
    pub streams: usize,
    /// Bytes of small bodies in memory, all together.
    pub body_bytes_in_flight: usize,
    /// Bytes of bodies above [`limits::UNCHECKED_BODY_BYTES`].
    pub large_body_bytes_in_flight: usize,
    /// Whose connections are of many people, and not counted by address.
    pub trusted_proxies: TrustedProxies,
    /// What encrypts; without it everything is in the clear.
    pub tls: Option<Arc<Tls>>,
    /// From the first byte of a connection to where requests can flow.
    pub handshake_deadline: Duration,
    /// From the first byte of a head to its last.
    pub head_deadline: Duration,
    /// A whole body.
    pub body_deadline: Duration,
    /// How long a body may start slowly.
    pub body_grace: Duration,
    /// How long a connection waits for its next request.
    pub keep_alive_idle: Duration,
    /// How long a write may make no progress.
    pub write_stall: Duration,
    /// How long a connection that was refused is read from after the answer, and a small refused body is waited for before it.
    pub drain_time: Duration,
    /// When the application is told that an answer takes long.
    pub slow_call: Duration,
    /// How often it is looked whether a waiting client is still there.
    pub client_check: Duration,
    /// How long a stream may be silent.
    pub stream_keep_alive: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::of(&Capacity::default())
    }
}

impl Settings {
    /// The defaults of a door that takes so much.
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

/// What a door has been doing, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Connections that are open; of the trusted door, requests that are being answered.
    pub connections: usize,
    /// Streams that are open.
    pub streams: usize,
    /// What was refused before there was a request, by reason, since the start.
    pub refusals: Vec<(&'static str, u64)>,
}

/// The running door.
pub struct Edge {
    shared: Arc<Shared>,
    /// The accept loop has the other end, and looks at it when this one is shut.
    wake: UnixStream,
    /// Taken when the door is closed.
    acceptor: Option<JoinHandle<()>>,
}

/// What all connections of one edge share.
struct Shared {
    handler: Arc<dyn Handler>,
    pool: Arc<Pool>,
    settings: Settings,
    connections: Connections,
    streams: Arc<Quota<()>>,
    watch: Watch,
    bodies: Bodies,
    refusals: Counters,
    /// Keeps connections that were turned away from filling the log.
    turned_away: Throttle,
    started: Instant,
    /// A [`Phase`].
    phase: AtomicU8,
    /// Tripped when the door closes; the accept loop pauses on it.
    closing: CancelToken,
    /// Guards the open connections, by number.
    links: Mutex<HashMap<u64, Arc<Link>>>,
}

/// What the door holds of a connection, to close it.
struct Link {
    stream: Arc<Stream>,
    /// Since when it waits for its client (milliseconds since the door opened), or one of the states below.
    waiting: AtomicU64,
}

/// A request runs, or a stream is open.
const BUSY: u64 = u64::MAX;
/// It waited the longest when room was needed, and was closed.
const GIVEN_UP: u64 = u64::MAX - 1;
/// A large body is being read: of an authenticated caller, so that it makes no room for others.
const RECEIVING: u64 = u64::MAX - 2;
/// The door closed before the request was whole: nothing more is read than what has arrived.
const SHUT: u64 = u64::MAX - 3;

/// What became of a connection before its request was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Open,
    /// It is no longer read from.
    Shut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Serving = 0,
    /// Requests that have arrived are answered, streams go on until the application ends them; nothing else is read.
    Draining = 1,
    /// Everything is cut off.
    Ended = 2,
}

impl Edge {
    /// Starts serving all of `listeners` as one: the limits are for their connections together.
    ///
    /// # Errors
    /// The operating system gives no thread, or a listener is none.
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
            watch: Watch::default(),
            bodies: Bodies::new(settings.body_bytes_in_flight, settings.large_body_bytes_in_flight),
            refusals: Counters::default(),
            turned_away: Throttle::new(1),
            started: clock::instant(),
            settings,
            phase: AtomicU8::new(0),
            closing: CancelToken::new(),
            links: Mutex::default(),
        });
        let watching = Arc::clone(&shared);
        // Ends when `Edge::end` closes the watch.
        thread::Builder::new()
            .name("edge-watch".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || watching.watch.run(watching.settings.client_check))?;
        let acceptor = accept::Acceptor::new(Arc::clone(&shared), woken)?;
        // Ends when it is woken by `Edge::close`.
        let acceptor =
            thread::Builder::new().name("edge-accept".to_owned()).spawn(move || acceptor.run(&listeners))?;
        Ok(Edge { shared, wake, acceptor: Some(acceptor) })
    }

    /// Connections that are open now.
    #[cfg(test)]
    pub fn connections(&self) -> usize {
        self.shared.connections.threads().held()
    }

    /// What gives its counts, also to whoever does not own the door.
    pub fn counter(&self) -> Box<dyn Fn() -> Counts + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Box::new(move || Counts {
            connections: shared.connections.threads().held(),
            streams: shared.streams.held(),
            refusals: shared.refusals.counts(),
        })
    }

    /// Closes the door (H13): no new connections; those without a whole request end at once. What runs goes on, and is answered
    /// with `Connection: close`.
    pub fn close(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.shared.phase.store(Phase::Draining as u8, Ordering::SeqCst);
        self.shared.closing.trip();
        let _ = self.wake.shutdown(Shutdown::Both);
        let _ = acceptor.join(); // after this nobody listens, and no connection is added
        for link in self.shared.lock_links().values() {
            link.shut();
        }
    }

    /// Waits for the connections of a closed door to end. Returns whether all of them have within `patience`.
    pub fn wait(&self, patience: Duration) -> bool {
        self.shared.connections.threads().wait_below(1, patience)
    }

    /// Closes the door and cuts off what has not ended after `patience`.
    pub fn stop(mut self, patience: Duration) {
        self.end(patience);
    }

    fn end(&mut self, patience: Duration) {
        self.close();
        let over = self.wait(patience);
        self.shared.phase.store(Phase::Ended as u8, Ordering::SeqCst);
        self.shared.watch.close();
        if over {
            return;
        }
        for link in self.shared.lock_links().values() {
            let _ = link.stream.shutdown(Shutdown::Both);
        }
        // A thread that waits for a worker looks at the phase this often.
        self.wait(self.shared.settings.client_check.saturating_mul(2));
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl Shared {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            _ => Phase::Ended,
        }
    }

    fn lock_links(&self) -> MutexGuard<'_, HashMap<u64, Arc<Link>>> {
        self.links.lock()
    }

    /// Milliseconds since the door opened.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(SHUT - 1)
    }

    /// Gives up the connection that has waited longest for its client, and sees it end: whoever opens many and says little
    /// makes room for those who have something to say (H6). Says whether there was one.
    fn make_room(&self) -> bool {
        let before = self.connections.threads().held();
        let links = self.lock_links();
        let now = self.now();
        let waiting = links.values().map(|link| (link.waiting.load(Ordering::SeqCst), link));
        let longest = waiting.filter(|(since, _)| *since <= now).min_by_key(|(since, _)| *since);
        if !longest.is_some_and(|(since, link)| link.give_up(since)) {
            return false;
        }
        drop(links);
        self.connections.threads().wait_below(before, limits::MAKE_ROOM_PAUSE);
        true
    }
}

impl Link {
    /// Takes on a state in which the door may close the connection, unless it has done so already. A time means that the
    /// connection waits for its client since then, who may keep it only as long as there is room.
    fn wait_since(&self, since: u64) {
        let closed = |state| [GIVEN_UP, SHUT].contains(&state);
        let _ = self
            .waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| (!closed(state)).then_some(since));
    }

    /// A whole request is there: the connection stays until it is answered. `None` if it was given up before.
    fn keep(&self) -> Option<Kept> {
        match self.waiting.swap(BUSY, Ordering::SeqCst) {
            GIVEN_UP => None,
            SHUT => Some(Kept::Shut),
            _ => Some(Kept::Open),
        }
    }

    /// Closes it, unless it has stopped waiting.
    fn give_up(&self, since: u64) -> bool {
        let given_up =
            self.waiting.compare_exchange(since, GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if given_up {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        given_up
    }

    /// Ends the reading, unless a whole request has been read. What has arrived can still be read, then comes the end.
    fn shut(&self) {
        let unfinished = |state| ![BUSY, GIVEN_UP].contains(&state);
        let update = |state| unfinished(state).then_some(SHUT);
        if self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update).is_ok() {
            let _ = self.stream.shutdown(Shutdown::Read);
        }
    }
}
