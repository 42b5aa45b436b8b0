//! The accept loop. It continues after every error of `accept` (H6): a full server answers, and accepts again when it has room.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::DoorState;
use super::connection::Connection;
use super::listener::Listener;
use super::refusal::Refusal;
use super::socket::Socket;
use super::tls::Tls;
use super::wire::{self, After, Asked, Sink};
use crate::base::log::{self, Field};
use crate::base::{clock, limits};
use crate::http::Body;
use crate::sys;

/// The reason in log and metrics for a connection that was closed to make room for another.
const MADE_ROOM: &str = "made_room";

/// Accepts connections, and gives each a thread or a response that refuses it.
pub(crate) struct Acceptor {
    door: Arc<DoorState>,
    /// Becomes readable (end of file) when the door closes.
    woken: UnixStream,
    /// Refused connections, to be drained for a moment before they are closed.
    refused: Sender<Socket>,
    /// A spare descriptor for the case that none are left.
    spare: Option<UnixStream>,
    /// Whether a connection was evicted since the last successful `accept`, to free a descriptor for it.
    has_evicted: bool,
}

impl Acceptor {
    pub(crate) fn new(door: Arc<DoorState>, woken: UnixStream) -> io::Result<Acceptor> {
        let spare = Some(woken.try_clone()?);
        let (refused, queue) = bounded(limits::REFUSED_CONNECTIONS);
        let time = door.settings.drain_time;
        // Ends when the acceptor, which holds the only sender, has ended.
        thread::Builder::new()
            .name("edge-refused".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || drain_refused(&queue, time))?;
        Ok(Acceptor { door, woken, refused, spare, has_evicted: false })
    }

