//! A scripted upstream on loopback, with one request per connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::base::{Mutex, clock};

pub(super) const SOON: Duration = Duration::from_secs(20);

/// A request that the upstream got.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// By their names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    /// Null if there is none.
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The JSON-RPC method, or the HTTP method.
    pub(super) fn what(&self) -> &str {
        self.body["method"].as_str().unwrap_or(&self.method)
    }
}

pub(super) struct FakeUpstream {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeUpstream {
    pub(super) fn start(script: impl Fn(&Seen, &mut TcpStream) + Send + Sync + 'static) -> FakeUpstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mcp?key=canary", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (script, all) = (Arc::new(script), Arc::clone(&seen));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let (script, all) = (Arc::clone(&script), Arc::clone(&all));
                std::thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        all.lock().push(request.clone());
                        script(&request, &mut stream);
                    }
                });
            }
        });
        FakeUpstream { url, seen }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Waits up to the given time until it has received this.
    pub(super) fn wait_for(&self, what: &str, times: usize) -> Seen {
        let deadline = clock::instant() + SOON;
        loop {
            if let Some(found) = self.seen().iter().filter(|seen| seen.what() == what).nth(times - 1) {
                return found.clone();
            }
            assert!(clock::instant() < deadline, "{what} did not come {times} times: {:?}", self.seen());
            std::thread::yield_now();
        }
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 2 || !lines.is_empty())?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: BTreeMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let method = lines[0].split(' ').next().unwrap().to_owned();
    Some(Seen { method, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// Writes an answer with a body that ends with the connection.
pub(super) fn answer(stream: &mut TcpStream, head: &str, body: &str) {
    let head = head.replace('\n', "\r\n");
    let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}"); // a peer that was interrupted reads no more
}

pub(super) fn answer_json(stream: &mut TcpStream, body: &Value) {
    answer(stream, "200 OK\nContent-Type: application/json; charset=utf-8", &body.to_string());
}

/// Begins an event stream.
pub(super) fn answer_events(stream: &mut TcpStream, events: &str) {
    answer(stream, "200 OK\nContent-Type: text/event-stream", events);
}

/// Waits until the peer has closed the connection.
pub(super) fn wait_for_end(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0]);
}
