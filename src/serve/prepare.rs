//! The checks of a start, which change nothing. `check` prints the result, a start goes on with it.

use std::collections::BTreeMap;
use std::iter;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use super::doors;
use crate::audit::{self, AuditOptions};
use crate::base::{Cause, ServerAccess, StartupError, clock, limits};
use crate::bridge::{Bridge, Bridges};
use crate::config::{Config, Warning};
use crate::edge::Tls;
use crate::github::{GitHub, GitHubSettings};
use crate::http::split_port;
use crate::mcp::Backend;
use crate::oauth::Client;
use crate::seal::Keyring;
use crate::store::{self, Grants, OpenedFor, StateDirectory, key_file};
use crate::sys;
use crate::trust::Trust;

/// An MCP server to be served.
pub struct NamedBackend {
    /// Its path segment below the public URL. `None` for the only one, at the public URL itself.
    pub name: Option<String>,
    pub backend: Arc<dyn Backend>,
    /// Its access rules.
    pub access: Arc<ServerAccess>,
}

/// Makes the tools, given the client for GitHub's API.
pub type MakeBackend<'a> = Box<dyn FnOnce(&Arc<GitHub>) -> Result<Arc<dyn Backend>, StartupError> + 'a>;

/// The result of the checks.
pub struct Prepared {
    /// Why the server does not start.
    pub errors: Vec<StartupError>,
    pub warnings: Vec<Warning>,
    /// Missing only if there are errors.
    pub(super) loaded: Option<Loaded>,
    pub state: State,
}

/// Everything that a server is made of besides its state, as the options and their files describe it.
pub(super) struct Loaded {
    pub(super) tls: Option<Arc<Tls>>,
    /// The operator's clients.
    pub(super) clients: BTreeMap<String, Client>,
    pub(super) trust: Trust,
    pub(super) github: Arc<GitHub>,
    /// One server without a name, or all with one.
    pub(super) servers: Vec<NamedBackend>,
    /// The servers behind this one, if that is where they are.
    pub(super) bridges: Option<Arc<Bridges>>,
}

/// The contents of the state directory. A start makes what is missing.
#[derive(Default)]
pub struct State {
    /// Whether another server runs with it, so that nothing in it was opened.
    pub is_in_use: bool,
    pub directory: Option<StateDirectory>,
    pub(super) keys: Option<Arc<Keyring>>,
    pub table: Option<Arc<dyn Grants>>,
}

/// Checks everything that a start needs. With [`OpenedFor::Check`] not even the table's file is opened for writing, and the result
/// cannot be served.
pub fn prepare(config: &Config, opened_for: OpenedFor, tools: MakeBackend<'_>) -> Prepared {
    let mut errors = Vec::new();
    keep(&mut errors, check_descriptors(config));
    let loaded = load(config, &mut errors, tools);
    let mut state = State::default();
    let opened = open(config, opened_for, &mut state);
    state.is_in_use = opened.as_ref().is_err_and(|error| error.cause == Cause::InUse);
    if opened_for == OpenedFor::Server || !state.is_in_use {
        keep(&mut errors, opened);
    }
    keep(&mut errors, check_audit_log(&config.audit));
    // The running server has taken its places itself.
    if !state.is_in_use {
        let bridges = loaded.as_ref().and_then(|loaded| loaded.bridges.as_deref());
        check_places(config, bridges.and_then(Bridges::home_directories), &mut errors);
    }
    let mut warnings = warnings(config, &state);
    if opened_for == OpenedFor::Check {
        warnings.extend(loaded.as_ref().and_then(|loaded| refused_certificate(config, loaded)));
    }
    Prepared { errors, warnings, loaded, state }
}

