//! The trusted door over real sockets.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::base::capacity::Capacity;
use crate::http::Response;
use crate::http::desk::{Client, Desk, Event, LIMIT, PATIENCE};
use crate::server::Pool;
use crate::tiny::{Access, Parts, Tiny};

struct Door {
    tiny: Option<Tiny>,
    desk: Arc<Desk>,
    events: Receiver<Event>,
    socket: PathBuf,
}

fn parts(desk: &Arc<Desk>) -> Parts {
    let capacity = Capacity::default();
    Parts { handler: desk.clone(), pool: Arc::new(Pool::start(capacity.queue()).unwrap()), capacity }
}

/// A door on a socket in a directory of its own.
fn door(test: &str) -> Door {
    let directory = std::env::temp_dir().join(format!("mcp-tiny-{}-{test}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    let socket = directory.join("socket");
    let (desk, events) = Desk::new();
    let tiny = Tiny::start_unix(&socket, Access::Owner, parts(&desk)).unwrap();
    Door { tiny: Some(tiny), desk, events, socket }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.desk.release.trip();
        let _ = std::fs::remove_dir_all(self.socket.parent().unwrap());
    }
}

impl Door {
    fn client(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(&self.socket).unwrap())
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let door = door("keep-alive");
    let mut client = door.client();
    for length in [0, 3, 1024, 1025, LIMIT] {
        let body = "b".repeat(length);
        assert_eq!(client.post("/echo", &body).body, format!("POST /echo {body}"));
    }
    assert_eq!(client.get("/nothing").status, 204);
    assert_eq!(client.post("/refused", &"x".repeat(LIMIT)).status, 401);
    assert_eq!(client.post("/e", &"x".repeat(LIMIT + 1)).status, 413);
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/split").status, 500);
    assert_eq!(client.get("/after").body, "GET /after ");
}

/// What tiny_http lets through is refused as the edge would refuse it.
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
        let answer = door.client().send(format!("POST /x HTTP/1.1\r\n{lines}")).answer();
        assert_eq!(answer.status, status, "{lines:?}");
    }
    let answer = door.client().send("GET x HTTP/1.1\r\nHost: a\r\n\r\n").answer();
    assert_eq!(answer.status, 400);
}

/// H2: the length that makes stock tiny_http abort the process leaves this door standing.
#[test]
fn a_giant_declared_length_ends_nothing_but_its_connection() {
    let door = door("giant");
    for length in ["4611686018427387904", "18446744073709551615"] {
        for path in ["/e", "/refused"] {
            door.client()
                .send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        }
    }
    assert_eq!(door.client().get("/").status, 200);
}

/// A body that was cut off is not taken for a whole one.
#[test]
fn a_truncated_body_never_reaches_the_application() {
    let door = door("truncated");
    let mut client = door.client();
    client.send("POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc");
    client.line.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer().status, 400);
    assert!(door.events.try_recv().is_err());
}

/// A Java client that would rather speak HTTP/2 is answered, and only its declared body is read.
#[test]
fn an_upgrade_is_ignored() {
    let door = door("upgrade");
    for (path, status) in [("/e", 200), ("/refused", 401)] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n");
        let mut client = door.client();
        assert_eq!(client.send(format!("{head}Content-Length: 1\r\n\r\nx")).answer().status, status);
    }
}

/// Stock tiny_http leaves most of such a burst unanswered for ever.
#[test]
fn every_connection_of_a_burst_is_answered() {
    let door = door("burst");
    let mut clients: Vec<_> = (0..50).map(|_| door.client()).collect();
    assert!(clients.iter_mut().all(|client| client.get("/").status == 200));
}

#[test]
fn slow_answers_run_the_hook_and_block_nobody_else() {
    let door = door("slow");
    let mut slow: Vec<_> = (0..20).map(|_| door.client()).collect();
    for client in &mut slow {
        client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_eq!(door.client().get("/quick").status, 200);
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
fn a_stream_is_sent_as_it_comes_and_goes_on_until_the_door_has_ended() {
    let mut door = door("stream");
    let mut client = door.client();
    let head = client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
    let Event::Stream(sender) = door.event() else { panic!("no stream") };
    for text in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send(text.as_bytes()).unwrap();
        assert_eq!(client.chunk(), text);
    }
    drop(sender);
    assert_eq!(client.chunk(), "");

    client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
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
    let start = |path: &std::path::Path| Tiny::start_unix(path, Access::Group, parts(&door.desk));
    assert!(start(&door.socket).is_err());
    assert_eq!(door.client().get("/").status, 200);

    let stale = door.socket.with_file_name("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let tiny = start(&stale).unwrap();
    assert_eq!(std::fs::metadata(&stale).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(Client::new(UnixStream::connect(&stale).unwrap()).get("/").status, 200);
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
    let start = |address: &str| Tiny::start_tcp(TcpListener::bind(address).unwrap(), parts(&desk));
    assert!(start("0.0.0.0:0").is_err());
    let tiny = start("127.0.0.1:0").unwrap();
    let mut client = Client::new(TcpStream::connect(tiny.local_addr().unwrap()).unwrap());
    assert_eq!(client.get("/").status, 200);
    tiny.stop(Duration::from_secs(1));
}
