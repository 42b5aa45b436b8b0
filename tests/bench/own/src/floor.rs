//! The baseline for the server: a door alone, which gives every request the same answer, until it is ended from
//! outside.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use mcp_oauth_server::internals::base::limits;
use mcp_oauth_server::internals::{EdgeSettings as Settings, Listener, open_edge};
use mcp_oauth_server::internals::http::{Admission, Handler, Head, Response};
use mcp_oauth_server::internals::Pool;

/// Requests that may wait for a worker.
const QUEUE: usize = 1024;

struct Constant(String);

impl Handler for Constant {
    fn admit(self: Arc<Self>, head: Head) -> Admission {
        Admission::up_to(limits::UNCHECKED_BODY_BYTES, head, move |_| {
            Response::new(200).bytes("application/json", self.0.clone())
        })
    }
}

/// The edge with the queue and the workers.
pub fn edge(port: u16, text: &str) -> Result<(), Box<dyn Error>> {
    let listener = Listener::tcp((Ipv4Addr::LOCALHOST, port).into())?;
    let pool = Arc::new(Pool::start(QUEUE)?);
    let _edge = open_edge(vec![listener], Arc::new(Constant(text.to_owned())), pool, Settings::default())?;
    loop {
        std::thread::park();
    }
}

/// tiny_http unmodified: its accept loop, a queue, and the server's number of workers.
pub fn tiny_http(port: u16, text: &str) -> Result<(), Box<dyn Error>> {
    let server = tiny_http::Server::http(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let (sender, queue) = crossbeam_channel::bounded::<tiny_http::Request>(QUEUE);
    std::thread::scope(|scope| {
        for _ in 0..limits::WORKERS {
            scope.spawn(|| {
                for mut request in &queue {
                    let mut body = Vec::new();
                    let read = request.as_reader().read_to_end(&mut body);
                    let json = tiny_http::Header::from_bytes("Content-Type", "application/json");
                    if let (Ok(_), Ok(json)) = (read, json) {
                        // errors of disconnected clients are ignored
                        let _ = request.respond(tiny_http::Response::from_string(text).with_header(json));
                    }
                }
            });
        }
        for request in server.incoming_requests() {
            sender.send(request)?;
        }
        Ok(())
    })
}
