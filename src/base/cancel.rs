//! Cancellation of work: a flag that is tripped once and shared by all of its clones.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use super::lock::{Mutex, wait_timeout_while};

/// A flag: the result of some work is no longer wanted. Clones share one flag; it never resets.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Guards the flag, and the actions to run when it is tripped.
    state: Mutex<TokenState>,
    /// Wakes [`CancelToken::wait`].
    changed: Condvar,
}

#[derive(Default)]
struct TokenState {
    tripped: bool,
    /// The work is over: no action runs any more.
    disarmed: bool,
    /// Run by [`CancelToken::trip`], outside of the lock.
    actions: Vec<Action>,
}

/// An action that runs when a token is tripped.
pub(crate) type Action = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("tripped", &self.state.lock().tripped).finish_non_exhaustive()
    }
}

impl CancelToken {
    /// A token that is not tripped.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Trips the token and wakes all threads that wait on it.
    pub fn trip(&self) {
        let actions = {
            let mut state = self.0.state.lock();
            state.tripped = true;
            std::mem::take(&mut state.actions)
        };
        self.0.changed.notify_all();
        for action in actions {
            outlive(action);
        }
    }

    /// Runs `action` when the token is tripped, on the thread that trips it; at once if it is tripped already. It must not block.
    /// A panic in it is logged and caught.
    pub fn on_trip(&self, action: impl FnOnce() + Send + 'static) {
        let action: Action = Box::new(action);
        {
            let mut state = self.0.state.lock();
            if state.disarmed {
                return;
            }
            if !state.tripped {
                return state.actions.push(action);
            }
        }
        outlive(action);
    }

    /// The work is over: tripping the token runs nothing from now on. Returns the actions that have not run.
    pub(crate) fn disarm(&self) -> Vec<Action> {
        let mut state = self.0.state.lock();
        state.disarmed = true;
        std::mem::take(&mut state.actions)
    }

    /// Whether the token is tripped: the work should stop.
    pub fn is_tripped(&self) -> bool {
        self.0.state.lock().tripped
    }

    /// Sleeps for `duration` or until the token is tripped. Returns whether it was.
    pub fn wait(&self, duration: Duration) -> bool {
        let is_waiting = |state: &mut TokenState| !state.tripped;
        wait_timeout_while(&self.0.changed, self.0.state.lock(), duration, is_waiting).tripped
    }
}

/// Runs an action of somebody else's code, such as a backend's. A panic in it is logged by the panic hook, and must not keep the
/// thread from its other work. Returns `None` then.
pub fn outlive<R>(action: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(action)).ok()
}

#[cfg(test)]
mod tests;
