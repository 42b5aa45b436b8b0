//! Calls that wait for their client's next request (MRTR), by their tickets. Each holds a thread of
//! [`limits::bridge::QUESTIONS_WAITING`](crate::base::limits::bridge::QUESTIONS_WAITING), and no place in its user's limit of calls.

use std::collections::HashMap;

use crossbeam_channel::Sender;

use crate::base::{GrantId, Mutex};
use crate::mcp::Context;

/// Sends the request that brings the answers. Dropping it ends the wait.
type NextRequest = Sender<Context>;

/// The parked calls of one server.
pub(super) struct ParkedCalls {
    /// Guards the calls by their tickets; taken when no more may be parked.
    by_ticket: Mutex<Option<HashMap<String, (GrantId, NextRequest)>>>,
}

impl Default for ParkedCalls {
    fn default() -> ParkedCalls {
        ParkedCalls { by_ticket: Mutex::new(Some(HashMap::new())) }
    }
}

impl ParkedCalls {
    /// Parks a call of a grant. Returns whether it was parked: not after [`ParkedCalls::close`].
    pub(super) fn insert(&self, ticket: &str, call: (GrantId, NextRequest)) -> bool {
        self.by_ticket.lock().as_mut().map(|calls| calls.insert(ticket.to_owned(), call)).is_some()
    }

    /// Removes and returns the call of a ticket, if it belongs to this grant.
    pub(super) fn take(&self, ticket: &str, owner: GrantId) -> Option<NextRequest> {
        let mut calls = self.by_ticket.lock();
        let calls = calls.as_mut()?;
        calls.get(ticket).filter(|(grant, _)| *grant == owner)?;
        calls.remove(ticket).map(|(_, next)| next)
    }

    pub(super) fn forget(&self, ticket: &str) {
        self.by_ticket.lock().as_mut().map(|calls| calls.remove(ticket));
    }

    /// Drops the calls of a grant.
    pub(super) fn end_grant(&self, grant: GrantId) {
        self.by_ticket.lock().iter_mut().for_each(|calls| calls.retain(|_, (owner, _)| *owner != grant));
    }

    /// Drops all calls, and parks no further ones: their clients would come back to a server that has ended.
    pub(super) fn close(&self) {
        self.by_ticket.lock().take();
    }
}
