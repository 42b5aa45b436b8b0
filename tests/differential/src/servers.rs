//! The three readers, each on a loopback port, each of which reports the requests that it has read: our edge, hyper, and nginx.
//!
//! The request as read is in a field of the answer, in hexadecimal, so that the comparison parses no HTTP of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use mcp_oauth_server::internals::base::limits;
use mcp_oauth_server::internals::{Door, EdgeSettings as Settings, Listener, open_edge};
use mcp_oauth_server::internals::http::{Admission, Handler, Head, Request, Response};
use mcp_oauth_server::internals::Pool;

/// The field with the request as read.
pub(crate) const FIELD: &str = "x-read";

/// A request as a server has parsed it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Understood {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Understood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.target, String::from_utf8_lossy(&self.body))
    }
}

impl Understood {
    fn encode(&self) -> String {
        [self.method.as_bytes(), self.target.as_bytes(), &self.body].map(hex).join(".")
    }

    pub(crate) fn decode(text: &str) -> Option<Understood> {
        let mut parts = text.split('.').map(unhex);
        let (method, target, body) = (parts.next()??, parts.next()??, parts.next()??);
        Some(Understood {
            method: String::from_utf8(method).ok()?,
            target: String::from_utf8(target).ok()?,
            body,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digits).collect()
}

// ---- ours ----

struct Echo;

impl Handler for Echo {
    fn admit(self: Arc<Self>, head: Head) -> Admission {
        Admission::up_to(64 * 1024, head, |Request { head, body }| {
            let query = head.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
            let read = Understood {
                method: head.method.as_str().to_owned(),
                target: format!("{}{query}", head.path),
                body: body.clone(),
            };
            Response::new(200).header("X-Read", read.encode())
        })
    }
}

/// Our edge, which serves until it is dropped, and its address.
pub(crate) fn ours() -> (Door, SocketAddr) {
    let listener = Listener::tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.address().unwrap();
    // On a busy machine, the check for a disconnected client must not interfere.
    let settings = Settings { slow_call: Duration::from_secs(20), ..Settings::default() };
    let pool = Arc::new(Pool::start(limits::CONNECTIONS).unwrap());
    (open_edge(vec![listener], Arc::new(Echo), pool, settings).unwrap(), address)
}

// ---- hyper ----

async fn echo(request: hyper::Request<Incoming>) -> Result<hyper::Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
    // Of the absolute form, the parts that we and nginx use.
    let target = head.uri.path_and_query().map_or("*", |target| target.as_str()).to_owned();
    let read = Understood { method: head.method.as_str().to_owned(), target, body };
    Ok(hyper::Response::builder().header(FIELD, read.encode()).body(Empty::new()).unwrap())
}

/// hyper with its defaults; it serves until the process ends.
pub(crate) fn hyper() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper::service::service_fn(echo);
                let mut builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(builder.half_close(true).serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    address
}

// ---- nginx ----

/// nginx in front of a server that reports the requests of nginx.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    process: Child,
    directory: PathBuf,
}

impl Nginx {
    pub(crate) fn start(binary: &str) -> Nginx {
        let directory =
            std::env::temp_dir().join(format!("mcp-oauth-server-differential-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = config(&directory, address, behind_nginx());
        fs::write(directory.join("nginx.conf"), config).unwrap();
        let log = directory.join("error.log");
        let process = Command::new(binary)
            .args(["-p", directory.to_str().unwrap(), "-c", "nginx.conf", "-e", log.to_str().unwrap()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary}: {error}"));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                started.elapsed().as_secs() < 20,
                "nginx: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
        }
        Nginx { address, process, directory }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master ends its workers.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn config(directory: &Path, address: SocketAddr, behind: SocketAddr) -> String {
    let folder = directory.display();
    let user = if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        "user root;"
    } else {
        ""
    };
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/{what};\n"))
        .concat();
    format!(
        "daemon off; {user} pid {folder}/pid; events {{}}\nhttp {{\naccess_log off;\n{places}server {{\nlisten {address};\n\
         location / {{ proxy_pass http://{behind}; proxy_buffer_size 64k; proxy_buffers 4 64k;\n\
         proxy_busy_buffers_size 64k; proxy_ignore_client_abort on; }}\n}}\n}}\n"
    )
}

/// Answers the only request of each connection, which nginx has normalised, so that simple parsing is enough.
fn behind_nginx() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let length =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let read = Understood { method, target, body }.encode();
    let answer = format!("HTTP/1.0 200 OK\r\n{FIELD}: {read}\r\nContent-Length: 0\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes()).ok()
}
