//! One program as a transport: messages are lines on its standard input and output, its standard error goes to the log.
//!
//! Two threads per program. `bridge-program` reads everything (output, errors, the guardian's reports) and owns all deadlines;
//! it ends when the program has. `bridge-input` writes what the pipe has no room for, so that nobody waits for a program that does not
//! read; it ends when [`Stdio`] is told to end, or the program is gone.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError, bounded};

use super::guardian::GuardianReport;
use super::launch::{Child, Guardian, never_wait};
use super::lines::{Lines, TooLong};
use super::message::OutgoingMessage;
use super::program_log::{Errors, Noise};
use super::transport::{ProgramEnd, Receiver, Transport, Undelivered};
use crate::base::lock::Mutex;
use crate::base::{clock, limits, log};
use crate::sys;

/// What is asked of the kernel in one read (bytes): as much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// The two ways to a program's standard input, which never blocks.
struct ProgramInput {
    stdin: Arc<ChildStdin>,
    /// To the writing thread.
    queue: Sender<Vec<u8>>,
}

/// A running program. Dropped, it is ended.
pub(super) struct Stdio {
    /// Guards the way to the program; taken when it is to end.
    input: Mutex<Option<ProgramInput>>,
    /// Bytes that wait to be written. If there are none, the writing thread is idle.
    waiting: Arc<AtomicUsize>,
    /// Wakes the reading thread, which then looks whether it is to end.
    wake: Mutex<PipeWriter>,
}

impl Stdio {
    /// Takes over a program that is being started.
    pub(super) fn start(
        server: &Arc<str>,
        child: Child,
        receiver: Arc<dyn Receiver>,
    ) -> io::Result<Arc<Stdio>> {
        let Child { stdin, stdout, stderr, env, guardian } = child;
        // A program can open its pipes from the other side, and take or fill in what was there a moment ago.
        [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().try_for_each(never_wait)?;
        let (woken, wake) = io::pipe()?;
        let (queue, messages) = bounded(limits::bridge::MESSAGES);
        let stdin = Arc::new(stdin);
        let waiting = Arc::new(AtomicUsize::new(0));
        let stdio = Arc::new(Stdio {
            input: Mutex::new(Some(ProgramInput { stdin: Arc::clone(&stdin), queue })),
            waiting: Arc::clone(&waiting),
            wake: Mutex::new(wake),
        });
        let stalled = Arc::new(AtomicBool::new(false));
        let writer = ProgramWriter {
            messages,
            waiting,
            stdin,
            stalled: Arc::clone(&stalled),
            wake: stdio.wake.lock().try_clone()?,
        };
        let reader = ProgramReader {
            server: Arc::clone(server),
            process: None,
            stdout: Some((stdout, Lines::new(limits::bridge::LINE_BYTES))),
            stderr: Some((stderr, Lines::new(limits::bridge::ERROR_LINE_BYTES))),
            guardian,
            woken: Some(woken),
            stalled,
            stdio: Arc::downgrade(&stdio),
            receiver,
            noise: Noise::new(),
            errors: Errors::new(env),
            stage: EndStage::Running,
            due: clock::instant(),
            ending: None,
            buffer: vec![0; READ_BYTES],
        };
        thread::Builder::new()
            .name("bridge-input".to_owned())
            .stack_size(limits::bridge::STACK_BYTES)
            .spawn(|| writer.run())?;
        thread::Builder::new()
            .name("bridge-program".to_owned())
            .stack_size(limits::bridge::STACK_BYTES)
            .spawn(|| reader.run())?;
        Ok(stdio)
    }

    fn wake(&self) {
        let _ = self.wake.lock().write_all(&[0]); // a reader that is gone needs no waking
    }
}

impl Transport for Stdio {
    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered> {
        let input = self.input.lock();
        let ProgramInput { stdin, queue } = input.as_ref().ok_or(Undelivered::Ended)?;
        let mut message = message.text.into_bytes();
        message.push(b'\n');
        if self.waiting.load(Ordering::SeqCst) == 0 {
            // What the pipe has no room for, and the end of the program, are for the writing thread.
            let written = stdin.as_ref().write(&message).unwrap_or_default();
            message.drain(..written);
            if message.is_empty() {
                return Ok(());
            }
        }
        let length = message.len();
        // One message may be longer than what may wait: then it waits alone.
        let before = self.waiting.fetch_add(length, Ordering::SeqCst);
        let has_room = before == 0 || before.saturating_add(length) <= limits::bridge::WAITING_BYTES;
        let sent = match has_room {
            true => queue.try_send(message),
            false => Err(TrySendError::Full(message)),
        };
        sent.map_err(|unsent| {
            self.waiting.fetch_sub(length, Ordering::SeqCst);
            match unsent {
                TrySendError::Full(_) => Undelivered::Full,
                TrySendError::Disconnected(_) => Undelivered::Ended,
            }
        })
    }

