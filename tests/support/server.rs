//! The real binary as a child process, with a state directory of its own. It is killed with its test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::instant;
use sha2::Digest;

use super::github::{CLIENT_ID, CLIENT_SECRET, FakeGitHub};
use super::http::{PATIENCE, Request};
use super::store::Store;

/// A running server.
pub(crate) struct Server {
    authority: String,
    command: Command,
    state_dir: PathBuf,
    child: Child,
    /// A message for each line of the log; disconnected at the end of the child's standard error.
    lines: Receiver<()>,
    /// The server's output, including that before restarts.
    log: Arc<Mutex<String>>,
    /// The store of its grants, unless they are in the state directory.
    store: Option<Store>,
}

impl Server {
    /// Starts a server that admits octocat.
    pub(crate) fn start(github: &FakeGitHub) -> Server {
        let authority = free_address();
        Server::launch(&[], &authority, &for_github(&github.url(), &[("MCP_LISTEN", &authority)]))
    }

    /// Starts a server with additional environment variables.
    pub(crate) fn start_with(github: &FakeGitHub, more: &[(&str, &str)]) -> Server {
        Server::start_at(github, &free_address(), more)
    }

    /// Starts a server at this address.
    pub(crate) fn start_at(github: &FakeGitHub, authority: &str, more: &[(&str, &str)]) -> Server {
        let environment = [&[("MCP_LISTEN", authority)], more].concat();
        Server::launch(&[], authority, &for_github(&github.url(), &environment))
    }

    /// Starts a server behind the trusted door, as if a reverse proxy were in front of it.
    pub(crate) fn behind_proxy(github: &FakeGitHub) -> Server {
        let authority = free_address();
        let door =
            [("MCP_BEHIND_PROXY", authority.as_str()), ("MCP_PUBLIC_URL", &format!("http://{authority}"))];
        Server::launch(&[], &authority, &for_github(&github.url(), &door))
    }

    /// Starts a server with this command line and additional environment variables.
    pub(crate) fn start_command(github: &FakeGitHub, arguments: &[&str], more: &[(&str, &str)]) -> Server {
        let authority = free_address();
        let environment = [&[("MCP_LISTEN", authority.as_str())], more].concat();
        Server::launch(arguments, &authority, &for_github(&github.url(), &environment))
    }

    /// Starts the demo, with its own GitHub.
    pub(crate) fn demo() -> Server {
        Server::demo_with(&[])
    }

    /// Starts a demo with additional arguments.
    pub(crate) fn demo_with(arguments: &[&str]) -> Server {
        let authority = free_address();
        Server::launch(
            &[&["demo"], arguments].concat(),
            &authority,
            &[("MCP_LISTEN".to_owned(), authority.clone())],
        )
    }

    /// Starts a server as this user, which requires the privilege.
    pub(crate) fn start_as(
        user: u32,
        github: &FakeGitHub,
        arguments: &[&str],
        more: &[(&str, &str)],
    ) -> Server {
        let authority = free_address();
        let environment = [&[("MCP_LISTEN", authority.as_str())], more].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
        command.uid(user).gid(user);
        Server::launch_command(command, arguments, &authority, &for_github(&github.url(), &environment))
    }

    fn launch(arguments: &[&str], authority: &str, environment: &[(String, String)]) -> Server {
        let command = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
        Server::launch_command(command, arguments, authority, environment)
    }

    fn launch_command(
        mut command: Command,
        arguments: &[&str],
        authority: &str,
        environment: &[(String, String)],
    ) -> Server {
        let state_dir = temporary_directory();
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().cloned())
            .env("MCP_STATE_DIR", &state_dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let names_store = environment.iter().any(|(name, _)| name == "MCP_STORE");
        let store = if names_store { None } else { Store::beside(&state_dir) };
        if let Some(store) = &store {
            Store::make_key(&state_dir);
            command.env("MCP_STORE", store.url());
        }
        let log = Arc::default();
        let (child, lines) = spawn(&mut command, &log);
        let mut server =
            Server { authority: authority.to_owned(), command, state_dir, child, lines, log, store };
        server.wait_until_ready();
        server
    }

