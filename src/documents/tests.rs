//! Documents over a socket: a loopback server plays the server of a document, or an attacker's. Only in these tests TLS is left out
//! and loopback addresses are allowed.

mod crowds;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};

use super::address::is_global;
use super::fetch::Guard;
use super::*;
use crate::base::ManualClock;

const URL: &str = "https://a.example/client.json";
const OWN: &str = "https://mcp.example.com";

/// Answers every name with these addresses, our own name with the others, and names that begin with `gone.` with none.
#[derive(Debug)]
struct Names {
    found: Vec<SocketAddr>,
    own: Vec<SocketAddr>,
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let is_own = uri.host() == Some("mcp.example.com");
        let mut addresses = self.empty();
        if !uri.host().is_some_and(|host| host.starts_with("gone.")) {
            (if is_own { &self.own } else { &self.found })
                .iter()
                .for_each(|address| addresses.push(*address));
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Connects without TLS but reports TLS: ureq would not send an https request otherwise.
#[derive(Debug)]
struct Clear(TcpConnector);

impl Connector for Clear {
    type Out = ClearTransport;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        let transport = Connector::<()>::connect(&self.0, details, None)?;
        Ok(transport.map(|transport| ClearTransport(transport.boxed())))
    }
}

#[derive(Debug)]
struct ClearTransport(Box<dyn Transport>);

impl Transport for ClearTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

fn documents(
    names: Names,
    is_allowed: fn(IpAddr) -> bool,
    timeout: Duration,
) -> (Documents, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let guard = Guard { names, own: OWN.parse().ok(), is_allowed };
    let fetcher = Fetcher::with(&Trust::load(None).unwrap(), Clear(TcpConnector::default()), guard, timeout);
    let schemes = RedirectSchemes::default();
    (Documents::with(fetcher, schemes, Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

/// A web server that serves the documents of every name.
struct Web {
    documents: Documents,
    clock: Arc<ManualClock>,
    /// The requests in the order of their arrival, each with the socket that waits for the answer.
    requests: Receiver<(String, TcpStream)>,
}

impl Web {
    fn new() -> Web {
        Web::with_timeout(Duration::from_secs(60))
    }

    fn with_timeout(timeout: Duration) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let names = Names { found: vec![listener.local_addr().unwrap()], own: Vec::new() };
        let (sender, requests) = unbounded();
        // Ends at the first connection after the test has dropped the receiver, or with the process.
        thread::spawn(move || accept(&listener, &sender));
        let (documents, clock) =
            documents(names, |address| address.is_loopback() || is_global(address), timeout);
        Web { documents, clock, requests }
    }

    /// Looks up the document at `url` while the server answers with these bytes.
    fn find(&self, url: &str, answer: &[u8]) -> Option<Arc<Client>> {
        thread::scope(|scope| {
            let finder = scope.spawn(|| self.look(url));
            let (_, mut socket) = self.request();
            send(&mut socket, answer);
            finder.join().unwrap()
        })
    }

    fn look(&self, url: &str) -> Option<Arc<Client>> {
        self.look_from(url, [192, 0, 2, 1])
    }

    fn look_from(&self, url: &str, peer: [u8; 4]) -> Option<Arc<Client>> {
        self.documents.find(&ClientUrl::parse(url).unwrap(), Some(IpAddr::from(peer)))
    }

    /// The next request.
    fn request(&self) -> (String, TcpStream) {
        self.requests.recv_timeout(Duration::from_secs(60)).expect("a request")
    }

    /// Asserts that the server has no unread request.
    fn assert_silent(&self) {
        assert!(self.requests.try_recv().is_err());
    }
}

fn accept(listener: &TcpListener, requests: &Sender<(String, TcpStream)>) {
    for socket in listener.incoming() {
        let socket = socket.unwrap();
        let mut reader = BufReader::new(&socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
        if requests.send((head, socket)).is_err() {
            return;
        }
    }
}

/// Sends and waits until the peer has closed the connection, which it may do before the end of the answer.
fn send(socket: &mut TcpStream, answer: &[u8]) {
    let _ = socket.write_all(answer);
    let _ = socket.shutdown(std::net::Shutdown::Write).and_then(|()| socket.read(&mut [0; 64]));
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn body(url: &str) -> String {
    format!(r#"{{"client_id":"{url}","client_name":"A","redirect_uris":["https://a.example/cb"]}}"#)
}

fn document(url: &str) -> Vec<u8> {
    answer("200 OK\r\nContent-Type: application/json", &body(url))
}

/// I3: a request has no credentials, no cookies and no compression, and names the host of the URL.
#[test]
fn a_document_is_fetched_and_remembered() {
    let web = Web::new();
    let found = thread::scope(|scope| {
        let finder = scope.spawn(|| web.look(URL));
        let (head, mut socket) = web.request();
        send(&mut socket, &document(URL));
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("get /client.json http/1.1\r\n"), "{head}");
        for field in ["host: a.example\r\n", "accept: application/json\r\n", "accept-encoding: identity\r\n"]
        {
            assert!(head.contains(field), "{head}");
        }
        assert!(!head.contains("cookie") && !head.contains("authorization"), "{head}");
        finder.join().unwrap()
    });
    assert_eq!(web.look(URL), found);
    assert!(found.is_some());
    web.assert_silent();
}

/// I3: only a small uncompressed 200 can be a document; nothing else is cached. The media type does not matter.
#[test]
fn only_a_small_plain_200_is_accepted_as_a_document() {
    let web = Web::new();
    let json = "Content-Type: application/json";
    let good = body(URL);
    let padded = |length: usize| format!("{}{good}", " ".repeat(length - good.len()));
    let chunked = format!("HTTP/1.1 200 OK\r\n{json}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let endless = format!("{chunked}2000\r\n{}", " ".repeat(0x2000));
    let other = body("https://a.example/other.json");
    let check = |bytes: &[u8], expected: bool| {
        web.clock.advance(2 * limits::DOCUMENT_STALE);
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(web.find(URL, bytes).is_some(), expected, "{shown}");
        // The next look-up fetches again, unless there was a document.
        let cached = web.documents.cache.fresh(&ClientUrl::parse(URL).unwrap(), web.clock.monotonic());
        assert_eq!(cached.is_some(), expected);
    };
    check(&document(URL), true);
    check(&answer("200 OK\r\nContent-Type: application/x+json", &good), true);
    check(&answer(&format!("200 OK\r\n{json}\r\nContent-Encoding: identity"), &good), true);
    check(&answer(&format!("200 OK\r\n{json}"), &padded(limits::DOCUMENT_BYTES)), true);
    check(&answer(&format!("200 OK\r\n{json}"), &padded(limits::DOCUMENT_BYTES + 1)), false);
    check(format!("{chunked}{:x}\r\n{good}\r\n0\r\n\r\n", good.len()).as_bytes(), true);
    check(endless.as_bytes(), false);
    for status in ["201 Created", "204 No Content", "404 Not Found", "500 Oops"] {
        check(&answer(&format!("{status}\r\n{json}"), &good), false);
    }
    for status in ["301", "302", "303", "307", "308"] {
        check(&answer(&format!("{status} Moved\r\n{json}\r\nLocation: https://a.example/d"), &good), false);
    }
    for encoding in ["gzip", "br", "deflate", "identity, gzip"] {
        check(&answer(&format!("200 OK\r\n{json}\r\nContent-Encoding: {encoding}"), &good), false);
    }
    check(&answer("200 OK", &good), true);
    for media_type in ["text/plain; charset=utf-8", "text/html", "application/octet-stream", "?"] {
        check(&answer(&format!("200 OK\r\nContent-Type: {media_type}"), &good), true);
        check(&answer(&format!("200 OK\r\nContent-Type: {media_type}"), "<html>"), false);
    }
    check(&answer(&format!("200 OK\r\n{json}"), &other), false);
    check(&answer(&format!("200 OK\r\n{json}"), "{}"), false);
    check(&answer(&format!("200 OK\r\n{json}\r\nX: {}", "x".repeat(64 * 1024)), &good), false);
    check(b"not http at all\r\n\r\n", false);
    check(b"", false);
    web.assert_silent();
}

/// I3: a fetch takes five seconds in total, here fewer, regardless of progress.
#[test]
fn a_slow_server_is_given_up() {
    let web = Web::with_timeout(Duration::from_secs(3)); // from before the connection is made
    thread::scope(|scope| {
        let finder = scope.spawn(|| web.look(URL));
        let (_, mut socket) = web.request();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        // Single bytes with pauses, until the client has closed the connection.
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while socket.write_all(b" ").is_ok() && socket.read(&mut [0; 1]).is_err() {}
        assert_eq!(finder.join().unwrap(), None);
    });
}

/// I2: one forbidden address, or one of our own, is enough to make no connection at all.
#[test]
fn only_public_addresses_are_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = |text: &str| SocketAddr::new(text.parse().unwrap(), port);
    let check = |found: &[&str], own: &[&str], is_allowed: fn(IpAddr) -> bool| {
        let names = Names {
            found: found.iter().map(|text| address(text)).collect(),
            own: own.iter().map(|text| address(text)).collect(),
        };
        let fetcher = Fetcher::with(
            &Trust::load(None).unwrap(),
            Clear(TcpConnector::default()),
            Guard { names, own: OWN.parse().ok(), is_allowed },
            Duration::from_secs(60),
        );
        let error = fetcher.fetch(&ClientUrl::parse(URL).unwrap()).unwrap_err().reason().1.unwrap();
        assert!(error.contains("not a public address"), "{found:?}: {error}");
    };
    check(&["127.0.0.1"], &[], is_global);
    check(&["::1"], &[], is_global);
    check(&["::ffff:127.0.0.1"], &[], is_global);
    check(&["1.1.1.1", "127.0.0.1"], &[], is_global);
    check(&["127.0.0.1", "1.1.1.1"], &[], is_global);
    check(&["169.254.169.254"], &[], is_global);
    check(&["1.1.1.1"], &["1.1.1.1"], is_global);
    check(&["127.0.0.1"], &["1.1.1.1", "127.0.0.1"], |_| true);
    assert!(listener.accept().is_err());
}

/// I2: the product's own fetcher uses the system's resolver, and does not connect to addresses of this machine.
#[test]
fn the_product_reaches_no_loopback() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://localhost:{}/client.json", listener.local_addr().unwrap().port());
    let own = PublicUrl::parse("http://127.0.0.1:3001").unwrap();
    let error = Fetcher::new(&own, &Trust::load(None).unwrap())
        .fetch(&ClientUrl::unchecked(&url))
        .unwrap_err()
        .reason()
        .1
        .unwrap();
    assert!(error.contains("not a public address"), "{error}");
    assert!(listener.accept().is_err());
}

/// I5: a document is fresh for the lifetime of its Cache-Control, a minute at least; the next look-up after that fetches it again.
#[test]
fn a_document_expires() {
    let web = Web::new();
    assert!(web.find(URL, &document(URL)).is_some());
    web.clock.advance(Duration::from_secs(59));
    assert!(web.look(URL).is_some());
    web.clock.advance(Duration::from_secs(1));
    let long = answer("200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=600", &body(URL));
    assert!(web.find(URL, &long).is_some());
    web.clock.advance(Duration::from_secs(599));
    assert!(web.look(URL).is_some());
    web.clock.advance(Duration::from_secs(1));
    assert!(web.find(URL, &document(URL)).is_some());
    web.assert_silent();
}

/// I5: while its host does not answer, a document is usable for another day, and is fetched at most once a minute.
#[test]
fn an_expired_document_is_used_for_a_day_of_outage() {
    for outage in ["HTTP/1.1 503 Oops\r\n\r\n", "HTTP/1.1 429 Slow\r\n\r\n", "", "not http"] {
        let web = Web::new();
        assert!(web.find(URL, &document(URL)).is_some());
        web.clock.advance(Duration::from_secs(60));
        assert!(web.find(URL, outage.as_bytes()).is_some(), "{outage}");
        web.clock.advance(Duration::from_secs(59));
        assert!(web.look(URL).is_some());
        web.assert_silent();
        web.clock.advance(Duration::from_secs(86_340));
        assert!(web.find(URL, outage.as_bytes()).is_some(), "{outage}");
        web.clock.advance(Duration::from_secs(1));
        assert!(web.find(URL, outage.as_bytes()).is_none(), "{outage}");
        assert!(web.find(URL, &document(URL)).is_some());
    }
}

/// I5: a host that answers without a document has withdrawn it.
#[test]
fn a_document_that_was_withdrawn_is_forgotten() {
    let moved = "HTTP/1.1 301 Moved\r\nLocation: https://a.example/d\r\n\r\n";
    let other = String::from_utf8(document("https://a.example/other.json")).unwrap();
    for withdrawn in ["HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 410 Gone\r\n\r\n", moved, &other] {
        let web = Web::new();
        assert!(web.find(URL, &document(URL)).is_some());
        web.clock.advance(Duration::from_secs(60));
        assert!(web.find(URL, withdrawn.as_bytes()).is_none(), "{withdrawn}");
        assert!(web.find(URL, b"").is_none());
    }
}
