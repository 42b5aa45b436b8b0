//! One accepted socket: buffered reads and complete writes, each with a deadline, and detection of a disconnected client.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::refusal::{Refusal, Stop};
use super::stream::TimedStream;
use super::tls::{Tls, TlsConnection, TlsStream};
use super::wire::Sink;
use crate::base::{clock, limits};
use crate::sys;

/// A socket, and the bytes read from it but not yet used.
pub(crate) struct Socket {
    socket: Arc<UnixStream>,
    stream: TimedStream,
    /// The TLS session over `stream`.
    tls: Option<Box<TlsConnection>>,
    /// The read buffer. It keeps its length between reads, so that it is not filled with zeros each time.
    buffer: Vec<u8>,
    /// The start of the unused bytes in `buffer`.
    start: usize,
    /// Their end.
    end: usize,
    write_stall: Duration,
    /// Whether the door has shut the reading side.
    is_shut: bool,
}

impl Socket {
    /// Takes over an accepted socket, in the clear.
    pub(crate) fn new(socket: Arc<UnixStream>, write_stall: Duration) -> io::Result<Socket> {
        let stream = TimedStream::new(Arc::clone(&socket), write_stall)?;
        let (tls, buffer) = (None, Vec::new());
        Ok(Socket { socket, stream, tls, buffer, start: 0, end: 0, write_stall, is_shut: false })
    }

    /// Encrypts everything from here on.
    pub(crate) fn encrypted(self, tls: &Tls) -> io::Result<Socket> {
        Ok(Socket { tls: Some(Box::new(tls.connection()?)), ..self })
    }

    /// Whether the TLS handshake has not ended yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Performs the TLS handshake, if there is one, but not past `deadline`.
    pub(crate) fn handshake(&mut self, deadline: Instant) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        self.stream.set_deadline(deadline);
        tls.complete_io(&mut self.stream).map(drop)
    }

    /// The bytes that have arrived and were not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `count` bytes of [`Socket::unread`].
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Releases the buffer if it is empty: an open stream does not need it.
    pub(crate) fn release_buffer(&mut self) {
        if self.unread().is_empty() {
            (self.buffer, self.start, self.end) = (Vec::new(), 0, 0);
        }
    }

    /// Waits until more bytes have arrived, but not past `deadline`. Returns their number.
    pub(crate) fn fill(&mut self, deadline: Instant) -> Result<usize, Stop> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        if self.end == 0 && self.buffer.len() > limits::READ_BYTES {
            self.buffer = Vec::new(); // the memory of a long head is released
        }
        let most = self.end.saturating_add(limits::READ_BYTES);
        if self.buffer.len() < most {
            self.buffer.resize(most, 0);
        }
        self.stream.set_deadline(deadline);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = match &mut self.tls {
            None => self.stream.read(room),
            Some(tls) => TlsStream::new(&mut **tls, &mut self.stream).read(room),
        };
        match read {
            Ok(count @ 1..) => {
                self.end = self.end.saturating_add(count);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(Refusal::TooSlow.into()),
            Ok(0) | Err(_) => Err(Stop::Ended),
        }
    }

    /// Announces that no more will be written. A client that did not read earlier data is not waited for.
    pub(crate) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls
            && !tls.wants_write()
        {
            self.stream.set_deadline(clock::instant() + self.write_stall);
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.stream); // fails if the client has disconnected
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Announces that no more will be written and reads on for a moment: a socket closed over unread bytes is reset, and a
    /// reset can overtake the answer (H2). These bytes are discarded without decryption.
    pub(crate) fn linger(&mut self, time: Duration) {
        self.finish();
        self.stream.set_deadline(clock::instant() + time);
        let mut discarded = [0; limits::READ_BYTES];
        let mut left = limits::DRAIN_BYTES;
        while let Ok(count @ 1..) = self.stream.read(&mut discarded)
            && count < left
        {
            left = left.saturating_sub(count);
        }
    }

    /// Records that the door has shut down the reading side, so that this is not attributed to the client.
    pub(crate) fn note_shut(&mut self) {
        self.is_shut = true;
    }

    /// Limits the send buffer for a stream, for which the kernel allows some megabytes otherwise.
    pub(crate) fn bound_send_buffer(&self) {
        let option = (libc::SOL_SOCKET, libc::SO_SNDBUF);
        let _ = sys::set_option(&*self.socket, option, limits::STREAM_SEND_BUFFER_BYTES);
    }
}

impl Sink for Socket {
    /// Writes everything, at once if the kernel takes it. Gives up on a client that takes nothing for the write stall, or less
    /// than [`limits::WRITE_BYTES_PER_SECOND`] after it.
    fn write(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let total = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let seconds = u64::try_from(total).unwrap_or(u64::MAX) / limits::WRITE_BYTES_PER_SECOND;
        let patience = self.write_stall.saturating_add(Duration::from_secs(seconds));
        self.stream.set_deadline(clock::instant() + patience);
        match &mut self.tls {
            None => write_all(&mut self.stream, parts),
            Some(tls) => write_all(&mut TlsStream::new(&mut **tls, &mut self.stream), parts),
        }
    }

    /// POLLRDHUP detects a FIN or RST even behind unread bytes, which a peek does not. Once our own side has been
    /// shut down it is always set; a RST is detected without it.
    fn client_has_gone(&self) -> bool {
        let events = if self.is_shut { 0 } else { libc::POLLRDHUP };
        sys::are_ready(&[(&*self.socket, events)], 0).contains(&true)
    }
}

fn write_all(stream: &mut impl Write, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0); // drops empty parts
    while !parts.is_empty() {
        let count = stream.write_vectored(parts)?;
        if count == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut parts, count);
    }
    stream.flush()
}
