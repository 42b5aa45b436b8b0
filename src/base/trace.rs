//! Which request this thread is working on, for the log and for the person who will ask about it. Not for decisions.
//!
//! The worker enters a trace before it calls the application and leaves it after: what is logged in between names the
//! request, without every function between having to pass its id along.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::identity::ClientFingerprint;
use super::random::Random;

/// Names one request in the log and on an error page: twelve hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub [u8; 6]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Gives each request an id. They count up from a place that differs from start to start: unique, and no secret, so a
/// request costs no call for randomness.
#[derive(Debug)]
pub struct RequestIds(AtomicU64);

impl RequestIds {
    /// Ids that no earlier start has given, as far as chance goes.
    pub fn new(random: &dyn Random) -> RequestIds {
        RequestIds(AtomicU64::new(u64::from_be_bytes(random.bytes())))
    }

    /// The next one.
    pub fn next(&self) -> RequestId {
        let [_, _, id @ ..] = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        RequestId(id)
    }
}

/// One request, as far as the log is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub request: RequestId,
    /// Whom it counts for; `None` if that is not known.
    pub peer: Option<IpAddr>,
}

thread_local! {
    /// Alive while [`within`] runs.
    static CURRENT: Cell<Option<Trace>> = const { Cell::new(None) };
    /// Why the current request is refused, if it is.
    static REASON: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// The OAuth client that the current request names.
    static CLIENT: RefCell<Option<ClientFingerprint>> = const { RefCell::new(None) };
    /// Whether code of a tool runs.
    static IN_TOOL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` as a part of this request.
pub fn within<R>(trace: Trace, work: impl FnOnce() -> R) -> R {
    let _leave =
        Leave(CURRENT.replace(Some(trace)), REASON.replace(None), CLIENT.take(), IN_TOOL.replace(false));
    work()
}

/// Puts back what was there before, after a panic as well.
struct Leave(Option<Trace>, Option<&'static str>, Option<ClientFingerprint>, bool);

impl Drop for Leave {
    fn drop(&mut self) {
        CURRENT.set(self.0);
        REASON.set(self.1);
        CLIENT.set(self.2.take());
        IN_TOOL.set(self.3);
    }
}

/// Runs code of a tool: what a panic in it says may be logged, unlike that of one in code that handles tokens.
pub fn in_tool<R>(work: impl FnOnce() -> R) -> R {
    let before = IN_TOOL.replace(true);
    let done = work();
    IN_TOOL.set(before); // not after a panic: the hook asks, and then the request is left
    done
}

/// Whether code of a tool runs.
pub fn is_in_tool() -> bool {
    IN_TOOL.get()
}

/// Notes the OAuth client that the current request names, proven or not, for its line in the log.
pub fn names_client(client: &ClientFingerprint) {
    CLIENT.set(Some(client.clone()));
}

/// What [`names_client`] has noted of the current request.
pub fn client() -> Option<ClientFingerprint> {
    CLIENT.with_borrow(Clone::clone)
}

/// The request that this thread is working on.
pub fn current() -> Option<Trace> {
    CURRENT.get()
}

/// Notes why the current request is refused: a fixed word for its line in the log. The first one counts.
pub fn refused(reason: &'static str) {
    REASON.set(REASON.get().or(Some(reason)));
}

/// What [`refused`] has noted of the current request.
pub fn reason() -> Option<&'static str> {
    REASON.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(byte: u8) -> Trace {
        Trace { request: RequestId([byte; 6]), peer: None }
    }

    #[test]
    fn a_trace_lasts_as_long_as_its_work_even_if_that_panics() {
        within(trace(0x1f), || {
            refused("outer");
            refused("later");
            let inner = std::panic::catch_unwind(|| {
                within(trace(2), || {
                    assert_eq!((current(), reason()), (Some(trace(2)), None));
                    refused("inner");
                    panic!("on purpose");
                })
            });
            assert!(inner.is_err());
            assert_eq!((current(), reason()), (Some(trace(0x1f)), Some("outer")));
        });
        assert_eq!((current(), reason()), (None, None));
        assert_eq!(RequestId([0, 1, 0x1f, 0xff, 7, 8]).to_string(), "00011fff0708");
    }
}
