//! A running door, for strangers or for a trusted peer: its state, its end, and the way of a request to the workers.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Settings;
use super::connections::Connections;
use super::refusal::Refusal;
use crate::base::log::{self, Field};
use crate::base::{CancelToken, Counters, Held, Quota, Throttle, clock, limits};
use crate::http::{Handler, Response, Waiter};
use crate::workers::Pool;

/// A running door.
pub struct Door {
    pub(crate) state: Arc<DoorState>,
    /// Shutting it down ends the accept loop.
    pub(crate) shutter: UnixStream,
    /// Taken when the door is closed.
    pub(crate) acceptor: Option<JoinHandle<()>>,
}

impl Door {
    /// Stops accepting connections (H13). Connections without a whole request end at once. Running requests are answered with
    /// `Connection: close`.
    pub fn close(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.state.closing.trip();
        let _ = self.shutter.shutdown(Shutdown::Both);
        let _ = acceptor.join(); // after this no connection is added
        self.state.connections.shut();
    }

    /// Waits until a closed door has answered everything. Returns whether it has within `patience`.
    pub fn wait(&self, patience: Duration) -> bool {
        self.state.running.wait_below(1, patience)
    }

    /// Closes the door, and after `patience` cuts off streams and connections. Behind the trusted door calls continue.
    pub fn stop(&mut self, patience: Duration) {
        self.close();
        let is_over = self.wait(patience);
        self.state.ended.trip();
        if !is_over && self.state.connections.cut() {
            // A thread that waits for a worker checks `ended` in this interval.
            self.wait(self.state.settings.client_check.saturating_mul(2));
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// The state that all requests of a door share.
pub struct DoorState {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) settings: Settings,
    /// Open connections; for the trusted door, requests that are being answered, each with a thread.
    pub(crate) running: Arc<Quota<()>>,
    /// Empty for the trusted door: tiny_http keeps its own connections.
    pub(crate) connections: Arc<Connections>,
    /// Open streams.
    pub(crate) streams: Arc<Quota<()>>,
    /// Clients control the rate of lines about limits that are reached.
    pub(super) log_limit: Throttle,
    /// Bytes of bodies in memory. Small bodies, which unauthenticated clients may send, have a budget of their own: large ones, however
    /// slow, keep nobody from logging in.
    small_bodies: Arc<Quota<()>>,
    large_bodies: Arc<Quota<()>>,
    /// Refusals before there was a request, by reason, since the start.
    pub(crate) refusals: Counters,
    /// Tripped when the door closes: requests that have arrived are answered, streams continue until the application ends them;
    /// nothing else is read.
    pub(crate) closing: CancelToken,
    /// Tripped when everything is cut off.
    pub(crate) ended: CancelToken,
}

impl DoorState {
    pub(crate) fn new(handler: Arc<dyn Handler>, pool: Arc<Pool>, settings: Settings) -> Arc<DoorState> {
        let running = Quota::in_total(settings.connections);
        Arc::new(DoorState {
            handler,
            pool,
            connections: Connections::new(Arc::clone(&running), settings.connections_per_address),
            running,
            streams: Quota::in_total(settings.streams),
            log_limit: Throttle::new(1),
            // One for each connection, so that a login always finds room.
            small_bodies: Quota::in_total(settings.connections.saturating_mul(limits::UNCHECKED_BODY_BYTES)),
            large_bodies: Quota::in_total(settings.large_body_bytes_in_flight),
            settings,
            refusals: Counters::default(),
            closing: CancelToken::new(),
            ended: CancelToken::new(),
        })
    }

    /// Counts a refusal, and answers it.
    pub(crate) fn refusal(&self, refusal: Refusal) -> Response {
        self.refusals.count(refusal.word());
        refusal.response()
    }

    /// A place for one more stream. Logs that there is none: the application has already logged its answer as sent.
    pub(crate) fn stream_place(&self) -> Option<Held<()>> {
        let place = self.streams.take(());
        if place.is_none()
            && let Some(omitted) = self.log_limit.pass("streams", clock::monotonic())
        {
            log::warn("edge.streams_full", &[Field::Omitted(omitted), Field::Hint("raise MCP_MAX_STREAMS")]);
        }
        place
    }

    /// An empty share of the memory budget for a body of at most `limit` bytes. It grows with the bytes that arrive.
    pub(crate) fn share(&self, limit: usize) -> Held<()> {
        let is_small = limit <= limits::UNCHECKED_BODY_BYTES;
        let quota = if is_small { &self.small_bodies } else { &self.large_bodies };
        quota.nothing(())
    }

    /// Waits for the answer, and tells the application when it takes long. `None` if `client_has_gone`, which it tells the
    /// application as well.
    pub(crate) fn wait(&self, waiter: &Waiter, client_has_gone: impl Fn() -> bool) -> Option<Response> {
        let answer = |patience| waiter.wait(clock::instant() + patience);
        if let Some(response) = answer(self.settings.slow_call) {
            return Some(response);
        }
        loop {
            waiter.run_slow_hook(); // each time: the application may have set it since
            if let Some(response) = answer(self.settings.client_check) {
                return Some(response);
            }
            if client_has_gone() {
                waiter.client_has_gone();
                return None;
            }
        }
    }
}
