//! The only unsafe code: the few calls of the C library that std does not offer.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Keeps a statically linked glibc to its own resolvers: those that nsswitch.conf names may be of another glibc, and
/// crash. Called first in `main`, before any thread.
pub fn pin_resolver() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    // SAFETY: two NUL-terminated strings that live for ever; no other thread runs yet.
    let _ = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
unsafe extern "C" {
    fn __nss_configure_lookup(db: *const libc::c_char, spec: *const libc::c_char) -> libc::c_int;
}

/// Blocks SIGINT, SIGTERM and SIGHUP in this thread and all it starts, and gives a function that waits for the next.
pub fn block_signals() -> io::Result<impl Fn() -> i32 + Send> {
    // SAFETY: a sigset_t is plain data that sigemptyset initialises; every pointer is to a live local, or null.
    let (set, result) = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        let _ =
            [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].map(|signal| libc::sigaddset(&raw mut set, signal));
        (set, libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))
    };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    Ok(move || {
        let mut signal = 0;
        // SAFETY: a set made above and a live integer.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } != 0 {}
        signal
    })
}

/// Raises the soft limit of open descriptors to the hard one and returns it; the caps on connections stay below it.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: each call reads or writes one live rlimit.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit); // never refused: anybody may
    }
    limit.rlim_cur
}

/// For each socket, whether one of `events` (`libc::POLL…`), an error or a hang-up is there now. Does not wait.
pub fn are_ready(sockets: &[impl AsFd], events: i16) -> Vec<bool> {
    let fds = sockets.iter().map(|socket| socket.as_fd().as_raw_fd());
    let mut entries: Vec<_> = fds.map(|fd| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: a live array and its length.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len().try_into().unwrap_or_default(), 0) };
    entries.iter().map(|entry| entry.revents != 0).collect()
}

/// Sets one integer option of a socket. Linux copies a listener's options to each socket it accepts.
pub fn set_option(socket: &impl AsFd, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    let (fd, value) = (socket.as_fd().as_raw_fd(), &raw const value);
    // SAFETY: the value is a live integer of four bytes.
    let done = unsafe { libc::setsockopt(fd, level, name, value.cast(), 4) } == 0;
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets so many connections wait to be accepted; std's 128 are a short burst, and what it drops comes a second later.
pub fn set_backlog(listener: &impl AsFd, length: i32) {
    // SAFETY: a descriptor that is open for the whole call; a failure leaves the old length.
    let _ = unsafe { libc::listen(listener.as_fd().as_raw_fd(), length) };
}

/// Makes every `accept` on this listener return with an error, now and later.
pub fn shut_listener(listener: &impl AsFd) {
    // SAFETY: a descriptor that is open for the whole call.
    let _ = unsafe { libc::shutdown(listener.as_fd().as_raw_fd(), libc::SHUT_RDWR) };
}
