//! The trusted door: the accept loop of tiny_http, for the operator's Unix socket and for a reverse proxy on the same
//! machine. Same queue, same workers, same checks of a head as the edge.
//!
//! What tiny_http 0.12 cannot be defended against from outside, and why nothing else may be let in here:
//! - it has no timeouts and no limit on the size of a head: whoever connects can hold memory and threads;
//! - there is no way to stop waiting for a body. A few threads do nothing else (`lane`), so slow senders delay each other
//!   and nobody who sends no body, but they do so for as long as their proxy lets them;
//! - what is missing of a body, unread or cut off, is allocated. We read past every body ourselves; a request with a giant
//!   one is leaked, with its connection and a thread, and the log asks for a restart;
//! - it joins a folded header line into the field before it, and of a chunked body neither a cut-off end nor an
//!   oversized size line can be seen: chunked bodies are refused;
//! - a malformed or second Content-Length is refused, but the connection cannot be closed: what follows is taken for
//!   the next request;
//! - it does not tell when a client has gone: running requests and silent streams find out when they write;
//! - some connections of a burst wait for ever for one of its threads, and its accept loop ends at the first error. Both
//!   are watched: the former are moved on within a fraction of a second, the latter is built anew on the same socket.

mod exchange;
mod lane;
#[cfg(test)]
mod socket_tests;

use std::io;
#[cfg(test)]
use std::net::SocketAddr;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::lane::{Lane, Ready};
use crate::base::cancel::CancelToken;
use crate::base::capacity::Capacity;
use crate::base::counters::Counters;
use crate::base::lock::{Mutex, wait_timeout};
use crate::base::log::{self, Field};
use crate::base::{clock, limits};
pub use crate::edge::Access;
use crate::edge::caps::{Bodies, Cap, Share};
use crate::edge::listener::{bind_unix, widen};
use crate::edge::{Counts, Refusal};
use crate::http::{Handler, Response};
use crate::server::Pool;
use crate::sys;

/// What a door is made of.
pub struct Parts {
    /// What answers.
    pub handler: Arc<dyn Handler>,
    /// On whose threads.
    pub pool: Arc<Pool>,
    /// How much at once.
    pub capacity: Capacity,
}

/// The running door.
pub struct Tiny {
    shared: Arc<Shared>,
    /// Taken when the door is closed.
    watcher: Option<JoinHandle<()>>,
}

struct Shared {
    handler: Arc<dyn Handler>,
    pool: Arc<Pool>,
    listener: Listening,
    /// The listener once more: std lets nothing but a stream be shut, and shut it makes every `accept` fail.
    ending: UnixStream,
    /// Tripped when the door closes.
    closing: CancelToken,
    /// Tripped when it waits for nothing any more.
    ended: CancelToken,
    /// Threads of this door, over all generations of tiny_http's server.
    threads: Arc<Cap>,
    streams: Arc<Cap>,
    bodies: Bodies,
    /// Requests whose bodies we read ourselves.
    lane: Lane,
    /// Requests that could neither be served nor dropped.
    leaked: AtomicU64,
    refusals: Counters,
    /// Whether a request has come since the watcher last looked.
    requested: AtomicBool,
    /// Guards the number of requests that are being answered.
    busy: Mutex<usize>,
    /// Wakes [`Tiny::stop`] when one has been answered.
    answered: Condvar,
}

/// One server of tiny_http. A new one takes its place when its accept loop has ended.
struct Generation {
    server: tiny_http::Server,
    /// Threads that wait for a request in `server`.
    idle: AtomicUsize,
    replaced: AtomicBool,
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Tiny {
    /// Listens on a Unix socket at `path`. One that a server left behind is replaced; one in use is not.
    ///
    /// # Errors
    /// Another server listens there, something else is in the way, or what the operating system says.
    pub fn start_unix(path: &Path, access: Access, parts: Parts) -> io::Result<Tiny> {
        let listener = bind_unix(path, access)?;
        Tiny::start(Listening::Unix(listener, path.to_owned()), parts)
    }

    /// Serves a TCP listener, for a reverse proxy on this machine.
    ///
    /// # Errors
    /// The listener's address is not loopback, or what the operating system says.
    pub fn start_tcp(listener: TcpListener, parts: Parts) -> io::Result<Tiny> {
        if !listener.local_addr()?.ip().is_loopback() {
            let words = "the door for a reverse proxy must be on loopback or a Unix socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        // Linux copies this to accepted sockets; tiny_http does not set it.
        sys::set_option(&listener, (libc::IPPROTO_TCP, libc::TCP_NODELAY), 1)?;
        Tiny::start(Listening::Tcp(widen(listener)?), parts)
    }

    fn start(listener: Listening, Parts { handler, pool, capacity }: Parts) -> io::Result<Tiny> {
        let ending = UnixStream::from(listener.as_fd().try_clone_to_owned()?);
        let shared = Arc::new(Shared {
            handler,
            pool,
            listener,
            ending,
            closing: CancelToken::new(),
            ended: CancelToken::new(),
            threads: Cap::new(capacity.tiny_threads()),
            streams: Cap::new(capacity.streams),
            bodies: Bodies::new(capacity.body_bytes_in_flight(), limits::LARGE_BODY_BYTES_IN_FLIGHT),
            lane: Lane::default(),
            leaked: AtomicU64::new(0),
            refusals: Counters::default(),
            requested: AtomicBool::new(false),
            busy: Mutex::new(0),
            answered: Condvar::new(),
        });
        let first = shared.generation()?;
        let watched = Arc::clone(&shared);
        // Ends when `Tiny::close` trips `closing` and shuts the listener.
        let watcher =
            thread::Builder::new().name("tiny-watch".to_owned()).spawn(move || watched.watch(first))?;
        Ok(Tiny { shared, watcher: Some(watcher) })
    }

    /// The address, if it is a TCP address.
    #[cfg(test)]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.shared.listener {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(..) => None,
        }
    }

