//! The edge over real sockets: refusals, robustness, shutdown.

mod crowds;
mod listeners;
mod stopping;
mod streams;
mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::base::{Capacity, limits};
use crate::edge::{self, Door, Listener, Settings};
use crate::http::desk::{Client, Desk, Event, LIMIT, PATIENCE, SMALL, paused, until, until_some};
use crate::http::{Response, TrustedProxies};
use crate::workers::Pool;

struct TestDoor {
    edge: Door,
    address: SocketAddr,
    desk: Arc<Desk>,
    events: Receiver<Event>,
}

fn quick() -> Settings {
    let soon = Duration::from_millis(20);
    // A busy machine keeps a test from its connections for longer than clients are usually waited for.
    Settings { client_check: soon, slow_call: soon, keep_alive_idle: PATIENCE * 6, ..Settings::default() }
}

fn door(settings: Settings) -> TestDoor {
    door_with_queue(settings, Capacity::default().queue())
}

fn door_with_queue(settings: Settings, queue: usize) -> TestDoor {
    let (desk, events) = Desk::new();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap();
    let pool = Arc::new(Pool::start(queue).unwrap());
    let edge = edge::open(vec![listener], desk.clone(), pool, settings).unwrap();
    TestDoor { edge, address, desk, events }
}

impl TestDoor {
    fn client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// A client that holds its connection: it reads a stream.
    fn reader(&self) -> (Client<TcpStream>, crate::http::StreamSender) {
        let mut client = self.client();
        client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").head();
        (client, self.stream())
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    fn stream(&self) -> crate::http::StreamSender {
        match self.event() {
            Event::Stream(sender) => sender,
            Event::Later(_) | Event::Slow => panic!("no stream"),
        }
    }

    fn later(&self) -> crate::http::Responder {
        match self.event() {
            Event::Later(responder) => responder,
            Event::Stream(_) | Event::Slow => panic!("no request"),
        }
    }
}

/// Sends `bytes` on a connection of their own. The answer must have that status, and the connection must end with it
/// if it is an error.
fn check(bytes: impl AsRef<[u8]>, status: u16) {
    let door = door(quick());
    let mut client = door.client();
    let answer = client.send(bytes).answer();
    assert_eq!(answer.status, status, "{answer:?}");
    if status >= 400 {
        assert!(answer.body.ends_with(".\n"), "no word of what to do: {answer:?}");
        assert!(answer.closes());
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let door = door(quick());
    let mut client = door.client();
    for round in 0..3 {
        let answer = client.post("/echo", &format!("round {round}"));
        assert_eq!((answer.status, answer.body), (200, format!("POST /echo round {round}")));
    }
    assert_eq!(client.get("/nothing").status, 204);
    let head = client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert!(head.contains("Content-Length: 7\r\n"), "{head}");
    assert_eq!(client.get("/after").body, "GET /after ");
    assert_eq!(door.edge.state.running.held(), 1);
}

/// H7: pipelined requests are answered in order, one at a time.
#[test]
fn pipelined_requests_wait_for_their_turn() {
    let door = door(quick());
    let mut client = door.client();
    let post = "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    client.send(format!("GET /later HTTP/1.1\r\nHost: a\r\n\r\n{post}GET /c HTTP/1.1\r\nHost: a\r\n\r\n"));
    let first = door.later();
    first.respond(Response::new(202));
    assert_eq!(client.answer().status, 202);
    assert_eq!(client.answer().body, "POST /b x");
    assert_eq!(client.answer().body, "GET /c ");
}

/// H1, H4, H9: a request that cannot be framed or understood ends the connection, so that the bytes after it are not taken for a request.
#[test]
fn bad_heads_are_answered_and_the_connection_ends() {
    for (head, status) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\u{16}\u{3}\u{1}\u{2}", 501),
        ("GET /\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: what\r\n\r\n", 417),
    ] {
        check(format!("{head}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), status);
    }
    check(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(limits::TARGET_BYTES)), 414);
    check(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(limits::HEADERS)), 431);
    check(format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(limits::HEAD_BYTES)), 431);
}

