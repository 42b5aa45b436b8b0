//! The server's listeners: several addresses, Unix sockets, sockets that systemd has opened.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use crate::support::github::FakeGitHub;
use crate::support::http::{Answer, PATIENCE, Request};
use crate::support::server::{Server, free_address, temporary_directory};

/// The answer of `/healthz` on this stream to a request for `host`.
fn health(stream: impl std::io::Read + std::io::Write + 'static, host: &str) -> Answer {
    Request::get("/healthz").over(stream, host).unwrap().finish().unwrap().expect(200)
}

fn tcp(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn unix(path: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// H10: a client of a Unix socket has no address except the one that a trusted proxy names.
#[test]
fn two_addresses_and_a_unix_socket_are_one_server() {
    let directory = temporary_directory();
    std::fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("http.sock");
    let (first, second) = (free_address(), free_address());
    let listen = format!("{first},{second},unix:{}", socket.display());
    let url = format!("http://{first}");
    let more = [("MCP_LISTEN", listen.as_str()), ("MCP_PUBLIC_URL", &url), ("MCP_TRUSTED_PROXY", "unix")];
    let mut server = Server::start_at(&FakeGitHub::start(), &first, &more);
    health(tcp(&first), &first);
    health(tcp(&second), &first);
    health(unix(&socket), &first);
    let through_proxy = Request::get("/").with("X-Forwarded-For", "203.0.113.9, 198.51.100.7");
    through_proxy.over(unix(&socket), &first).unwrap().finish().unwrap().expect(200);
    server.wait_for_log("peer=198.51.100.7");
    let untrusted = Request::get("/").with("X-Forwarded-For", "203.0.113.9");
    untrusted.over(tcp(&second), &first).unwrap().finish().unwrap().expect(200);
    server.wait_for_log("peer=127.0.0.1");
    assert!(!server.log().contains("203.0.113.9"), "{}", server.log());
    assert!(server.stop().success());
    assert!(!socket.exists());
}

/// Starts the server as systemd does, with these sockets from descriptor 3 on.
fn activate(sockets: [OwnedFd; 2], state: &std::path::Path) -> Child {
    let [first, second] = sockets.map(Stdio::from);
    let script = "exec 3<&0 4>&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\"";
    Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_mcp-oauth-server")])
        .env_clear()
        .envs([("GITHUB_CLIENT_ID", "x"), ("GITHUB_CLIENT_SECRET", "x"), ("MCP_ALLOW", "id:1")])
        .envs([("MCP_LISTEN", "systemd"), ("MCP_PUBLIC_URL", "https://mcp.example.com")])
        .env("MCP_STATE_DIR", state)
        .stdin(first)
        .stdout(second)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Connections that arrive while the server is restarted wait in systemd's sockets, which outlive it.
#[test]
fn sockets_of_systemd_are_served_and_left_open() {
    let state = temporary_directory();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::fs::create_dir_all(&state).unwrap();
    let path = state.join("systemd.sock");
    let local = UnixListener::bind(&path).unwrap();
    let sockets =
        || [OwnedFd::from(listener.try_clone().unwrap()), OwnedFd::from(local.try_clone().unwrap())];
    let directory = state.join("state");
    for _ in 0..2 {
        let mut child = activate(sockets(), &directory);
        health(tcp(&address), "mcp.example.com");
        health(unix(&path), "mcp.example.com");
        let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(ended.success() && child.wait().unwrap().success());
        assert!(path.exists());
    }
    // A connection that was opened before the start is served.
    let waiting = tcp(&address);
    let mut child = activate(sockets(), &directory);
    health(waiting, "mcp.example.com");
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_socket_that_systemd_does_not_pass_is_missed_at_the_start() {
    let state = temporary_directory();
    let start = |fds: &str| {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={fds} exec \"$0\"");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_mcp-oauth-server")])
            .env_clear()
            .envs([("GITHUB_CLIENT_ID", "x"), ("GITHUB_CLIENT_SECRET", "x"), ("MCP_ALLOW", "id:1")])
            .envs([("MCP_LISTEN", "systemd"), ("MCP_PUBLIC_URL", "https://mcp.example.com")])
            .env("MCP_STATE_DIR", &state)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(start("0").contains("start it by its .socket unit"));
    assert!(start("1").contains("cannot listen on what systemd listens on for it: Bad file descriptor"));
}
