//! The stream of an accepted socket. Reads and writes, by the edge itself or by rustls, have a deadline.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::clock;

/// Reads and writes a socket until its deadline.
pub(crate) struct TimedStream {
    /// Also a TCP socket, see `Listener::accept`.
    socket: Arc<UnixStream>,
    /// Of the next read or write. In the past after a failed write, so that rustls does not try again.
    deadline: Instant,
    /// The value of SO_RCVTIMEO: changing it costs a system call, which most requests avoid.
    read_timeout: Duration,
}

impl TimedStream {
    /// A stream of which every write may stall for `write_stall`.
    pub(crate) fn new(socket: Arc<UnixStream>, write_stall: Duration) -> io::Result<TimedStream> {
        socket.set_write_timeout(Some(write_stall))?;
        Ok(TimedStream { socket, deadline: clock::instant(), read_timeout: Duration::ZERO })
    }

    /// Moves the deadline. At it, reads and writes fail with [`ErrorKind::TimedOut`].
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Makes a read end about at the deadline.
    fn limit_read(&mut self) -> io::Result<()> {
        let left = self.time_left()?;
        let close_enough = left..=left.saturating_add(READ_TIMEOUT_STEP);
        if !close_enough.contains(&self.read_timeout) {
            self.read_timeout = left.saturating_add(READ_TIMEOUT_STEP / 2);
            self.socket.set_read_timeout(Some(self.read_timeout))?;
        }
        Ok(())
    }

    fn time_left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(clock::instant());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for TimedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.limit_read()?;
            match (&*self.socket).read(buffer) {
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                read => return read,
            }
        }
    }
}

impl Write for TimedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            self.time_left()?;
            match (&*self.socket).write_vectored(parts) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // The client has disconnected, or took nothing for the write stall (WouldBlock). rustls would try again.
                    self.deadline = clock::instant();
                    return Err(error);
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is buffered here
    }
}

/// The tolerance between SO_RCVTIMEO and a deadline.
const READ_TIMEOUT_STEP: Duration = Duration::from_millis(20);
