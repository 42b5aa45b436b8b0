//! Parser for HTTP/1.1 answers: end and content. No state is kept between two calls.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The time after which an answer counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(30);

const MOST_HEADERS: usize = 64;

/// The head of an answer.
pub struct Head {
    pub status: u16,
    pub session: Option<String>,
    /// Whether the connection cannot be used afterwards.
    pub closes: bool,
    framing: Framing,
    length: usize,
}

enum Framing {
    Length(usize),
    Chunked,
}

/// A complete answer at the start of a buffer.
pub struct Answer<'a> {
    pub head: Head,
    pub body: Cow<'a, [u8]>,
    /// Its length in the buffer.
    pub length: usize,
}

/// The head at the start of `buffer`, if it is complete.
pub fn head(buffer: &[u8]) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(buffer).map_err(|error| format!("no HTTP answer: {error}"))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.unwrap_or_default();
    let mut head = Head { status, session: None, closes: false, framing: Framing::Length(0), length };
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.framing = Framing::Length(value.parse().map_err(|_| "a Content-Length that is no number")?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        } else if header.name.eq_ignore_ascii_case("mcp-session-id") {
            head.session = Some(value.to_owned());
        }
    }
    Ok(Some(head))
}

/// The answer at the start of `buffer`, if it is complete.
pub fn answer(buffer: &[u8]) -> Result<Option<Answer<'_>>, String> {
    let Some(head) = head(buffer)? else { return Ok(None) };
    let rest = &buffer[head.length..];
    match head.framing {
        Framing::Length(length) => {
            let body = rest.get(..length);
            Ok(body.map(|body| Answer { length: head.length + length, body: Cow::Borrowed(body), head }))
        }
        Framing::Chunked => {
            let whole = chunks(rest)?;
            Ok(whole.map(|(body, length)| Answer {
                length: head.length + length,
                body: Cow::Owned(body),
                head,
            }))
        }
    }
}

/// The contents of the chunks at the start of `rest`, and their length, if the last chunk is included.
fn chunks(rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        match httparse::parse_chunk_size(&rest[at..]).map_err(|_| "a chunk without a size")? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete((line, size)) => {
                let start = at + line;
                let end = start + usize::try_from(size).map_err(|_| "a chunk too large")?;
                let Some(data) = rest.get(start..end + 2) else { return Ok(None) };
                if !data.ends_with(b"\r\n") {
                    return Err("a chunk that is longer than it says".to_owned());
                }
                body.extend_from_slice(&data[..data.len() - 2]);
                at = end + 2;
                if size == 0 {
                    return Ok(Some((body, at)));
                }
            }
        }
    }
}

/// A connection that waits for each answer.
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
        let tuned = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        tuned.map_err(|error| format!("connect: {error}"))?;
        Ok(Connection { stream, buffer: Vec::new() })
    }

    /// Sends a request and calls `read` with the whole answer.
    pub fn ask<T>(&mut self, request: &[u8], read: impl FnOnce(&Answer) -> T) -> Result<T, String> {
        self.send(request)?;
        loop {
            if let Some(answer) = answer(&self.buffer)? {
                let (length, read) = (answer.length, read(&answer));
                self.buffer.drain(..length);
                return Ok(read);
            }
            self.fill()?;
        }
    }

    /// Sends a request whose answer has no end; returns its head.
    pub fn begin(&mut self, request: &[u8]) -> Result<Head, String> {
        self.send(request)?;
        loop {
            if let Some(head) = head(&self.buffer)? {
                return Ok(head);
            }
            self.fill()?;
        }
    }

    /// Whether the peer has not closed it; data that arrived meanwhile is discarded.
    pub fn is_open(&mut self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return false;
        }
        let mut waste = [0; 4096];
        loop {
            match self.stream.read(&mut waste) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    fn send(&mut self, request: &[u8]) -> Result<(), String> {
        self.stream.write_all(request).map_err(|error| format!("write: {error}"))
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => Err("the connection was closed before the answer".to_owned()),
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) => Err(format!("read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    fn check(bytes: &str, expected: Option<(u16, &str, usize)>) {
        let found = answer(bytes.as_bytes()).unwrap();
        let found = found.map(|answer| {
            (answer.head.status, String::from_utf8(answer.body.into_owned()).unwrap(), answer.length)
        });
        assert_eq!(found.as_ref().map(|(status, body, length)| (*status, body.as_str(), *length)), expected);
    }

    #[test]
    fn an_answer_ends_where_its_framing_says() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP", Some((200, "ab", 40)));
        check("HTTP/1.1 202 Accepted\r\n\r\n", Some((202, "", 25)));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{head}3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\nrest"), Some((200, "abcd", 68)));
    }

    #[test]
    fn an_incomplete_answer_is_not_returned() {
        check("HTTP/1.1 200 OK\r\nContent-Le", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", None);
        for rest in ["", "3", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n"] {
            check(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}"), None);
        }
    }
}
