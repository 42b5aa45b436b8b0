//! The doors through which clients come: taken before anything else is touched, opened when all is there to serve.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{BEHIND_PROXY, LISTEN, StartError};
use crate::base::log;
use crate::config::{Config, Door, Listen};
use crate::edge::{self, Access, Edge, Listener};
use crate::store;
use crate::tiny::{self, Tiny};

/// The doors through which clients come.
pub(super) enum Public {
    Edge(Edge),
    Proxy(Tiny),
}

/// The first descriptor that systemd passes (SD_LISTEN_FDS_START).
const FIRST_PASSED: i32 = 3;

/// Where requests will come in; taken before anything else, so that nothing is touched if the address is not to be had.
pub(super) enum Listening {
    Edge(Vec<Listener>),
    Proxy(Listener),
}

/// Which option names this door.
pub(super) fn option(door: &Door) -> &'static str {
    match door {
        Door::Edge(_) => LISTEN,
        Door::ProxyTcp(_) | Door::ProxyUnix(_) => BEHIND_PROXY,
    }
}

/// Looks whether something can be made in this directory, which `option` names; makes nothing.
///
/// # Errors
/// [`StartError::Directory`].
pub(super) fn check_directory(path: &Path, option: &'static str) -> Result<(), StartError> {
    store::check_directory(path).map_err(|error| StartError::Directory(path.to_owned(), option, error))
}

/// Looks whether the door's sockets can be made where they are to be; makes nothing.
///
/// # Errors
/// [`StartError::Directory`].
pub(super) fn check_place(door: &Door) -> Result<(), StartError> {
    let path = |listen: &Listen| match listen {
        Listen::Unix(path) => Some(path.clone()),
        Listen::Tcp(_) | Listen::Systemd => None,
    };
    let sockets = match door {
        Door::Edge(listens) => listens.iter().filter_map(path).collect(),
        Door::ProxyUnix(path) => vec![path.clone()],
        Door::ProxyTcp(_) => Vec::new(),
    };
    let mut directories = sockets.iter().filter_map(|socket| socket.parent());
    directories.try_for_each(|directory: &Path| check_directory(directory, option(door)))
}

impl Public {
    /// What the door has been doing.
    pub(super) fn counter(&self) -> Box<dyn Fn() -> edge::Counts + Send + Sync> {
        match self {
            Public::Edge(edge) => edge.counter(),
            Public::Proxy(tiny) => tiny.counter(),
        }
    }

    /// Closes the door; what runs goes on.
    pub(super) fn close(&mut self) {
        match self {
            Public::Edge(edge) => edge.close(),
            Public::Proxy(tiny) => tiny.close(),
        }
    }

    /// Waits for what runs. Returns whether all of it was answered within `patience`.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        match self {
            Public::Edge(edge) => edge.wait(patience),
            Public::Proxy(tiny) => tiny.wait(patience),
        }
    }

    /// Closes the door, and cuts off what still runs after `patience`.
    pub(super) fn stop(self, patience: Duration) {
        match self {
            Public::Edge(edge) => edge.stop(patience),
            Public::Proxy(tiny) => tiny.stop(patience),
        }
    }
}

impl Listening {
    /// # Errors
    /// [`StartError`] if anything of it is not to be had.
    pub(super) fn bind(config: &Config) -> Result<Listening, StartError> {
        check_place(&config.door)?;
        let listens = match &config.door {
            Door::Edge(listens) => listens,
            Door::ProxyTcp(address) => {
                let listener = Listener::tcp(*address);
                let failed = |error| StartError::Listen(address.to_string(), BEHIND_PROXY, error);
                return listener.map(Listening::Proxy).map_err(failed);
            }
            Door::ProxyUnix(path) => {
                let listener = Listener::unix(path, Access::Group);
                let failed =
                    |error| StartError::Listen(Listen::Unix(path.clone()).to_string(), BEHIND_PROXY, error);
                return listener.map(Listening::Proxy).map_err(failed);
            }
        };
        let mut listeners = Vec::new();
        for listen in listens {
            let bound = match listen {
                Listen::Tcp(address) => Listener::tcp(*address).map(|listener| vec![listener]),
                Listen::Unix(path) => Listener::unix(path, Access::Group).map(|listener| vec![listener]),
                Listen::Systemd if config.passed_sockets == 0 => return Err(StartError::NothingPassed),
                Listen::Systemd => (FIRST_PASSED..)
                    .take_while(|fd| fd - FIRST_PASSED < config.passed_sockets)
                    .map(Listener::passed)
                    .collect(),
            };
            listeners.extend(bound.map_err(|error| StartError::Listen(listen.to_string(), LISTEN, error))?);
        }
        Ok(Listening::Edge(listeners))
    }

    /// What the public URL is made of if none was given. It is given where nobody listens on an address.
    pub(super) fn address(&self) -> SocketAddr {
        let address = match self {
            Listening::Edge(listeners) => listeners.iter().find_map(Listener::address),
            Listening::Proxy(listener) => listener.address(),
        };
        address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// # Errors
    /// [`StartError`].
    pub(super) fn open(self, parts: tiny::Parts, settings: edge::Settings) -> Result<Public, StartError> {
        let (option, names, public) = match self {
            Listening::Edge(listeners) => {
                let names: Vec<String> = listeners.iter().map(Listener::name).collect();
                let edge = Edge::start(listeners, parts.handler, parts.pool, settings);
                (LISTEN, names, edge.map(Public::Edge))
            }
            Listening::Proxy(listener) => {
                (BEHIND_PROXY, vec![listener.name()], Tiny::start(listener, parts).map(Public::Proxy))
            }
        };
        let public = public.map_err(|error| StartError::Listen(names.join(", "), option, error))?;
        for name in &names {
            log::info("listening", &[log::Field::Addr(name)]);
        }
        Ok(public)
    }
}
