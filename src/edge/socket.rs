//! One accepted socket: buffered reads up to a deadline, whole writes up to another, and whether the client is there.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::tls::Session;
use super::wire::Sink;
use crate::base::{clock, limits};
use crate::sys;

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket and what was read from it but not yet used.
pub(crate) struct Socket {
    stream: Arc<Stream>,
    /// `None` on a connection in the clear.
    tls: Option<Session>,
    /// Room for what is read; kept as it is from read to read, so that nothing is cleared again.
    buffer: Vec<u8>,
    /// Where in `buffer` the unused bytes start.
    start: usize,
    /// Where they end.
    end: usize,
    /// What SO_RCVTIMEO is set to: changing it costs a system call, which the usual request is spared.
    read_timeout: Duration,
    write_stall: Duration,
    /// Whether the door has shut the reading side.
    is_shut: bool,
}

/// Why no bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfilled {
    /// The client sends no more, or the connection broke.
    Closed,
    /// The deadline passed.
    TimedOut,
}

impl Socket {
    /// Takes over an accepted socket in the clear.
    pub(crate) fn new(stream: Arc<Stream>, write_stall: Duration) -> io::Result<Socket> {
        stream.prepare(write_stall)?;
        Ok(Socket {
            stream,
            tls: None,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            read_timeout: Duration::ZERO,
            write_stall,
            is_shut: false,
        })
    }

    /// The same, with everything from here on inside of TLS.
    pub(crate) fn within(self, session: Session) -> Socket {
        Socket { tls: Some(session), ..self }
    }

