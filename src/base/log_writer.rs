//! The thread that writes the log. Whoever logs hands a line over and goes on: a reader that stalls, a terminal or a pipe,
//! costs lines and never a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::limits;
use crate::base::lock::RwLock;

/// Lines on their way, and how many had no room.
#[derive(Debug)]
pub(super) struct Queue {
    lines: Sender<String>,
    dropped: Arc<AtomicU64>,
}

/// How much of the queue a line may find taken and still go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Three quarters: for lines that anybody can bring about as often as they like.
    Most,
    /// All of it.
    Whole,
}

/// The writing thread. Dropped, it has written what was logged before, unless its reader stalls.
#[derive(Debug)]
pub struct Writer {
    ended: Receiver<()>,
}

/// Where lines go while there is a [`Writer`].
static QUEUE: RwLock<Option<Queue>> = RwLock::new(None);

impl Writer {
    /// Starts to write to standard error in the background.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start() -> io::Result<Writer> {
        let (queue, ended) = Queue::start(io::stderr())?;
        *QUEUE.write() = Some(queue);
        Ok(Writer { ended })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(QUEUE.write().take());
        // The thread's end, or that patience's: a log that nobody reads does not keep the server from ending.
        let _ = self.ended.recv_timeout(limits::LOG_PATIENCE);
    }
}

/// Writes a line, in the background if there is a [`Writer`].
pub(super) fn write(share: Share, line: String) {
    match &*QUEUE.read() {
        Some(queue) => queue.push(share, line),
        // A log that cannot be written must not stop the server.
        None => drop(io::stderr().lock().write_all(line.as_bytes())),
    }
}

impl Queue {
    /// A queue and the thread that empties it, whose end the receiver sees.
    fn start(out: impl Write + Send + 'static) -> io::Result<(Queue, Receiver<()>)> {
        let (lines, waiting) = bounded(limits::LOG_LINES);
        let (end, ended) = bounded(0);
        let dropped = Arc::default();
        let queue = Queue { lines, dropped: Arc::clone(&dropped) };
        // Ends when the queue is dropped and what is in it has been written.
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            empty(&waiting, &dropped, out);
            drop(end);
        })?;
        Ok((queue, ended))
    }

    /// Adds a line if there is room in its share.
    fn push(&self, share: Share, line: String) {
        let most = match share {
            Share::Most => limits::LOG_LINES / 4 * 3,
            Share::Whole => limits::LOG_LINES,
        };
        if self.lines.len() >= most || matches!(self.lines.try_send(line), Err(TrySendError::Full(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn empty(lines: &Receiver<String>, dropped: &AtomicU64, mut out: impl Write) {
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
                let _ = out.write_all(super::log::dropped(count).as_bytes());
            }
            batch = lines.try_recv().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes one write whenever it is told to.
    struct Slow {
        go_on: mpsc::Receiver<()>,
        read: mpsc::Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.go_on.recv(); // an error is as good as a word: the test has let go
            self.read.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// L2: a reader that stalls costs lines, the unimportant ones first, and the log says how many; nobody waits.
    #[test]
    fn a_stalled_reader_costs_lines_and_no_time() {
        let ((go, go_on), (read, lines)) = (mpsc::channel(), mpsc::channel());
        let (queue, ended) = Queue::start(Slow { go_on, read }).unwrap();
        for number in 0..limits::LOG_LINES * 2 {
            queue.push(Share::Most, format!("info {number}\n"));
        }
        queue.push(Share::Whole, "error\n".to_owned());
        drop((go, queue));
        assert!(ended.recv_timeout(limits::LOG_PATIENCE * 30).is_err_and(|error| error.is_disconnected()));
        let written: String = lines.iter().collect();
        let written: Vec<&str> = written.split_inclusive('\n').collect();
        assert_eq!(written.iter().filter(|line| line.contains("log.dropped")).count(), 1, "{written:?}");
        let kept = written.iter().filter(|line| line.starts_with("info")).count();
        let room = limits::LOG_LINES / 4 * 3;
        // What the writer had already taken when its reader stalled comes on top.
        assert!((room..=room + limits::LOG_BATCH + 1).contains(&kept), "{kept}");
        let dropped = format!("count={}", limits::LOG_LINES * 2 - kept);
        assert!(written.iter().any(|line| line.contains(&dropped)), "{dropped} {written:?}");
        assert_eq!(*written.last().unwrap(), "error\n");
    }
}
