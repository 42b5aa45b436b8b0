//! Parts that the tests of both doors share: a small application behind the door, and a client that writes raw bytes.
#![allow(dead_code)] // each door's tests use most of it, neither all

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::{CancelToken, Quota, Subject, UserId, clock, limits};
use crate::http::{Admission, Handler, Head, Request, Responder, Response, Stream, StreamSender, Ticket};

/// Bodies larger than this are refused by the desk.
pub(crate) const LIMIT: usize = 100_000;
/// Bodies larger than this are refused on paths that begin with `/small`.
pub(crate) const SMALL: usize = 1000;
/// No test waits longer for anything that is to happen. Less than a stream's keep-alive, which must not be what helps.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An application whose paths say what it does.
pub(crate) struct Desk {
    /// The release that `/wait` waits for.
    pub(crate) release: CancelToken,
    out: Mutex<Sender<Event>>,
}

/// An event at the desk.
pub(crate) enum Event {
    /// `/later`: a request that the test answers.
    Later(Responder),
    /// `/stream`: the end that the test writes to.
    Stream(StreamSender),
    /// The hook of `/later` ran; told after the request.
    Slow,
}

/// Keeps the backtraces of panics that tests ask for out of their output, and the time that they take.
fn hide_intended_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                usual(panic);
            }
        }));
    });
}

impl Desk {
    pub(crate) fn new() -> (Arc<Desk>, Receiver<Event>) {
        hide_intended_panics();
        let (out, events) = channel();
        (Arc::new(Desk { release: CancelToken::new(), out: Mutex::new(out) }), events)
    }

    fn answer(&self, head: &Head, body: Vec<u8>, responder: Responder) {
        match &*head.path {
            "/panic" => panic!("on purpose"),
            "/wait" => assert!(self.release.wait(PATIENCE * 6)),
            "/split" => return responder.respond(Response::new(200).header("X-A", "b\r\nSet-Cookie: c=d")),
            "/nothing" => return responder.respond(Response::new(204)),
            "/later" => {
                let (out, told) = (self.out.lock().unwrap().clone(), CancelToken::new());
                let after = told.clone();
                responder.when_slow(move || {
                    let _ = after.wait(PATIENCE) && out.send(Event::Slow).is_ok();
                });
                self.tell(Event::Later(responder));
                return told.trip();
            }
            "/stream" => {
                let unread = Quota::bytes(limits::UNREAD_BYTES).share(Subject::User(UserId(1)));
                let (sender, stream) = Stream::pair(unread, CancelToken::new());
                responder.respond(Response::new(200).stream(stream));
                return self.tell(Event::Stream(sender));
            }
            _ => {}
        }
        let mut said = format!("{} {} ", head.method.as_str(), head.path).into_bytes();
        said.extend(body);
        responder.respond(Response::new(200).bytes("text/plain", said));
    }

    fn tell(&self, event: Event) {
        let _ = self.out.lock().unwrap().send(event);
    }
}

impl Handler for Desk {
    fn admit(self: Arc<Self>, head: Head) -> Admission {
        if head.path.starts_with("/refused") {
            return Admission::Answered(Response::new(401).bytes("text/plain", "no"));
        }
        let limit = if head.path.starts_with("/small") { SMALL } else { LIMIT };
        Admission::Welcome(Ticket::new(limit, move |body, responder| {
            Some(Box::new(move || self.answer(&head, body, responder)))
        }))
    }
}

/// Has `handler` answer a request, on this thread.
pub(crate) fn answer<H: Handler>(handler: &Arc<H>, request: Request) -> Response {
    let Request { head, body } = request;
    match Arc::clone(handler).admit(head) {
        Admission::Answered(response) => response,
        Admission::Welcome(ticket) => {
            let (responder, waiter) = Responder::pair();
            (ticket.run)(body, responder).into_iter().for_each(|rest| rest());
            waiter.wait(clock::instant() + PATIENCE).unwrap()
        }
    }
}

/// Waits until `condition` holds.
pub(crate) fn until(condition: impl Fn() -> bool) {
    until_some(|| condition().then_some(()));
}

