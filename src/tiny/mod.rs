//! The trusted door: the accept loop of tiny_http, for the operator's Unix socket and for a reverse proxy on the same
//! machine. Same queue, same workers, same checks of a head as the edge.
//!
//! It relies on its clients where tiny_http 0.12 offers no defence, so strangers must not reach it. A proxy must
//! - close each connection after one request. Otherwise tiny_http leaves some connections of a burst waiting until others end,
//!   and takes the rest of an unread body for another request. Requests that do not say so are refused;
//! - send a request whole, and time slow clients out: tiny_http has no timeouts and cannot stop waiting for a body;
//! - refuse heads and bodies that are too large. tiny_http limits no head, and allocates what is missing of a body;
//! - send bodies with a length: of a chunked body, a cut-off end cannot be told from its end.
//!
//! tiny_http does not tell when a client has gone: calls and silent streams find out when they write.

mod exchange;
#[cfg(test)]
mod tests;

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::capacity::Capacity;
use crate::base::counters::Counters;
use crate::base::limits;
use crate::base::log::{self, Field};
use crate::base::quota::Quota;
use crate::edge::caps::Bodies;
use crate::edge::{Counts, Listener};
use crate::http::Handler;
use crate::sys;
use crate::workers::Pool;

/// The parts of a door.
pub struct Parts {
    /// Answers the requests.
    pub handler: Arc<dyn Handler>,
    /// Runs the handler.
    pub pool: Arc<Pool>,
    /// How much the door takes at once.
    pub capacity: Capacity,
    /// What follows when tiny_http stops accepting.
    pub accept_end: AcceptEnd,
}

/// What follows when tiny_http stops accepting connections, as it does at the first error of `accept`.
pub enum AcceptEnd {
    /// The door opens anew on the same socket.
    Reopen,
    /// This runs, and the door stays closed.
    Run(Box<dyn FnOnce() + Send>),
}

/// The running door.
pub struct Tiny {
    shared: Arc<Shared>,
    /// The listener as a stream, because std shuts down nothing else. Shut down, it makes every `accept` fail.
    shutter: UnixStream,
    /// Taken when the door is closed.
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    handler: Arc<dyn Handler>,
    pool: Arc<Pool>,
    /// Tripped when the door closes.
    closing: CancelToken,
    /// Tripped when the door stops waiting for answers.
    ended: CancelToken,
    /// One thread a request.
    threads: Arc<Quota<()>>,
    streams: Arc<Quota<()>>,
    bodies: Bodies,
    refusals: Counters,
}

impl Tiny {
    /// Serves a listener.
    ///
    /// # Errors
    /// The listener's address is not loopback, or what the operating system says.
    pub fn start(listener: Listener, parts: Parts) -> io::Result<Tiny> {
        if listener.address().is_some_and(|address| !address.ip().is_loopback()) {
            let words = "the door for a reverse proxy must be on loopback or a Unix socket";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        listener.send_at_once()?; // tiny_http does not
        let Parts { handler, pool, capacity, accept_end } = parts;
        let shutter = UnixStream::from(listener.as_fd().try_clone_to_owned()?);
        let shared = Arc::new(Shared {
            handler,
            pool,
            closing: CancelToken::new(),
            ended: CancelToken::new(),
            threads: Quota::in_total(capacity.tiny_threads()),
            streams: Quota::in_total(capacity.streams),
            bodies: Bodies::new(capacity.body_bytes_in_flight(), limits::LARGE_BODY_BYTES_IN_FLIGHT),
            refusals: Counters::default(),
        });
        let accepting = Arc::clone(&shared);
        // Ends when `Tiny::close` trips `closing` and shuts the listener.
        let acceptor = thread::Builder::new()
            .name("tiny-accept".to_owned())
            .spawn(move || accepting.accept(&listener, accept_end))?;
        Ok(Tiny { shared, shutter, acceptor: Some(acceptor) })
    }

    /// A function that returns the door's counts, also for callers that do not own the door.
    pub fn counter(&self) -> Box<dyn Fn() -> Counts + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Box::new(move || Counts {
            connections: shared.threads.held(),
            streams: shared.streams.held(),
            refusals: shared.refusals.counts(),
        })
    }

    /// Closes the door to new connections (H13). Running requests go on.
    pub fn close(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.shared.closing.trip();
        let _ = self.shutter.shutdown(Shutdown::Both);
        let _ = acceptor.join();
    }

    /// Waits until everything is answered. Returns whether it was within `patience`.
    pub fn wait(&self, patience: Duration) -> bool {
        self.shared.threads.wait_below(1, patience)
    }

    /// Closes the door and waits up to `patience`; then streams are ended, and the rest is left alone.
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

impl Shared {
    /// Accepts until the door closes, or for as long as tiny_http does if that is to be the end.
    fn accept(self: Arc<Shared>, listener: &Listener, accept_end: AcceptEnd) {
        loop {
            let error = match open(listener) {
                Ok(server) => self.take_requests(&server, listener),
                Err(error) => error,
            };
            if self.closing.is_tripped() {
                return;
            }
            log::error("tiny.accept_ended", &[Field::Error(&error.to_string())]);
            if let AcceptEnd::Run(run) = accept_end {
                return run();
            }
            self.closing.wait(limits::TINY_REOPEN_PAUSE);
        }
    }

    /// Gives each request a thread until tiny_http stops accepting. Returns why it did.
    fn take_requests(self: &Arc<Shared>, server: &tiny_http::Server, listener: &Listener) -> io::Error {
        let mut unaccepted: u32 = 0;
        let error = loop {
            match server.recv_timeout(limits::TINY_LOOK) {
                Ok(Some(request)) => {
                    self.start_request(request);
                    unaccepted = 0;
                }
                // When its thread has panicked (no descriptor was left), tiny_http says nothing, and connections wait.
                Ok(None) if sys::are_ready(&[listener], libc::POLLIN, 0).contains(&true) => {
                    unaccepted = unaccepted.saturating_add(1);
                }
                Ok(None) => unaccepted = 0,
                Err(error) => break error,
            }
            if unaccepted >= limits::TINY_DEAD_LOOKS {
                break io::Error::other("connections wait and are not accepted");
            }
        };
        // Requests on the connections that were accepted before.
        while let Ok(Some(request)) = server.recv_timeout(limits::TINY_LOOK) {
            self.start_request(request);
        }
        error
    }

    fn start_request(self: &Arc<Shared>, request: tiny_http::Request) {
        // H2: tiny_http allocates what is missing of a body when its request is dropped, which would abort the process. Leaking
        // the request costs a thread of tiny_http and two descriptors.
        if request.body_length().is_some_and(|length| length > limits::TINY_DROP_BYTES) {
            self.refusals.count("leaked");
            log::error("tiny.request_leaked", &[Field::Hint("the proxy must refuse such large bodies")]);
            return std::mem::forget(request);
        }
        let Some(counted) = self.threads.take(()) else { return self.refuse_busy(request) };
        let shared = Arc::clone(self);
        // Ends when the request is answered. Without a thread, the dropped request answers 500.
        let _ = thread::Builder::new()
            .name("tiny-request".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || {
                shared.serve(request);
                drop(counted);
            });
    }
}

/// A server of tiny_http on this socket. Fails for lack of descriptors only.
fn open(listener: &Listener) -> io::Result<tiny_http::Server> {
    let listener = match listener {
        Listener::Tcp(listener, _) => tiny_http::Listener::from(listener.try_clone()?),
        Listener::Unix(listener, _) => listener.try_clone()?.into(),
    };
    tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)
}