    /// What gives its counts, also to whoever does not own the door.
    pub fn counter(&self) -> Box<dyn Fn() -> Counts + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Box::new(move || Counts {
            connections: *shared.lock_busy(),
            streams: shared.streams.used(),
            refusals: shared.refusals.counts(),
        })
    }

    /// Closes the door (H13): no new connections. What runs goes on. Connections that are open and idle stay so until the process
    /// ends: tiny_http keeps them.
    pub fn close(&mut self) {
        let Some(watcher) = self.watcher.take() else { return };
        self.shared.closing.trip();
        let _ = self.shared.ending.shutdown(Shutdown::Both);
        let _ = watcher.join();
        if let Listening::Unix(_, path) = &self.shared.listener {
            let _ = std::fs::remove_file(path); // a stale one is replaced at the next start anyway
        }
    }

    /// Waits until everything is answered. Returns whether it was within `patience`.
    pub fn wait(&self, patience: Duration) -> bool {
        let deadline = clock::instant() + patience;
        let mut busy = self.shared.lock_busy();
        while *busy > 0 {
            let left = deadline.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return false;
            }
            busy = wait_timeout(&self.shared.answered, busy, left);
        }
        true
    }

    /// Closes the door; what is not answered after `patience` is left alone, streams are ended.
    pub fn stop(mut self, patience: Duration) {
        self.end(patience);
    }

    fn end(&mut self, patience: Duration) {
        self.close();
        if !self.wait(patience) {
            self.shared.ended.trip();
        }
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl Listening {
    fn try_clone(&self) -> io::Result<tiny_http::Listener> {
        match self {
            Listening::Tcp(listener) => listener.try_clone().map(Into::into),
            Listening::Unix(listener, _) => listener.try_clone().map(Into::into),
        }
    }

    /// Connects and leaves. Only while nobody waits to be accepted, so that this does not wait either.
    fn nudge(&self) {
        match self {
            Listening::Tcp(listener) => drop(listener.local_addr().and_then(TcpStream::connect)),
            Listening::Unix(_, path) => drop(UnixStream::connect(path)),
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listening::Tcp(listener) => listener.as_fd(),
            Listening::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Shared {
    fn refusal(&self, refusal: Refusal) -> Response {
        self.refusals.count(refusal.word());
        refusal.response()
    }

    fn lock_busy(&self) -> std::sync::MutexGuard<'_, usize> {
        self.busy.lock()
    }

    /// A new server on the same socket, and the first thread that waits for its requests.
    fn generation(self: &Arc<Shared>) -> io::Result<Arc<Generation>> {
        let server =
            tiny_http::Server::from_listener(self.listener.try_clone()?, None).map_err(io::Error::other)?;
        let generation =
            Arc::new(Generation { server, idle: AtomicUsize::new(0), replaced: AtomicBool::new(false) });
        self.add_thread(&generation)?;
        Ok(generation)
    }

    /// Looks after tiny_http until the door closes.
    fn watch(self: Arc<Shared>, mut current: Arc<Generation>) {
        let (mut unaccepted, mut active): (u32, u32) = (0, 0);
        let mut pause = limits::TINY_REBUILD_PAUSE;
        while !self.closing.wait(limits::TINY_WATCH_STEP) {
            active = if self.requested.swap(false, Ordering::Relaxed) {
                limits::TINY_ACTIVE_STEPS
            } else {
                active
            };
            if !sys::are_ready(&[&self.listener], libc::POLLIN, 0).contains(&true) {
                (unaccepted, pause) = (0, limits::TINY_REBUILD_PAUSE);
                active = self.nudge(active);
                continue;
            }
            unaccepted = unaccepted.saturating_add(1);
            if unaccepted < limits::TINY_DEAD_STEPS {
                continue;
            }
            log::error("tiny.accept_ended", &[Field::Hint("it is started again")]);
            if let Ok(next) = self.generation() {
                current.replaced.store(true, Ordering::Relaxed);
                current = next;
            }
            let _ = self.closing.wait(pause);
            pause = pause.saturating_mul(2).min(limits::TINY_REBUILD_PAUSE_MAX);
        }
    }

    /// Of connections that come in one burst, tiny_http queues some behind threads that are taken already, where they
    /// stay until another connection ends. Connecting and leaving makes it start a thread, which then takes one of
    /// them. Done while requests come and `active` times after; gives how many times are left.
    fn nudge(&self, active: u32) -> u32 {
        if active > 0 {
            (0..limits::TINY_NUDGES).for_each(|_| self.listener.nudge());
        }
        active.saturating_sub(1)
    }

    fn add_thread(self: &Arc<Shared>, generation: &Arc<Generation>) -> io::Result<()> {
        let mut share = self.threads.share();
        if !share.grow(1) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (shared, generation) = (Arc::clone(self), Arc::clone(generation));
        generation.idle.fetch_add(1, Ordering::SeqCst);
        let counted = Arc::clone(&generation);
        // Ends when it has waited for `limits::TINY_IDLE` and another thread waits, too, or the door is closed.
        let spawned = thread::Builder::new()
            .name("tiny-request".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || shared.attend(&generation, share));
        spawned.map(drop).inspect_err(|_| {
            counted.idle.fetch_sub(1, Ordering::SeqCst);
        })
    }

    /// Takes requests, one at a time. There is always a thread that waits for the next: whoever would leave none adds
    /// one, or, at the cap, does not do what may take long.
    fn attend(self: Arc<Shared>, generation: &Arc<Generation>, _share: Share) {
        let mut silences: u32 = 0;
        let mut crowded = false;
        loop {
            let waited = if crowded { None } else { self.lane.next(generation) };
            crowded = false;
            let Some((request, turn)) = waited.or_else(|| self.arrival(generation)) else {
                // An error is the end of the accept loop, which `watch` notices. What was accepted before is still
                // served, by one thread at least, for as long as a proxy keeps a connection that it does not use.
                silences = silences.saturating_add(1);
                let replaced = generation.replaced.load(Ordering::Relaxed);
                let over = self.closing.is_tripped() || (replaced && silences >= limits::TINY_SILENCES);
                let another = |idle: usize| idle.checked_sub(1).filter(|&left| left > 0 || over);
                if generation.idle.fetch_update(Ordering::SeqCst, Ordering::SeqCst, another).is_ok() {
                    return;
                }
                continue;
            };
            silences = 0;
            let last = generation.idle.fetch_sub(1, Ordering::SeqCst) == 1;
            if last && self.add_thread(generation).is_err() {
                match turn {
                    None => self.refuse(request, self.refusal(Refusal::Busy)),
                    Some(turn) => {
                        turn.put_back(request); // for the next thread that has answered
                        crowded = true;
                    }
                }
            } else {
                let busy = Busy::count(&self);
                busy.0.serve(request, turn);
            }
            generation.idle.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The next request that comes, or that its coming lets through.
    fn arrival<'a>(&'a self, generation: &'a Generation) -> Option<Ready<'a>> {
        let request = generation.server.recv_timeout(limits::TINY_IDLE).ok().flatten()?;
        self.requested.store(true, Ordering::Relaxed);
        if Lane::concerns(&request) { self.lane.enter(request, generation) } else { Some((request, None)) }
    }
}

/// A request that is being answered, as long as this lives.
struct Busy<'a>(&'a Shared);

impl Busy<'_> {
    fn count(shared: &Shared) -> Busy<'_> {
        let mut busy = shared.lock_busy();
        *busy = busy.saturating_add(1);
        drop(busy);
        Busy(shared)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut busy = self.0.lock_busy();
        *busy = busy.saturating_sub(1);
        self.0.answered.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    use crate::http::{Admission, Head, Request, Responder};

    struct Hello;

    impl Handler for Hello {
        fn admit(&self, _head: &Head) -> Result<Admission, Box<Response>> {
            Ok(Admission::up_to(0))
        }

        fn handle(&self, _request: Request, responder: Responder) {
            responder.respond(Response::new(204));
        }
    }

    /// A connection that the accept loop took while the listener does not block is its last: the next `accept` fails.
    #[test]
    fn a_dead_accept_loop_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hold = listener.try_clone().unwrap();
        let pool = Arc::new(Pool::start(16).unwrap());
        let parts = Parts { handler: Arc::new(Hello), pool, capacity: Capacity::default() };
        let tiny = Tiny::start_tcp(listener, parts).unwrap();
        for round in 0..2 {
            let ask = || {
                let mut line = std::net::TcpStream::connect(address).unwrap();
                line.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
                let mut answer = String::new();
                line.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 204 "), "round {round}: {answer}");
            };
            hold.set_nonblocking(true).unwrap();
            ask();
            hold.set_nonblocking(false).unwrap();
            ask();
        }
        tiny.stop(Duration::from_secs(20));
    }
}
