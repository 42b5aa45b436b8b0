//! The trusted door over real sockets.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::base::Capacity;
use crate::edge::listener::Opener;
use crate::edge::{Access, Door, Listener};
use crate::http::Response;
use crate::http::desk::{Answer, Client, Desk, Event, LIMIT, PATIENCE, until_some};
use crate::sys;
use crate::tiny::{self, Parts};
use crate::workers::Pool;

struct TestDoor {
    tiny: Option<Door>,
    desk: Arc<Desk>,
    events: Receiver<Event>,
    socket: PathBuf,
}

fn parts(desk: &Arc<Desk>) -> Parts {
    let capacity = Capacity::default();
    let pool = Arc::new(Pool::start(capacity.queue()).unwrap());
    Parts { handler: desk.clone(), pool, capacity, when_lost: None }
}

/// A door on a socket in a directory of its own.
fn door(test: &str) -> TestDoor {
    let directory = std::env::temp_dir().join(format!("mcp-tiny-{}-{test}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    let socket = directory.join("socket");
    let (desk, events) = Desk::new();
    let tiny = tiny::open(Listener::unix(&socket, Access::Owner).unwrap(), parts(&desk)).unwrap();
    TestDoor { tiny: Some(tiny), desk, events, socket }
}

impl Drop for TestDoor {
    fn drop(&mut self) {
        self.desk.release.trip();
        let _ = std::fs::remove_dir_all(self.socket.parent().unwrap());
    }
}

impl TestDoor {
    fn client(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(&self.socket).unwrap())
    }

    fn get(&self, path: &str) -> Answer {
        self.client().get_and_close(path)
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }
}

#[test]
fn each_connection_has_one_request_and_is_closed() {
    let door = door("close");
    for length in [0, 3, 1024, 1025, LIMIT] {
        let body = "b".repeat(length);
        let mut client = door.client();
        let answer = client.post_and_close("/echo", &body);
        assert_eq!(answer.body, format!("POST /echo {body}"));
        assert!(answer.closes());
        assert_eq!(client.rest(), "");
    }
    assert_eq!(door.get("/nothing").status, 204);
    assert_eq!(door.client().post_and_close("/refused", &"x".repeat(LIMIT)).status, 401);
    assert_eq!(door.client().post_and_close("/e", &"x".repeat(LIMIT + 1)).status, 413);
    assert_eq!(door.get("/panic").status, 500);
    assert_eq!(door.get("/split").status, 500);
    assert_eq!(door.get("/after").body, "GET /after ");
}

/// On a persistent connection, tiny_http would take the rest of an unread body for another request.
#[test]
fn a_proxy_that_keeps_connections_open_is_told_not_to() {
    let door = door("keep-alive");
    let answer = door.client().get("/x");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("Connection: close"), "{answer:?}");
    for (line, status) in [
        ("GET /x HTTP/1.0", 200),
        ("GET /x HTTP/1.0\r\nConnection: Keep-Alive", 400),
        ("GET /x HTTP/1.1\r\nConnection: te, Close", 200),
        ("GET /x HTTP/1.1\r\nConnection: te\r\nConnection: close", 400),
    ] {
        let answer = door.client().send(format!("{line}\r\nHost: a\r\n\r\n")).answer();
        assert_eq!(answer.status, status, "{line}");
    }
}

