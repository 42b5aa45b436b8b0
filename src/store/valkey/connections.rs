//! The connections to a Valkey server: a bounded number, with time-outs. While the server does not answer, callers fail at once.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use redis::{
    Client, Cmd, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult,
    TlsCertificates,
};

use crate::base::limits::{valkey::ANSWER, valkey::CONNECTIONS, valkey::PAUSES};
use crate::base::{Mutex, Secret, StartupError, capped, clock};
use crate::store::{Error, StorePlace, StoreUrl};

/// The connections to one server.
pub(super) struct StoreConnections {
    place: StorePlace,
    url: StoreUrl,
    /// Connections that nobody uses, each with the number of failures before it was made. `None`: one may be made.
    idle: (Sender<Slot>, Receiver<Slot>),
    /// Guards what is known of the server; held for a look.
    health: Mutex<Health>,
}

type Slot = Option<(u64, Connection)>;

#[derive(Default)]
struct Health {
    /// While it does not answer: nothing is tried before this time, and the next pause.
    away: Option<(Instant, Duration)>,
    /// Connections that were made before the last failure are not used any more.
    failures: u64,
}

impl StorePlace {
    /// The password for the server.
    pub(super) fn password(&self) -> Result<Option<Secret<String>>, StartupError> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = capped::read(path).and_then(capped::text);
        let text = text.map_err(|error| StartupError::in_file("MCP_STORE_PASSWORD_FILE", path, error))?;
        Ok(Some(Secret::new(text.trim().to_owned())))
    }

    /// Connects. The password is read each time, so that it can be changed while the server runs.
    pub(super) fn connect(&self, url: &StoreUrl) -> RedisResult<Connection> {
        let mut info = url.as_str().into_connection_info()?;
        let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(password) = self.password().map_err(io::Error::other)? {
            settings = settings.set_password(password.expose());
        }
        info = info.set_redis_settings(settings);
        let is_encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let roots = self.ca_file.as_deref().filter(|_| is_encrypted).map(capped::read);
        let client = match roots.transpose()? {
            Some(roots) => {
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(roots) })
            }
            None => Client::open(info),
        }?;
        let connection = client.get_connection_with_timeout(ANSWER)?;
        connection.set_read_timeout(Some(ANSWER))?;
        connection.set_write_timeout(Some(ANSWER))?;
        Ok(connection)
    }
}

impl StoreConnections {
    pub(super) fn new(place: StorePlace, url: StoreUrl) -> StoreConnections {
        let idle = bounded(CONNECTIONS);
        (0..CONNECTIONS).for_each(|_| drop(idle.0.try_send(None))); // there is room for each
        StoreConnections { place, url, idle, health: Mutex::default() }
    }

    /// The server's URL.
    pub(super) fn place(&self) -> &str {
        self.url.as_str()
    }

    /// A connection that is not one of the bounded number.
    pub(super) fn open(&self) -> RedisResult<Connection> {
        self.place.connect(&self.url)
    }

    pub(super) fn is_away(&self) -> bool {
        self.health.lock().away.is_some()
    }

    /// Runs a command on one of the connections. It is sent once: whether a change that was not answered has happened is not known.
    pub(super) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let failed = |why: &dyn fmt::Display| Error::Storage(format!("{}: {why}", self.url.as_str()));
        let away = || failed(&"it does not answer");
        // Before a connection is waited for: all may be held by callers whose answer, or whose connecting, does not end.
        let failures = self.take_turn().ok_or_else(away)?;
        let slot = self.idle.1.recv_timeout(ANSWER).map_err(|_| failed(&"all connections are in use"))?;
        // There is room for it: it was taken from there.
        let give_back = |slot: Slot| drop(self.idle.0.try_send(slot));
        if self.failures() != failures {
            give_back(slot);
            return Err(away());
        }
        let reused = slot.filter(|(made, _)| *made == failures).map(|(_, connection)| Ok(connection));
        let outcome = reused.unwrap_or_else(|| self.open()).and_then(|mut connection| {
            let answer = command.query(&mut connection)?;
            Ok((answer, connection))
        });
        self.note(outcome.as_ref().err());
        match outcome {
            Ok((answer, connection)) => {
                give_back(Some((failures, connection)));
                Ok(answer)
            }
            Err(error) => {
                give_back(None);
                Err(failed(&error))
            }
        }
    }

    /// Whether the server may be asked now, with the number of failures so far. While it does not answer, one caller at a time
    /// finds out whether it does again.
    fn take_turn(&self) -> Option<u64> {
        let mut health = self.health.lock();
        if let Some((until, pause)) = &mut health.away {
            let now = clock::instant();
            if now < *until {
                return None;
            }
            *until = now + ANSWER + *pause;
        }
        Some(health.failures)
    }

    /// Changes with each failure.
    pub(super) fn failures(&self) -> u64 {
        self.health.lock().failures
    }

    /// Notes whether the server has answered. A refusal is an answer, such as OOM. But one that loads its file, or has become a
    /// replica, is not there: what it has may be old, and its name may already be that of another.
    pub(super) fn note(&self, error: Option<&RedisError>) {
        let is_answer = |code| !matches!(code, "LOADING" | "MASTERDOWN" | "READONLY");
        let mut health = self.health.lock();
        if error.is_none_or(|error| error.code().is_some_and(is_answer)) {
            health.away = None;
            return;
        }
        let pause = health.away.map_or(PAUSES.0, |(_, pause)| pause);
        health.away = Some((clock::instant() + pause, (pause * 2).min(PAUSES.1)));
        health.failures = health.failures.wrapping_add(1);
    }
}