/// H3: a body at the limit is read, one byte more is refused; before reading, if the length is known.
#[test]
fn bodies_are_limited_to_the_byte() {
    let post = |framing: &str| format!("POST /e HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    let body = "b".repeat(LIMIT);
    check(post(&format!("Content-Length: {LIMIT}")) + &body, 200);
    check(post(&format!("Content-Length: {}", LIMIT + 1)), 413);
    let chunked = post("Transfer-Encoding: chunked");
    check(format!("{chunked}{LIMIT:x}\r\n{body}\r\n0\r\n\r\n"), 200);
    check(format!("{chunked}{LIMIT:x}\r\n{body}\r\n1\r\n"), 413);
    check(format!("{chunked}1\r\nab"), 400);
}

/// H2: an announced length costs nothing.
#[test]
fn giant_declared_lengths_are_refused_at_once() {
    for length in ["4611686018427387904", "18446744073709551615", "99999999999999999999999"] {
        check(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"), 413);
    }
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", 413);
}

/// H2: the answer to a refused body arrives although the client is still sending.
#[test]
fn a_refused_body_is_answered_while_it_is_being_sent() {
    let door = door(quick());
    let mut client = door.client();
    let size = limits::DRAIN_BYTES / 2;
    client.send(format!("POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 100 * size));
    client.send("x".repeat(size));
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_str(), answer.closes()), (401, "no", true));
}

/// H2: a small refused body is skipped and the connection stays.
#[test]
fn a_small_refused_body_costs_no_connection() {
    let door = door(quick());
    let mut client = door.client();
    for length in [0, 5, limits::DRAIN_BYTES] {
        let answer = client.post("/refused", &"G".repeat(length));
        assert_eq!((answer.status, answer.closes()), (401, false));
    }
    assert_eq!(client.get("/after").body, "GET /after ");
    assert!(client.post("/refused", &"G".repeat(limits::DRAIN_BYTES + 1)).closes());
}

/// H2: the connection is closed after an answer that came before the whole small refused body: the bytes that follow would be taken
/// for the body, or the body for a request.
#[test]
fn a_small_refused_body_that_is_withheld_costs_the_connection() {
    let door = door(Settings { drain_time: Duration::from_millis(200), ..quick() });
    let head = "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let mut client = door.client();
    let answer = client.send(head).send("GET ").answer();
    assert_eq!((answer.status, answer.closes()), (401, true));
    assert_eq!(client.send("/GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").rest(), "");
    // Sent in two packets, but complete before it is answered.
    let patient = super::tests::door(Settings { drain_time: PATIENCE, ..quick() });
    let mut client = patient.client();
    client.send(head);
    paused();
    assert!(!client.send("GET /").answer().closes());
    assert_eq!(client.get("/after").body, "GET /after ");
}

/// H9: `100 Continue` is sent once the head was accepted, and only then.
#[test]
fn continue_is_said_only_to_welcome_bodies() {
    let door = door(quick());
    let post = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut client = door.client();
    assert_eq!(client.send(post("/e", 3)).head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.send("abc").answer().body, "POST /e abc");
    assert_eq!(client.send(post("/e", 3) + "abc").answer().body, "POST /e abc");
    assert_eq!(client.send(post("/e", LIMIT + 1)).answer().status, 413);
    let refused = door.client().send(post("/refused", 3)).answer();
    assert_eq!((refused.status, refused.closes()), (401, true));
}

/// H9: a client that offers an upgrade to HTTP/2 is answered in HTTP/1.1.
#[test]
fn an_upgrade_is_ignored() {
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n";
    check(format!("POST /e HTTP/1.1\r\nHost: a\r\n{upgrade}Content-Length: 1\r\n\r\nx"), 200);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let door = door(quick());
    let mut client = door.client();
    let answer = client.send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer();
    assert_eq!((answer.body.as_str(), answer.closes()), ("GET /old ", true));
    assert_eq!(client.rest(), "");

    let mut client = door.client();
    client.send("GET /stream HTTP/1.0\r\n\r\n");
    door.stream().send(*b"data: 1\n\n").unwrap();
    assert!(!client.head().contains("Transfer-Encoding"));
    assert_eq!(client.rest(), "data: 1\n\n");
}

/// H3: deadlines are absolute; a byte now and then does not move them.
#[test]
fn slow_heads_and_bodies_are_cut_off() {
    let soon = Duration::from_millis(100);
    for (start, settings) in [
        ("GET / HTTP/1.1\r\n", Settings { head_deadline: soon, ..quick() }),
        ("GET / HT", Settings { head_deadline: soon, ..quick() }),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n",
            Settings { body_deadline: soon, ..quick() },
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n",
            Settings { body_grace: soon, ..quick() },
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            Settings { body_deadline: soon, ..quick() },
        ),
    ] {
        let door = door(Settings { drain_time: PATIENCE, ..settings });
        let mut client = door.client();
        client.send(start);
        let mut trickle = client.line.try_clone().unwrap();
        let feeder = std::thread::spawn(move || while trickle.write_all(b"a").is_ok() && !paused() {});
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (408, true), "{start}");
        drop(client);
        drop(door);
        feeder.join().unwrap();
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let door = door(Settings { keep_alive_idle: Duration::from_millis(50), ..quick() });
    // On a busy machine, that time may pass before the request is sent.
    let said = until_some(|| {
        let mut client = door.client();
        client.line.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
        Some(client.rest()).filter(|said| !said.is_empty())
    });
    assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with("\r\n\r\nGET / "), "{said}");
    assert_eq!(door.client().rest(), "");
}

