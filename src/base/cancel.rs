//! The flag that tells work to stop: tripped once, seen by everyone who holds it.

use std::sync::{Arc, Condvar};
use std::time::Duration;

use super::clock;
use crate::base::lock::{Mutex, wait_timeout};

/// Says that the result of some work is no longer wanted. Clones share one flag; it never resets.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Guards nothing but itself; set by [`CancelToken::trip`].
    tripped: Mutex<bool>,
    /// Wakes [`CancelToken::wait`].
    changed: Condvar,
}

impl CancelToken {
    /// A token that nobody has tripped.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Trips the token and wakes everyone who waits on it.
    pub fn trip(&self) {
        *self.0.tripped.lock() = true;
        self.0.changed.notify_all();
    }

    /// Whether the work is to stop.
    pub fn is_tripped(&self) -> bool {
        *self.0.tripped.lock()
    }

    /// Sleeps for `duration` or until the token is tripped; says whether it was.
    pub fn wait(&self, duration: Duration) -> bool {
        let deadline = clock::instant() + duration;
        let mut tripped = self.0.tripped.lock();
        while !*tripped {
            let left = deadline.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return false;
            }
            tripped = wait_timeout(&self.0.changed, tripped, left);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tripping_wakes_whoever_waits() {
        let token = CancelToken::new();
        let other = token.clone();
        let waiter = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        token.trip();
        assert!(waiter.join().unwrap());
        assert!(token.is_tripped());
    }

    #[test]
    fn waiting_ends_by_itself() {
        assert!(!CancelToken::new().wait(Duration::from_millis(1)));
    }
}
