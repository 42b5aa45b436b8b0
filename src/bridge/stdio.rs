//! One program as a transport: messages are lines on its standard input and output, its standard error goes to the log.
//!
//! One thread per program, `bridge-program`: it reads everything (output, errors, the guardian's reports), writes the messages that found
//! the pipe full, so that no sender blocks on a program that does not read, and owns all deadlines. It ends when the program has ended.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::guardian::GuardianReport;
use super::launch::{Child, Guardian, never_wait};
use super::lines::{Lines, TooLong};
use super::message::OutgoingMessage;
use super::program_log::{Errors, Noise};
use super::transport::{Receiver, Transport, Undelivered};
use crate::base::{Mutex, clock, limits, log};
use crate::sys;

/// The size of one read (bytes): the capacity of a pipe.
const READ_BYTES: usize = 64 * 1024;

/// The end of a program whose guardian has ended.
const GUARDIAN_GONE: &str = "its guardian process is gone";

/// A running program. Dropping it ends it.
pub(super) struct Stdio(Arc<ProgramInput>);

/// The writer of a program's standard input, which never blocks.
struct ProgramInput {
    /// Guards the pipe and the unwritten bytes.
    state: Mutex<InputState>,
    /// Wakes the thread: unwritten bytes are waiting, or the program is to end.
    wake: PipeWriter,
}

struct InputState {
    /// `None` once it is closed, by us or by the program.
    stdin: Option<Arc<ChildStdin>>,
    /// Bytes that did not fit into the pipe.
    waiting: VecDeque<u8>,
    /// Whether the program is to end: nothing more is sent, and its input is closed once everything is written.
    is_over: bool,
}

impl Stdio {
    /// Takes over a program that is being started.
    pub(super) fn start(
        server: &Arc<str>,
        child: Child,
        receiver: Arc<dyn Receiver>,
    ) -> io::Result<Arc<Stdio>> {
        let Child { stdin, stdout, stderr, env, guardian } = child;
        // The program can read and write both ends of its pipes, so a pipe that was ready a moment ago may block.
        [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().try_for_each(never_wait)?;
        let (woken, wake) = io::pipe()?;
        let state = InputState { stdin: Some(Arc::new(stdin)), waiting: VecDeque::new(), is_over: false };
        let input = Arc::new(ProgramInput { state: Mutex::new(state), wake });
        let program = ProgramThread {
            server: Arc::clone(server),
            process: None,
            input: Arc::clone(&input),
            stdout: Some((stdout, Lines::new(limits::bridge::LINE_BYTES))),
            stderr: Some((stderr, Lines::cut(limits::bridge::ERROR_LINE_BYTES))),
            guardian,
            woken,
            receiver,
            noise: Noise::new(),
            errors: Errors::new(&env),
            stage: EndStage::Running,
            due: clock::instant(),
            stalls: clock::instant() + limits::bridge::STALL,
            fault: None,
            buffer: vec![0; READ_BYTES],
        };
        thread::Builder::new()
            .name("bridge-program".to_owned())
            .stack_size(limits::bridge::STACK_BYTES)
            .spawn(|| program.run())?;
        Ok(Arc::new(Stdio(input)))
    }
}

impl Transport for Stdio {
    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered> {
        let mut line = message.text.into_bytes();
        // In JSON, line breaks only occur between tokens, and callers choose them: the program would read the rest as a message of its own.
        line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        line.push(b'\n');
        let mut state = self.0.state.lock();
        let stdin = state.stdin.as_ref().filter(|_| !state.is_over).ok_or(Undelivered::Ended)?;
        let is_first = state.waiting.is_empty();
        if is_first {
            // Bytes that do not fit into the pipe, and the end of the program, are left to the thread.
            line.drain(..stdin.as_ref().write(&line).unwrap_or_default());
            if line.is_empty() {
                return Ok(());
            }
        }
        // One message may be longer than the limit if no other is waiting.
        let length = state.waiting.len().saturating_add(line.len());
        if !is_first && length > limits::bridge::WAITING_BYTES {
            return Err(Undelivered::Full);
        }
        state.waiting.extend(line);
        drop(state);
        if is_first {
            self.0.wake();
        }
        Ok(())
    }

    fn end(&self) {
        self.0.state.lock().end();
        self.0.wake();
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.end();
    }
}

impl ProgramInput {
    fn wake(&self) {
        let _ = (&self.wake).write_all(&[0]); // a thread that has ended needs no waking
    }
}

impl InputState {
    /// Closes the input once everything is written.
    fn end(&mut self) {
        self.is_over = true;
        if self.waiting.is_empty() {
            self.stdin = None;
        }
    }

    /// Closes the input at once.
    fn close(&mut self) {
        self.waiting = VecDeque::new();
        self.end();
    }

    /// The pipe, if unwritten bytes wait for room in it.
    fn full_pipe(&self) -> Option<Arc<ChildStdin>> {
        self.stdin.clone().filter(|_| !self.waiting.is_empty())
    }