    fn end(&self) {
        if self.input.lock().take().is_some() {
            self.wake();
        }
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.end();
    }
}

/// The writing half.
struct ProgramWriter {
    messages: crossbeam_channel::Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    stdin: Arc<ChildStdin>,
    stalled: Arc<AtomicBool>,
    wake: PipeWriter,
}

impl ProgramWriter {
    /// Writes until there is nothing more to come, then closes the program's standard input.
    fn run(mut self) {
        while let Ok(mut batch) = self.messages.recv() {
            // Few large writes instead of many small ones.
            while batch.len() < READ_BYTES
                && let Ok(message) = self.messages.try_recv()
            {
                batch.extend_from_slice(&message);
            }
            if !self.write(&batch) {
                return;
            }
            self.waiting.fetch_sub(batch.len(), Ordering::SeqCst);
        }
    }

    /// Writes as the program reads; `false` if it does not any more.
    fn write(&mut self, mut bytes: &[u8]) -> bool {
        let patience = i32::try_from(limits::bridge::STALL.as_millis()).unwrap_or(i32::MAX);
        while !bytes.is_empty() {
            let is_ready = sys::are_ready(&[&*self.stdin], libc::POLLOUT, patience).first() == Some(&true);
            if !is_ready {
                self.stalled.store(true, Ordering::SeqCst);
                let _ = self.wake.write_all(&[0]); // a reader that is gone needs no waking
                return false;
            }
            match self.stdin.as_ref().write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if is_for_later(&error) => {}
                Err(_) => return false, // the program has closed it; its end is noticed elsewhere
            }
        }
        true
    }
}

/// Whether a read or a write has only to be tried again, once its pipe is ready.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// Reads what a pipe has and gives each line to `take`. At its end this is what is left, and the pipe is closed.
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

/// How far the end of a program has come.
enum EndStage {
    Running,
    /// It has closed its output, so that nothing can be answered any more; if it lives on, it is killed.
    Mute,
    /// Its input is closed; SIGTERM is next.
    Asked,
    /// It got SIGTERM; SIGKILL is next.
    Terminated,
    /// It is killed; its guardian is given up next.
    Killed,
}

/// The reading half.
struct ProgramReader {
    server: Arc<str>,
    /// The program's number, once it has been started.
    process: Option<i32>,
    stdout: Option<(ChildStdout, Lines)>,
    stderr: Option<(ChildStderr, Lines)>,
    guardian: Guardian,
    /// Readable when somebody wants this thread to look up.
    woken: Option<PipeReader>,
    stalled: Arc<AtomicBool>,
    stdio: Weak<Stdio>,
    receiver: Arc<dyn Receiver>,
    noise: Noise,
    errors: Errors,
    stage: EndStage,
    /// When the next stage begins; in the past while the program runs.
    due: Instant,
    /// What the end is put down to, if it is known before it comes.
    ending: Option<ProgramEnd>,
    buffer: Vec<u8>,
}

impl Drop for ProgramReader {
    /// A panic in this thread ends its program; callers must not wait for the answers.
    fn drop(&mut self) {
        if thread::panicking() {
            self.close_input();
            self.receiver.ended(&ProgramEnd::Lost);
        }
    }
}

impl ProgramReader {
    fn run(mut self) {
        let ending = loop {
            if let Some(ending) = self.step() {
                break ending;
            }
        };
        // What it wrote before its end counts: it may hold answers.
        while self.stdout.is_some() && self.look(Duration::ZERO).0 {
            self.read_output();
        }
        while self.stderr.is_some() && self.look(Duration::ZERO).1 {
            self.read_errors();
        }
        let ending = self.ending.take().unwrap_or(ending);
        self.log_end(&ending);
        self.close_input();
        self.receiver.ended(&ending);
    }

    /// Whether somebody wants the program to end.
    fn is_asked(&self) -> bool {
        self.stdio.upgrade().is_none_or(|stdio| stdio.input.lock().is_none())
    }

    /// Lets the writing thread end, which closes the program's standard input.
    fn close_input(&self) {
        if let Some(stdio) = self.stdio.upgrade() {
            stdio.input.lock().take();
        }
    }

    /// Waits for one event and deals with it; returns how the program ended, when it has.
    fn step(&mut self) -> Option<ProgramEnd> {
        let (output, errors, report, wake) = self.look(self.wait());
        if output {
            self.read_output();
        }
        if errors {
            self.read_errors();
        }
        if wake {
            // How often it was woken says nothing; without a byte there is nobody left who could.
            let woken =
                self.woken.take().filter(|mut woken| woken.read(&mut [0; 64]).is_ok_and(|length| length > 0));
            self.woken = woken;
            if self.stalled.load(Ordering::SeqCst) {
                self.fault(ProgramEnd::STALLED);
            }
        }
        if report {
            let Some(reports) = self.guardian.read() else { return Some(ProgramEnd::Lost) };
            for report in reports {
                match report {
                    GuardianReport::Started(pid) => {
                        self.process = Some(pid);
                        let fields = [log::Field::Server(&self.server), log::Field::Process(pid)];
                        log::info("program.started", &fields);
                    }
                    GuardianReport::Failed(error) => return Some(ProgramEnd::NotStarted(error)),
                    GuardianReport::Exited(status) => return Some(ProgramEnd::Exited(status)),
                    GuardianReport::Killed(signal) => return Some(ProgramEnd::Killed(signal)),
                }
            }
        }
        self.advance()
    }