    /// Accepts until the door closes.
    pub(crate) fn run(mut self, listeners: &[Listener]) {
        while !self.door.closing.is_tripped() {
            let watched = listeners.iter().map(AsFd::as_fd).chain([self.woken.as_fd()]);
            let watched = watched.map(|socket| (socket, libc::POLLIN));
            let ready = sys::are_ready(&watched.collect::<Vec<_>>(), -1);
            // `zip` drops the last entry, which is that of `woken`.
            for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        self.has_evicted = false;
                        self.take(stream, peer);
                    }
                    Err(error) => self.recover(&error, listener),
                }
            }
        }
        // H13: clients that connected before the door closed may have sent a request. Those that wait at a socket of systemd's
        // are left to the next process.
        for listener in listeners.iter().filter(|listener| !listener.outlives_us()) {
            for (stream, peer) in (0..limits::BACKLOG).map_while(|_| listener.accept().ok()) {
                self.take(stream, peer);
            }
        }
    }

    fn take(&self, accepted: UnixStream, peer: Option<IpAddr>) {
        let tls = self.tls(peer);
        let accepted = Arc::new(accepted);
        let Ok(socket) = self.socket(&accepted) else { return };
        // Skips connections that were reset before they were accepted: a flood of those costs no threads.
        if sys::are_ready(&[(&*accepted, 0)], 0).contains(&true) {
            return;
        }
        let connections = &self.door.connections;
        let counted = peer.filter(|_| !self.door.settings.trusted_proxies.contain(peer));
        let admitted = match connections.admit(counted, &accepted) {
            Err(Refusal::Busy) => {
                if connections.make_room() {
                    self.door.refusals.count(MADE_ROOM);
                    self.report(MADE_ROOM, peer);
                }
                connections.admit(counted, &accepted) // one may also have ended on its own meanwhile
            }
            admitted => admitted,
        };
        let link = match admitted {
            Ok(link) => link,
            Err(refusal) => {
                self.report(refusal.word(), peer);
                return self.refuse(socket, refusal, tls);
            }
        };
        let socket = match tls {
            None => Ok(socket),
            Some(tls) => socket.encrypted(tls),
        };
        let Ok(socket) = socket else { return }; // no memory, no randomness
        let connection = Connection { socket, peer, link, door: Arc::clone(&self.door) };
        // Ends when the client disconnects, a deadline passes, or `Door::stop` closes its socket. Owns the link: the connection is
        // counted as long as this runs, also if it panics.
        let spawned = thread::Builder::new()
            .name("edge-connection".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || connection.serve());
        if spawned.is_err()
            && let Ok(socket) = self.socket(&accepted)
        {
            self.refuse(socket, Refusal::Busy, tls);
        }
    }

    /// Fails if the client has already disconnected.
    fn socket(&self, accepted: &Arc<UnixStream>) -> io::Result<Socket> {
        Socket::new(Arc::clone(accepted), self.door.settings.write_stall)
    }

    /// The TLS settings for this connection. Unix sockets, whose peers have no address, are served in the clear: their bytes do
    /// not leave this machine.
    fn tls(&self, peer: Option<IpAddr>) -> Option<&Arc<Tls>> {
        peer.and(self.door.settings.tls.as_ref())
    }

    /// Answers without a thread, and leaves the socket open to be drained for a moment. A client that expects TLS cannot be
    /// answered: its connection is closed.
    fn refuse(&self, socket: Socket, refusal: Refusal, tls: Option<&Arc<Tls>>) {
        self.door.refusals.count(refusal.word());
        if tls.is_some() {
            return;
        }
        if let Some(socket) = write_refusal(socket, refusal) {
            let _ = self.refused.try_send(socket); // if that is full as well, the socket is closed at once
        }
    }

    /// Logs the limit that a connection exceeded, at most once a second for each: clients control the rate of connections.
    fn report(&self, reason: &'static str, peer: Option<IpAddr>) {
        let Some(omitted) = self.door.log_limit.pass(reason, clock::monotonic()) else {
            return;
        };
        let settings = &self.door.settings;
        let (limit, hint) = if reason == Refusal::AddressBusy.word() {
            let hint =
                "an eighth of MCP_MAX_CONNECTIONS is for one address; a proxy belongs in MCP_TRUSTED_PROXY";
            (settings.connections_per_address, hint)
        } else {
            (settings.connections, "MCP_MAX_CONNECTIONS allows more")
        };
        let peer = peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
        let fields = [
            Field::Reason(reason),
            Field::Count(u64::try_from(limit).unwrap_or(u64::MAX)),
            Field::Peer(&peer),
            Field::Omitted(omitted),
            Field::Hint(hint),
        ];
        log::warn("edge.connections_full", &fields);
    }

    /// Reacts to an error of `accept`: frees a descriptor, or pauses, so that the loop can go on without spinning.
    fn recover(&mut self, error: &io::Error, listener: &Listener) {
        let code = error.raw_os_error().unwrap_or_default();
        // The client has already disconnected, or a signal arrived: not an error.
        if [libc::EAGAIN, libc::ECONNABORTED, libc::EINTR, libc::EPROTO, libc::EPERM].contains(&code)
            || self.door.closing.is_tripped()
        {
            return;
        }
        if let Some(omitted) = self.door.log_limit.pass("accept_failed", clock::monotonic()) {
            let hint = "raise the limit of open files, or lower MCP_MAX_CONNECTIONS, if this lasts";
            let fields = [Field::Error(&error.to_string()), Field::Hint(hint), Field::Omitted(omitted)];
            log::error("edge.accept_failed", &fields);
        }
        // EMFILE is this process's limit, so closing a connection helps. ENFILE is the system's: ours are only a few of its files.
        if code == libc::EMFILE && self.free_descriptor(listener) {
            return;
        }
        let _ = self.door.closing.wait(limits::ACCEPT_PAUSE);
    }

    /// Evicts a connection, or else answers one waiting client by means of the spare descriptor. Returns whether the next
    /// `accept` can be expected to succeed.
    fn free_descriptor(&mut self, listener: &Listener) -> bool {
        if self.door.connections.make_room() {
            self.door.refusals.count(MADE_ROOM);
            // The next `accept` gets the descriptor, unless another thread took it, as it did if one was evicted just before.
            return !std::mem::replace(&mut self.has_evicted, true);
        }
        self.spare = None;
        if let Ok((accepted, peer)) = listener.accept()
            && self.tls(peer).is_none()
            && let Ok(socket) = self.socket(&Arc::new(accepted))
        {
            drop(write_refusal(socket, Refusal::Busy));
        }
        self.spare = self.woken.try_clone().ok();
        false
    }
}

/// Writes the answer and returns the socket, unless the client has disconnected. Does not block: the send buffer of a fresh socket has
/// room for a few hundred bytes.
fn write_refusal(mut socket: Socket, refusal: Refusal) -> Option<Socket> {
    let outgoing = wire::frame(refusal.response(), Asked::UNREAD, After::Close);
    let Body::Bytes(body) = outgoing.body else { return None };
    socket.write(&mut [io::IoSlice::new(&outgoing.head), io::IoSlice::new(&body)]).ok()?;
    socket.finish();
    Some(socket)
}

/// Keeps refused connections open until their clients have read the answer, one after the other.
fn drain_refused(refused: &Receiver<Socket>, time: Duration) {
    for mut socket in refused {
        socket.linger(time);
    }
}

#[cfg(test)]
mod tests;
