//! A response body that is still being written: a bounded channel that the application fills and a door drains.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::base::{CancelToken, Held, Share, limits};

/// A chunk was not taken: the reader does not keep up or has gone, or its user leaves too much unread. The stream is over for its
/// sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTaken;

/// The application's end. The stream ends when every clone is dropped.
#[derive(Clone, Debug)]
pub struct StreamSender {
    chunks: Sender<Box<Chunk>>,
    /// The memory budget of the waiting chunks.
    unread: Share,
    /// Bytes in the channel.
    waiting: Arc<AtomicUsize>,
    /// Tripped by the door when the reader has gone.
    gone: CancelToken,
}

/// The door's end.
#[derive(Debug)]
pub struct Stream {
    /// Boxed, because the channel has room for all of its chunks from the start, and most streams never have two.
    chunks: Receiver<Box<Chunk>>,
    waiting: Arc<AtomicUsize>,
    gone: CancelToken,
    /// Filled by a [`Waker`], emptied by [`Stream::next`].
    woken: Receiver<()>,
    waker: Waker,
    /// Its place among its user's streams, if it counts there.
    _place: Option<Held>,
}

/// Bytes on their way to a reader. They count as unread until this is dropped.
#[derive(Debug)]
pub struct Chunk {
    bytes: Arc<[u8]>,
    _held: Held,
}

/// Ends a [`Stream::next`] that waits.
#[derive(Clone, Debug)]
pub struct Waker(Sender<()>);

/// The next item of a stream.
#[derive(Debug)]
pub enum Next {
    /// Bytes to be written and flushed.
    Chunk(Box<Chunk>),
    /// Nothing within the time, or the waiting was ended by a [`Waker`].
    Silence,
    /// Nothing more, ever.
    End,
}

impl Stream {
    /// The two ends of one stream, which holds [`limits::STREAM_EVENTS`] chunks and [`limits::STREAM_BYTES`], all of it counted
    /// in `unread`. `gone` is tripped when the door lets go of the stream, so that work can stop with its reader.
    pub fn pair(unread: Share, gone: CancelToken) -> (StreamSender, Stream) {
        let (sender, receiver) = bounded(limits::STREAM_EVENTS);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (waker, woken) = bounded(1);
        let (shared, waker) = (Arc::clone(&waiting), Waker(waker));
        let stream =
            Stream { chunks: receiver, waiting: shared, gone: gone.clone(), woken, waker, _place: None };
        (StreamSender { chunks: sender, unread, waiting, gone }, stream)
    }

    /// Keeps `place`, if there is one, until the door drops the stream.
    pub fn holding(mut self, place: impl Into<Option<Held>>) -> Stream {
        self._place = place.into();
        self
    }

    /// Waits for the next chunk.
    pub fn next(&self, timeout: Duration) -> Next {
        let chunk = select! {
            recv(self.chunks) -> chunk => chunk,
            recv(self.woken) -> _ => return Next::Silence,
            default(timeout) => return Next::Silence,
        };
        let Ok(chunk) = chunk else { return Next::End };
        self.waiting.fetch_sub(chunk.len(), Ordering::Relaxed);
        Next::Chunk(chunk)
    }

    /// Lets another thread end the waiting of [`Stream::next`].
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Waker {
    /// The stream's door looks up, now or when it next waits.
    pub fn wake(&self) {
        let _ = self.0.try_send(()); // full: it has been woken already
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.gone.trip();
    }
}

impl StreamSender {
    /// Hands a chunk to the door; never waits.
    ///
    /// # Errors
    /// [`NotTaken`]; the chunk is lost and the caller should drop its end.
    pub fn send(&self, chunk: impl Into<Arc<[u8]>>) -> Result<(), NotTaken> {
        let chunk = chunk.into();
        let length = chunk.len();
        let held = self.unread.hold(length).ok_or(NotTaken)?;
        let chunk = Box::new(Chunk { bytes: chunk, _held: held });
        // Counted before it is sent, so that the door never subtracts what was not yet added. What waits already decides:
        // a single large result is no slow reader.
        let fits = self.waiting.fetch_add(length, Ordering::Relaxed) <= limits::STREAM_BYTES;
        if fits && self.chunks.try_send(chunk).is_ok() {
            return Ok(());
        }
        self.waiting.fetch_sub(length, Ordering::Relaxed);
        Err(NotTaken)
    }

    /// Whether more than half of the room is taken. A sender that can wait should.
    pub fn is_crowded(&self) -> bool {
        let bytes = self.waiting.load(Ordering::Relaxed);
        self.chunks.len() > limits::STREAM_EVENTS / 2 || bytes > limits::STREAM_BYTES / 2
    }

    /// Tripped when the door has let go of the stream, because its reader has gone or the stream has ended.
    pub fn reader_gone(&self) -> CancelToken {
        self.gone.clone()
    }
}

#[cfg(test)]
mod tests;
