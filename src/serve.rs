//! The start and the stop of a server: builds the parts from the configuration and connects them. Decides nothing about a
//! request.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

mod counted;
mod doors;
mod prepare;
mod reload;

use self::counted::Counted;
use self::prepare::{Loaded, NamedBackend, Prepared};
pub use self::prepare::{MakeBackend, State, prepare};
pub use self::reload::log_mistakes;
use crate::app::{App, AppParts, McpServer};
use crate::audit;
use crate::base::{
    CancelToken, Capacity, Clock, OsRandom, Quota, Random, ServerAccess, StartupError, SystemClock, clock,
    limits, log, outlive,
};
use crate::bridge::Bridges;
use crate::config::{Config, StateFiles, Warning};
use crate::documents::Documents;
use crate::edge::{self, Door, Listener, Tls};
use crate::github::scopes;
use crate::http::{Handler, PublicUrl};
use crate::mcp::{self, Backend, Mcp, Scopes};
use crate::metrics::{self, Metrics};
use crate::oauth::{self, AuthorizationServer, ClientDocuments, Clients};
use crate::operator::{self, Operator, RunningServer};
use crate::seal::Keyring;
use crate::store::{Grants, OpenedFor, StateDirectory, key_file};
use crate::sys;
use crate::tiny;
use crate::workers::Pool;

/// A running server. [`Server::stop`] ends it.
pub struct Server {
    app: Arc<App>,
    oauth: Arc<AuthorizationServer>,
    public: Door,
    /// Tripped when the public door has closed because tiny_http accepted nothing any more.
    door_ended: CancelToken,
    tls: Option<Arc<Tls>>,
    /// Those of the operator: their socket, unless it could not be made, and the port for metrics, if there is one.
    operators: Vec<Door>,
    pool: Arc<Pool>,
    sweeper: Sweeper,
    endpoints: Endpoints,
    bridges: Option<Arc<Bridges>>,
    /// The rules of the one server.
    access: Arc<ServerAccess>,
    /// Locked against a second server as long as it lives; declared last, so dropped last.
    _directory: StateDirectory,
}

impl Server {
    /// Starts a server. `tools` makes its backend from the GitHub client, unless it is in front of other servers. Returns all errors
    /// that `prepare` finds, or else the first error of the start itself.
    pub fn start(config: &Config, tools: MakeBackend<'_>) -> Result<Server, Vec<StartupError>> {
        let prepared = prepare(config, OpenedFor::Server, tools);
        for Warning { what, fix, .. } in &prepared.warnings {
            log::warn("start.warning", &[log::Field::Error(what), log::Field::Hint(fix)]);
        }
        match prepared {
            Prepared { errors, loaded: Some(loaded), state, .. } if errors.is_empty() => {
                Ok(Server::go(config, loaded, state)?)
            }
            Prepared { errors, .. } => Err(errors),
        }
    }