/// Repeats `attempt` until it has a result. A program that another test is starting holds copies of this process's descriptors until
/// it runs: a socket or pipe that was closed here is open for that long.
pub(crate) fn until_some<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = clock::instant();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < PATIENCE);
        paused(); // without a pause, this would hold the locks that it looks behind most of the time
    }
}

/// Waits a few milliseconds without sleeping: on a socket that nobody connects to.
pub(crate) fn paused() -> bool {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    socket.recv(&mut [0]).is_ok()
}

/// How much body `handler` welcomes, or the status of the answer that it has without one.
pub(crate) fn body_limit<H: Handler>(handler: &Arc<H>, head: Head) -> Result<usize, u16> {
    match Arc::clone(handler).admit(head) {
        Admission::Answered(response) => Err(response.status()),
        Admission::Welcome(ticket) => Ok(ticket.limit),
    }
}

/// A stream that can be read and written and does not wait for ever.
pub(crate) trait Line: Read + Write {
    fn set_patience(&self, patience: Duration);
}

impl Line for TcpStream {
    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
    }
}

impl Line for UnixStream {
    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
    }
}

/// A client that sends what it is told.
pub(crate) struct Client<L: Line> {
    pub(crate) line: L,
    read: Vec<u8>,
}

/// An answer: status, head and decoded body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn closes(&self) -> bool {
        self.head.contains("Connection: close\r\n")
    }
}

impl<L: Line> Client<L> {
    pub(crate) fn new(line: L) -> Client<L> {
        line.set_patience(PATIENCE);
        Client { line, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client<L> {
        self.line.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends a POST with this body and reads its answer.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"))
            .answer()
    }

    /// Sends a GET and reads its answer.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).answer()
    }

    /// Sends a POST that is the last on its connection, and reads its answer.
    pub(crate) fn post_and_close(&mut self, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"))
            .send(format!("Content-Length: {length}\r\n\r\n{body}"))
            .answer()
    }

    /// Sends a GET that is the last on its connection, and reads its answer.
    pub(crate) fn get_and_close(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).answer()
    }

    /// The next head, up to its empty line.
    pub(crate) fn head(&mut self) -> String {
        let end = loop {
            match self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(position) => break position + 4,
                None => {
                    assert!(self.more(), "closed before a head: {:?}", String::from_utf8_lossy(&self.read))
                }
            }
        };
        self.take(end)
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        let body = if let Some(length) = field("Content-Length: ") {
            self.exactly(length.parse().unwrap())
        } else if field("Transfer-Encoding: chunked").is_some() {
            std::iter::from_fn(|| Some(self.chunk()).filter(|chunk| !chunk.is_empty())).collect()
        } else {
            String::new()
        };
        Answer { status, head, body }
    }

    /// The next chunk's content, empty if it was the last.
    pub(crate) fn chunk(&mut self) -> String {
        let end = loop {
            match self.read.windows(2).position(|bytes| bytes == b"\r\n") {
                Some(position) => break position + 2,
                None => assert!(self.more(), "closed before a chunk"),
            }
        };
        let size = usize::from_str_radix(self.take(end).trim_end(), 16).unwrap();
        let content = self.exactly(size);
        assert_eq!(self.exactly(2), "\r\n");
        content
    }

    /// The next chunk that is more than a sign of life, of which a busy machine makes some.
    pub(crate) fn event(&mut self) -> String {
        let chunk = self.chunk();
        if chunk == ": keep-alive\n\n" { self.event() } else { chunk }
    }

    /// The next `length` bytes.
    pub(crate) fn exactly(&mut self, length: usize) -> String {
        while self.read.len() < length {
            assert!(self.more(), "closed after {} of {length} bytes", self.read.len());
        }
        self.take(length)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        while self.more() {}
        self.take(self.read.len())
    }

    /// Whether the door neither answers nor closes the connection for this long.
    pub(crate) fn is_left_waiting(&mut self, time: Duration) -> bool {
        self.line.set_patience(time);
        self.read_some(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads what there is. A child of another test, which ends, interrupts reads with a time limit.
    fn read_some(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.line.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn take(&mut self, length: usize) -> String {
        String::from_utf8(self.read.drain(..length).collect()).unwrap()
    }

    /// Reads on; `false` at the end of the connection, a reset included.
    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.read_some(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.read.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&self.read)),
        }
    }
}
