//! The only unsafe code: the few calls of the C library that std does not offer.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// Has glibc unmap large buffers when they are freed and, linked statically, load no resolvers (another glibc's would crash).
pub fn set_up_libc() {
    // SAFETY: no handler is installed. A write beyond the limit of file sizes fails from now on, as on a full disk.
    let _ = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024) };
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    // SAFETY: two NUL-terminated strings with static lifetime; no other thread runs yet.
    let _ = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
}
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
unsafe extern "C" {
    fn __nss_configure_lookup(db: *const libc::c_char, spec: *const libc::c_char) -> libc::c_int;
}

/// Blocks SIGINT, SIGTERM and SIGHUP in this thread and all that it starts, and returns a function that waits for the next.
pub fn block_signals() -> impl Fn() -> i32 + Send {
    // SAFETY: zeros are an empty set on Linux; every pointer is to a live local, or null; the words are known ones.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let _ = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].map(|each| libc::sigaddset(&raw mut set, each));
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    move || {
        let mut signal = 0;
        // SAFETY: a set made above and a live integer.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } != 0 {}
        signal
    }
}

/// Asks this process to stop, as its service manager would.
pub(crate) fn request_stop() {
    send_signal(std::process::id().cast_signed(), libc::SIGTERM);
}

/// Raises the soft limit of open descriptors to the hard one and returns it; the caps on connections stay below it.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: each call reads or writes one live rlimit. The second never fails: any process may raise its soft limit.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        limit.rlim_cur
    }
}

/// Returns unused heap memory to the system, from anywhere in the heap; glibc by itself returns only its end.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the locks that it needs.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// For each socket, whether one of these events (`libc::POLL…`) or its end has occurred. Waits at most `millis` (-1: without limit).
pub fn are_ready(sockets: &[(impl AsFd, i16)], millis: i32) -> Vec<bool> {
    let fds = sockets.iter().map(|(socket, events)| (socket.as_fd().as_raw_fd(), *events));
    let mut entries: Vec<_> = fds.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: a live array and its length.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len().try_into().unwrap_or_default(), millis) };
    entries.iter().map(|entry| entry.revents != 0).collect()
}

/// Sets one integer option of a socket. Linux copies a listener's options to each accepted socket.
pub fn set_option(socket: &impl AsFd, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    let (fd, value) = (socket.as_fd().as_raw_fd(), &raw const value);
    // SAFETY: the value is a live integer of four bytes.
    done(unsafe { libc::setsockopt(fd, level, name, value.cast(), 4) })
}

/// The outcome of a call that returns zero unless it failed.
fn done(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a listener by its number, with a new backlog: one of systemd's, or one of std's, whose 128 are too few for a burst.
pub(crate) fn adopt_listener(fd: i32, backlog: i32) -> io::Result<OwnedFd> {
    // SAFETY: listen accepts any number, and fails unless it is an open socket; the caller knows that nothing else owns it.
    unsafe { done(libc::listen(fd, backlog)).map(|()| OwnedFd::from_raw_fd(fd)) }
}

/// Denies access to this process's memory and environment to others of the same user: `ptrace`, `/proc/PID/mem`, `/proc/PID/environ`.
pub(crate) fn hide_memory() {
    let _ = set_process(libc::PR_SET_DUMPABLE, 0); // cannot fail
}

/// Sets a property of this process or thread. The kernel reads five words; a variadic `int` fills only part of one.
fn set_process(option: i32, argument: i32) -> io::Result<()> {
    let (argument, none): (libc::c_ulong, libc::c_ulong) = (argument.unsigned_abs().into(), 0);
    // SAFETY: integer arguments.
    done(unsafe { libc::prctl(option, argument, none, none, none) })
}

/// The effective user of this process; root is 0.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: it cannot fail.
    unsafe { libc::geteuid() }
}

/// Prepares this process for starting one program and outliving all its descendants: a session of its own, orphans become its
/// children, no core files, files for the owner only, no privileges gained by `exec` or inherited: with the capabilities that systemd
/// gives a server to bind a port or change users, a program could do the same.
pub(crate) fn become_guardian() -> io::Result<()> {
    hide_memory();
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: integer arguments and one live rlimit. A process that was just forked leads no group, so setsid succeeds.
    unsafe {
        libc::setsid();
        libc::umask(0o077);
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
    }
    let _ = set_process(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL); // a kernel that refuses has none
    set_process(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    set_process(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Sets whether a descriptor is closed by `exec`.
pub(crate) fn close_on_exec(fd: i32, close: bool) -> io::Result<()> {
    // SAFETY: integer arguments; a number that is no descriptor is an error.
    done(unsafe { libc::fcntl(fd, libc::F_SETFD, if close { libc::FD_CLOEXEC } else { 0 }) })
}

/// Lets the program of `command` inherit a descriptor under its number.
pub(crate) fn inherit(command: &mut Command, fd: &impl AsFd) {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: between fork and exec it makes one system call and allocates nothing.
    unsafe { command.pre_exec(move || close_on_exec(fd, false)) };
}

/// Starts the program of `command` with no signal blocked or ignored, and with SIGKILL when the thread that starts it ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec it makes three system calls and allocates nothing; zeros are an empty set on Linux.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
            let none: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            set_process(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
        })
    };
}

/// Takes ownership of a descriptor that this process inherited.
pub(crate) fn adopt(fd: i32) -> io::Result<OwnedFd> {
    close_on_exec(fd, true)?;
    // SAFETY: it is open, as the call above has shown; the caller alone knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Points standard input, output and error at `file`.
pub(crate) fn replace_standard_streams(file: &impl AsFd) {
    for stream in 0..=2 {
        // SAFETY: two numbers, of which the first is an open descriptor.
        unsafe { libc::dup2(file.as_fd().as_raw_fd(), stream) };
    }
}

/// Waits until a child has ended, and leaves it a zombie, so that its number and its group's are not reused. `None` without children,
/// and with `WNOHANG` if none has ended.
pub(crate) fn wait_for_death(options: i32) -> Option<i32> {
    loop {
        // SAFETY: zeros are a siginfo_t; it is live, and filled by a call that succeeds.
        let (done, pid) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let done = libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOWAIT | options);
            (done, info.si_pid())
        };
        if done == 0 {
            return (pid > 0).then_some(pid);
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Reaps a child that [`wait_for_death`] has named.
pub(crate) fn reap(pid: i32) -> ExitStatus {
    let mut status = 0;
    // SAFETY: a live integer.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    ExitStatus::from_raw(status)
}

/// Sends a signal to a process, or to the group `-pid`. Errors are ignored: the process has ended.
pub(crate) fn send_signal(pid: i32, signal: i32) {
    // SAFETY: integer arguments.
    unsafe { libc::kill(pid, signal) };
}
