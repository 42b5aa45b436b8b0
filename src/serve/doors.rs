//! The public door. Its addresses are taken before anything else is changed, and it is opened last.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use crate::base::log;
use crate::base::startup_error::StartupError;
use crate::config::{Config, Listen};
use crate::edge::{self, Access, Edge, Listener};
use crate::tiny::{self, Tiny};

/// The public door.
pub(super) enum PublicDoor {
    /// For anyone.
    Edge(Edge),
    /// For a trusted proxy.
    Proxy(Tiny),
}

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
        format!("cannot listen on {place}: {error}")
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

impl PublicDoor {
    /// Opens the door that the configuration names.
    pub(super) fn open(
        config: &Config,
        listeners: Vec<Listener>,
        parts: tiny::Parts,
        settings: edge::Settings,
    ) -> Result<PublicDoor, StartupError> {
        let names: Vec<String> = listeners.iter().map(Listener::name).collect();
        let opened = if config.behind_proxy.is_none() {
            Edge::start(listeners, parts.handler, parts.pool, settings).map(PublicDoor::Edge)
        } else {
            // A proxy's door has one place.
            let listener = listeners.into_iter().next().ok_or(io::ErrorKind::NotFound.into());
            listener.and_then(|listener| Tiny::start(listener, parts)).map(PublicDoor::Proxy)
        };
        let door = opened.map_err(|error| cannot_listen(&names.join(", "), setting(config), &error))?;
        for name in &names {
            log::info("listening", &[log::Field::Addr(name)]);
        }
        Ok(door)
    }

    /// A function that reads the door's counters.
    pub(super) fn counter(&self) -> Box<dyn Fn() -> edge::Counts + Send + Sync> {
        match self {
            PublicDoor::Edge(edge) => edge.counter(),
            PublicDoor::Proxy(tiny) => tiny.counter(),
        }
    }

    /// Closes the door; what runs goes on.
    pub(super) fn close(&mut self) {
        match self {
            PublicDoor::Edge(edge) => edge.close(),
            PublicDoor::Proxy(tiny) => tiny.close(),
        }
    }

    /// Waits for what runs. Returns whether all of it was answered within `patience`.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        match self {
            PublicDoor::Edge(edge) => edge.wait(patience),
            PublicDoor::Proxy(tiny) => tiny.wait(patience),
        }
    }

    /// Closes the door, and cuts off what still runs after `patience`.
    pub(super) fn stop(self, patience: Duration) {
        match self {
            PublicDoor::Edge(edge) => edge.stop(patience),
            PublicDoor::Proxy(tiny) => tiny.stop(patience),
        }
    }
}
