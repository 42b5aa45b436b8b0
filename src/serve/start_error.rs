//! Every reason not to start, in words that say what the operator can do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::base::capacity::Capacity;
use crate::base::startup_error::StartupError;
use crate::config::ConfigError;
use crate::store::{self, OpenError};

/// Why the server does not start. The text says what to do.
#[derive(Debug)]
pub enum StartError {
    /// The tools cannot be served as they are.
    Backend(String),
    /// The configuration is not usable after all.
    Config(ConfigError),
    /// The state directory, the key or the grants table.
    State(OpenError),
    /// The address cannot be listened on: what it is called, which option names it, and why.
    Listen(String, &'static str, io::Error),
    /// Nothing can be made in this directory: which option names what was to be there, and why.
    Directory(PathBuf, &'static str, io::Error),
    /// systemd was to open the sockets, and has opened none.
    NothingPassed,
    /// The operating system gives no thread.
    Threads(io::Error),
    /// The operating system gives too few descriptors for so many connections.
    Descriptors(Capacity, u64),
    /// Another reason.
    Other(StartupError),
    /// The table takes no writes.
    Table(store::Error),
    /// There are no tools, and no reason why.
    NothingToServe,
    /// The server ran, and then its door for a reverse proxy closed by itself.
    DoorEnded,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Backend(error) => write!(f, "the tools cannot be served: {error}"),
            StartError::Config(error) => error.fmt(f),
            StartError::State(error) => error.fmt(f),
            StartError::Listen(address, option, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{address} is in use by another program; stop that, or choose another with {option}")
            }
            StartError::Listen(address, _, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "cannot listen on {address}: {error}. Ports below 1024 are for root: choose a higher one, or give \
                     the program CAP_NET_BIND_SERVICE, as docs/deploy shows for systemd"
                )
            }
            StartError::Directory(path, option, error) if error.kind() == io::ErrorKind::NotFound => {
                let path = path.display();
                write!(f, "the directory {path} does not exist; make it, or choose another with {option}")
            }
            StartError::Directory(path, option, error) => write!(
                f,
                "this user can make nothing in {}: {error}. Let it, or choose another directory with {option}",
                path.display()
            ),
            StartError::Listen(address, _, error) => write!(f, "cannot listen on {address}: {error}"),
            StartError::NothingPassed => f.write_str(
                "MCP_LISTEN says systemd, and systemd has opened no socket for this process: start it by its .socket unit, \
                 as docs/deploy shows, or write an address",
            ),
            StartError::Threads(error) => write!(f, "the system gives no more threads: {error}"),
            StartError::Descriptors(capacity, limit) => write!(
                f,
                "{} connections need {needed} open files, and this process may have {limit}: raise the limit \
                 (LimitNOFILE={needed} for systemd, --ulimit nofile={needed} for Docker, else ulimit -n {needed}), or \
                 lower MCP_MAX_CONNECTIONS",
                capacity.connections,
                needed = capacity.descriptors()
            ),
            StartError::Other(error) => error.fmt(f),
            StartError::Table(error) => error.fmt(f),
            StartError::NothingToServe => f.write_str("there are no tools to serve"),
            StartError::DoorEnded => f.write_str(
                "no connections could be accepted any more at MCP_BEHIND_PROXY, for the reason in the log: start the \
                 server again, as a service manager does",
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> StartError {
        StartError::Config(error)
    }
}

impl From<StartupError> for StartError {
    fn from(error: StartupError) -> StartError {
        StartError::Other(error)
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> StartError {
        StartError::State(error)
    }
}
