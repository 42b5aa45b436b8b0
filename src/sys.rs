//! The only unsafe code: the few calls of the C library that std does not offer.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Keeps a statically linked glibc to the resolvers inside it. Otherwise the `hosts:` line of the host's
/// nsswitch.conf makes it load modules of another glibc, which crashes. Called first in `main`, before any thread.
pub fn pin_resolver() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    {
        unsafe extern "C" {
            fn __nss_configure_lookup(db: *const libc::c_char, spec: *const libc::c_char) -> libc::c_int;
        }
        // SAFETY: two NUL-terminated strings that live for ever; no other thread runs yet.
        let _ = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    }
}

/// Blocks SIGINT, SIGTERM and SIGHUP in this thread and all it starts, and gives a function that waits for the next.
///
/// # Errors
/// What `pthread_sigmask` says.
pub fn block_signals() -> io::Result<impl Fn() -> i32 + Send> {
    // SAFETY: a sigset_t is plain data that sigemptyset initialises; every pointer is to a live local, or null.
    let (set, result) = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        (set, libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))
    };
    let wait = move || {
        let mut signal = 0;
        // SAFETY: a set made above and a live integer.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } != 0 {}
        signal
    };
    if result == 0 { Ok(wait) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Raises the soft limit of open descriptors to the hard one and returns it; the caps on connections stay below it.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write one live rlimit.
    unsafe {
        let _ = libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            raised.rlim_cur
        } else {
            limit.rlim_cur
        }
    }
}

/// Waits up to `timeout` (`None`: for ever) for one of `events` (`libc::POLL…`); says whether one came. Errors and
/// hang-ups always count.
pub fn poll(socket: &impl AsFd, events: libc::c_short, timeout: Option<Duration>) -> bool {
    let mut entry = libc::pollfd { fd: socket.as_fd().as_raw_fd(), events, revents: 0 };
    let millis =
        timeout.map_or(-1, |time| libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX));
    // SAFETY: one live pollfd, and the count says one.
    unsafe { libc::poll(&raw mut entry, 1, millis) > 0 }
}

/// Sets one integer option of a socket. Linux copies a listener's options to each socket it accepts.
///
/// # Errors
/// What `setsockopt` says.
pub fn set_option(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the value lives through the call and the length is its own.
    let result = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes every `accept` on this listener return with an error, now and later.
pub fn shut_listener(listener: &impl AsFd) {
    // SAFETY: a descriptor that is open for the whole call.
    let _ = unsafe { libc::shutdown(listener.as_fd().as_raw_fd(), libc::SHUT_RDWR) };
}
