//! The file of an audit log, as tests read it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::github::FakeGitHub;
use crate::support::http::PATIENCE;
use crate::support::instant;
use crate::support::server::{Server, temporary_directory};

/// A directory for audit files, removed with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let folder = Folder(temporary_directory());
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A server that writes to `audit` here.
    pub(crate) fn start(&self, github: &FakeGitHub, more: &[(&str, &str)]) -> Server {
        let file = self.file("audit");
        let audit = [("MCP_AUDIT_LOG", file.to_str().unwrap()), ("MCP_LOG_FORMAT", "json")];
        Server::start_with(github, &[&audit, more].concat())
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        lines(&self.file("audit"))
    }

    /// Waits until `audit` has this many lines of an event.
    pub(crate) fn wait_for(&self, event: &str, count: usize) -> Vec<Value> {
        let deadline = instant() + PATIENCE;
        loop {
            let found = of(&self.lines(), event);
            if found.len() >= count {
                return found;
            }
            assert!(instant() < deadline, "{} of {count} {event}", found.len());
            std::thread::yield_now();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // left by a test that has failed already
    }
}

/// The lines of a file, each a JSON object with its time in milliseconds.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let deadline = instant() + PATIENCE;
    let text = loop {
        let text = fs::read_to_string(path).unwrap();
        if text.is_empty() || text.ends_with('\n') {
            break text;
        }
        assert!(instant() < deadline, "{text}"); // until then the system may be writing a line in two pages
    };
    let read = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let lines: Vec<Value> = text.lines().map(read).collect();
    assert!(lines.iter().all(|line| line["time"].as_str().unwrap().len() == 24), "{text}");
    lines
}

pub(crate) fn of(lines: &[Value], event: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["event"] == event).cloned().collect()
}

pub(crate) fn text<'a>(line: &'a Value, member: &str) -> &'a str {
    line[member].as_str().unwrap_or("-")
}

/// A slow tool of the demo.
pub(crate) const SLOW: &str = "start-notification-stream";

/// The params of a call of that tool.
pub(crate) fn slow(interval: u32, count: u32) -> Value {
    json!({ "name": SLOW, "arguments": { "interval": interval, "count": count } })
}
