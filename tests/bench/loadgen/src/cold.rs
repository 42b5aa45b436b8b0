//! The time from a server's start to its first answer.

use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::mcp::{self, Target};
use crate::wire::{Connection, PATIENCE};

/// The pause between two connection attempts.
const STEP: Duration = Duration::from_micros(50);

/// Starts `command` this number of times; returns each time in milliseconds.
pub fn cold(target: &Target, command: &[String], runs: usize) -> Result<Value, String> {
    let (program, arguments) = command.split_first().ok_or("nothing to start")?;
    let mut millis = Vec::new();
    for _ in 0..runs {
        if Connection::open(target.address).is_ok() {
            return Err(format!("somebody listens on {} already", target.address));
        }
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let mut running = Running(child);
        running.answer(target, begun)?;
        millis.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(json!({ "millis": millis, "wrong": 0 }))
}

struct Running(Child);

impl Running {
    /// Waits for the first answer, with any content.
    fn answer(&mut self, target: &Target, begun: Instant) -> Result<(), String> {
        let mut request = mcp::get(target, "");
        loop {
            match std::net::TcpStream::connect(target.address) {
                Ok(stream) => {
                    drop(stream);
                    return Connection::open(target.address)?.ask(request.numbered(0), |_| ());
                }
                Err(error) if error.kind() != ErrorKind::ConnectionRefused => return Err(error.to_string()),
                Err(_) => {}
            }
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("it ended before it answered: {status}"));
            }
            if begun.elapsed() > PATIENCE {
                return Err("it does not answer".to_owned());
            }
            std::thread::park_timeout(STEP);
        }
    }
}

impl Drop for Running {
    /// Ends it cleanly, so that the next start has nothing to repair.
    fn drop(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if asked.is_ok() {
            let _ = self.0.wait();
        }
    }
}