    /// How long nothing has to be done if nothing happens.
    fn wait(&self) -> Duration {
        let is_running = matches!(self.stage, EndStage::Running);
        let left = || self.due.saturating_duration_since(clock::instant());
        if is_running { self.receiver.patience() } else { left() }
    }

    /// Waits until there is output, an error line, a report, or somebody wakes this thread.
    fn look(&self, wait: Duration) -> (bool, bool, bool, bool) {
        // Rounded up, or a wait of less than a millisecond would be none, again and again.
        let millis = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let mut sources = vec![self.guardian.as_fd()];
        sources.extend(self.woken.as_ref().map(AsFd::as_fd));
        sources.extend(self.stdout.as_ref().map(|(stdout, _)| stdout.as_fd()));
        sources.extend(self.stderr.as_ref().map(|(stderr, _)| stderr.as_fd()));
        let mut ready = sys::are_ready(&sources, libc::POLLIN, millis).into_iter();
        let mut next = |is_there: bool| is_there && ready.next().unwrap_or_default();
        let (report, wake) = (next(true), next(self.woken.is_some()));
        (next(self.stdout.is_some()), next(self.stderr.is_some()), report, wake)
    }

    /// Takes the next step of an ending whose time has come.
    fn advance(&mut self) -> Option<ProgramEnd> {
        if clock::instant() < self.due {
            return None;
        }
        match self.stage {
            EndStage::Running => {
                let is_asked = self.is_asked();
                if !is_asked && self.receiver.patience().is_zero() {
                    self.close_input();
                    self.receiver.ending();
                } else if !is_asked {
                    return None;
                }
                self.enter(EndStage::Asked, limits::bridge::CLOSE);
            }
            EndStage::Mute => self.fault(ProgramEnd::MUTE),
            EndStage::Asked => {
                self.guardian.terminate();
                self.enter(EndStage::Terminated, limits::bridge::TERMINATE);
            }
            EndStage::Terminated => self.kill(),
            EndStage::Killed => return Some(ProgramEnd::Lost),
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

    /// Ends a program whose output cannot be borne; nothing more of it is read.
    fn fault(&mut self, fault: ProgramEnd) {
        self.ending.get_or_insert(fault);
        (self.stdout, self.stderr) = (None, None);
        self.kill();
    }

    fn read_output(&mut self) {
        let mut fault = None;
        let take = |line: &[u8]| match std::str::from_utf8(line) {
            Ok(line) if line.trim_ascii().is_empty() => {}
            Ok(line) => {
                if !self.receiver.receive(line) && self.noise.is_flood(line.len()) {
                    fault.get_or_insert(ProgramEnd::FLOOD);
                }
            }
            Err(_) => {
                fault.get_or_insert(ProgramEnd::NOT_UTF8);
            }
        };
        if read_lines(&mut self.stdout, &mut self.buffer, take) == Err(TooLong) {
            fault = Some(ProgramEnd::LINE_TOO_LONG);
        }
        if self.stdout.is_none() && matches!(self.stage, EndStage::Running) && !self.is_asked() {
            self.enter(EndStage::Mute, limits::bridge::CLOSE);
        }
        match fault {
            Some(fault) => self.fault(fault),
            None => self.noise.log(&self.server, self.process),
        }
    }

    fn read_errors(&mut self) {
        let (server, process) = (&self.server, self.process);
        let mut take = |line: &[u8]| self.errors.take(line, server, process);
        if read_lines(&mut self.stderr, &mut self.buffer, &mut take) == Err(TooLong)
            && let Some((_, lines)) = &mut self.stderr
        {
            take(&lines.take());
        }
    }

    /// The line that tells of the end: expected ones are information, others have the program's last words.
    fn log_end(&self, ending: &ProgramEnd) {
        let (text, last) = (ending.to_string(), self.errors.last());
        let mut fields = vec![log::Field::Server(&self.server)];
        fields.extend(self.process.map(log::Field::Process));
        fields.push(log::Field::Error(&text));
        if matches!(self.stage, EndStage::Running | EndStage::Mute) || matches!(ending, ProgramEnd::Faulty(_))
        {
            fields.extend(last.iter().map(|line| log::Field::Line(line)));
            log::warn("program.died", &fields);
        } else {
            log::info("program.ended", &fields);
        }
    }
}

#[cfg(test)]
mod tests;
