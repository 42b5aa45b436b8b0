//! Detects that the client of an open stream has disconnected: one thread and one `poll` for all streams, so that the thread of an idle
//! stream sleeps until it has something to send.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::lock::Mutex;
use crate::http::Waker;
use crate::sys;

/// The watched streams of a door.
pub(crate) struct Watch {
    /// Guards the streams, by the descriptor of their socket.
    streams: Mutex<HashMap<RawFd, (Arc<UnixStream>, Waker)>>,
    /// Tripped when the door cuts off its streams.
    ended: CancelToken,
}

/// A guard: its stream is watched until it is dropped.
pub(crate) struct Watched<'a> {
    watch: &'a Watch,
    descriptor: RawFd,
}

impl Watch {
    pub(crate) fn new(ended: CancelToken) -> Watch {
        Watch { streams: Mutex::default(), ended }
    }

    /// Calls `waker` when the client at the other end of `socket` has disconnected, or the door has ended.
    pub(crate) fn add(&self, socket: Arc<UnixStream>, waker: Waker) -> Watched<'_> {
        let descriptor = socket.as_raw_fd();
        self.streams.lock().insert(descriptor, (socket, waker.clone()));
        // Either this sees the end, or the end of `run` sees the stream.
        if self.ended.is_tripped() {
            waker.wake();
        }
        Watched { watch: self, descriptor }
    }

    /// Checks all streams every `pause` until the door ends, and then wakes them all.
    pub(crate) fn run(&self, pause: Duration) {
        while !self.ended.wait(pause) {
            // POLLRDHUP detects a FIN or RST even behind unread bytes, which a peek does not.
            let streams: Vec<_> = self.streams.lock().values().cloned().collect();
            let (sockets, wakers): (Vec<_>, Vec<_>) =
                streams.into_iter().map(|(socket, waker)| ((socket, libc::POLLRDHUP), waker)).unzip();
            let gone = sys::are_ready(&sockets, 0);
            wakers.iter().zip(gone).filter(|(_, gone)| *gone).for_each(|(waker, _)| waker.wake());
        }
        self.streams.lock().values().for_each(|(_, waker)| waker.wake());
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.watch.streams.lock().remove(&self.descriptor);
    }
}