    /// Writes the waiting bytes, as far as there is room.
    fn write(&mut self) {
        let Some(stdin) = &self.stdin else { return };
        match stdin.as_ref().write(self.waiting.as_slices().0) {
            Ok(written) => drop(self.waiting.drain(..written)),
            Err(error) if is_for_later(&error) => {}
            // The program has closed it.
            Err(_) => (self.stdin, self.waiting) = (None, VecDeque::new()),
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new(); // releases the memory
            if self.is_over {
                self.stdin = None;
            }
        }
    }
}

/// Whether a read or a write must be retried once its pipe is ready.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// Reads the available bytes of a pipe and calls `take` with each line. At the end of the pipe, the rest is a line and the pipe is closed.
fn read_lines(
    pipe: &mut Option<(impl Read, Lines)>,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]),
) -> Result<(), TooLong> {
    let Some((source, lines)) = pipe else { return Ok(()) };
    match source.read(buffer) {
        Ok(length) if length > 0 => lines.push(buffer.get(..length).unwrap_or_default(), take),
        Err(error) if is_for_later(&error) => Ok(()),
        Ok(_) | Err(_) => {
            take(&lines.take());
            *pipe = None;
            Ok(())
        }
    }
}

/// The stage of a program's end.
enum EndStage {
    Running,
    /// It has closed its input or output, so that no answer can come; if it lives on, it is killed.
    Mute,
    /// Its input is closed; SIGTERM is next.
    Asked,
    /// It got SIGTERM; SIGKILL is next.
    Terminated,
    /// It is killed; its guardian is given up next.
    Killed,
}

/// A program, owned by its thread.
struct ProgramThread {
    server: Arc<str>,
    /// The process number, once it was started.
    process: Option<i32>,
    input: Arc<ProgramInput>,
    stdout: Option<(ChildStdout, Lines)>,
    stderr: Option<(ChildStderr, Lines)>,
    guardian: Guardian,
    /// Readable when another thread wakes this one.
    woken: PipeReader,
    receiver: Arc<dyn Receiver>,
    noise: Noise,
    errors: Errors,
    stage: EndStage,
    /// The deadline of the current stage; in the past while the program runs.
    due: Instant,
    /// When the program is ended for not reading its input.
    stalls: Instant,
    /// Why the program was ended, if it was for its behaviour.
    fault: Option<&'static str>,
    buffer: Vec<u8>,
}

impl Drop for ProgramThread {
    /// A panic in this thread ends its program, so that callers do not wait for answers.
    fn drop(&mut self) {
        if thread::panicking() {
            self.input.state.lock().close();
            self.receiver.ended(GUARDIAN_GONE);
        }
    }
}

impl ProgramThread {
    fn run(mut self) {
        let ending = loop {
            if let Some(ending) = self.step() {
                break ending;
            }
        };
        // Output from before the end counts: it may hold answers. Bounded, because a descendant that outlived the guardian may write on.
        for _ in 0..limits::bridge::LAST_READS {
            let [_, _, output, errors, _] = self.look(None, Duration::ZERO);
            if output {
                self.read_output();
            }
            if errors {
                self.read_errors();
            }
        }
        let ending = self.fault.map_or(ending, |why| format!("it was ended: {why}"));
        self.log_end(&ending);
        self.input.state.lock().close();
        self.receiver.ended(&ending);
    }

    /// Whether the program is to end.
    fn is_asked(&self) -> bool {
        self.input.state.lock().is_over
    }

    /// Whether the program has closed its input or output although it is not to end.
    fn cannot_answer(&self) -> bool {
        let state = self.input.state.lock();
        !state.is_over && (state.stdin.is_none() || self.stdout.is_none())
    }

    /// Waits for one event and handles it; returns how the program ended, once it has.
    fn step(&mut self) -> Option<String> {
        let full_pipe = self.input.state.lock().full_pipe();
        let wait = self.wait(full_pipe.is_some());
        let [report, wake, output, errors, room] = self.look(full_pipe.as_deref(), wait);
        if output {
            self.read_output();
        }
        if errors {
            self.read_errors();
        }
        if wake {
            let _ = self.woken.read(&mut [0; 64]); // the number of wake-ups does not matter
        }
        if room {
            self.input.state.lock().write();
        }
        if matches!(self.stage, EndStage::Running) && self.cannot_answer() {
            self.enter(EndStage::Mute, limits::bridge::CLOSE);
        }
        if full_pipe.is_none() || room {
            self.stalls = clock::instant() + limits::bridge::STALL;
        } else if clock::instant() >= self.stalls {
            self.fault("it did not read its standard input");
        }
        if report {
            let Some(reports) = self.guardian.read() else { return Some(GUARDIAN_GONE.to_owned()) };
            for report in reports {
                match report {
                    GuardianReport::Started(pid) => {
                        self.process = Some(pid);
                        let fields = [log::Field::Server(&self.server), log::Field::Process(pid)];
                        log::info("program.started", &fields);
                    }
                    GuardianReport::Failed(error) => return Some(not_started(error)),
                    GuardianReport::Exited(status) => {
                        return Some(format!("it ended with exit status {status}"));
                    }
                    GuardianReport::Killed(signal) => {
                        return Some(format!("it was killed by signal {signal}"));
                    }
                }
            }
        }
        self.advance()
    }

