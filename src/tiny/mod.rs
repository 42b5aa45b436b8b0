//! The trusted door: the accept loop of tiny_http, for the operator's Unix socket and for a reverse proxy on the same
//! machine. It shares queue, workers and the checks of a head with the edge.
//!
//! It relies on its clients where tiny_http 0.12 offers no defence, so strangers must not reach it. A proxy must
//! - send one request per connection and say `Connection: close` in the first `Connection` field, the only one that tiny_http
//!   reads. Where tiny_http would wait for another request it leaves some connections of a burst unanswered until others end, so
//!   such a request is answered 400;
//! - send bodies with a length: a truncated chunked body cannot be told from a complete one. It is answered 411. Where tiny_http
//!   would take the rest of the body for another request, it is not answered, and nothing after it is read;
//! - refuse a length that is malformed or repeated: tiny_http takes it for none, or the first for the length, and what follows
//!   for another request;
//! - send a request whole, and time slow clients out: tiny_http has no timeouts and cannot stop waiting for a body;
//! - refuse heads and bodies that are too large. tiny_http limits no head, and allocates the missing rest of a body;
//! - bound its connections: tiny_http does not, and each costs two descriptors and a thread, and one more during a request.
//!
//! tiny_http does not report that a client has disconnected: calls and silent streams find out when they write.

mod exchange;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded};

use crate::base::log::{self, Field};
use crate::base::{Capacity, clock, limits};
use crate::edge::{Door, DoorState, Listener, Settings};
use crate::http::Handler;
use crate::sys;
use crate::workers::Pool;

/// The parts of a door.
pub struct Parts {
    /// Answers the requests.
    pub handler: Arc<dyn Handler>,
    /// The queue whose workers run the handler.
    pub pool: Arc<Pool>,
    /// The limits on open requests and streams.
    pub capacity: Capacity,
    /// Called when no connection could be accepted for [`limits::TINY_LOST`]; the door then stays closed. Without it, the door is
    /// opened again and again.
    pub when_lost: Option<Box<dyn FnOnce() + Send>>,
}

/// Opens a door for a trusted peer.
///
/// # Errors
/// The listener's address is not loopback, or an error of the operating system.
pub fn open(listener: Listener, parts: Parts) -> io::Result<Door> {
    if listener.address().is_some_and(|address| !address.ip().is_loopback()) {
        let words = "the door for a reverse proxy must be on loopback or a Unix socket";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    listener.send_at_once()?; // tiny_http does not set this
    let Parts { handler, pool, capacity, when_lost } = parts;
    // The listener as a stream, because std offers shutdown for no other type. Shut down, it makes every `accept` fail.
    let shutter = UnixStream::from(listener.as_fd().try_clone_to_owned()?);
    let settings = Settings { connections: capacity.tiny_threads(), ..Settings::of(&capacity) };
    let state = DoorState::new(handler, pool, settings);
    let accepting = Arc::clone(&state);
    // Ends when `Door::close` trips `closing` and shuts the listener, or after `when_lost`.
    let acceptor = thread::Builder::new()
        .name("tiny-accept".to_owned())
        .spawn(move || keep_open(&accepting, Arc::new(listener), when_lost))?;
    Ok(Door { state, shutter, acceptor: Some(acceptor) })
}

/// Opens the door, and opens it anew when tiny_http has stopped accepting, as it does at the first error of `accept`.
fn keep_open(door: &Arc<DoorState>, listener: Arc<Listener>, when_lost: Option<Box<dyn FnOnce() + Send>>) {
    let mut failing_since = clock::instant();
    loop {
        let opened = clock::instant();
        let (report, reported) = bounded(1);
        let (served, socket) = (Arc::clone(door), Arc::clone(&listener));
        // Ends when its server is dropped, after its report. tiny_http panics where no thread is left, and the drop connects to
        // the server's own address, which waits while the backlog is full: neither may hold up this loop.
        let server = thread::Builder::new()
            .name("tiny-server".to_owned())
            .spawn(move || run_server(&served, &socket, &report));
        let error = reported.recv().unwrap_or_else(|_| io::Error::other("no thread is left"));
        if door.closing.is_tripped() {
            return drop(server.map(JoinHandle::join));
        }
        log::error("tiny.accept_ended", &[Field::Error(&error.to_string())]);
        if opened.elapsed() >= limits::TINY_LOST {
            failing_since = clock::instant();
        }
        match when_lost {
            Some(run) if failing_since.elapsed() >= limits::TINY_LOST => return run(),
            Some(_) | None => door.closing.wait(limits::TINY_REOPEN_PAUSE),
        };
    }
}

/// Runs a server of tiny_http on this socket, and reports why it stopped accepting.
fn run_server(door: &Arc<DoorState>, listener: &Listener, report: &Sender<io::Error>) {
    let server = match server_on(listener) {
        Ok(server) => server,
        Err(error) => return drop(report.send(error)),
    };
    let _ = report.send(take_requests(door, &server, listener));
    // Requests on connections that were accepted before.
    let patience = if door.closing.is_tripped() { limits::TINY_LOOK } else { limits::TINY_LOST };
    while let Ok(Some(request)) = server.recv_timeout(patience) {
        start_request(door, request);
    }
}

/// Gives each request a thread until tiny_http stops accepting. Returns why it did.
fn take_requests(door: &Arc<DoorState>, server: &tiny_http::Server, listener: &Listener) -> io::Error {
    let mut unaccepted: u32 = 0;
    while unaccepted < limits::TINY_DEAD_LOOKS {
        match server.recv_timeout(limits::TINY_LOOK) {
            Ok(Some(request)) => {
                start_request(door, request);
                unaccepted = 0;
            }
            // If its thread has panicked (no descriptor was left), tiny_http reports nothing, and connections wait.
            Ok(None) if sys::are_ready(&[(listener, libc::POLLIN)], 0).contains(&true) => {
                unaccepted = unaccepted.saturating_add(1);
            }
            Ok(None) => unaccepted = 0,
            Err(error) => return error,
        }
    }
    io::Error::other("connections wait and are not accepted")
}

fn start_request(door: &Arc<DoorState>, request: tiny_http::Request) {
    if let Some(hint) = exchange::reason_to_leak(&request) {
        door.refusals.count("leaked");
        log::error("tiny.request_leaked", &[Field::Hint(hint)]);
        return std::mem::forget(request);
    }
    let Some(counted) = door.running.take(()) else { return exchange::refuse_busy(door, request) };
    let served = Arc::clone(door);
    // Ends when the request is answered. Without a thread, the dropped request answers 500.
    let _ = thread::Builder::new()
        .name("tiny-request".to_owned())
        .stack_size(limits::CONNECTION_STACK_BYTES)
        .spawn(move || {
            exchange::serve(&served, request);
            drop(counted);
        });
}

/// A server of tiny_http on this socket. Fails for lack of descriptors only, and panics for lack of threads.
fn server_on(listener: &Listener) -> io::Result<tiny_http::Server> {
    let listener = match listener {
        Listener::Tcp(listener, _) => tiny_http::Listener::from(listener.try_clone()?),
        Listener::Unix(listener, _) => listener.try_clone()?.into(),
    };
    tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)
}