    /// Its address: `127.0.0.1:PORT`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Its own URL for `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The page of the metrics, over the operator's socket.
    pub(crate) fn metrics(&self) -> String {
        let socket = UnixStream::connect(self.state_dir.join("operator.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = Request::get("/metrics").over(socket, "operator").unwrap().finish().unwrap();
        answer.expect(200).text().to_owned()
    }

    /// Asks it to stop, as systemd would, and waits for its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait_for_end()
    }

    /// Waits for its end.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("it does not stop:\n{}", self.log()),
            }
        }
    }

    /// Sends a signal, like `-HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until its output contains `words`.
    pub(crate) fn wait_for_log(&self, words: &str) -> String {
        self.wait_for_more(words, 0)
    }

    /// Waits until its output contains `words` more often than `seen` times.
    pub(crate) fn wait_for_more(&self, words: &str, seen: usize) -> String {
        let deadline = instant() + PATIENCE;
        while self.log().matches(words).count() <= seen {
            let _ = self.lines.recv_timeout(Duration::from_millis(10));
            assert!(instant() < deadline, "it does not say {words:?}:\n{}", self.log());
        }
        self.log()
    }

    /// Ends it abruptly, like a power failure.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same state directory and address.
    pub(crate) fn start_again(&mut self) {
        (self.child, self.lines) = spawn(&mut self.command, &self.log);
        self.wait_until_ready();
    }

    /// A digest of everything in its state directory, and of its store's contents.
    pub(crate) fn stored(&self) -> String {
        let mut digest = sha2::Sha256::new();
        let mut names: Vec<_> =
            fs::read_dir(&self.state_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for name in names.iter().filter(|name| name.is_file()) {
            digest.update(name.to_str().unwrap());
            digest.update(fs::read(name).unwrap());
        }
        digest.update(self.store.as_ref().map(Store::names).unwrap_or_default());
        format!("{:x?}", digest.finalize())
    }

    /// Its memory use (KiB).
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Stops reading its standard error as long as the guard lives.
    pub(crate) fn stall_log(&self) -> MutexGuard<'_, String> {
        self.log.lock().unwrap()
    }

    /// The number of its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Limits its descriptors to this number.
    pub(crate) fn limit_descriptors(&self, limit: usize) {
        self.limit(&format!("--nofile={limit}:"));
    }

    /// Sets a limit of its process, by an option of prlimit(1).
    pub(crate) fn limit(&self, limit: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &process, limit]).status().unwrap().success());
    }

    fn wait_until_ready(&mut self) {
        let deadline = instant() + PATIENCE * 3; // the disk may be busy
        // The operator's socket is the last door to be opened. One that an earlier run left behind accepts no connection.
        let desk = match self.command.get_args().any(|argument| argument == "demo") {
            true => self.state_dir.join("demo"),
            false => self.state_dir.clone(),
        };
        let is_ready = || UnixStream::connect(desk.join("operator.sock")).is_ok();
        while !is_ready() {
            // Checked again after each new line of the log, or a pause.
            let paused = self.lines.recv_timeout(Duration::from_millis(10));
            let has_ended = paused == Err(RecvTimeoutError::Disconnected);
            if instant() > deadline || (has_ended && !self.drops_line(IN_USE)) {
                panic!("the server is not ready; it says:\n{}", self.log());
            }
            if has_ended {
                self.child.wait().unwrap();
                (self.child, self.lines) = spawn(&mut self.command, &self.log);
            }
        }
    }

    /// Whether the last line of the log contains `words`; then removes it.
    fn drops_line(&self, words: &str) -> bool {
        let mut log = self.log.lock().unwrap();
        let start = log.trim_end().rfind('\n').map_or(0, |end| end + 1);
        let contains = log[start..].contains(words);
        if contains {
            log.truncate(start);
        }
        contains
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.state_dir);
        let _ = fs::remove_dir_all(self.state_dir.with_extension("children"));
    }
}

fn for_github(url: &str, door: &[(&str, &str)]) -> Vec<(String, String)> {
    let ours = [
        ("GITHUB_CLIENT_ID", CLIENT_ID),
        ("GITHUB_CLIENT_SECRET", CLIENT_SECRET),
        ("GITHUB_URL", url),
        ("MCP_ALLOW", "user:octocat"),
    ];
    ours.iter().chain(door).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn spawn(command: &mut Command, log: &Arc<Mutex<String>>) -> (Child, Receiver<()>) {
    let mut child = command.spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    let log = Arc::clone(log);
    let (sender, lines) = channel();
    // Ends when the child closes its standard error.
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log.lock().unwrap().push_str(&(line + "\n"));
            let _ = sender.send(()); // a test that has ended reads no more
        }
    });
    (child, lines)
}

/// The error of a server whose address is in use: another test's connection may have got it, or a program that another test is
/// starting still holds a copy of the listener of [`free_address`].
const IN_USE: &str = "is in use by another program";

/// The value of a sample in the metrics.
pub(crate) fn sample(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
}

/// A free loopback address, each time another one. It must be known beforehand: it is part of the public URL, and stays the same over a
/// restart. Its port is below those that the kernel gives to connections and to listeners
/// at port 0, so that none of another test gets it before a server does.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut addresses = std::iter::repeat_with(|| {
        let number = NEXT.fetch_add(1, Ordering::SeqCst).wrapping_add(std::process::id());
        format!("127.0.0.1:{}", 10_000 + number % 20_000)
    });
    addresses.find(|address| TcpListener::bind(address).is_ok()).unwrap()
}

pub(crate) fn temporary_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let path = std::env::temp_dir().join(format!("mcp-oauth-server-test-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&path); // left by a run whose process had the same id
    path
}
