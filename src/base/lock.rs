//! Locks that ignore poisoning: a panic while a lock is held ends one request ("dropped answers 500"), not the server.
//! Every critical section of this crate leaves its data consistent at each step that can panic.

use std::sync::{self, Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// A mutual exclusion lock.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// Waits until the lock is free and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for `condition` while `waiting` is true, `timeout` at most.
pub fn wait_timeout_while<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
    waiting: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condition.wait_timeout_while(guard, timeout, waiting).unwrap_or_else(PoisonError::into_inner).0
}
