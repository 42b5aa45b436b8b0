//! The doors of a server. The addresses of the public one are taken before anything else is changed, and it is opened last.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::base::{StartupError, limits, log};
use crate::config::{Config, Listen};
use crate::edge::{self, Access, Door, Listener};
use crate::http::Handler;
use crate::tiny;
use crate::workers::Pool;

/// The option that names the port for metrics.
pub(super) const METRICS_LISTEN: &str = "--metrics-listen or MCP_METRICS_LISTEN";

/// The consequence of an operator's socket that cannot be made.
pub(super) const NO_SOCKET: &str = "grants, key, status, backup and health cannot reach the running server, and its operator's /metrics is not there";

/// The first descriptor that systemd passes (SD_LISTEN_FDS_START).
const FIRST_PASSED: i32 = 3;

/// The option that names the places of the public door.
pub(super) fn setting(config: &Config) -> &'static str {
    if config.behind_proxy.is_some() {
        "--behind-proxy or MCP_BEHIND_PROXY"
    } else {
        "--listen or MCP_LISTEN"
    }
}

/// Why nothing can listen at `place`, which `setting` names.
pub(super) fn cannot_listen(place: &dyn Display, setting: &str, error: &io::Error) -> StartupError {
    StartupError::new(if error.kind() == io::ErrorKind::AddrInUse {
        format!("{place} is in use by another program; stop that, or choose another with {setting}")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "cannot listen on {place}: {error}. Ports below 1024 are for root: choose a higher one, or give \
             the program CAP_NET_BIND_SERVICE, as docs/deploy shows for systemd"
        )
    } else {
        format!("cannot listen on {place}: {error}; choose another with {setting}")
    })
}

/// Takes the places where connections come in.
pub(super) fn bind(config: &Config) -> Result<Vec<Listener>, StartupError> {
    let mut listeners = Vec::new();
    for place in config.places() {
        let bound = match place {
            Listen::Tcp(address) => Listener::tcp(*address).map(|listener| vec![listener]),
            Listen::Unix(path) => Listener::unix(path, Access::Group).map(|listener| vec![listener]),
            Listen::Systemd if config.passed_sockets == 0 => {
                return Err(StartupError::new(
                    "MCP_LISTEN says systemd, and systemd has opened no socket for this process: start it by its \
                     .socket unit, as docs/deploy shows, or write an address",
                ));
            }
            Listen::Systemd => (FIRST_PASSED..)
                .take_while(|fd| fd - FIRST_PASSED < config.passed_sockets)
                .map(Listener::passed)
                .collect(),
        };
        listeners.extend(bound.map_err(|error| cannot_listen(place, setting(config), &error))?);
    }
    Ok(listeners)
}

/// Opens the operator's door, if its socket can be made; if not, the log says what is missing.
pub(super) fn open_operator(socket: &Path, parts: tiny::Parts) -> Option<Door> {
    let opened = Listener::unix(socket, Access::Owner).and_then(|listener| tiny::open(listener, parts));
    let report = |error: &io::Error| {
        let (socket, error) = (socket.display().to_string(), error.to_string());
        let hint = log::Field::Hint(NO_SOCKET);
        log::warn("operator.no_socket", &[log::Field::Path(&socket), log::Field::Error(&error), hint]);
    };
    opened.inspect_err(report).ok()
}

/// Opens the port for metrics: a door for one page, whose handler takes no body and opens no stream.
pub(super) fn open_metrics(
    address: SocketAddr,
    page: Arc<dyn Handler>,
    pool: &Arc<Pool>,
) -> Result<Door, StartupError> {
    let settings = edge::Settings { connections: limits::METRICS_CONNECTIONS, ..edge::Settings::default() };
    Listener::tcp(address)
        .and_then(|listener| edge::open(vec![listener], page, Arc::clone(pool), settings))
        .map_err(|error| cannot_listen(&address, METRICS_LISTEN, &error))
}

/// Opens the public door: for anyone, or for a trusted proxy.
pub(super) fn open_public(
    config: &Config,
    listeners: Vec<Listener>,
    parts: tiny::Parts,
    settings: edge::Settings,
) -> Result<Door, StartupError> {
    let names: Vec<String> = listeners.iter().map(Listener::name).collect();
    let opened = if config.behind_proxy.is_none() {
        edge::open(listeners, parts.handler, parts.pool, settings)
    } else {
        // A proxy's door has one place.
        let listener = listeners.into_iter().next().ok_or(io::ErrorKind::NotFound.into());
        listener.and_then(|listener| tiny::open(listener, parts))
    };
    let door = opened.map_err(|error| cannot_listen(&names.join(", "), setting(config), &error))?;
    for name in &names {
        log::info("listening", &[log::Field::Addr(name)]);
    }
    Ok(door)
}