    /// Takes the addresses, creates missing parts of the state, builds the parts and opens the doors.
    fn go(config: &Config, loaded: Loaded, state: State) -> Result<Server, StartupError> {
        let Loaded { tls, clients, trust, github, servers, bridges } = loaded;
        let capacity = config.capacity;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        // Before anything is made, so that a start without its addresses changes nothing.
        let listeners = doors::bind(config)?;
        let public_url = config.public_url(listeners.iter().find_map(Listener::address))?;
        let files = config.state_files();
        let (directory, keys, grants) = complete(&files, state, &*random)?;
        grants.adopt_key(&keys).map_err(|error| StartupError::new(error.to_string()))?;
        audit::open(&config.audit, &keys)?;
        let rotate_key = files.store.key_rotation(&files.key_file, Arc::clone(&keys), Arc::clone(&grants));

        let endpoints = Endpoints {
            public_url: public_url.clone(),
            is_demo: config.is_demo,
            keys: Arc::clone(&keys),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            capacity,
            first: OnceLock::new(),
        };
        let access = servers.first().map(|server| Arc::clone(&server.access)).unwrap_or_default();
        let servers = endpoints.of(servers);
        let documents = config.clients.documents.then(|| {
            let schemes = config.clients.redirect_schemes.clone();
            let documents = Documents::new(&public_url, &trust, schemes, Arc::clone(&clock));
            Arc::new(documents) as Arc<dyn ClientDocuments>
        });
        let nothing_served = || StartupError::new("there is no server to be served");
        let mcp = endpoints.first.get().cloned().ok_or_else(nothing_served)?;
        let (sessions, bridged) = (mcp.clone(), bridges.clone());
        let grant_ended = move |grant| {
            sessions.end_grant(grant, None);
            let bridges = bridged.as_ref().map(|bridges| bridges.all()).unwrap_or_default();
            bridges.iter().for_each(|bridge| bridge.end_grant(grant));
        };
        let oauth = Arc::new(AuthorizationServer::new(oauth::Parts {
            public_url: public_url.clone(),
            resources: servers.iter().map(|server| Arc::clone(&server.resource)).collect(),
            keys,
            grants: Arc::clone(&grants),
            newest: grants.newest(),
            provider: Arc::clone(&github) as Arc<dyn oauth::provider::IdentityProvider>,
            rules: config.rules.clone(),
            clients: Clients {
                configured: clients,
                registration: config.clients.registration,
                redirect_schemes: config.clients.redirect_schemes.clone(),
                documents,
            },
            registrations_per_hour: config.clients.registrations_per_hour,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            grant_ended: Box::new(grant_ended),
        }));
        oauth.grants.end_denied();
        let metrics = Arc::new(Metrics::default());
        let app = Arc::new(App::new(AppParts {
            oauth: Arc::clone(&oauth),
            servers,
            public_url: public_url.clone(),
            allowed_origins: config.allowed_origins.clone(),
            serves_http_sse: config.legacy_sse,
            proxies: config.trusted_proxies.clone(),
            random: &*random,
            metrics: Arc::clone(&metrics),
        }));

        let pool = Arc::new(Pool::start(capacity.queue()).map_err(no_threads)?);
        let door = |handler, when_lost| tiny::Parts { handler, pool: Arc::clone(&pool), capacity, when_lost };
        let settings = edge::Settings {
            tls: tls.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            ..edge::Settings::of(&capacity)
        };
        let door_ended = CancelToken::new();
        let ended = door_ended.clone();
        // Without its public door a server is of no use, and its service manager can start another.
        let stop = Box::new(move || {
            ended.trip();
            sys::request_stop();
        });
        let public =
            doors::open_public(config, listeners, door(Arc::clone(&app) as _, Some(stop)), settings)?;

        let counted = Arc::new(Counted {
            version: config.program.version,
            started: clock.now(),
            door: Arc::clone(&public.state),
            pool: Arc::clone(&pool),
            mcp,
            grants: Arc::clone(&grants),
            github,
            bridges: bridges.clone(),
        });
        let looked = Arc::clone(&counted);
        let numbers = Arc::new(metrics::Endpoint::new(metrics, Box::new(move |page| counted.add_to(page))));
        let operator = Operator {
            grants,
            clock,
            rotate_key,
            copy: directory.file(operator::COPY),
            writing: Quota::in_total(1),
            server: Some(RunningServer {
                oauth: Arc::clone(&oauth),
                look: Box::new(move || looked.running()),
                bridges: bridges.clone(),
                metrics: Arc::clone(&numbers) as Arc<dyn Handler>,
            }),
        };
        let socket = doors::open_operator(&files.socket, door(Arc::new(operator), None));
        let has_socket = socket.is_some();
        let metrics = config.metrics_listen.map(|address| doors::open_metrics(address, numbers, &pool));
        let operators = socket.into_iter().chain(metrics.transpose()?).collect();
        let swept = Arc::clone(&app);
        let sweeper = Sweeper::start(move || swept.sweep(), tls.clone()).map_err(no_threads)?;
        let (socket, url) = (files.socket.display().to_string(), public_url.to_string());
        let mut fields = vec![log::Field::Url(&url), log::Field::Version(config.program.version)];
        fields.extend(has_socket.then_some(log::Field::Path(&socket)));
        audit::info("serving", &fields);
        for (name, uri) in app.named_servers() {
            log::info("serving", &[log::Field::Server(&name), log::Field::Url(&uri)]);
        }
        if !public_url.is_https() {
            // C5: only Secure cookies can have the prefix that keeps other hosts and ports from setting them.
            let hint =
                "over plain http the cookies of a login lack the __Host- prefix: for this computer only";
            log::warn("public_url.plain_http", &[log::Field::Hint(hint)]);
        }
        Ok(Server {
            app,
            oauth,
            public,
            door_ended,
            tls,
            operators,
            pool,
            sweeper,
            endpoints,
            bridges,
            access,
            _directory: directory,
        })
    }

    /// The URL under which clients reach this server.
    pub fn public_url(&self) -> &PublicUrl {
        &self.endpoints.public_url
    }

    /// Name and URL of each server, if there are several.
    pub fn named_servers(&self) -> Vec<(String, Arc<str>)> {
        self.app.named_servers()
    }

    /// Replaces the admission rules and the list of denied clients by those of `config`. Returns whether they changed.
    pub fn change_rules(&self, config: &Config) -> bool {
        self.oauth.grants.change_rules(config.rules.clone())
    }

