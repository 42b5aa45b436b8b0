//! The only unsafe code: the few calls of the C library that std does not offer.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Has glibc unmap large buffers when they are freed and, linked statically, load no resolvers (another glibc's would crash).
pub fn set_up_libc() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024) };
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    // SAFETY: two NUL-terminated strings that live for ever; no other thread runs yet.
    let _ = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
}
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
unsafe extern "C" {
    fn __nss_configure_lookup(db: *const libc::c_char, spec: *const libc::c_char) -> libc::c_int;
}

/// Blocks SIGINT, SIGTERM and SIGHUP in this thread and all it starts, and gives a function that waits for the next.
pub fn block_signals() -> impl Fn() -> i32 + Send {
    // SAFETY: zeros are an empty set on Linux; every pointer is to a live local, or null; the words are known ones.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
        let _ = signals.map(|signal| libc::sigaddset(&raw mut set, signal));
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
    // SAFETY: it sends a signal, to this process.
    let _ = unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
}

/// Raises the soft limit of open descriptors to the hard one and returns it; the caps on connections stay below it.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: each call reads or writes one live rlimit. The second is never refused: anybody may.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        limit.rlim_cur
    }
}

/// Gives the system back what the heap does not use, wherever in the heap it is; glibc by itself gives back the end alone.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the locks that it needs.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// For each socket, whether one of `events` (`libc::POLL…`) or its end is there, waiting `millis` at most (-1: for ever).
pub fn are_ready(sockets: &[impl AsFd], events: i16, millis: i32) -> Vec<bool> {
    let fds = sockets.iter().map(|socket| socket.as_fd().as_raw_fd());
    let mut entries: Vec<_> = fds.map(|fd| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: a live array and its length.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len().try_into().unwrap_or_default(), millis) };
    entries.iter().map(|entry| entry.revents != 0).collect()
}

/// Sets one integer option of a socket. Linux copies a listener's options to each socket it accepts.
pub fn set_option(socket: &impl AsFd, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    let (fd, value) = (socket.as_fd().as_raw_fd(), &raw const value);
    // SAFETY: the value is a live integer of four bytes.
    let done = unsafe { libc::setsockopt(fd, level, name, value.cast(), 4) } == 0;
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a listener by its number: one of systemd's, or one of std's, whose backlog of 128 is too short for a burst.
pub(crate) fn adopt_listener(fd: i32, backlog: i32) -> io::Result<OwnedFd> {
    // SAFETY: listen takes any number, and fails unless it is an open socket; that it is nobody else's, the caller knows.
    let owned = unsafe { (libc::listen(fd, backlog) == 0).then(|| OwnedFd::from_raw_fd(fd)) };
    owned.ok_or_else(io::Error::last_os_error)
}
