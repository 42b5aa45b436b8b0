//! Several listeners of one door, Unix sockets among them.

use std::os::fd::IntoRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::*;
use crate::edge::Access;
use crate::sys;

/// A path for a socket in a directory of its own.
fn path(test: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("mcp-edge-{}-{test}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    directory.join("socket")
}

fn unix(path: &Path) -> std::io::Result<Listener> {
    Listener::unix(path, Access::Group)
}

fn serve(listeners: Vec<Listener>, settings: Settings) -> Door {
    edge::open(listeners, Desk::new().0, Arc::new(Pool::start(16).unwrap()), settings).unwrap()
}

#[test]
fn all_listeners_are_served_and_closed_together() {
    let path = path("together");
    let [one, other] = [(); 2].map(|()| Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap());
    let addresses = [&one, &other].map(|listener| listener.address().unwrap());
    let third = unix(&path).unwrap();
    assert_eq!(third.name(), format!("unix:{}", path.display()));
    let mut edge = serve(vec![one, third, other], quick());
    for _ in 0..3 {
        for address in addresses {
            assert_eq!(Client::new(TcpStream::connect(address).unwrap()).get("/").status, 200);
        }
        assert_eq!(Client::new(UnixStream::connect(&path).unwrap()).get("/").status, 200);
    }
    edge.stop(Duration::from_secs(5));
    until(|| addresses.iter().all(|address| TcpStream::connect(address).is_err()));
    assert!(!path.exists());
}

/// H6: the cap is for all listeners together. Clients of a Unix socket have no address: they count towards the total only,
/// not towards the limit of one sender.
#[test]
fn connections_are_capped_over_all_listeners() {
    let path = path("capped");
    let tcp = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = tcp.address().unwrap();
    let settings = Settings { connections: 3, connections_per_address: 1, ..quick() };
    let (desk, _events) = Desk::new(); // the streams' other ends are among the events
    let listeners = vec![unix(&path).unwrap(), tcp];
    let edge = edge::open(listeners, desk, Arc::new(Pool::start(16).unwrap()), settings).unwrap();
    let unix = || Client::new(UnixStream::connect(&path).unwrap());
    // Open streams make no room for others.
    let stream = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut open = [unix(), unix()];
    open.iter_mut().for_each(|client| drop(client.send(stream).head()));
    let mut third = Client::new(TcpStream::connect(address).unwrap());
    third.send(stream).head();
    assert_eq!(unix().answer().status, 503);
    assert_eq!(Client::new(TcpStream::connect(address).unwrap()).answer().status, 503);
    drop(open);
    until(|| edge.state.running.held() == 1);
    assert_eq!(unix().get("/").status, 200);
}

/// The socket is for its user and group; one left behind is replaced, one in use and a file are not.
#[test]
fn a_socket_is_private_and_replaced_only_when_stale() {
    let path = path("private");
    drop(UnixListener::bind(&path).unwrap());
    let edge = serve(vec![until_some(|| unix(&path).ok())], quick());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    unix(&path).unwrap_err();
    assert_eq!(Client::new(UnixStream::connect(&path).unwrap()).get("/").status, 200);
    drop(edge);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    unix(&path).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

/// A server with a full backlog is detected as well, without waiting for it.
#[test]
fn a_socket_with_a_full_queue_is_not_replaced() {
    let path = path("full");
    let busy = sys::adopt_listener(UnixListener::bind(&path).unwrap().into_raw_fd(), 1).unwrap();
    // Linux queues one more than the backlog.
    let _waiting = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
    let (is_refused, is_full) = std::thread::scope(|scope| {
        let one_too_many = scope.spawn(|| UnixStream::connect(&path));
        let is_refused = unix(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
        let is_full = !one_too_many.is_finished();
        drop(busy); // ends its wait
        (is_refused, is_full)
    });
    assert!(is_refused && is_full);
    until_some(|| unix(&path).ok());
}

/// The disconnection of a client is detected at a Unix socket as well, and a slow client is cut off.
#[test]
fn a_unix_socket_has_the_deadlines_of_the_others() {
    let path = path("deadlines");
    let settings = Settings { head_deadline: Duration::from_millis(200), ..quick() };
    let edge = serve(vec![unix(&path).unwrap()], settings);
    let mut slow = Client::new(UnixStream::connect(&path).unwrap());
    assert_eq!(slow.send("GET / HTTP/1.1\r\n").answer().status, 408);
    let mut gone = Client::new(UnixStream::connect(&path).unwrap());
    gone.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    drop((slow, gone));
    until(|| edge.state.running.held() == 0);
}