    /// Stops within [`limits::DRAIN`]: accepts no more requests, lets calls finish for [`limits::DRAIN_CALLS`], cancels the rest and
    /// closes the table. Returns an error if the public door had closed by itself.
    pub fn stop(mut self) -> Result<(), StartupError> {
        log::info("stopping", &[]);
        let deadline = clock::instant() + limits::DRAIN;
        let left = || deadline.saturating_duration_since(clock::instant());
        self.public.close();
        self.app.close();
        if !self.public.wait(limits::DRAIN_CALLS) {
            self.app.give_up();
        }
        self.app.stop_backends(|| Duration::ZERO); // they end while everything else does
        self.public.stop(left());
        self.operators.iter_mut().for_each(|door| door.stop(left()));
        self.sweeper.stop(left().max(limits::LAST_SWEEP));
        self.pool.stop(left());
        self.app.stop_backends(left);
        audit::info("stopped", &[]);
        if !self.door_ended.is_tripped() {
            return Ok(());
        }
        Err(StartupError::new(
            "no connections could be accepted any more at MCP_BEHIND_PROXY, for the reason in the log: start the \
             server again, as a service manager does",
        ))
    }
}

/// Makes the endpoints of servers.
struct Endpoints {
    /// Where clients reach all of them.
    public_url: PublicUrl,
    is_demo: bool,
    keys: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    capacity: Capacity,
    /// The first of them: its sessions, calls and limits are those of all together.
    first: OnceLock<Mcp>,
}

impl Endpoints {
    fn of(&self, servers: Vec<NamedBackend>) -> Vec<McpServer> {
        servers.into_iter().map(|server| self.endpoint(server)).collect()
    }

    fn endpoint(&self, NamedBackend { name, backend, access }: NamedBackend) -> McpServer {
        let consent = backend.consent();
        let shown = match &name {
            Some(name) => name,
            // The name under which README adds the demo to a client.
            None if self.is_demo => "demo",
            None => &consent.name,
        };
        let pages = oauth::Pages::new(shown, &consent.title, consent.scope_words.clone());
        let mut resource =
            oauth::ProtectedResource::new(&self.public_url, name.as_deref(), &consent.scopes, pages);
        resource.tools_call_github = consent.keeps_github_tokens;
        resource.needs_user = consent.needs_user;
        resource.handed_scopes = consent.handed_github_scopes.as_ref().map(in_words);
        resource.access = Arc::clone(&access);
        let resource = Arc::new(resource);
        let challenges = Arc::clone(&resource);
        let settings = mcp::Settings {
            backend,
            access,
            resource: Arc::clone(&resource.uri),
            insufficient_scope: Arc::new(move |needed| challenges.insufficient_scope(needed)),
            keys: Arc::clone(&self.keys),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            capacity: self.capacity,
        };
        let mcp = match self.first.get() {
            Some(first) => first.beside(settings),
            None => self.first.get_or_init(|| Mcp::new(settings)).clone(),
        };
        McpServer { resource, mcp }
    }
}

/// Why there is no thread.
pub fn no_threads(error: io::Error) -> StartupError {
    StartupError::new(format!("the system gives no more threads: {error}"))
}

type CompleteState = (StateDirectory, Arc<Keyring>, Arc<dyn Grants>);

/// Creates missing parts of the state: the directory, the first key, an empty table.
fn complete(files: &StateFiles, state: State, random: &dyn Random) -> Result<CompleteState, StartupError> {
    let State { directory, keys, table, .. } = state;
    let directory = directory.map_or_else(|| StateDirectory::open(&files.directory), Ok)?;
    let keys = keys.map_or_else(|| key_file::create(&files.key_file.path, random).map(Arc::new), Ok)?;
    let table = table.map_or_else(|| files.store.open(&directory, &keys), Ok)?;
    Ok((directory, keys, table))
}

/// The thread that deletes expired grants, looks for a renewed certificate and gives free memory back.
struct Sweeper {
    stop: CancelToken,
    /// Carries no value: the sender is dropped when the thread ends.
    ended: Receiver<()>,
}

impl Sweeper {
    fn start(sweep: impl Fn() + Send + 'static, tls: Option<Arc<Tls>>) -> io::Result<Sweeper> {
        let stop = CancelToken::new();
        let stopped = stop.clone();
        let (ending, ended) = channel();
        // Ends when `stop` is tripped.
        thread::Builder::new().name("sweeper".to_owned()).spawn(move || {
            let _ending: Sender<()> = ending;
            let mut sweeps: u64 = 0;
            while !stopped.wait(limits::SWEEP) {
                outlive(&sweep);
                sweeps = sweeps.wrapping_add(1);
                if sweeps.is_multiple_of(limits::SWEEPS_A_TRIM) {
                    sys::trim_heap();
                }
                tls.iter().for_each(|tls| tls.reload_if_changed());
            }
            // S3: revocations that a full disk did not take are written before the end, if it takes them now.
            sweep();
        })?;
        Ok(Sweeper { stop, ended })
    }

    /// Waits for the last sweep, but not for a disk that does not answer.
    fn stop(self, patience: Duration) {
        self.stop.trip();
        let _ = self.ended.recv_timeout(patience);
    }
}

/// GitHub's scopes, each with its description.
fn in_words(asked: &Scopes) -> Vec<(String, String)> {
    let in_words = |scope: &str| scopes::in_words(scope).unwrap_or(scope).to_owned();
    asked.iter().map(|scope| (scope.to_owned(), in_words(scope))).collect()
}

#[cfg(test)]
mod tests;