fn keep<T>(errors: &mut Vec<StartupError>, result: Result<T, StartupError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

/// Raises the limit of open files as far as it goes, and compares it with what is needed.
fn check_descriptors(config: &Config) -> Result<(), StartupError> {
    let (capacity, programs) = (&config.capacity, config.bridge.programs());
    let (connections, descriptors, option) = match config.behind_proxy {
        None => (capacity.connections, capacity.descriptors(), "MCP_MAX_CONNECTIONS"),
        Some(_) => (capacity.tiny_threads(), capacity.tiny_descriptors(), "MCP_MAX_STREAMS"),
    };
    let of_programs = programs.saturating_mul(limits::bridge::DESCRIPTORS);
    let needed = u64::try_from(descriptors.saturating_add(of_programs)).unwrap_or(u64::MAX);
    let limit = sys::raise_descriptor_limit();
    if limit >= needed {
        return Ok(());
    }
    let (and_programs, or_children) = match programs {
        0 => (String::new(), ""),
        _ => (format!(" and {programs} programs"), " or MCP_MAX_CHILDREN"),
    };
    Err(StartupError::new(format!(
        "{connections} connections{and_programs} need {needed} open files, and this process may have {limit}: raise the \
         limit (LimitNOFILE={needed} for systemd, --ulimit nofile={needed} for Docker, else ulimit -n {needed}), or \
         lower {option}{or_children}"
    )))
}

/// Goes on after an error as far as it can, so that all are reported at once.
fn load(config: &Config, errors: &mut Vec<StartupError>, tools: MakeBackend<'_>) -> Option<Loaded> {
    let tls = config.tls_files().map(|(cert, key)| Tls::load(cert, key).map(Arc::new)).transpose();
    let (tls, clients) = (keep(errors, tls), keep(errors, config.clients.configured()));
    let app = &config.github;
    let secrets = keep(errors, app.client_secret.read_two());
    let trust = keep(errors, Trust::load(config.ca_file.as_deref()));
    let ((client_secret, other_secret), trust) = (secrets?, trust?);
    let github = Arc::new(GitHub::new(GitHubSettings {
        client_id: app.client_id.clone(),
        client_secret,
        other_secret,
        url: app.url.clone(),
        api_url: app.api_url(),
        trust: trust.clone(),
    }));
    let (servers, bridges) = if config.bridge.programs() == 0 {
        let (access, backend) = (access(config, errors)?, keep(errors, tools(&github))?);
        (vec![NamedBackend { name: None, backend, access }], None)
    } else {
        let bridges = Bridges::open(config.bridge_setup());
        let bridges = Arc::new(bridges.map_err(|faults| errors.extend(faults)).ok()?);
        let mut servers = named(&bridges, config);
        if let (None, [server]) = (&config.bridge.file, servers.as_mut_slice()) {
            server.access = access(config, errors)?;
        }
        (servers, Some(bridges))
    };
    Some(Loaded { tls: tls?, clients: clients?, trust, github, servers, bridges })
}

/// A warning if clients that know the usual roots, and the operator's, refuse this server's certificate. A start does not look: parsing
/// the roots takes memory that stays.
fn refused_certificate(config: &Config, loaded: &Loaded) -> Option<Warning> {
    let certificate = loaded.tls.as_ref()?.certificate();
    let url = config.public_url(None).ok()?;
    let host = split_port(url.authority())?.0.trim_matches(['[', ']']);
    let why = loaded.trust.verify(&certificate.cert, host).err()?;
    let what = format!("clients refuse the certificate in MCP_TLS_CERT for {host}: {why}");
    let fix = "renew it, with the name, in a file that has its whole chain; name an issuer of your own in MCP_CA_FILE";
    Some(Warning { what, fix: fix.to_owned(), hidden: None })
}

/// The rules of the one server.
fn access(config: &Config, errors: &mut Vec<StartupError>) -> Option<Arc<ServerAccess>> {
    let access = Arc::<ServerAccess>::default();
    access.replace(config.access_rules().map_err(|mistakes| errors.extend(mistakes)).ok()?);
    Some(access)
}

/// The servers behind this one: those of a file have names.
pub(super) fn named(bridges: &Bridges, config: &Config) -> Vec<NamedBackend> {
    let named = |bridge: Arc<Bridge>| {
        let name = config.bridge.file.is_some().then(|| bridge.name().to_owned());
        NamedBackend { name, access: Arc::clone(&bridge.access), backend: bridge }
    };
    bridges.all().into_iter().map(named).collect()
}

/// Opens the existing state, and creates nothing.
fn open(config: &Config, opened_for: OpenedFor, state: &mut State) -> Result<(), StartupError> {
    let files = config.state_files();
    state.directory = StateDirectory::existing(&files.directory, opened_for)?;
    state.keys = key_file::find(&files.key_file, &files.directory)?.map(Arc::new);
    if state.keys.is_none() && files.store.url.is_some() {
        let why = "name a file that exists: with MCP_STORE a start makes no key, because all servers need the same one \
                   (docs/replicas.md)";
        return Err(StartupError::unusable("MCP_OAUTH_KEY_FILE", why));
    }
    if let Some(keys) = &state.keys {
        state.table = files.store.existing(state.directory.as_ref(), keys, opened_for)?;
    }
    Ok(())
}

/// Checks whether the directories and sockets can be made.
fn check_places(config: &Config, homes: Option<&Path>, errors: &mut Vec<StartupError>) {
    let state = config.state_files().directory;
    let state = (&*state, "--state-dir or MCP_STATE_DIR");
    let homes = homes.map(|homes| (homes, "--children-dir or MCP_CHILDREN_DIR"));
    for (directory, setting) in iter::once(state).chain(homes) {
        if let Some(nearest) = directory.ancestors().find(|directory| directory.exists()) {
            keep(errors, check_directory(nearest, setting));
        }
    }
    let setting = doors::setting(config);
    for directory in config.places().filter_map(|place| place.path()?.parent()) {
        keep(errors, check_directory(directory, setting));
    }
    let places = config.places().filter_map(|place| Some((place.address()?, setting)));
    let metrics = config.metrics_listen.map(|address| (address, doors::METRICS_LISTEN));
    // Held together, so that two options with one address are found.
    let mut bound = Vec::new();
    for (address, setting) in places.chain(metrics) {
        let place = TcpListener::bind(address);
        let place = place.map_err(|error| doors::cannot_listen(&address, setting, &error));
        bound.extend(keep(errors, place));
    }
}

/// Checks whether the audit log can be appended to, or made.
fn check_audit_log(options: &AuditOptions) -> Result<(), StartupError> {
    let Some(path) = options.file() else { return Ok(()) };
    if audit::existing(path)?.is_some() {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    check_directory(directory.unwrap_or(Path::new(".")), audit::SETTING)
}

/// Checks whether files can be made in this directory, which `setting` names.
fn check_directory(path: &Path, setting: &str) -> Result<(), StartupError> {
    store::check_directory(path).map_err(|error| {
        let path = path.display();
        StartupError::new(if error.kind() == std::io::ErrorKind::NotFound {
            format!("the directory {path} does not exist; make it, or choose another with {setting}")
        } else {
            format!(
                "this user can make nothing in {path}: {error}. Let it, or choose another directory with {setting}"
            )
        })
    })
}

fn warnings(config: &Config, state: &State) -> Vec<Warning> {
    let mut warnings = config.warnings.clone();
    let mut warn =
        |what: String, fix: &str| warnings.push(Warning { what, fix: fix.to_owned(), hidden: None });
    let files = config.state_files();
    if files.store.url.is_some() && files.directory.join(store::GRANTS_FILE).exists() {
        let what = "the state directory has a grants.redb, too: a command without MCP_STORE works on that file alone";
        warn(what.to_owned(), "move it away once the grants are in the store");
    }
    if let Some(Err(error)) = state.directory.as_ref().map(StateDirectory::sync) {
        warn(
            format!(
                "the state directory cannot be synced ({error}): a power cut may undo the last key rotate"
            ),
            "a local disk, or a volume whose directories can be synced",
        );
    }
    if state.table.as_ref().is_some_and(|table| table.newest().since(clock::now()) > limits::CLOCK_BEHIND) {
        let what = "the clock is more than a day behind the newest record: logins and /token wait for it, ten minutes at most";
        warn(what.to_owned(), "set the clock; if it is right, it was wrong when the record was written");
    }
    for token in state.table.iter().flat_map(|table| table.list().unwrap_or_default()) {
        if token.ends_soon(clock::now()) {
            warn(format!("the service {} ends at {}", token.login, token.end().rfc3339()), store::RENEWAL);
        }
    }
    if state.directory.as_ref().is_some_and(StateDirectory::is_unproven) {
        let what = "the state directory belongs to another user: whether the server may use it shows only when it starts";
        warn(what.to_owned(), "on such a volume, nothing; else give the directory to the server's user");
    }
    let (socket, most) = (files.socket.as_os_str().len(), limits::SOCKET_PATH_BYTES);
    if socket > most {
        let what = format!("the path of the operator's socket has {socket} bytes, and Unix sockets {most}");
        warn(format!("{what}: {}", doors::NO_SOCKET), "name a shorter one in MCP_OPERATOR_SOCKET");
    }
    warnings
}
