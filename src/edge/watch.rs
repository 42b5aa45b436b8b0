//! Detects that the client of an open stream has disconnected: one thread and one `poll` for all streams, so that the thread of an idle
//! stream sleeps until it has something to send.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar};
use std::time::Duration;

use crate::base::lock::{Mutex, wait, wait_timeout_while};
use crate::http::Waker;
use crate::sys;

/// The watched streams of a door.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Guards the watched streams.
    state: Mutex<State>,
    /// Wakes the watching thread when a stream was added or the watch closed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By the descriptor of their socket.
    streams: HashMap<RawFd, (Arc<UnixStream>, Waker)>,
    closed: bool,
}

/// A guard: its stream is watched until it is dropped.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    watch: &'a Watch,
    descriptor: RawFd,
}

impl Watch {
    /// Calls `waker` when the client at the other end of `socket` has disconnected, or the watch closes.
    pub(crate) fn add(&self, socket: Arc<UnixStream>, waker: Waker) -> Watched<'_> {
        let mut state = self.state.lock();
        if state.closed {
            waker.wake();
        }
        let descriptor = socket.as_raw_fd();
        state.streams.insert(descriptor, (socket, waker));
        drop(state);
        self.changed.notify_one();
        Watched { watch: self, descriptor }
    }

    /// Wakes every stream, now and from now on, and ends [`Watch::run`].
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.streams.values().for_each(|(_, waker)| waker.wake());
        drop(state);
        self.changed.notify_one();
    }

    /// Checks all streams every `pause`, as long as there are any, until closed.
    pub(crate) fn run(&self, pause: Duration) {
        let mut state = self.state.lock();
        while !state.closed {
            if state.streams.is_empty() {
                state = wait(&self.changed, state);
                continue;
            }
            // POLLRDHUP detects a FIN or RST even behind unread bytes, which a peek does not.
            let streams = state.streams.values().cloned();
            let (sockets, wakers): (Vec<_>, Vec<_>) =
                streams.map(|(socket, waker)| ((socket, libc::POLLRDHUP), waker)).unzip();
            drop(state);
            let gone = sys::are_ready(&sockets, 0);
            wakers.iter().zip(gone).filter(|(_, gone)| *gone).for_each(|(waker, _)| waker.wake());
            drop((sockets, wakers));
            let unclosed = |state: &mut State| !state.closed;
            state = wait_timeout_while(&self.changed, self.state.lock(), pause, unclosed);
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.watch.state.lock().streams.remove(&self.descriptor);
    }
}
