//! Bodies that tiny_http has not read by itself. There is no way to stop waiting for one, so only so many threads do: the
//! other requests with such bodies wait unread, and those without find a thread whatever slow senders do.

use std::collections::VecDeque;
use std::sync::MutexGuard;

use super::Generation;
use crate::base::limits;
use crate::base::lock::Mutex;

/// Who reads such a body, and who waits to.
#[derive(Default)]
pub(super) struct Lane {
    /// Guards both. A request that waits costs what its connection costs anyway.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reading: usize,
    waiting: VecDeque<tiny_http::Request>,
}

/// The right to read one body, until dropped.
pub(super) struct Turn<'a> {
    lane: &'a Lane,
    /// One of whose threads is woken when others wait for their turn.
    generation: Option<&'a Generation>,
}

/// A request that can be served now, with its turn if we have to read its body.
pub(super) type Ready<'a> = (tiny_http::Request, Option<Turn<'a>>);

impl Lane {
    /// Whether `request` has a body that tiny_http has left to us, as it does with those that are large, chunked or
    /// waited for, and after `Connection: Upgrade`.
    pub(super) fn concerns(request: &tiny_http::Request) -> bool {
        let left = |name: &str| LEFT.iter().any(|left| name.eq_ignore_ascii_case(left));
        request.body_length().is_some_and(|length| length > limits::TINY_READ_AHEAD)
            || request.headers().iter().any(|field| left(field.field.as_str().as_str()))
    }

    /// Has a request that has just come wait for its turn, and gives the one whose turn it is.
    pub(super) fn enter<'a>(
        &'a self,
        request: tiny_http::Request,
        generation: &'a Generation,
    ) -> Option<Ready<'a>> {
        self.lock().waiting.push_back(request);
        self.next(generation)
    }

    /// The request that has waited longest, if another may be read.
    pub(super) fn next<'a>(&'a self, generation: &'a Generation) -> Option<Ready<'a>> {
        let mut state = self.lock();
        if state.reading >= limits::TINY_BODIES {
            return None;
        }
        let request = state.waiting.pop_front()?;
        state.reading = state.reading.saturating_add(1);
        Some((request, Some(Turn { lane: self, generation: Some(generation) })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Fields that make tiny_http leave even a small body.
const LEFT: [&str; 3] = ["Transfer-Encoding", "Expect", "Upgrade"];

impl Turn<'_> {
    /// Has the request wait on: whoever has it now cannot serve it.
    pub(super) fn put_back(mut self, request: tiny_http::Request) {
        self.generation = None; // nobody is woken for what was just tried
        self.lane.lock().waiting.push_front(request);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let others = {
            let mut state = self.lane.lock();
            state.reading = state.reading.saturating_sub(1);
            !state.waiting.is_empty()
        };
        if let Some(generation) = self.generation.filter(|_| others) {
            generation.server.unblock(); // ends one thread's waiting, which then asks the lane
        }
    }
}
