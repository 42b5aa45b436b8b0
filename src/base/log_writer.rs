//! The thread that writes the log. Lines are handed over and not waited for: a stalled reader, a terminal or a pipe, costs
//! lines and never a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::limits;
use super::lock::Mutex;

/// Lines on their way, and how many had no room.
#[derive(Debug)]
struct Queue {
    lines: Sender<String>,
    dropped: Arc<AtomicU64>,
}

/// Makes the line in place of a number of dropped lines.
type DroppedLine = fn(u64) -> String;

/// The writing thread. Dropped, it has written what was logged before, unless its reader stalls.
#[derive(Debug)]
#[must_use]
pub struct Writer {
    ended: Receiver<()>,
}

/// Where lines go while there is a [`Writer`].
static QUEUE: Mutex<Option<Queue>> = Mutex::new(None);

impl Writer {
    /// Starts to write to standard error.
    pub(super) fn start(dropped_line: DroppedLine) -> io::Result<Writer> {
        let (queue, ended) = Queue::start(io::stderr(), dropped_line)?;
        *QUEUE.lock() = Some(queue);
        Ok(Writer { ended })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(QUEUE.lock().take());
        // The thread's end, or that patience's: a log that nobody reads does not keep the server from ending.
        let _ = self.ended.recv_timeout(limits::LOG_PATIENCE);
    }
}

/// Writes a line, if there is a [`Writer`] in the background, and if fewer than `room` lines wait there.
pub(super) fn write(line: String, room: usize) {
    match &*QUEUE.lock() {
        Some(queue) => queue.push(line, room),
        // A log that cannot be written must not stop the server.
        None => drop(io::stderr().lock().write_all(line.as_bytes())),
    }
}

impl Queue {
    /// A queue and the thread that empties it, whose end the receiver sees.
    fn start(
        out: impl Write + Send + 'static,
        dropped_line: DroppedLine,
    ) -> io::Result<(Queue, Receiver<()>)> {
        let (lines, waiting) = bounded(limits::LOG_LINES);
        let (end, ended) = bounded(0);
        let dropped = Arc::default();
        let queue = Queue { lines, dropped: Arc::clone(&dropped) };
        // Ends when the queue is dropped and what is in it has been written.
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            empty(&waiting, &dropped, dropped_line, out);
            drop(end);
        })?;
        Ok((queue, ended))
    }

    fn push(&self, line: String, room: usize) {
        if self.lines.len() >= room || matches!(self.lines.try_send(line), Err(TrySendError::Full(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn empty(lines: &Receiver<String>, dropped: &AtomicU64, dropped_line: DroppedLine, mut out: impl Write) {
    while let Ok(first) = lines.recv() {
        // Nobody wakes a thread that does not wait for a line: most requests are spared that.
        thread::park_timeout(limits::LOG_GATHER);
        let mut batch = first;
        while !batch.is_empty() {
            lines.try_iter().take(limits::LOG_BATCH).for_each(|line| batch.push_str(&line));
            // A log that cannot be written must not stop the server.
            let _ = out.write_all(batch.as_bytes());
            let count = dropped.swap(0, Ordering::Relaxed);
            if count > 0 {
                let _ = out.write_all(dropped_line(count).as_bytes());
            }
            batch = lines.try_recv().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests;
