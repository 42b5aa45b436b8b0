//! The request that this thread is working on, for the log and for error pages. Not for decisions.
//!
//! The worker enters a trace before it calls the application and leaves it afterwards: lines that are logged in between have the
//! request's id, and no function has to pass it along.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::identity::{ClientFingerprint, Principal};
use super::random::Random;

/// The id of a request in the log and on an error page: twelve hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub [u8; 6]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The source of request ids: a counter with a random first value. Ids are unique and not secret, so a request needs no randomness
/// of its own.
#[derive(Debug)]
pub struct RequestIds(AtomicU64);

impl RequestIds {
    /// Ids that differ from those of earlier starts, with high probability.
    pub fn new(random: &dyn Random) -> RequestIds {
        RequestIds(AtomicU64::new(u64::from_be_bytes(random.bytes())))
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        let [_, _, id @ ..] = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        RequestId(id)
    }
}

/// The properties of one request for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub request: RequestId,
    /// Its client address, if known.
    pub peer: Option<IpAddr>,
    /// The name of the server that it is for, if there are several.
    pub server: Option<Arc<str>>,
}

/// Notes about the request that a thread is working on.
#[derive(Clone, Default)]
pub struct Notes {
    pub trace: Option<Trace>,
    /// The reason for its refusal, as noted by [`refused`].
    pub reason: Option<&'static str>,
    /// The OAuth client that it names, as noted by [`names_client`].
    pub client: Option<ClientFingerprint>,
    /// The caller who is refused, as noted by [`names_caller`].
    pub caller: Option<Principal>,
    in_tool: bool,
}

thread_local! {
    /// The notes of the current request; empty outside of [`within`].
    static NOTES: RefCell<Notes> = RefCell::default();
}

/// Runs `work` as a part of this request.
pub fn within<R>(trace: Trace, work: impl FnOnce() -> R) -> R {
    let _leave = Leave(NOTES.replace(Notes { trace: Some(trace), ..Notes::default() }));
    work()
}

/// Restores the earlier notes, after a panic as well.
struct Leave(Notes);

impl Drop for Leave {
    fn drop(&mut self) {
        NOTES.set(std::mem::take(&mut self.0));
    }
}

/// Runs code of a tool: the message of a panic in it may be logged, unlike one in code that handles tokens.
pub fn in_tool<R>(work: impl FnOnce() -> R) -> R {
    let set = |in_tool| NOTES.with_borrow_mut(|notes| std::mem::replace(&mut notes.in_tool, in_tool));
    let before = set(true);
    let done = work();
    set(before); // not after a panic: the panic hook reads it, and then the request ends
    done
}

/// Whether code of a tool runs.
pub fn is_in_tool() -> bool {
    NOTES.with_borrow(|notes| notes.in_tool)
}

/// Notes the OAuth client that the current request names, proven or not, for its line in the log.
pub fn names_client(client: &ClientFingerprint) {
    NOTES.with_borrow_mut(|notes| notes.client = Some(client.clone()));
}

/// Notes the caller of the current request who is refused although the token is good.
pub fn names_caller(caller: &Principal) {
    NOTES.with_borrow_mut(|notes| notes.caller = Some(caller.clone()));
}

/// The request that this thread is working on.
pub fn current() -> Option<Trace> {
    NOTES.with_borrow(|notes| notes.trace.clone())
}

/// Notes the server of the current request if its path does not identify it.
pub fn is_for(server: Option<&str>) {
    NOTES.with_borrow_mut(|notes| {
        if let Some(trace) = &mut notes.trace {
            trace.server = server.map(Arc::from);
        }
    });
}

/// Notes the reason for the refusal of the current request: a fixed word for its line in the log. Only the first one is kept.
pub fn refused(reason: &'static str) {
    NOTES.with_borrow_mut(|notes| notes.reason = notes.reason.or(Some(reason)));
}

/// Notes about the current request.
pub fn notes() -> Notes {
    NOTES.with_borrow(Notes::clone)
}

#[cfg(test)]
mod tests;
