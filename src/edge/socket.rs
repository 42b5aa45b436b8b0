//! One accepted socket: buffered reads up to a deadline, whole writes up to another, and whether the client is there.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stream::TimedStream;
use super::tls::{Tls, TlsStream};
use super::wire::Sink;
use crate::base::{clock, limits};
use crate::sys;

/// A socket and what was read from it but not yet used.
pub(crate) struct Socket {
    socket: Arc<UnixStream>,
    transport: SocketStream,
    /// Room for what is read; kept as it is from read to read, so that nothing is cleared again.
    buffer: Vec<u8>,
    /// Where in `buffer` the unused bytes start.
    start: usize,
    /// Where they end.
    end: usize,
    write_stall: Duration,
    /// Whether the door has shut the reading side.
    is_shut: bool,
}

/// What carries the bytes.
enum SocketStream {
    Clear(TimedStream),
    Tls(Box<TlsStream>),
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
    pub(crate) fn new(socket: Arc<UnixStream>, write_stall: Duration) -> io::Result<Socket> {
        let transport = SocketStream::Clear(TimedStream::new(Arc::clone(&socket), write_stall)?);
        Ok(Socket { socket, transport, buffer: Vec::new(), start: 0, end: 0, write_stall, is_shut: false })
    }

    /// Encrypts everything from here on.
    pub(crate) fn encrypted(self, tls: &Tls) -> io::Result<Socket> {
        let transport = match self.transport {
            SocketStream::Clear(stream) => SocketStream::Tls(Box::new(tls.accept(stream)?)),
            SocketStream::Tls(stream) => SocketStream::Tls(stream),
        };
        Ok(Socket { transport, ..self })
    }

    /// Whether the TLS handshake has not ended yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(&self.transport, SocketStream::Tls(stream) if stream.conn.is_handshaking())
    }

    /// Performs the TLS handshake, if there is one, but not past `deadline`.
    pub(crate) fn handshake(&mut self, deadline: Instant) -> io::Result<()> {
        let SocketStream::Tls(stream) = &mut self.transport else { return Ok(()) };
        stream.sock.set_deadline(deadline);
        stream.conn.complete_io(&mut stream.sock).map(drop)
    }

    /// What has arrived and was not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `count` bytes of [`Socket::unread`].
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// The socket itself, to be watched.
    pub(crate) fn socket(&self) -> Arc<UnixStream> {
        Arc::clone(&self.socket)
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
        self.transport.timed().set_deadline(deadline);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.transport.read(room) {
            Ok(count @ 1..) => {
                self.end = self.end.saturating_add(count);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(Unfilled::TimedOut),
            Ok(0) | Err(_) => Err(Unfilled::Closed),
        }
    }

    /// Tells the client that no more will be written. One that did not take what was written before is not waited for.
    pub(crate) fn finish(&mut self) {
        if let SocketStream::Tls(stream) = &mut self.transport
            && !stream.conn.wants_write()
        {
            stream.sock.set_deadline(clock::instant() + self.write_stall);
            stream.conn.send_close_notify();
            let _ = stream.conn.write_tls(&mut stream.sock); // fails if the client has gone
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Says that no more will be written and reads on for a moment: a socket closed over unread bytes is reset, and a
    /// reset can overtake the answer (H2). What still comes is thrown away undeciphered.
    pub(crate) fn linger(&mut self, time: Duration) {
        self.finish();
        let stream = self.transport.timed();
        stream.set_deadline(clock::instant() + time);
        let mut discarded = [0; limits::READ_BYTES];
        let mut left = limits::DRAIN_BYTES;
        while let Ok(count @ 1..) = stream.read(&mut discarded)
            && count < left
        {
            left = left.saturating_sub(count);
        }
    }

    /// Notes that the door has shut the reading side, so that this is not taken for the client's doing.
    pub(crate) fn note_shut(&mut self) {
        self.is_shut = true;
    }

    /// Keeps what a stream's client does not read from piling up in the kernel, which allows some megabytes otherwise.
    pub(crate) fn bound_send_buffer(&self) {
        let option = (libc::SOL_SOCKET, libc::SO_SNDBUF);
        let _ = sys::set_option(&*self.socket, option, limits::STREAM_SEND_BUFFER_BYTES);
    }
}

impl Sink for Socket {
    /// Writes everything, at once if the kernel takes it. Gives up on a client that takes nothing for the write stall, or less
    /// than [`limits::WRITE_BYTES_PER_SECOND`] after it.
    fn write(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0); // drops empty parts
        let total = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let seconds = u64::try_from(total).unwrap_or(u64::MAX) / limits::WRITE_BYTES_PER_SECOND;
        let patience = self.write_stall.saturating_add(Duration::from_secs(seconds));
        self.transport.timed().set_deadline(clock::instant() + patience);
        while !parts.is_empty() {
            let count = self.transport.write_vectored(parts)?;
            if count == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut parts, count);
        }
        self.transport.flush()
    }

    /// POLLRDHUP sees a FIN or RST even behind bytes that nobody has read yet, which a peek does not. Once our own side has been
    /// shut it is always there; a RST is seen without it.
    fn client_has_gone(&self) -> bool {
        let events = if self.is_shut { 0 } else { libc::POLLRDHUP };
        sys::are_ready(&[&*self.socket], events, 0).contains(&true)
    }
}

impl SocketStream {
    /// The stream below TLS, if there is any.
    fn timed(&mut self) -> &mut TimedStream {
        match self {
            SocketStream::Clear(stream) => stream,
            SocketStream::Tls(stream) => &mut stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            SocketStream::Clear(stream) => stream.read(buffer),
            SocketStream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            SocketStream::Clear(stream) => stream.write_vectored(parts),
            SocketStream::Tls(stream) => stream.write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            SocketStream::Clear(stream) => stream.flush(),
            SocketStream::Tls(stream) => stream.flush(),
        }
    }
}
