//! Listening sockets: a TCP address, a Unix socket of our own, or a socket that systemd passes.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::limits;
use crate::sys;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// On an address.
    Tcp(TcpListener, Opener),
    /// On a Unix socket; its path if this process has made it, and removes it on drop.
    Unix(UnixListener, Option<PathBuf>),
}

/// The process that opened a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// This process: the socket ends with it.
    This,
    /// systemd, which keeps the socket for the next process.
    Systemd,
}

/// The users who may connect to a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The user that the server runs as: mode 0600.
    Owner,
    /// That user and its group, for a proxy that runs as another user: mode 0660.
    Group,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// The address is in use, or not one of this machine.
    pub fn tcp(address: SocketAddr) -> io::Result<Listener> {
        Ok(Listener::Tcp(with_backlog(TcpListener::bind(address)?)?, Opener::This))
    }

    /// Listens on a Unix socket. One that a server left behind is replaced; one in use is not.
    ///
    /// # Errors
    /// Another server listens there, a file is in the way, or an error of the operating system.
    pub fn unix(path: &Path, access: Access) -> io::Result<Listener> {
        Ok(Listener::Unix(bind_unix(path, access)?, Some(path.to_owned())))
    }

    /// The socket that systemd passes as descriptor `fd` (sd_listen_fds(3)). Called once for each.
    ///
    /// # Errors
    /// It is not a listening TCP or Unix socket.
    pub(crate) fn passed(fd: i32) -> io::Result<Listener> {
        // std marks its copy close-on-exec, so that no program that a tool starts inherits it; systemd's own is closed here.
        let socket = sys::adopt_listener(fd, limits::BACKLOG)?.try_clone()?;
        let unix = UnixListener::from(socket);
        // The socket may be of either kind: `local_addr` fails if the address is not of the type's family.
        if unix.local_addr().is_ok() {
            return Ok(Listener::Unix(unix, None));
        }
        let tcp = TcpListener::from(OwnedFd::from(unix));
        tcp.local_addr()?;
        Ok(Listener::Tcp(tcp, Opener::Systemd))
    }

    /// Whether the socket, and the clients that wait for `accept`, stay for the next process.
    pub(super) fn outlives_us(&self) -> bool {
        matches!(self, Listener::Tcp(_, Opener::Systemd) | Listener::Unix(_, None))
    }

    /// The address of a TCP socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener, _) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        }
    }

    /// The name in the log.
    pub fn name(&self) -> String {
        match self {
            Listener::Tcp(listener, _) => {
                listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
            }
            // Not `local_addr`: our own is bound under another name and renamed, and the system remembers the first one.
            Listener::Unix(_, Some(path)) => format!("unix:{}", path.display()),
            Listener::Unix(listener, None) => {
                let path =
                    listener.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_owned()));
                path.map_or_else(|| "a Unix socket".to_owned(), |path| format!("unix:{}", path.display()))
            }
        }
    }

    /// Sets TCP_NODELAY, which Linux copies to each accepted socket. Without it a short answer waits for the client's delayed
    /// acknowledgement, 40 ms.
    pub(crate) fn send_at_once(&self) -> io::Result<()> {
        match self {
            Listener::Tcp(listener, _) => {
                sys::set_option(listener, (libc::IPPROTO_TCP, libc::TCP_NODELAY), 1)
            }
            Listener::Unix(..) => Ok(()),
        }
    }

    /// Sets options that Linux copies to each accepted socket: missing acknowledgements reveal that a client has vanished.
    /// Makes `accept` non-blocking, too: a client may have gone since the listener was ready.
    pub(super) fn tune(&self, stall: Duration) -> io::Result<()> {
        match self {
            Listener::Tcp(listener, _) => {
                let millis = i32::try_from(stall.as_millis()).unwrap_or(i32::MAX);
                self.send_at_once()?;
                sys::set_option(listener, (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT), millis)?;
                listener.set_nonblocking(true)
            }
            Listener::Unix(listener, _) => listener.set_nonblocking(true),
        }
    }

    /// The next connection and the address of its other end, which a Unix socket does not have. A TCP socket is passed as a
    /// `UnixStream`, too: std reads, writes and shuts both kinds by the same system calls.
    pub(super) fn accept(&self) -> io::Result<(UnixStream, Option<IpAddr>)> {
        match self {
            Listener::Tcp(listener, _) => {
                let (stream, peer) = listener.accept()?;
                Ok((UnixStream::from(OwnedFd::from(stream)), Some(peer.ip().to_canonical())))
            }
            Listener::Unix(listener, _) => listener.accept().map(|(stream, _)| (stream, None)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener, _) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, Some(path)) = self {
            let _ = std::fs::remove_file(path); // a stale one is replaced at the next start anyway
        }
    }
}

/// Raises std's limit of 128 connections that wait to be accepted, which is a short burst: clients whose connection is dropped
/// try again after a second.
fn with_backlog(listener: TcpListener) -> io::Result<TcpListener> {
    sys::adopt_listener(listener.into_raw_fd(), limits::BACKLOG).map(TcpListener::from)
}

/// Fails unless the socket at `path` is stale. Connects with a datagram socket: if a server has the stream socket, Linux says
/// that it is of another type, without waiting for room in its queue and without a connection for the server to accept.
fn check_stale(path: &Path) -> io::Result<()> {
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()), // its server has ended
        Err(error) if error.raw_os_error() != Some(libc::EPROTOTYPE) => Err(error),
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Binds beside `path` and renames: the socket never exists at `path` with other permissions than these.
fn bind_unix(path: &Path, access: Access) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => check_stale(path)?,
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let _ = std::fs::remove_file(&beside); // left by a server that was killed at this point
    let listener = UnixListener::bind(&beside)?;
    let mode = match access {
        Access::Owner => 0o600,
        Access::Group => 0o660,
    };
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