#[test]
fn bodies_in_flight_are_capped_over_all_connections() {
    let door = door(Settings { large_body_bytes_in_flight: 10, ..quick() });
    let mut one = door.client();
    one.send("POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n12345678");
    let first = door.later();
    let mut two = door.client();
    assert_eq!(two.post("/e", "12").status, 200);
    let answer = two.post("/e", "123");
    assert_eq!((answer.status, answer.closes()), (503, true));
    // H3: small bodies, which unauthenticated clients may send, have a budget of their own.
    assert_eq!(door.client().post("/small", &"s".repeat(SMALL)).status, 200);
    first.respond(Response::new(200));
    assert_eq!(one.answer().status, 200);
    assert_eq!(door.client().post("/e", "1234567890").status, 200);
}

/// H12: a panic is a 500, the connection ends, the server continues.
#[test]
fn a_panic_is_answered_500_and_closes_the_connection() {
    let door = door(quick());
    let mut client = door.client();
    let answer = client.get("/panic");
    assert_eq!((answer.status, answer.closes()), (500, true));
    assert_eq!(client.rest(), "");
    assert_eq!(door.client().get("/").status, 200);
}

/// H5: a value that would split the answer is never sent.
#[test]
fn a_header_value_that_would_split_the_response_is_a_500() {
    let door = door(quick());
    let answer = door.client().get("/split");
    assert_eq!((answer.status, answer.head.contains("Set-Cookie")), (500, false));
}

#[test]
fn a_slow_answer_runs_the_hook_once_and_still_arrives() {
    let door = door(Settings { slow_call: Duration::from_millis(500), ..quick() });
    let mut client = door.client();
    client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    let responder = door.later();
    assert!(matches!(door.event(), Event::Slow));
    responder.respond(Response::new(202));
    assert_eq!(client.answer().status, 202);
    assert!(door.events.try_recv().is_err());
}

/// M14: a client that disconnects during its request is detected, also behind pipelined bytes; one that only pipelines is
/// still connected.
#[test]
fn the_application_learns_that_the_client_has_gone() {
    let door = door(quick());
    let request = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
    for more in ["", "GET /more HTTP/1.1\r\n"] {
        let mut client = door.client();
        client.send(format!("{request}{more}"));
        let responder = door.later();
        client.line.shutdown(Shutdown::Write).unwrap();
        assert!(responder.client_gone().wait(PATIENCE));
        door.events.try_iter().for_each(drop); // the hook has run, unless the worker set it late
        assert_eq!(client.rest(), "");
    }
    let mut client = door.client();
    client.send(request).send(request);
    let responder = door.later();
    assert!(!responder.client_gone().wait(Duration::from_millis(200)));
    responder.respond(Response::new(200));
    assert_eq!(client.answer().status, 200);
}

/// H12: clients that reset, at any moment, cost nothing.
#[test]
fn resets_are_survived() {
    let door = door(Settings { connections_per_address: limits::CONNECTIONS, ..quick() });
    let request = "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for length in 0..=request.len() {
        // Closing with an unread answer behind it resets; without one it is a plain, early end.
        door.client().send(request).send(&request[..length]);
        door.client().send(&request[..length]);
    }
    assert_eq!(door.client().get("/").status, 200);
    until(|| door.edge.state.running.held() == 0);
}
