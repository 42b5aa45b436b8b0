//! The guardian: this binary, started a second time between the server and one program of an operator. It starts the program,
//! says how that ended, and leaves nothing of it: every descendant is killed when the program has ended, and when the server
//! has, by whatever signal. It holds no secret of the server, and its only connection to it is one socket.
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

use crate::base::lock::Mutex;
use crate::sys;

/// The first argument of a guardian. The others: the descriptor of its socket, `USER:GROUP` of the program or `-`, the program, its
/// arguments.
pub(super) const FLAG: &str = "--guardian";
/// Stands for a user and a group that do not change.
pub(super) const SAME_USER: &str = "-";
/// Asks the guardian to send SIGTERM to the program's group.
pub(super) const TERMINATE: u8 = b't';
/// The stack of the guardian's second thread (bytes): it reads one byte at a time.
const STACK_BYTES: usize = 64 * 1024;

/// Dead processes that are reaped before the next look for living ones; others may go on dying meanwhile.
const REAPED_AT_ONCE: usize = 4096;

/// A guardian's report to the server: JSON, one a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum GuardianReport {
    /// With the number of the process.
    Started(i32),
    /// The program cannot be started: an error number of the system.
    Failed(i32),
    /// With its status.
    Exited(i32),
    /// With the signal.
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

/// Serves as a guardian, if these arguments (without the program's name) say so. To be called before anything else is started.
pub(crate) fn serve(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    arguments.next().filter(|first| first == FLAG)?;
    let done = command(arguments).and_then(|(command, socket)| guard(command, sys::adopt(socket)?.into()));
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program that is to be started, and the number of the socket. An argument that cannot be read starts nothing: a program must
/// not run as another user than the server says.
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
    let line = serde_json::to_string(&report).unwrap_or_default() + "\n"; // a word and a number are JSON
    let _ = socket.write_all(line.as_bytes()); // a server that is gone has closed it, which the other thread notices
}

/// Starts the program and stays until nothing of it is left.
fn guard(mut command: Command, mut socket: UnixStream) -> io::Result<()> {
    // The server decides when it is over; signals to all processes of a terminal or a unit are not for the guardian.
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
            // Before it is reaped: after that its number may be another's.
            sys::send_signal(-child, libc::SIGKILL);
            *group.lock() = None;
            report(&mut socket, GuardianReport::of_death(sys::reap(dead)));
        } else {
            sys::reap(dead);
        }
        if is_over {
            // Many may die at once: if each cost a look at all processes, the dead would pile up until the system has no number left.
            let others = iter::from_fn(|| sys::wait_for_death(libc::WNOHANG)).take(REAPED_AT_ONCE);
            others.for_each(|dead| {
                sys::reap(dead);
            });
            kill_children();
        }
    }
    Ok(())
}

/// Starts the thread that does what the server says. It ends with the process.
fn obey(mut socket: UnixStream, group: Arc<Mutex<Option<i32>>>) -> io::Result<()> {
    let signal = move |signal| {
        let group = group.lock();
        let Some(program) = *group else { return };
        sys::send_signal(-program, signal);
        if signal == libc::SIGKILL {
            sys::send_signal(program, signal); // it can have left its group
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

/// Has the program inherit its standard streams alone: what systemd passed to the server, say, came along.
fn close_inherited() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            let _ = sys::close_on_exec(number, true); // the directory's own is listed, too
        }
    }
    Ok(())
}

/// Kills every child. Their children become this process's when they have died, and are killed after the next death.
fn kill_children() {
    let listed = listed_children();
    let children = if listed.is_empty() { visible_children() } else { listed };
    children.into_iter().for_each(|child| sys::send_signal(child, libc::SIGKILL));
}

/// The children of this process by its own list, which has those as well that a `/proc` with hidepid (systemd's `ProtectProc`) does
/// not show: a process can hide there by making itself undumpable. Some kernels have no such list.
fn listed_children() -> Vec<i32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = |list: String| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>();
    lists.flat_map(pids).collect()
}

/// The children of this process among all that are shown.
fn visible_children() -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let me = std::process::id().cast_signed();
    pids.filter(|pid| parent_of(*pid) == Some(me)).collect()
}

/// The parent of a process: the second field after the name, which is in parentheses and may contain some.
fn parent_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    status.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests;