    /// Whether it is still to be agreed how to encrypt.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::is_handshaking)
    }

    /// Agrees with the client on how to encrypt, if that is to be done, but not past `deadline`.
    pub(crate) fn handshake(&mut self, deadline: Instant) -> Result<(), Unfilled> {
        while self.is_handshaking() {
            self.limit_read_until(deadline)?;
            let advanced = self.tls.as_mut().map(|session| session.advance(&self.stream));
            match advanced {
                Some(Ok(true)) | None => {}
                Some(Err(error)) if is_retried(&error) => {}
                Some(Ok(false) | Err(_)) => return Err(Unfilled::Closed),
            }
        }
        Ok(())
    }

    /// What has arrived and was not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `count` bytes of [`Socket::unread`].
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// The socket itself, for whoever watches it.
    pub(crate) fn stream(&self) -> Arc<Stream> {
        Arc::clone(&self.stream)
    }

    /// Gives the buffer's memory back if nothing is in it: an open stream does not need it.
    pub(crate) fn release_buffer(&mut self) {
        if self.unread().is_empty() {
            (self.buffer, self.start, self.end) = (Vec::new(), 0, 0);
        }
    }

    /// Waits until more bytes are there, but not past `deadline`. Returns their number.
    pub(crate) fn fill(&mut self, deadline: Instant) -> Result<usize, Unfilled> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        if self.end == 0 && self.buffer.len() > limits::READ_BYTES {
            self.buffer = Vec::new(); // a long head does not cost memory for ever
        }
        let most = self.end.saturating_add(limits::READ_BYTES);
        if self.buffer.len() < most {
            self.buffer.resize(most, 0);
        }
        loop {
            self.limit_read_until(deadline)?;
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            let read = match &mut self.tls {
                None => (&*self.stream).read(room),
                Some(session) => session.read(&self.stream, room),
            };
            match read {
                Ok(0) => return Err(Unfilled::Closed),
                Ok(count) => {
                    self.end = self.end.saturating_add(count);
                    return Ok(count);
                }
                Err(error) if is_retried(&error) => {}
                Err(_) => return Err(Unfilled::Closed),
            }
        }
    }

    /// Sees to it that a read ends about at `deadline`, or says how waiting has ended already.
    fn limit_read_until(&mut self, deadline: Instant) -> Result<(), Unfilled> {
        let left = deadline.saturating_duration_since(clock::instant());
        if left.is_zero() {
            return Err(Unfilled::TimedOut);
        }
        let close_enough = left..=left.saturating_add(READ_TIMEOUT_STEP);
        if close_enough.contains(&self.read_timeout) {
            return Ok(());
        }
        let timeout = left.saturating_add(READ_TIMEOUT_STEP / 2);
        self.stream.set_read_timeout(Some(timeout)).map_err(|_| Unfilled::Closed)?;
        self.read_timeout = timeout;
        Ok(())
    }

    /// Says that no more will be written. Fails if the client has gone, which is as good.
    pub(crate) fn finish(&mut self) {
        // What still comes is thrown away undeciphered.
        if let Some(mut session) = self.tls.take() {
            session.close(&self.stream);
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Says that no more will be written and reads on for a moment: a socket closed over unread bytes is reset, and a
    /// reset can overtake the answer (H2).
    pub(crate) fn linger(&mut self, time: Duration) {
        self.finish();
        let deadline = clock::instant() + time;
        let mut left = limits::DRAIN_BYTES;
        loop {
            self.start = self.end;
            match self.fill(deadline) {
                Ok(count) if count < left => left = left.saturating_sub(count),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Notes that the door has shut the reading side, so that this is not taken for the client's doing.
    pub(crate) fn note_shut(&mut self) {
        self.is_shut = true;
    }

    /// Keeps what a stream's client does not read from piling up in the kernel.
    pub(crate) fn bound_send_buffer(&self) {
        // Without it the kernel bounds the pile at some megabytes.
        let option = (libc::SOL_SOCKET, libc::SO_SNDBUF);
        let _ = sys::set_option(&*self.stream, option, limits::STREAM_SEND_BUFFER_BYTES);
    }
}

impl Sink for Socket {
    /// Writes everything, at once if the kernel takes it. A client that takes nothing for the write stall, or less
    /// than [`limits::WRITE_BYTES_PER_SECOND`] after it, is given up.
    fn write(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0); // drops empty parts
        let total = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let seconds = u64::try_from(total).unwrap_or(u64::MAX) / limits::WRITE_BYTES_PER_SECOND;
        let deadline = clock::instant() + self.write_stall + Duration::from_secs(seconds);
        while !parts.is_empty() || self.holds_output() {
            let written = match &mut self.tls {
                None => (&*self.stream).write_vectored(parts),
                Some(session) if session.holds_output() => session.send(&self.stream).map(|()| 0),
                Some(session) => session.encrypt(parts),
            };
            match written {
                Ok(0) if self.tls.is_none() => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut parts, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error), // WouldBlock, too: SO_SNDTIMEO passed without progress
            }
            // SO_SNDTIMEO starts again with each part that is taken; this does not.
            if (!parts.is_empty() || self.holds_output()) && clock::instant() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// POLLRDHUP sees a FIN or RST even behind bytes that nobody has read yet, which a peek does not. Once our own side has been
    /// shut it is always there; a RST is seen without it.
    fn client_has_gone(&self) -> bool {
        let events = if self.is_shut { 0 } else { libc::POLLRDHUP };
        sys::are_ready(&[&*self.stream], events, 0).contains(&true)
    }
}

impl Socket {
    fn holds_output(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::holds_output)
    }
}

impl Stream {
    /// Bounds every write, and has the kernel send what it is given.
    fn prepare(&self, write_stall: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => {
                // Without this a short answer waits for the client's delayed acknowledgement, 40 ms.
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(write_stall))
            }
            Stream::Unix(stream) => stream.set_write_timeout(Some(write_stall)),
        }
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buffer),
            Stream::Unix(stream) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write_vectored(parts),
            Stream::Unix(stream) => (&*stream).write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is held back
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// How far SO_RCVTIMEO may be from a deadline.
const READ_TIMEOUT_STEP: Duration = Duration::from_millis(20);

fn is_retried(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
