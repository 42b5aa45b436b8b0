//! The accept loop. It outlives every error of `accept` (H6): a server that is full answers, and goes on when it is not.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::caps::Admitted;
use super::connection::Connection;
use super::head::Version;
use super::listener::Listener;
use super::refusal::Refusal;
use super::socket::{Socket, Stream};
use super::tls::Tls;
use super::wire::{self, After, Asked, Outbody, Sink};
use super::{Link, Phase, Shared};
use crate::base::limits;
use crate::base::log::{self, Field};
use crate::sys;

/// What log and metrics call it when one connection had to go so that another could come.
const MADE_ROOM: &str = "made_room";

/// Accepts connections and gives each a thread, or an answer that says why not.
pub(crate) struct Acceptor {
    shared: Arc<Shared>,
    /// At its end when the door closes.
    woken: UnixStream,
    /// Numbers the connections.
    next_number: u64,
    /// Refused connections, to be read from for a moment before they are closed.
    refused: Sender<Socket>,
    /// A descriptor kept for the moment when there are none left.
    spare: Option<UnixStream>,
    /// Whether room was made for the last one, and was not enough.
    short: bool,
}

impl Acceptor {
    pub(crate) fn new(shared: Arc<Shared>, woken: UnixStream) -> io::Result<Acceptor> {
        let spare = Some(woken.try_clone()?);
        let (refused, queue) = bounded(limits::REFUSED_CONNECTIONS);
        let time = shared.settings.drain_time;
        // Ends when the acceptor, which holds the only sender, has ended.
        thread::Builder::new()
            .name("edge-refused".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || linger_over(&queue, time))?;
        Ok(Acceptor { shared, woken, next_number: 0, refused, spare, short: false })
    }

