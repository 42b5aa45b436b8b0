//! Counts the threads of a group, bounds their number and waits for their end.

use std::sync::{Arc, Condvar};
use std::time::Duration;

use super::lock::{Mutex, wait_timeout_while};

/// The threads of one group.
#[derive(Debug)]
pub struct ThreadCount {
    most: usize,
    /// Guards the number of threads that run.
    running: Mutex<usize>,
    /// Notified when a thread ends.
    ended: Condvar,
}

/// One counted thread, until dropped. The thread owns it, so it is counted out even if it panics.
#[derive(Debug)]
pub struct CountedThread(Arc<ThreadCount>);

impl ThreadCount {
    /// A group of at most `most` threads.
    pub fn at_most(most: usize) -> Arc<ThreadCount> {
        Arc::new(ThreadCount { most, running: Mutex::new(0), ended: Condvar::new() })
    }

    /// Counts one more, unless that would be too many.
    pub fn enter(self: &Arc<Self>) -> Option<CountedThread> {
        let mut running = self.running.lock();
        *running = running.checked_add(1).filter(|&running| running <= self.most)?;
        Some(CountedThread(Arc::clone(self)))
    }

    /// The number of threads that run.
    pub fn running(&self) -> usize {
        *self.running.lock()
    }

    /// Waits until fewer than `count` threads run. Returns whether that happened within `patience`.
    pub fn wait_below(&self, count: usize, patience: Duration) -> bool {
        let too_many = |running: &mut usize| *running >= count;
        *wait_timeout_while(&self.ended, self.running.lock(), patience, too_many) < count
    }

    /// Waits until no thread runs. Returns whether that happened within `patience`.
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        self.wait_below(1, patience)
    }
}

impl Drop for CountedThread {
    fn drop(&mut self) {
        let mut running = self.0.running.lock();
        *running = running.saturating_sub(1);
        self.0.ended.notify_all();
    }
}
