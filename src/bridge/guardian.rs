//! The guardian: this binary, started a second time between the server and one program of an operator. It starts the program,
//! reports how it ended, and leaves no process behind: every descendant is killed when the program has ended, and when the server
//! has ended, by any signal. It holds no secret of the server, and its only connection to it is one socket.
//!
//! On that socket the server writes [`TERMINATE`]; closing its writing side means: kill. The guardian writes lines, see [`GuardianReport`].

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io::{self, Read, Write};
use std::iter;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::base::Mutex;
use crate::sys;

/// The first argument of a guardian. The others: the descriptor of its socket, `USER:GROUP` of the program or `-`, the program, its
/// arguments.
pub(super) const FLAG: &str = "--guardian";
/// Stands for an unchanged user and group.
pub(super) const SAME_USER: &str = "-";
/// Asks the guardian to send SIGTERM to the program's group.
pub(super) const TERMINATE: u8 = b't';
/// The stack of the guardian's second thread (bytes): it reads one byte at a time.
const STACK_BYTES: usize = 64 * 1024;

/// The number of zombies reaped between two scans for living children; more may die meanwhile.
const REAPED_AT_ONCE: usize = 4096;

/// A guardian's report to the server: JSON, one a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum GuardianReport {
    /// With the number of the process.
    Started(i32),
    /// The program could not be started: errno.
    Failed(i32),
    /// Exited, with its status.
    Exited(i32),
    /// Killed, with the signal.
    Killed(i32),
}

impl GuardianReport {
    fn of_death(status: ExitStatus) -> GuardianReport {
        match (status.code(), status.signal()) {
            (Some(code), _) => GuardianReport::Exited(code),
            (None, signal) => GuardianReport::Killed(signal.unwrap_or_default()),
        }
    }
}

/// Serves as a guardian, if these arguments (without the program's name) ask for one. To be called before anything else is started.
pub(crate) fn serve(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    arguments.next().filter(|first| first == FLAG)?;
    let done = command(arguments).and_then(|(command, socket)| guard(command, sys::adopt(socket)?.into()));
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program to start, and the number of the socket. An argument that cannot be parsed starts nothing: a program must
/// not run as another user than the one that the server names.
fn command(mut arguments: impl Iterator<Item = OsString>) -> io::Result<(Command, i32)> {
    let unusable = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut text = || arguments.next().and_then(|text| text.into_string().ok()).ok_or_else(unusable);
    let socket = text()?.parse().map_err(|_| unusable())?;
    let user = text()?;
    let mut command = Command::new(text()?);
    command.args(arguments);
    if user != SAME_USER {
        let (id, group) = user.split_once(':').ok_or_else(unusable)?;
        let number = |text: &str| text.parse().map_err(|_| unusable());
        command.uid(number(id)?).gid(number(group)?);
    }
    Ok((command, socket))
}

fn report(socket: &mut UnixStream, report: GuardianReport) {
    let line = serde_json::to_string(&report).unwrap_or_default() + "\n"; // a word and a number are valid JSON
    let _ = socket.write_all(line.as_bytes()); // a server that is gone has closed it, which the other thread notices
}

/// Starts the program and returns when none of its descendants is left.
fn guard(mut command: Command, mut socket: UnixStream) -> io::Result<()> {
    // The server decides when the guardian ends; it ignores signals to all processes of a terminal or a unit.
    let _ = sys::block_signals();
    sys::become_guardian()?;
    close_inherited()?;
    command.process_group(0);
    sys::die_with_parent(&mut command);
    let child = match command.spawn() {
        Ok(child) => child.id().cast_signed(),
        Err(error) => {
            report(&mut socket, GuardianReport::Failed(error.raw_os_error().unwrap_or_default()));
            return Ok(());
        }
    };
    drop(command);
    sys::replace_standard_streams(&File::options().read(true).write(true).open("/dev/null")?);
    report(&mut socket, GuardianReport::Started(child));
    let group = Arc::new(Mutex::new(Some(child)));
    obey(socket.try_clone()?, Arc::clone(&group))?;
    let mut is_over = false;
    while let Some(dead) = sys::wait_for_death(0) {
        if dead == child && !is_over {
            is_over = true;
            // Before it is reaped: afterwards its number may be reused.
            sys::send_signal(-child, libc::SIGKILL);
            *group.lock() = None;
            report(&mut socket, GuardianReport::of_death(sys::reap(dead)));
        } else {
            sys::reap(dead);
        }
        if is_over {
            // Many may die at once: with a scan of all processes for each, zombies would pile up until no process number is free.
            let others = iter::from_fn(|| sys::wait_for_death(libc::WNOHANG)).take(REAPED_AT_ONCE);
            others.for_each(|dead| {
                sys::reap(dead);
            });
            kill_children();
        }
    }
    Ok(())
}

/// Starts the thread that carries out the server's commands. It ends with the process.
fn obey(mut socket: UnixStream, group: Arc<Mutex<Option<i32>>>) -> io::Result<()> {
    let signal = move |signal| {
        let group = group.lock();
        let Some(program) = *group else { return };
        sys::send_signal(-program, signal);
        if signal == libc::SIGKILL {
            sys::send_signal(program, signal); // it may have left its group
        }
    };
    let work = move || {
        let mut word = [0];
        while matches!(socket.read(&mut word), Ok(1)) {
            if word == [TERMINATE] {
                signal(libc::SIGTERM);
            }
        }
        signal(libc::SIGKILL);
    };
    thread::Builder::new().name("guardian".to_owned()).stack_size(STACK_BYTES).spawn(work)?;
    Ok(())
}

/// Limits the program's inherited descriptors to its standard streams: systemd, for example, passes others to the server.
fn close_inherited() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            let _ = sys::close_on_exec(number, true); // includes the descriptor of this directory
        }
    }
    Ok(())
}

/// Kills every child. When they have died, their own children are reparented to this process, and are killed in the next round.
fn kill_children() {
    let listed = listed_children();
    let children = if listed.is_empty() { visible_children() } else { listed };
    children.into_iter().for_each(|child| sys::send_signal(child, libc::SIGKILL));
}

/// The children of this process by the kernel's own list. It includes processes that a `/proc` with hidepid (systemd's `ProtectProc`)
/// does not show: a process can hide there by making itself undumpable. Some kernels have no such list.
fn listed_children() -> Vec<i32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = |list: String| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>();
    lists.flat_map(pids).collect()
}

/// The children of this process among all visible processes.
fn visible_children() -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let me = std::process::id().cast_signed();
    pids.filter(|pid| parent_of(*pid) == Some(me)).collect()
}

/// The parent of a process: the second field after the name, which is in parentheses and may contain parentheses.
fn parent_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    status.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests;
