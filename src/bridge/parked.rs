//! Calls whose client has been asked and is to come back (MRTR), by their tickets. Each holds a thread of
//! [`limits::bridge::QUESTIONS_WAITING`](crate::base::limits::bridge::QUESTIONS_WAITING), and no place among its user's calls.

use std::collections::HashMap;

use crossbeam_channel::Sender;

use crate::base::identity::GrantId;
use crate::base::lock::Mutex;
use crate::mcp::Context;

/// Takes the request that brings the answers. Dropping it ends the waiting.
type NextRequest = Sender<Context>;

/// The parked calls of one server.
#[derive(Default)]
pub(super) struct ParkedCalls {
    /// Guards the calls, and whether there may be more.
    state: Mutex<ParkedState>,
}

#[derive(Default)]
struct ParkedState {
    by_ticket: HashMap<String, (GrantId, NextRequest)>,
    is_closed: bool,
}

impl ParkedCalls {
    /// Parks a call of a grant. Returns whether it is parked now: not if the server stops.
    pub(super) fn insert(&self, ticket: &str, call: (GrantId, NextRequest)) -> bool {
        let mut state = self.state.lock();
        let is_open = !state.is_closed;
        if is_open {
            state.by_ticket.insert(ticket.to_owned(), call);
        }
        is_open
    }

    /// Takes the call of a ticket out, if it is this grant's.
    pub(super) fn take(&self, ticket: &str, owner: GrantId) -> Option<NextRequest> {
        let mut state = self.state.lock();
        let is_theirs = state.by_ticket.get(ticket).is_some_and(|(grant, _)| *grant == owner);
        if is_theirs { state.by_ticket.remove(ticket).map(|(_, next)| next) } else { None }
    }

    pub(super) fn forget(&self, ticket: &str) {
        self.state.lock().by_ticket.remove(ticket);
    }

    /// Gives up the calls of a grant.
    pub(super) fn end_grant(&self, grant: GrantId) {
        self.state.lock().by_ticket.retain(|_, (owner, _)| *owner != grant);
    }

    /// Gives up all calls, and parks no further ones: their clients would come back to a server that is gone.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.by_ticket.clear();
    }
}