    /// The time until the next deadline.
    fn wait(&self, is_pipe_full: bool) -> Duration {
        let until = |time: Instant| time.saturating_duration_since(clock::instant());
        let is_running = matches!(self.stage, EndStage::Running);
        let wait = if is_running { self.receiver.patience() } else { until(self.due) };
        if is_pipe_full { wait.min(until(self.stalls)) } else { wait }
    }

    /// Waits until something is ready: a report, a wake-up, output, an error line, room in a full pipe. Returns for each whether it is.
    fn look(&self, full_pipe: Option<&ChildStdin>, wait: Duration) -> [bool; 5] {
        // Rounded up: a wait of less than a millisecond would become a busy loop.
        let millis = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let never = (self.woken.as_fd(), 0); // in place of a pipe that is closed or not waited for
        let sources = [
            (self.guardian.as_fd(), libc::POLLIN),
            (self.woken.as_fd(), libc::POLLIN),
            self.stdout.as_ref().map_or(never, |(stdout, _)| (stdout.as_fd(), libc::POLLIN)),
            self.stderr.as_ref().map_or(never, |(stderr, _)| (stderr.as_fd(), libc::POLLIN)),
            full_pipe.map_or(never, |stdin| (stdin.as_fd(), libc::POLLOUT)),
        ];
        sys::are_ready(&sources, millis).try_into().unwrap_or_default() // as many as there are sources
    }

    /// Takes the next step of an ending when its deadline has passed.
    fn advance(&mut self) -> Option<String> {
        if clock::instant() < self.due {
            return None;
        }
        match self.stage {
            EndStage::Running => {
                let is_asked = self.is_asked();
                if !is_asked && self.receiver.patience().is_zero() {
                    self.input.state.lock().end();
                    self.receiver.ending();
                } else if !is_asked {
                    return None;
                }
                self.enter(EndStage::Asked, limits::bridge::CLOSE);
            }
            EndStage::Mute => self.fault("it had closed its standard input or output"),
            EndStage::Asked => {
                self.guardian.terminate();
                self.enter(EndStage::Terminated, limits::bridge::TERMINATE);
            }
            EndStage::Terminated => self.kill(),
            EndStage::Killed => return Some(GUARDIAN_GONE.to_owned()),
        }
        None
    }

    fn enter(&mut self, stage: EndStage, patience: Duration) {
        (self.stage, self.due) = (stage, clock::instant() + patience);
    }

    fn kill(&mut self) {
        self.guardian.kill();
        self.enter(EndStage::Killed, limits::bridge::TERMINATE);
    }

    /// Ends a program for invalid output or unread input; nothing more of it is read.
    fn fault(&mut self, why: &'static str) {
        self.fault.get_or_insert(why);
        (self.stdout, self.stderr) = (None, None);
        self.input.state.lock().close();
        self.kill();
    }

    fn read_output(&mut self) {
        let mut fault = None;
        let take = |line: &[u8]| match std::str::from_utf8(line) {
            Ok(line) if line.trim_ascii().is_empty() => {}
            Ok(line) => {
                if !self.receiver.receive(line) && self.noise.is_flood(line.len()) {
                    fault.get_or_insert("it wrote too much that is not JSON-RPC to its standard output");
                }
            }
            Err(_) => {
                fault.get_or_insert("it wrote what is not UTF-8");
            }
        };
        if read_lines(&mut self.stdout, &mut self.buffer, take) == Err(TooLong) {
            fault = Some("it wrote a line of more than 8 MiB");
        }
        match fault {
            Some(fault) => self.fault(fault),
            None => self.noise.log(&self.server, self.process),
        }
    }

    fn read_errors(&mut self) {
        let (server, process) = (&self.server, self.process);
        let take = |line: &[u8]| self.errors.take(line, server, process);
        let _ = read_lines(&mut self.stderr, &mut self.buffer, take); // its lines are truncated, never refused
    }

    /// Whether it has ended because it was asked to, perhaps before this thread knew of that.
    fn is_expected_end(&self) -> bool {
        self.is_asked() && self.fault.is_none()
    }

    /// The log line about the end: information for expected ends, with the program's last error lines for others.
    fn log_end(&self, ending: &str) {
        let mut fields = vec![log::Field::Server(&self.server)];
        fields.extend(self.process.map(log::Field::Process));
        fields.push(log::Field::Error(ending));
        if self.is_expected_end() {
            log::info("program.ended", &fields);
        } else {
            fields.extend(self.errors.last.iter().map(|line| log::Field::Line(line)));
            log::warn("program.died", &fields);
        }
    }
}

/// The end of a program that could not be started, for this reason (errno).
fn not_started(error: i32) -> String {
    const FORBIDDEN: &str = ": the user that it runs as may not run it, or not enter its directory";
    let error = io::Error::from_raw_os_error(error);
    let advice = if error.kind() == io::ErrorKind::PermissionDenied { FORBIDDEN } else { "" };
    format!("it could not be started: {error}{advice}")
}

#[cfg(test)]
mod tests;
