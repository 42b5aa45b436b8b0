//! Everything that a start needs and can look at without changing anything: `check` prints it, a start goes on with it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::doors::{self, check_directory};
use super::{METRICS_LISTEN, STATE_DIR, StartError, check_descriptors};
use crate::base::clock;
use crate::base::limits;
use crate::config::{Config, Door, Listen};
use crate::edge::Tls;
use crate::github::{GitHub, GitHubSettings};
use crate::mcp::Backend;
use crate::oauth::Client;
use crate::seal::Keyring;
use crate::store::{Medium, OpenError, Opener, RedbGrants, StateDirectory, key_file};
use crate::trust::Trust;

/// What was found.
pub(crate) struct Prepared<B> {
    /// Why the server does not start.
    pub(crate) errors: Vec<StartError>,
    /// What will not work as it should: what it is, and what to do about it.
    pub(crate) warnings: Vec<(String, String)>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) outside: Option<Outside<B>>,
    pub(crate) configured: BTreeMap<String, Client>,
    pub(crate) state: State,
}

/// What the server calls, and the tools that are made with it.
pub(crate) struct Outside<B> {
    pub(crate) trust: Trust,
    pub(crate) github: Arc<GitHub>,
    pub(crate) backend: B,
}

/// What there is in the state directory. A start makes what is missing.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) directory: Option<StateDirectory>,
    pub(crate) keys: Option<Keyring>,
    pub(crate) table: Option<RedbGrants>,
}

/// Looks at everything that a start needs. With [`Medium::Copy`] not even the table's file is opened for writing, and what is
/// returned can be looked at, not served.
pub(crate) fn prepare<B, E>(
    config: &Config,
    medium: Medium,
    backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>,
) -> Prepared<B>
where
    B: Backend + 'static,
    E: fmt::Display,
{
    let mut errors = Vec::new();
    keep(&mut errors, check_descriptors(&config.capacity));
    let tls = config.tls.as_ref().and_then(|files| keep(&mut errors, Tls::load(&files.cert, &files.key)));
    let configured = keep(&mut errors, config.clients.configured()).unwrap_or_default();
    let outside = outside(config, &mut errors, backend);
    let mut state = State::default();
    let opened = open(config, medium, &mut state);
    let another_runs = matches!(opened, Err(OpenError::AlreadyRunning(_)));
    keep(&mut errors, opened);
    // The places of the server that runs are taken, by itself.
    if !another_runs {
        errors.extend(check_places(config));
    }
    let warnings = warnings(config, &state);
    Prepared { errors, warnings, tls: tls.map(Arc::new), outside, configured, state }
}

fn keep<T>(errors: &mut Vec<StartError>, result: Result<T, impl Into<StartError>>) -> Option<T> {
    result.map_err(|error| errors.push(error.into())).ok()
}

fn outside<B, E>(
    config: &Config,
    errors: &mut Vec<StartError>,
    backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>,
) -> Option<Outside<B>>
where
    B: Backend + 'static,
    E: fmt::Display,
{
    let app = &config.github;
    let secrets = keep(errors, app.client_secret.read_two());
    let trust = keep(errors, Trust::load(config.ca_file.as_deref()));
    let ((client_secret, other_secret), trust) = (secrets?, trust?);
    let github = Arc::new(GitHub::new(GitHubSettings {
        client_id: app.client_id.clone(),
        client_secret,
        other_secret,
        url: app.url.clone(),
        api_url: app.api_url.clone(),
        proxy: None,
        trust: trust.clone(),
    }));
    let backend = backend(&github).map_err(|error| StartError::Backend(error.to_string()));
    Some(Outside { trust, backend: keep(errors, backend)?, github })
}

/// Opens what there is, and makes nothing.
fn open(config: &Config, medium: Medium, state: &mut State) -> Result<(), OpenError> {
    let files = &config.state;
    state.directory = StateDirectory::existing(&files.directory, Opener::Server)?;
    state.keys = key_file::find(&files.key_file, &files.directory)?;
    if let (Some(directory), Some(keys)) = (&state.directory, &state.keys) {
        state.table = RedbGrants::existing(directory, keys, medium)?;
    }
    Ok(())
}

/// Whether directories and sockets can be made where they are to be.
fn check_places(config: &Config) -> Vec<StartError> {
    let mut errors = Vec::new();
    let state = &config.state.directory;
    if let Some(nearest) = state.ancestors().find(|directory| directory.exists()) {
        keep(&mut errors, check_directory(nearest, STATE_DIR));
    }
    keep(&mut errors, doors::check_place(&config.door));
    let option = doors::option(&config.door);
    let doors = addresses(&config.door).into_iter().map(|address| (address, option));
    let numbers = config.watch.metrics_listen.map(|address| (address, METRICS_LISTEN));
    // All at once, so that two options with one address are found.
    let mut bound = Vec::new();
    for (address, option) in doors.chain(numbers) {
        let place = TcpListener::bind(address);
        let place = place.map_err(|error| StartError::Listen(address.to_string(), option, error));
        bound.extend(keep(&mut errors, place));
    }
    errors
}

fn warnings(config: &Config, state: &State) -> Vec<(String, String)> {
    let mut warnings: Vec<(String, String)> = config
        .warnings
        .iter()
        .map(|warning| warning.texts())
        .map(|(what, fix)| (what, fix.to_owned()))
        .collect();
    let mut warn = |what: String, fix: &str| warnings.push((what, fix.to_owned()));
    if let Some(Err(error)) = state.directory.as_ref().map(StateDirectory::sync) {
        warn(
            format!(
                "the state directory cannot be synced ({error}): a power cut may undo the last key rotate"
            ),
            "a local disk, or a volume whose directories can be synced",
        );
    }
    if state.table.as_ref().is_some_and(|table| table.newest().since(clock::now()) > limits::CLOCK_BEHIND) {
        warn(
            "the clock is more than a day behind the newest record: logins and /token wait for it, ten minutes at most"
                .to_owned(),
            "set the clock; if it is right, it was wrong when the record was written",
        );
    }
    let socket = config.state.socket.as_os_str().len();
    if socket > limits::SOCKET_PATH_BYTES {
        warn(
            format!(
                "the path of the operator's socket has {socket} bytes, and Unix sockets {}: {NO_SOCKET}",
                limits::SOCKET_PATH_BYTES
            ),
            "name a shorter one in MCP_OPERATOR_SOCKET",
        );
    }
    warnings
}

/// What follows from a socket that cannot be made.
pub(super) const NO_SOCKET: &str = "grants, key, status, backup and health cannot reach the running server, and its operator's /metrics is not there";

/// The addresses that are listened on.
pub(crate) fn addresses(door: &Door) -> Vec<SocketAddr> {
    let address = |listen: &Listen| match listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) | Listen::Systemd => None,
    };
    match door {
        Door::Edge(listens) => listens.iter().filter_map(address).collect(),
        Door::ProxyTcp(address) => vec![*address],
        Door::ProxyUnix(_) => Vec::new(),
    }
}
