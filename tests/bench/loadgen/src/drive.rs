//! The closed loop: many connections on one thread, one outstanding request on each, every answer checked.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::mcp::Template;
use crate::process;
use crate::wire;

/// The size of one read (bytes).
const PIECE: usize = 16 * 1024;

/// The durations, and the process to observe.
pub struct Plan {
    pub warmup: Duration,
    pub time: Duration,
    /// Ends the window earlier, after this number of correct answers.
    pub most: Option<usize>,
    /// The server's process id.
    pub process: Option<String>,
}

pub struct Lane {
    stream: TcpStream,
    template: Template,
    /// The number of bytes of the request that are written.
    written: usize,
    buffer: Vec<u8>,
    number: u64,
    begun: Instant,
    answers: u64,
}

/// The findings of the window.
#[derive(Default)]
pub struct Found {
    micros: Vec<u32>,
    wrong: u64,
    first_wrong: Option<String>,
}

/// The resources used when the window opened.
pub struct Opened {
    at: Instant,
    server: f64,
    own: f64,
    busy: f64,
}

impl Opened {
    pub fn now(plan: &Plan) -> Opened {
        Opened {
            server: plan.process.as_deref().map_or(0.0, process::cpu_seconds),
            own: process::cpu_seconds("self"),
            busy: process::busy_seconds(),
            at: Instant::now(),
        }
    }

    pub fn since(&self) -> Duration {
        self.at.elapsed()
    }
}

/// Sends each template repeatedly on a connection of its own.
pub fn drive(address: SocketAddr, templates: Vec<Template>, plan: &Plan) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("epoll: {error}");
    let mut poll = Poll::new().map_err(failed)?;
    let mut events = Events::with_capacity(1024);
    let mut next = 0;
    let mut lanes = Vec::new();
    for (index, template) in templates.into_iter().enumerate() {
        let stream = connect(address, &poll, index)?;
        let (written, buffer) = (0, Vec::with_capacity(PIECE));
        let mut lane =
            Lane { stream, template, written, buffer, number: 0, begun: Instant::now(), answers: 0 };
        lane.next(&mut next);
        lanes.push(lane);
    }
    let mut found = Found::default();
    let mut window: Option<Opened> = None;
    let opens = Instant::now() + plan.warmup;
    loop {
        poll.poll(&mut events, Some(Duration::from_millis(10))).map_err(failed)?;
        for event in &events {
            let index = event.token().0;
            let Some(lane) = lanes.get_mut(index) else { continue };
            if let Err(error) = lane.go_on(&mut next, &mut found) {
                found.fault(error);
                lane.stream = connect(address, &poll, index)?;
                lane.buffer.clear();
                lane.next(&mut next);
            }
        }
        match &window {
            // Errors during the warm-up count as well.
            None if Instant::now() >= opens => {
                found.micros.clear();
                lanes.iter_mut().for_each(|lane| lane.answers = 0);
                window = Some(Opened::now(plan));
            }
            Some(opened) => {
                let is_enough = plan.most.is_some_and(|most| found.micros.len() >= most);
                if is_enough || opened.at.elapsed() >= plan.time {
                    return Ok(found.report(opened, &Opened::now(plan), &lanes));
                }
            }
            None => {}
        }
    }
}

fn connect(address: SocketAddr, poll: &Poll, index: usize) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("connect: {error}");
    let stream = std::net::TcpStream::connect(address).map_err(failed)?;
    stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map_err(failed)?;
    let mut stream = TcpStream::from_std(stream);
    let interest = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut stream, Token(index), interest).map_err(failed)?;
    Ok(stream)
}

impl Lane {
    /// Prepares the next request.
    fn next(&mut self, next: &mut u64) {
        *next += 1;
        self.number = *next;
        self.template.numbered(self.number);
        self.written = 0;
        self.begun = Instant::now();
    }

    /// Writes and reads as far as possible.
    fn go_on(&mut self, next: &mut u64, found: &mut Found) -> Result<(), String> {
        loop {
            if !self.write()? {
                return Ok(());
            }
            let is_drained = self.read()?;
            let Some(answer) = wire::answer(&self.buffer)? else {
                if is_drained {
                    return Ok(());
                }
                continue;
            };
            if let Err(wrong) = self.template.check(&answer, self.number) {
                found.fault(wrong);
            }
            if answer.head.closes || answer.length != self.buffer.len() {
                return Err("the connection cannot be used again".to_owned());
            }
            found.answered(self.begun);
            self.answers += 1;
            self.buffer.clear();
            self.next(next);
            if is_drained {
                // The next event comes with the next answer.
                self.write()?;
                return Ok(());
            }
        }
    }

    /// Whether the whole request is written.
    fn write(&mut self) -> Result<bool, String> {
        while self.written < self.template.bytes().len() {
            match self.stream.write(&self.template.bytes()[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(format!("write: {error}")),
            }
        }
        Ok(true)
    }

    /// Reads once. Returns whether nothing more can be read for now.
    fn read(&mut self) -> Result<bool, String> {
        let start = self.buffer.len();
        self.buffer.resize(start + PIECE, 0);
        let outcome = self.stream.read(&mut self.buffer[start..]);
        let count = *outcome.as_ref().unwrap_or(&0);
        self.buffer.truncate(start + count);
        match outcome {
            Ok(0) => Err("the connection was closed before the answer".to_owned()),
            // On an edge-triggered socket, a short read means that it is drained.
            Ok(count) => Ok(count < PIECE),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(format!("read: {error}")),
        }
    }
}

impl Found {
    pub fn answered(&mut self, begun: Instant) {
        self.micros.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
    }

    fn fault(&mut self, what: String) {
        self.wrong += 1;
        self.first_wrong.get_or_insert(what);
    }

    pub fn report(&mut self, opened: &Opened, closed: &Opened, lanes: &[Lane]) -> Value {
        self.micros.sort_unstable();
        let answers = self.micros.len();
        let seconds = closed.at.duration_since(opened.at).as_secs_f64();
        let server = closed.server - opened.server;
        let own = closed.own - opened.own;
        // Includes outstanding requests: one that is never answered appears in no other figure.
        let waiting = lanes.iter().map(|lane| closed.at.saturating_duration_since(lane.begun));
        let answered = Duration::from_micros(self.micros.last().copied().unwrap_or(0).into());
        let slowest = waiting.max().unwrap_or_default().max(answered);
        json!({
            "connections": lanes.len(),
            "answers": answers,
            "wrong": self.wrong,
            "first_wrong": self.first_wrong,
            "starved": lanes.iter().filter(|lane| lane.answers == 0).count(),
            "seconds": seconds,
            "per_second": answers as f64 / seconds,
            "p50_ms": self.percentile(50),
            "p99_ms": self.percentile(99),
            "slowest_ms": slowest.as_secs_f64() * 1000.0,
            "server_cpu": server,
            "cpu_per_10k": server * 10_000.0 / answers.max(1) as f64,
            "own_cpu": own,
            "other_cpu": (closed.busy - opened.busy - server - own).max(0.0),
        })
    }

    fn percentile(&self, percent: usize) -> f64 {
        let index = (self.micros.len() * percent / 100).min(self.micros.len().saturating_sub(1));
        self.micros.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}