/// H1: bytes sent as the rest of a chunked body never become a request.
#[test]
fn bytes_after_a_chunked_body_are_not_served_as_a_request() {
    let door = door("smuggled");
    let kept = [
        "HTTP/1.0\r\nConnection: keep-alive",
        "HTTP/1.1\r\nConnection: foo\r\nConnection: close",
        "HTTP/1.1",
        "HTTP/0.9",
    ];
    let closed =
        ["HTTP/1.0", "HTTP/1.1\r\nConnection: close", "HTTP/1.1\r\nConnection: close\r\nConnection: foo"];
    let send = |version: &str| {
        let mut client = door.client();
        client.send(format!(
            "POST /x {version}\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        client
    };
    for version in closed {
        let mut client = send(version);
        let answer = client.answer();
        assert!([400, 411].contains(&answer.status) && answer.closes(), "{version}");
        assert_eq!(client.rest(), "", "{version}");
    }
    let clients = kept.map(send);
    let state = &door.tiny.as_ref().unwrap().state;
    while !state.refusals.counts().contains(&("leaked", 4)) {
        std::thread::yield_now();
    }
    for mut client in clients {
        assert!(client.is_left_waiting(Duration::from_millis(50)));
    }
    assert_eq!(door.get("/").status, 200);
}

/// Requests that tiny_http accepts are refused as the edge would refuse them.
#[test]
fn heads_are_checked_as_strictly_as_at_the_edge() {
    let door = door("strict");
    for (lines, status) in [
        ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
        ("Host: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
        ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 411),
        ("Host: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
        ("Host: a\r\nContent-Length: +0\r\n\r\n", 400),
        ("Host: a\r\nHost: b\r\n\r\n", 400),
        ("Authorization: a\r\nAuthorization: a\r\nHost: a\r\n\r\n", 400),
        ("Host: a\r\nX: a\u{0}b\r\n\r\n", 400),
        ("Host: a\r\nX: a\nY: b\r\n\r\n", 400),
        ("X: no host\r\n\r\n", 400),
        ("Host: a\r\n\r\n", 200),
    ] {
        let head = "POST /x HTTP/1.1\r\nConnection: close\r\n";
        let answer = door.client().send(format!("{head}{lines}")).answer();
        assert_eq!(answer.status, status, "{lines:?}");
    }
    for (line, status) in [("GET x HTTP/1.1\r\nConnection: close", 400), ("GET /x HTTP/0.9", 505)] {
        let answer = door.client().send(format!("{line}\r\nHost: a\r\n\r\n")).answer();
        assert_eq!(answer.status, status, "{line}");
    }
}

/// H11: a request that finds no room is answered at once, and the room is there again when others are done.
#[test]
fn a_full_door_answers_that_it_is_busy() {
    let door = door("busy");
    let state = &door.tiny.as_ref().unwrap().state;
    let threads: Vec<_> = std::iter::from_fn(|| state.running.take(())).collect();
    assert_eq!(door.get("/x").status, 503);
    drop(threads);
    let streams: Vec<_> = std::iter::from_fn(|| state.streams.take(())).collect();
    assert_eq!(door.get("/stream").status, 503);
    drop(streams);
    let mut bodies = state.share(LIMIT);
    for bytes in (0..usize::BITS).rev().map(|bit| 1 << bit) {
        while bodies.grow(bytes) {}
    }
    assert_eq!(door.client().post_and_close("/echo", "b").status, 503);
    drop(bodies);
    assert_eq!(door.client().post_and_close("/echo", "b").status, 200);
    assert!(state.refusals.counts().contains(&("busy", 3)));
}

/// H2: a length that makes stock tiny_http abort the process does not stop this door.
#[test]
fn a_giant_content_length_ends_only_its_connection() {
    let door = door("giant");
    for length in ["4611686018427387904", "18446744073709551615"] {
        for path in ["/e", "/refused"] {
            door.client().send(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            ));
        }
    }
    // Until then tiny_http may queue a connection behind these.
    let state = &door.tiny.as_ref().unwrap().state;
    while state.refusals.counts() != [("leaked", 4)] {
        std::thread::yield_now();
    }
    assert_eq!(door.get("/").status, 200);
}

/// A truncated body is not taken for a complete one.
#[test]
fn a_truncated_body_never_reaches_the_application() {
    let door = door("truncated");
    let mut client = door.client();
    client.send("POST /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5000\r\n\r\nabc");
    client.line.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer().status, 400);
    assert!(door.events.try_recv().is_err());
}

/// A Java client that offers an upgrade to HTTP/2 is answered, and only its declared body is read.
#[test]
fn an_upgrade_is_ignored() {
    let door = door("upgrade");
    for (path, status) in [("/e", 200), ("/refused", 401)] {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n");
        let mut client = door.client();
        assert_eq!(client.send(format!("{head}Content-Length: 1\r\n\r\nx")).answer().status, status);
    }
}

/// tiny_http leaves most of such a burst unanswered for ever if connections are persistent.
#[test]
fn every_connection_of_a_burst_is_answered() {
    let door = door("burst");
    let mut clients: Vec<_> = (0..100).map(|_| door.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    assert!(clients.iter_mut().all(|client| client.answer().status == 200));
}

#[test]
fn slow_answers_run_the_hook_and_block_nobody_else() {
    let door = door("slow");
    let mut slow: Vec<_> = (0..20).map(|_| door.client()).collect();
    for client in &mut slow {
        client.send("GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    assert_eq!(door.get("/quick").status, 200);
    let mut waiting = Vec::new();
    let mut hooks = 0;
    while hooks < slow.len() {
        match door.event() {
            Event::Later(responder) => waiting.push(responder),
            Event::Slow => hooks += 1,
            Event::Stream(_) => panic!("no stream was asked for"),
        }
    }
    assert_eq!(waiting.len(), slow.len());
    waiting.into_iter().for_each(|responder| responder.respond(Response::new(202)));
    assert!(slow.iter_mut().all(|client| client.answer().status == 202));
}

#[test]
fn a_stream_is_sent_unbuffered_and_ends_when_the_door_stops() {
    let mut door = door("stream");
    let mut client = door.client();
    let head = client.send("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").head();
    assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
    let Event::Stream(sender) = door.event() else { panic!("no stream") };
    for text in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send(text.as_bytes()).unwrap();
        assert_eq!(client.chunk(), text);
    }
    drop(sender);
    assert_eq!(client.chunk(), "");

    let mut client = door.client();
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").head();
    let Event::Stream(sender) = door.event() else { panic!("no stream") };
    let mut tiny = door.tiny.take().unwrap();
    tiny.close();
    assert!(UnixStream::connect(&door.socket).is_err());
    assert!(!tiny.wait(Duration::from_millis(50)));
    sender.send(*b"data: 3\n\n").unwrap();
    assert_eq!(client.chunk(), "data: 3\n\n");
    tiny.stop(Duration::ZERO);
    assert_eq!(client.chunk(), "");
    assert!(sender.reader_gone().wait(PATIENCE));
}

/// The socket is for its owner; one left behind is replaced, one in use and a file are not.
#[test]
fn the_socket_is_private_and_replaced_only_when_stale() {
    let door = door("private");
    let mode = std::fs::metadata(&door.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let start = |path: &std::path::Path| {
        Listener::unix(path, Access::Group).and_then(|listener| tiny::open(listener, parts(&door.desk)))
    };
    assert!(start(&door.socket).is_err());
    assert_eq!(door.get("/").status, 200);

    let stale = door.socket.with_file_name("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let tiny = until_some(|| start(&stale).ok());
    assert_eq!(std::fs::metadata(&stale).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(Client::new(UnixStream::connect(&stale).unwrap()).get_and_close("/").status, 200);
    drop(tiny);
    assert!(!stale.exists());

    let file = door.socket.with_file_name("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(start(&file).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[test]
fn only_loopback_may_be_served_over_tcp() {
    let (desk, _events) = Desk::new();
    let start = |address: &str| {
        let listener = Listener::tcp(address.parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        tiny::open(listener, parts(&desk)).map(|tiny| (tiny, address))
    };
    assert!(start("0.0.0.0:0").is_err());
    let (mut tiny, address) = start("127.0.0.1:0").unwrap();
    let mut client = Client::new(TcpStream::connect(address).unwrap());
    assert_eq!(client.get_and_close("/").status, 200);
    tiny.stop(Duration::from_secs(1));
}

/// A listener on loopback with room for two waiting connections, and another handle on it. While that does not block, tiny_http
/// stops accepting after each connection that it accepts, and at once where none waits.
fn fragile_listener() -> (Listener, SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::from(sys::adopt_listener(listener.into_raw_fd(), 1).unwrap());
    let (address, handle) = (listener.local_addr().unwrap(), listener.try_clone().unwrap());
    (Listener::Tcp(listener, Opener::This), address, handle)
}

/// Makes tiny_http stop accepting at this listener.
fn end_accepting(address: SocketAddr, handle: &TcpListener) {
    handle.set_nonblocking(true).unwrap();
    let mut client = Client::new(TcpStream::connect(address).unwrap());
    assert_eq!(client.get_and_close("/").status, 200);
}

/// An operator's probe, or a temporary lack of descriptors, does not close the door for good.
#[test]
fn a_door_that_tiny_http_closed_opens_anew() {
    let (desk, _events) = Desk::new();
    let (listener, address, handle) = fragile_listener();
    let (told, lost) = channel();
    let when_lost = Some(Box::new(move || told.send(()).unwrap()) as _);
    let mut tiny = tiny::open(listener, Parts { when_lost, ..parts(&desk) }).unwrap();
    for _ in 0..2 {
        end_accepting(address, &handle);
        handle.set_nonblocking(false).unwrap();
        let mut client = Client::new(TcpStream::connect(address).unwrap());
        assert_eq!(client.get_and_close("/").status, 200);
    }
    tiny.stop(PATIENCE);
    assert!(lost.try_recv().is_err());
}

/// The server of tiny_http that has stopped accepting connects to its own address when it is dropped.
#[test]
fn a_full_backlog_does_not_keep_the_door_from_opening_anew() {
    let (desk, _events) = Desk::new();
    let (listener, address, handle) = fragile_listener();
    let mut tiny = tiny::open(listener, parts(&desk)).unwrap();
    end_accepting(address, &handle);
    handle.set_nonblocking(false).unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    let crowd: Vec<_> = std::iter::from_fn(connect).collect();
    for stream in crowd {
        assert_eq!(Client::new(stream).get_and_close("/").status, 200);
    }
    tiny.stop(PATIENCE);
}

#[test]
fn the_loss_of_a_door_is_told() {
    let (desk, _events) = Desk::new();
    let (listener, address, handle) = fragile_listener();
    let (told, lost) = channel();
    let when_lost = Some(Box::new(move || told.send(()).unwrap()) as _);
    let mut tiny = tiny::open(listener, Parts { when_lost, ..parts(&desk) }).unwrap();
    end_accepting(address, &handle);
    lost.recv_timeout(PATIENCE).unwrap();
    tiny.stop(PATIENCE);
}
