//! The open connections of a door: their number, the eviction of one to make room for another, the detection of clients that have
//! left their streams, and the closing of all with the door.

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::refusal::Refusal;
use crate::base::{CancelToken, Held, Mutex, Quota, Sender, clock, limits};
use crate::http::Waker;
use crate::sys;

/// All connections of one door.
pub(crate) struct Connections {
    by_sender: Arc<Quota<Sender>>,
    total: Arc<Quota<()>>,
    /// Guards the registered connections, by the descriptor of their socket. Taken before the lock of a link, never after it.
    links: Mutex<HashMap<RawFd, Arc<Link>>>,
}

/// The handle by which the door closes one connection.
pub(crate) struct Link {
    socket: Arc<UnixStream>,
    /// Guards the connection's activity.
    activity: Mutex<Activity>,
}

/// The activity of a connection, which determines whether the door may close it.
#[derive(Debug)]
pub(crate) enum Activity {
    /// It has been waiting for its client since this time, and may be closed to make room. A time in the future postpones that.
    Waiting(Instant),
    /// A large body is being read. Large bodies are only admitted for authenticated callers; these connections are not evicted.
    Receiving,
    /// A request is running.
    Busy,
    /// A stream is open. The waker makes its thread check whether to go on.
    Streaming(Waker),
    /// It was closed to make room.
    Evicted,
    /// The door closed before the request was complete: only bytes that have arrived are still read.
    Shut,
}

/// One registered connection; counted until dropped.
pub(crate) struct Registered {
    connections: Arc<Connections>,
    link: Arc<Link>,
    _of_sender: Option<Held<Sender>>,
    _of_total: Held<()>,
}

impl Connections {
    /// As many as `total` allows, at most `per_sender` from one sender.
    pub(crate) fn new(total: Arc<Quota<()>>, per_sender: usize) -> Arc<Connections> {
        Arc::new(Connections { by_sender: Quota::per_key(per_sender), total, links: Mutex::default() })
    }

    /// Counts and registers a connection. Only the total limits those without an `address` (of a trusted proxy, or a Unix socket)
    /// and those from this machine: a proxy's connections carry many people.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        socket: &Arc<UnixStream>,
    ) -> Result<Registered, Refusal> {
        // The sender's limit first: a sender with too many connections evicts nobody else's.
        let of_sender = match Sender::elsewhere(address) {
            Some(sender) => Some(self.by_sender.take(sender).ok_or(Refusal::AddressBusy)?),
            None => None,
        };
        let of_total = self.total.take(()).ok_or(Refusal::Busy)?;
        let activity = Mutex::new(Activity::Waiting(clock::instant()));
        let link = Arc::new(Link { socket: Arc::clone(socket), activity });
        self.links.lock().insert(socket.as_raw_fd(), Arc::clone(&link));
        let connections = Arc::clone(self);
        Ok(Registered { connections, link, _of_sender: of_sender, _of_total: of_total })
    }

    /// Evicts the connection that has waited longest for its client, and waits for its end: idle connections make room for
    /// active clients (H6). Returns whether there was one.
    pub(crate) fn make_room(&self) -> bool {
        let before = self.total.held();
        let Some((since, link)) = self.longest_waiting() else { return false };
        let evicted = link.evict(since);
        if evicted {
            self.total.wait_below(before, limits::MAKE_ROOM_PAUSE);
        }
        evicted
    }

    fn longest_waiting(&self) -> Option<(Instant, Arc<Link>)> {
        let now = clock::instant();
        let links = self.links.lock();
        let waiting = links.values().filter_map(|link| Some((link.waiting_since(now)?, link)));
        let (since, link) = waiting.min_by_key(|(since, _)| *since)?;
        Some((since, Arc::clone(link)))
    }

    /// Wakes each stream whose client has disconnected, every `pause` until `ended` is tripped, and then all streams. One thread and one
    /// `poll` for all, so that the thread of an idle stream sleeps until it has something to send.
    pub(crate) fn watch_streams(&self, pause: Duration, ended: &CancelToken) {
        loop {
            let has_ended = ended.wait(pause);
            let with_waker = |link: &Arc<Link>| Some((Arc::clone(link), link.waker()?));
            let streams: Vec<_> = self.links.lock().values().filter_map(with_waker).collect();
            // POLLRDHUP detects a FIN or RST even behind unread bytes, which a peek does not.
            let sockets: Vec<_> = streams.iter().map(|(link, _)| (&*link.socket, libc::POLLRDHUP)).collect();
            let gone = sys::are_ready(&sockets, 0);
            let woken = streams.iter().zip(gone).filter(|(_, gone)| has_ended || *gone);
            woken.for_each(|((_, waker), _)| waker.wake());
            if has_ended {
                return;
            }
        }
    }

    /// Ends the reading of every connection without a complete request.
    pub(crate) fn shut(&self) {
        self.links().iter().for_each(|link| link.shut());
    }

    /// Cuts off every connection. Returns whether there was one.
    pub(crate) fn cut(&self) -> bool {
        let links = self.links();
        links.iter().for_each(|link| link.close(Shutdown::Both));
        !links.is_empty()
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().values().map(Arc::clone).collect()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.links.lock().remove(&self.link.socket.as_raw_fd());
    }
}

impl Deref for Registered {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Link {
    /// Sets the activity of the connection, unless the door has closed it.
    pub(crate) fn note(&self, activity: Activity) {
        let mut current = self.activity.lock();
        if !matches!(*current, Activity::Evicted | Activity::Shut) {
            *current = activity;
        }
    }

    /// Exempts the connection from eviction until its request is answered. Returns the previous activity.
    pub(crate) fn keep(&self) -> Activity {
        std::mem::replace(&mut self.activity.lock(), Activity::Busy)
    }

    fn waiting_since(&self, now: Instant) -> Option<Instant> {
        let Activity::Waiting(since) = *self.activity.lock() else { return None };
        Some(since).filter(|&since| since <= now)
    }

    /// The waker of the connection's open stream.
    fn waker(&self) -> Option<Waker> {
        let Activity::Streaming(waker) = &*self.activity.lock() else { return None };
        Some(waker.clone())
    }

    /// Closes the connection to make room, unless it has stopped waiting.
    fn evict(&self, since: Instant) -> bool {
        let mut activity = self.activity.lock();
        let waits = matches!(*activity, Activity::Waiting(time) if time == since);
        if waits {
            *activity = Activity::Evicted;
        }
        drop(activity);
        if waits {
            self.close(Shutdown::Both);
        }
        waits
    }

    /// Ends the reading, unless a complete request has been read. Bytes that have arrived can still be read, then comes the end.
    pub(crate) fn shut(&self) {
        let mut activity = self.activity.lock();
        if matches!(*activity, Activity::Busy | Activity::Streaming(_) | Activity::Evicted) {
            return;
        }
        *activity = Activity::Shut;
        drop(activity);
        self.close(Shutdown::Read);
    }

    fn close(&self, how: Shutdown) {
        let _ = self.socket.shutdown(how); // fails if the client has disconnected
    }
}

#[cfg(test)]
mod tests;
