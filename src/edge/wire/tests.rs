use super::*;
use crate::base::fake::subject;
use crate::base::{CancelToken, Quota};

#[derive(Default)]
struct Page {
    writes: Vec<String>,
    gone: bool,
}

impl Sink for Page {
    fn write(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.writes.push(parts.iter().map(|part| std::str::from_utf8(part).unwrap()).collect());
        Ok(())
    }

    fn client_has_gone(&self) -> bool {
        self.gone
    }
}

const ASKED: Asked = Asked::UNREAD;

fn check(response: Response, (asked, after): (Asked, After), expected: &str) {
    let outgoing = frame(response, asked, after);
    let body = match outgoing.body {
        Body::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        Body::Stream(_) => "(stream)".to_owned(),
    };
    assert_eq!(String::from_utf8(outgoing.head).unwrap() + &body, expected);
}

#[test]
fn an_answer_is_framed_as_its_request_can_read_it() {
    let hello = || Response::new(200).bytes("text/plain", "hello");
    let old = Asked { version: Version::Http10, ..ASKED };
    let head_only = Asked { head_only: true, ..ASKED };
    let length = "HTTP/1.1 200 \r\nContent-Type: text/plain\r\nContent-Length: 5\r\n";
    check(hello(), (ASKED, After::Keep), &format!("{length}\r\nhello"));
    check(hello(), (ASKED, After::Close), &format!("{length}Connection: close\r\n\r\nhello"));
    check(hello(), (old, After::Keep), &format!("{length}Connection: close\r\n\r\nhello"));
    check(hello(), (head_only, After::Keep), &format!("{length}\r\n"));
    check(Response::new(204), (ASKED, After::Keep), "HTTP/1.1 204 \r\n\r\n");
    check(Response::new(202), (ASKED, After::Keep), "HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n");

    let stream = || Response::new(200).stream(pair().1);
    let fields = "HTTP/1.1 200 \r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                  X-Accel-Buffering: no\r\n";
    let chunked = format!("{fields}Transfer-Encoding: chunked\r\n\r\n");
    check(stream(), (ASKED, After::Keep), &format!("{chunked}(stream)"));
    check(stream(), (head_only, After::Keep), &chunked);
    check(stream(), (old, After::Keep), &format!("{fields}Connection: close\r\n\r\n(stream)"));
}

/// H5: an answer that would be split is a 500 without a body.
#[test]
fn a_response_that_would_split_becomes_a_500_without_a_body() {
    let bad = Response::new(204).header("Location", "a\r\nb").bytes("text/plain", "hello");
    check(bad, (ASKED, After::Keep), "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n");
}

fn pair() -> (crate::http::StreamSender, Stream) {
    Stream::pair(Quota::bytes(limits::UNREAD_BYTES).share(subject(1)), CancelToken::new())
}

const SOON: Duration = Duration::from_millis(1);

fn drain(stream: Stream, page: &mut Page, is_ending: &dyn Fn() -> bool) -> io::Result<()> {
    let drain = Drain { version: Version::Http11, check: SOON, keep_alive: SOON, is_ending };
    drain.run(stream, b"head ".to_vec(), page)
}

#[test]
fn queued_chunks_are_written_together_with_head_and_end() {
    let (sender, stream) = pair();
    sender.send(*b"data: 1\n\n").unwrap();
    sender.send(*b"data: 2\n\n").unwrap();
    drop(sender);
    let mut page = Page::default();
    drain(stream, &mut page, &|| false).unwrap();
    assert_eq!(page.writes, ["head 9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"]);
}

#[test]
fn a_silent_stream_sends_keep_alives_and_ends_with_the_server() {
    let (sender, stream) = pair();
    let asked = std::cell::Cell::new(0);
    let is_ending = || asked.replace(asked.get() + 1) >= 100;
    let mut page = Page::default();
    drain(stream, &mut page, &is_ending).unwrap();
    assert_eq!(page.writes[..2], ["head ", "e\r\n: keep-alive\n\n\r\n"]);
    assert_eq!(page.writes.last().unwrap(), "0\r\n\r\n");
    assert!(sender.reader_gone().is_tripped());
}

#[test]
fn a_stream_whose_reader_has_gone_is_dropped() {
    let (sender, stream) = pair();
    let mut page = Page { gone: true, ..Page::default() };
    let drain = Drain { version: Version::Http10, check: SOON, keep_alive: SOON, is_ending: &|| false };
    assert!(drain.run(stream, Vec::new(), &mut page).is_err());
    assert!(page.writes.is_empty() && sender.reader_gone().is_tripped());
}