    /// Accepts until the door closes.
    pub(crate) fn run(mut self, listeners: &[Listener]) {
        while self.shared.phase() == Phase::Serving {
            let watched = listeners.iter().map(AsFd::as_fd).chain([self.woken.as_fd()]);
            let ready = sys::are_ready(&watched.collect::<Vec<_>>(), libc::POLLIN, -1);
            // What woke it has no listener, and is zipped away.
            for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        self.short = false;
                        self.take(stream, peer);
                    }
                    Err(error) => self.survive(&error, listener),
                }
            }
        }
        // H13: who came before the door closed may have sent a request. Who waits at a socket of systemd's waits for the next
        // process.
        for listener in listeners.iter().filter(|listener| !listener.outlives_us()) {
            for (stream, peer) in (0..limits::BACKLOG).map_while(|_| listener.accept().ok()) {
                self.take(stream, peer);
            }
        }
    }

    fn take(&mut self, stream: Stream, peer: Option<IpAddr>) {
        let tls = self.tls(&stream);
        let stream = Arc::new(stream);
        let Ok(socket) = Socket::new(Arc::clone(&stream), self.shared.settings.write_stall) else {
            return; // the client has already gone
        };
        // Reset before it was accepted: a flood of those costs no threads.
        if sys::are_ready(&[&*stream], 0, 0).contains(&true) {
            return;
        }
        let trusted = self.shared.settings.trusted_proxies.contain(peer);
        let counted = peer.filter(|_| !trusted);
        let admitted = match self.shared.connections.admit(counted) {
            Err(Refusal::Busy) => {
                if self.shared.make_room() {
                    self.shared.refusals.count(MADE_ROOM);
                    self.report(MADE_ROOM, peer);
                }
                self.shared.connections.admit(counted) // one may also have ended by itself meanwhile
            }
            admitted => admitted,
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.report(refusal.word(), peer);
                return self.refuse(socket, refusal, tls.as_deref());
            }
        };
        self.next_number = self.next_number.wrapping_add(1);
        let open = Open::register(Arc::clone(&stream), &self.shared, (self.next_number, admitted));
        let socket = match tls.as_ref().map(|tls| tls.session()) {
            None => socket,
            Some(Ok(session)) => socket.within(session),
            Some(Err(_)) => return, // no memory, no randomness
        };
        // Ends when the client leaves, a deadline passes, or `Edge::end` closes its socket.
        let spawned = thread::Builder::new()
            .name("edge-connection".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || {
                Connection::new(socket, peer, (Arc::clone(&open.link), Arc::clone(&open.shared))).serve();
                drop(open); // owned by the thread: it is counted as long as this runs, also if it panics
            });
        if spawned.is_err()
            && let Ok(socket) = Socket::new(stream, self.shared.settings.write_stall)
        {
            self.refuse(socket, Refusal::Busy, tls.as_deref());
        }
    }

    /// What encrypts this connection. What comes through a Unix socket has not left this machine.
    fn tls(&self, stream: &Stream) -> Option<Arc<Tls>> {
        match stream {
            Stream::Tcp(_) => self.shared.settings.tls.clone(),
            Stream::Unix(_) => None,
        }
    }

    /// Answers without a thread, and leaves the socket to be read from for a moment. Nothing can be said to a client that
    /// expects TLS: its connection is closed.
    fn refuse(&self, socket: Socket, refusal: Refusal, tls: Option<&Tls>) {
        self.shared.refusals.count(refusal.word());
        if tls.is_some() {
            return;
        }
        if let Some(socket) = answered(socket, refusal) {
            let _ = self.refused.try_send(socket); // when that is full, too, the socket is just closed
        }
    }

    /// Says in the log which limit a connection met, at most once a second each: clients choose how often they connect.
    fn report(&self, reason: &'static str, peer: Option<IpAddr>) {
        let settings = &self.shared.settings;
        let of_address = reason == Refusal::AddressBusy.word();
        let limit = if of_address { settings.connections_per_address } else { settings.connections };
        let now = self.shared.started.elapsed();
        if let Some(omitted) = self.shared.turned_away.pass(reason, now) {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            let peer = peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
            let hint = match of_address {
                true => {
                    "an eighth of MCP_MAX_CONNECTIONS is for one address; a proxy belongs into MCP_TRUSTED_PROXY"
                }
                false => "MCP_MAX_CONNECTIONS allows more",
            };
            let fields = [
                Field::Reason(reason),
                Field::Count(limit),
                Field::Peer(&peer),
                Field::Omitted(omitted),
                Field::Hint(hint),
            ];
            log::warn("edge.connections_full", &fields);
        }
    }

    fn survive(&mut self, error: &io::Error, listener: &Listener) {
        let code = error.raw_os_error().unwrap_or_default();
        // The client left between the handshake and now, or a signal came: nothing is wrong here.
        if [libc::EAGAIN, libc::ECONNABORTED, libc::EINTR, libc::EPROTO, libc::EPERM].contains(&code)
            || self.shared.phase() != Phase::Serving
        {
            return;
        }
        if let Some(omitted) = self.shared.turned_away.pass("accept_failed", self.shared.started.elapsed()) {
            let hint =
                Field::Hint("raise the limit of open files, or lower MCP_MAX_CONNECTIONS, if this lasts");
            log::error(
                "edge.accept_failed",
                &[Field::Error(&error.to_string()), hint, Field::Omitted(omitted)],
            );
        }
        // Of the whole system's files a connection of ours is one of many: nobody has to go for those (ENFILE).
        if code == libc::EMFILE {
            if self.shared.make_room() {
                self.shared.refusals.count(MADE_ROOM);
                // What it held is free now, unless something else was faster.
                if !std::mem::replace(&mut self.short, true) {
                    return;
                }
                let _ = self.shared.closing.wait(limits::ACCEPT_PAUSE);
                return;
            }
            // Gives one waiting client an answer instead of a connection that never moves.
            self.spare = None;
            if let Ok((stream, _)) = listener.accept()
                && self.tls(&stream).is_none()
                && let Ok(socket) = Socket::new(Arc::new(stream), self.shared.settings.write_stall)
            {
                drop(answered(socket, Refusal::Busy));
            }
            self.spare = self.woken.try_clone().ok();
        }
        let _ = self.shared.closing.wait(limits::ACCEPT_PAUSE);
    }
}

/// The socket after this answer, unless the client has gone. Takes no time: the send buffer of a fresh socket has room
/// for a few hundred bytes.
fn answered(mut socket: Socket, refusal: Refusal) -> Option<Socket> {
    let asked = Asked { version: Version::Http11, head_only: false };
    let outgoing = wire::frame(refusal.response(), asked, After::Close);
    let Outbody::Bytes(body) = outgoing.body else { return None };
    socket.write(&mut [io::IoSlice::new(&outgoing.head), io::IoSlice::new(&body)]).ok()?;
    socket.finish();
    Some(socket)
}

/// Keeps refused connections open until their clients have read the answer, one after the other.
fn linger_over(refused: &Receiver<Socket>, time: Duration) {
    for mut socket in refused {
        socket.linger(time);
    }
}

/// An open connection that the door knows of, until dropped.
struct Open {
    shared: Arc<Shared>,
    link: Arc<Link>,
    number: u64,
    /// Counts the connection out when the link has gone.
    _admitted: Admitted,
}

impl Open {
    fn register(stream: Arc<Stream>, shared: &Arc<Shared>, (number, admitted): (u64, Admitted)) -> Open {
        let waiting = AtomicU64::new(shared.now());
        let link = Arc::new(Link { stream, waiting });
        shared.lock_links().insert(number, Arc::clone(&link));
        Open { shared: Arc::clone(shared), link, number, _admitted: admitted }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.lock_links().remove(&self.number);
    }
}
