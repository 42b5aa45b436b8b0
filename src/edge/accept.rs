//! The accept loop. It outlives every error of `accept` (H6): a server that is full answers, and goes on when it is not.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::caps::Admitted;
use super::connection::Connection;
use super::head::{Origin, Version};
use super::refusal::Refusal;
use super::socket::Socket;
use super::wire::{self, After, Asked, Outbody, Sink};
use super::{Link, Phase, Shared};
use crate::base::limits;
use crate::base::log::{self, Field};
use crate::http::Scheme;
use crate::sys;

/// What log and metrics call it when one connection had to go so that another could come.
const MADE_ROOM: &str = "made_room";

/// Accepts connections and gives each a thread, or an answer that says why not.
pub(crate) struct Acceptor {
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    /// Numbers the connections.
    next_number: u64,
    /// Refused connections, to be read from for a moment before they are closed.
    refused: Sender<Socket>,
    /// A descriptor kept for the moment when there are none left.
    spare: Option<TcpListener>,
}

impl Acceptor {
    pub(crate) fn new(listener: Arc<TcpListener>, shared: Arc<Shared>) -> io::Result<Acceptor> {
        let spare = Some(listener.try_clone()?);
        let (refused, queue) = bounded(limits::REFUSED_CONNECTIONS);
        let time = shared.settings.drain_time;
        // Ends when the acceptor, which holds the only sender, has ended.
        thread::Builder::new()
            .name("edge-refused".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || linger_over(&queue, time))?;
        Ok(Acceptor { listener, shared, next_number: 0, refused, spare })
    }

    /// Accepts until the door closes.
    pub(crate) fn run(mut self) {
        while self.shared.phase() == Phase::Serving {
            match self.listener.accept() {
                Ok((stream, peer)) => self.take(stream, peer),
                Err(error) => self.survive(&error),
            }
        }
        // H13: who came before the door closed may have sent a request.
        let listener = Arc::clone(&self.listener);
        for (stream, peer) in (0..limits::BACKLOG).map_while(|_| listener.accept().ok()) {
            self.take(stream, peer);
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let stream = Arc::new(stream);
        let Ok(socket) = Socket::new(Arc::clone(&stream), self.shared.settings.write_stall) else {
            return; // the client has already gone
        };
        // Reset before it was accepted: a flood of those costs no threads.
        if sys::are_ready(&[&*stream], 0).contains(&true) {
            return;
        }
        let tls = self.shared.settings.tls.as_ref();
        let trusted = self.shared.settings.trusted_proxies.contain(Some(peer.ip()));
        let counted = (!trusted).then_some(peer.ip());
        let admitted = match self.shared.connections.admit(counted) {
            Err(Refusal::Busy) if self.shared.make_room() => {
                self.shared.refusals.count(MADE_ROOM);
                self.report(MADE_ROOM, peer);
                self.shared.connections.admit(counted)
            }
            admitted => admitted,
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.report(refusal.word(), peer);
                return self.refuse(socket, refusal);
            }
        };
        self.next_number = self.next_number.wrapping_add(1);
        let open = Open::register(Arc::clone(&stream), &self.shared, (self.next_number, admitted));
        let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
        let origin = Origin { peer: Some(peer.ip().to_canonical()), scheme };
        let socket = match tls.map(|tls| tls.session()) {
            None => socket,
            Some(Ok(session)) => socket.within(session),
            Some(Err(_)) => return, // no memory, no randomness
        };
        // Ends when the client leaves, a deadline passes, or `Edge::close` closes its socket.
        let spawned = thread::Builder::new()
            .name("edge-connection".to_owned())
            .stack_size(limits::CONNECTION_STACK_BYTES)
            .spawn(move || {
                Connection::new(socket, origin, (Arc::clone(&open.link), Arc::clone(&open.shared))).serve();
                drop(open); // owned by the thread: it is counted as long as this runs, also if it panics
            });
        if spawned.is_err()
            && let Ok(socket) = Socket::new(stream, self.shared.settings.write_stall)
        {
            self.refuse(socket, Refusal::Busy);
        }
    }

    /// Answers without a thread, and leaves the socket to be read from for a moment. Nothing can be said to a client that
    /// expects TLS: its connection is closed.
    fn refuse(&self, socket: Socket, refusal: Refusal) {
        self.shared.refusals.count(refusal.word());
        if self.shared.settings.tls.is_some() {
            return;
        }
        if let Some(socket) = answered(socket, refusal) {
            let _ = self.refused.try_send(socket); // when that is full, too, the socket is just closed
        }
    }

    /// Says in the log which limit a connection met, at most once a second each: clients choose how often they connect.
    fn report(&self, reason: &'static str, peer: SocketAddr) {
        let settings = &self.shared.settings;
        let of_address = reason == Refusal::AddressBusy.word();
        let limit = if of_address { settings.connections_per_address } else { settings.connections };
        let now = self.shared.started.elapsed();
        if let Some(omitted) = self.shared.turned_away.pass(reason, now) {
            let (limit, peer) = (u64::try_from(limit).unwrap_or(u64::MAX), peer.ip().to_canonical());
            let fields = [
                Field::Reason(reason),
                Field::Count(limit),
                Field::Peer(&peer.to_string()),
                Field::Omitted(omitted),
            ];
            log::warn("edge.connections_full", &fields);
        }
    }

    fn survive(&mut self, error: &io::Error) {
        let code = error.raw_os_error().unwrap_or_default();
        // The client left between the handshake and now, or a signal came: nothing is wrong here.
        if [libc::ECONNABORTED, libc::EINTR, libc::EPROTO, libc::EPERM].contains(&code)
            || self.shared.phase() != Phase::Serving
        {
            return;
        }
        if let Some(omitted) = self.shared.turned_away.pass("accept_failed", self.shared.started.elapsed()) {
            let hint = Field::Hint("raise the limit of open files if this lasts");
            log::error(
                "edge.accept_failed",
                &[Field::Error(&error.to_string()), hint, Field::Omitted(omitted)],
            );
        }
        if [libc::EMFILE, libc::ENFILE].contains(&code) {
            if self.shared.make_room() {
                self.shared.refusals.count(MADE_ROOM);
                return;
            }
            // Gives one waiting client an answer instead of a connection that never moves.
            self.spare = None;
            if let Ok((stream, _)) = self.listener.accept()
                && self.shared.settings.tls.is_none()
                && let Ok(socket) = Socket::new(Arc::new(stream), self.shared.settings.write_stall)
            {
                drop(answered(socket, Refusal::Busy));
            }
            self.spare = self.listener.try_clone().ok();
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
    admitted: Option<Admitted>,
}

impl Open {
    fn register(stream: Arc<TcpStream>, shared: &Arc<Shared>, (number, admitted): (u64, Admitted)) -> Open {
        let waiting = AtomicU64::new(shared.now());
        let link = Arc::new(Link { stream, idle: AtomicBool::new(false), waiting });
        shared.lock_links().insert(number, Arc::clone(&link));
        Open { shared: Arc::clone(shared), link, number, admitted: Some(admitted) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.admitted = None; // before whoever waits for room looks for it
        self.shared.lock_links().remove(&self.number);
        self.shared.link_ended.notify_all();
    }
}
