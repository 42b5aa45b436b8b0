//! The table of options: name, value, default, help and effect of each in one place. The flag follows from the variable:
//! `MCP_PUBLIC_URL` is `--public-url`.

use std::path::PathBuf;

use super::client_secret::{self, ClientSecret};
use super::{Config, values};
use crate::base::StartupError;
use crate::bridge::UpstreamUrl;
use crate::github::{self, BaseUrl};
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::{DenyList, RedirectSchemes};
use crate::store::StoreUrl;

use Takes::{List, One, Secret};

/// Writes a value into the configuration, or says what is wrong with it.
type Apply = fn(&mut Config, &str) -> Result<(), &'static str>;

/// One option.
pub(super) struct ConfigOption {
    /// The environment variable.
    pub(super) env: &'static str,
    pub(super) takes: Takes,
    /// The default, in words.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
    pub(super) apply: Apply,
}

/// The placeholder for the value in the help of an option.
pub(super) enum Takes {
    One(&'static str),
    /// A comma list. The flag may be repeated.
    List(&'static str),
    /// A secret: not taken from the command line, which every user of the machine can read (G9).
    Secret(&'static str),
}

/// Which options a command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Everything,
    /// All but those that a demo decides itself.
    Demo,
    /// The location of the state only, so that nothing else can be wrong.
    StateFiles,
}

/// The variable that names the configuration file.
pub(super) const CONFIG: &str = "MCP_CONFIG";

/// The default state directory.
const STATE_DIR: &str =
    "systemd's STATE_DIRECTORY, else a directory of the program's name in XDG_STATE_HOME or ~/.local/state";

/// Options that a demo, which is for this machine only, refuses wherever they are set.
pub(super) const NOT_IN_A_DEMO: [&str; 3] = ["MCP_BEHIND_PROXY", "MCP_TLS_CERT", "MCP_TLS_KEY"];

impl ConfigOption {
    /// Whether a command that reads these options reads this one.
    pub(super) fn is_read(&self, reads: Reads) -> bool {
        match reads {
            Reads::Everything => true,
            Reads::Demo => {
                let simulated = ["GITHUB_", "MCP_STORE", "MCP_OAUTH_KEY_FILE"];
                let simulated = simulated.iter().any(|names| self.env.starts_with(names));
                !simulated && !NOT_IN_A_DEMO.contains(&self.env)
            }
            Reads::StateFiles => {
                let of_files = [
                    "MCP_STATE_DIR",
                    "MCP_OAUTH_KEY_FILE",
                    "MCP_OPERATOR_SOCKET",
                    "MCP_AUDIT_LOG",
                    "MCP_CA_FILE",
                ];
                self.env == CONFIG || self.env.starts_with("MCP_STORE") || of_files.contains(&self.env)
            }
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.takes, Takes::List(_))
    }

    pub(super) fn is_secret(&self) -> bool {
        matches!(self.takes, Takes::Secret(_))
    }

    const fn help(self, help: &'static str) -> ConfigOption {
        ConfigOption { help, ..self }
    }

    const fn sets(self, apply: Apply) -> ConfigOption {
        ConfigOption { apply, ..self }
    }

    /// The flag; a secret has none.
    pub(super) fn flag(&self) -> String {
        let name = self.env.strip_prefix("MCP_OAUTH_").or(self.env.strip_prefix("MCP_")).unwrap_or(self.env);
        format!("--{}", name.to_ascii_lowercase().replace('_', "-"))
    }
}

/// An option without effect so far.
const fn option(env: &'static str, takes: Takes, default: &'static str) -> ConfigOption {
    ConfigOption { env, takes, default, help: "", apply: |_, _| Ok(()) }
}

/// Every option, in the order in which `--help` and the README show them.
pub(super) const OPTIONS: &[ConfigOption] = &[
    option("GITHUB_CLIENT_ID", One("ID"), "required")
        .help("client id of your OAuth app at GitHub")
        .sets(|config, value| set(&mut config.github.client_id, values::client_id(value))),
    option("GITHUB_CLIENT_SECRET", Secret("SECRET"), "required").help("client secret of that app").sets(
        |config, value| {
            set(&mut config.github.client_secret, client_secret::parse(value).map(ClientSecret::Given))
        },
    ),
    option("GITHUB_CLIENT_SECRET_FILE", One("FILE"), "none")
        .help("file with the client secret; while you replace it, the other one in a second line. Wins over GITHUB_CLIENT_SECRET")
        .sets(|config, value| set(&mut config.github.client_secret, Ok(ClientSecret::File(value.into())))),
    option("MCP_ALLOW", List("RULES"), "required; any for demo")
        .help("who is let in: a comma list of user:LOGIN, id:NUMBER, org:ORG, team:ORG/SLUG; or any")
        .sets(|config, value| set(&mut config.rules.allow, values::allow_rules(value))),
    option("MCP_ACCESS", One("FILE"), "none")
        .help(
            "a JSON file of rules: who of them may use which tools, prompts and resources; SIGHUP rereads it (with \
             --servers the member access of a server)",
        )
        .sets(|config, value| set(&mut config.access, path(value))),
    option("MCP_PUBLIC_URL", One("URL"), "http:// and the listen address, if that is loopback")
        .help("https URL at which clients reach this server, without /mcp; may have a path")
        .sets(|config, value| set(&mut config.public_url, PublicUrl::parse(value).map(Some))),
    option("MCP_LISTEN", List("WHERE"), "127.0.0.1:3001")
        .help("where to listen: a comma list of IP address and port, unix:/PATH, systemd (sockets of a .socket unit); may be repeated")
        .sets(|config, value| set(&mut config.listen, values::listen(value))),
    option("MCP_TLS_CERT", One("FILE"), "none")
        .help("certificate and its chain, PEM; turns on TLS. Read again when the file changes")
        .sets(|config, value| set(&mut config.tls_cert, path(value))),
    option("MCP_TLS_KEY", One("FILE"), "none")
        .help("private key of the certificate, PEM")
        .sets(|config, value| set(&mut config.tls_key, path(value))),
    option("MCP_BEHIND_PROXY", One("ADDR"), "none")
        .help("in place of MCP_LISTEN: a listener with fewer defences, for a reverse proxy on this machine, at a loopback HOST:PORT or unix:/PATH")
        .sets(|config, value| set(&mut config.behind_proxy, values::behind_proxy(value).map(Some))),
    option("MCP_TRUSTED_PROXY", List("NETWORKS"), "none")
        .help("proxies whose X-Forwarded-For is believed, for limits, the log and the addresses of service tokens: a comma list of addresses, CIDRs, unix for the Unix socket")
        .sets(|config, value| set(&mut config.trusted_proxies, TrustedProxies::parse(value))),
    option("MCP_ALLOW_ORIGIN", List("ORIGINS"), "none; the MCP Inspector's for demo")
        .help("origins of web pages and apps that may call the API: a comma list like https://inspector.example, app://name, null")
        .sets(|config, value| set(&mut config.allowed_origins, values::origins(value))),
    option("MCP_METRICS_LISTEN", One("HOST:PORT"), "none; always on the operator's socket")
        .help("loopback address and port for /metrics")
        .sets(|config, value| set(&mut config.metrics_listen, values::metrics_listen(value).map(Some))),
    option("MCP_LOG_FORMAT", One("human|json"), "human")
        .help("format of log lines")
        .sets(|config, value| set(&mut config.log_format, values::log_format(value))),
    option("MCP_AUDIT_LOG", One("FILE"), "none")
        .help("file, or - for standard output, that gets one JSON line per call, login and operator's command: docs/audit.md")
        .sets(|config, value| set(&mut config.audit.path, path(value))),
    option("MCP_AUDIT_REQUIRED", One("on|off"), "off")
        .help("refuse calls while the audit log cannot be written")
        .sets(|config, value| set(&mut config.audit.is_required, values::switch(value))),
    option("MCP_AUDIT_ARGUMENTS", One("off|hash"), "off")
        .help("hash: add a keyed hash of a call's arguments to its lines, so that calls can be compared")
        .sets(|config, value| set(&mut config.audit.hashes_arguments, values::audit_arguments(value))),
    option("MCP_CLIENTS", One("FILE"), "none")
        .help("JSON file with a list of preregistered clients: client_id, client_name, redirect_uris, optionally client_secret_file")
        .sets(|config, value| set(&mut config.clients.file, path(value))),
    option("MCP_DENY_CLIENTS", List("LIST"), "none")
        .help("clients that are refused and whose grants end: a comma list of fingerprints from the log, URLs and hosts")
        .sets(|config, value| set(&mut config.rules.denied, DenyList::parse(value))),
    option("MCP_REGISTRATION", One("open|closed"), "open")
        .help("whether clients may register themselves; closed keeps those that already have")
        .sets(|config, value| set(&mut config.clients.registration, values::registration(value))),
    option("MCP_REGISTRATIONS_PER_HOUR", One("NUMBER"), "600")
        .help("registrations from one address per hour")
        .sets(|config, value| set(&mut config.clients.registrations_per_hour, values::count(value))),
    option("MCP_REDIRECT_SCHEMES", List("SCHEMES"), "none")
        .help("private-use schemes allowed in redirect URIs, besides those of known clients: a comma list like myapp, for myapp://callback")
        .sets(|config, value| set(&mut config.clients.redirect_schemes, RedirectSchemes::parse(value))),
    option("MCP_CLIENT_DOCUMENTS", One("on|off"), "on; off for demo")
        .help("accept the https URL of a client's metadata document as its client_id, and fetch the document")
        .sets(|config, value| set(&mut config.clients.documents, values::switch(value))),
    option("MCP_LEGACY_SSE", One("on|off"), "off")
        .help("also serve the HTTP+SSE transport of 2024-11-05, at /sse and /message")
        .sets(|config, value| set(&mut config.legacy_sse, values::switch(value))),
    option("MCP_MAX_CONNECTIONS", One("NUMBER"), "512")
        .help("connections at once, a thread and a descriptor each; one address gets an eighth of them. Does not bound MCP_BEHIND_PROXY")
        .sets(|config, value| set(&mut config.capacity.connections, values::count(value))),
    option("MCP_MAX_STREAMS", One("NUMBER"), "256")
        .help("open streams at once; leaves a quarter of the connections free")
        .sets(|config, value| set(&mut config.capacity.streams, values::count(value))),
    option("MCP_MAX_SESSIONS", One("NUMBER"), "1000")
        .help("MCP sessions at once")
        .sets(|config, value| set(&mut config.capacity.sessions, values::count(value))),
    option("MCP_MAX_STREAMS_PER_USER", One("NUMBER"), "24")
        .help("open streams of one person")
        .sets(|config, value| set(&mut config.capacity.streams_per_user, values::count(value))),
    option("MCP_MAX_SESSIONS_PER_USER", One("NUMBER"), "32")
        .help("sessions of one person; a new one replaces the least recently used")
        .sets(|config, value| set(&mut config.capacity.sessions_per_user, values::count(value))),
    option("MCP_UPSTREAM", One("URL"), "none")
        .help("MCP server over Streamable HTTP that is served in place of this program's own tools")
        .sets(|config, value| set(&mut config.bridge.upstream, UpstreamUrl::parse(value).map(Some))),
    option("MCP_SERVERS", One("FILE"), "none")
        .help("JSON file of MCP servers (mcpServers, as clients have it), each served at /NAME/mcp; SIGHUP rereads it")
        .sets(|config, value| set(&mut config.bridge.file, path(value))),
    option("MCP_MAX_CHILDREN", One("NUMBER"), "64")
        .help("programs and sessions at upstreams at once, of all servers together; the one unused for the longest time makes room")
        .sets(|config, value| set(&mut config.bridge.most.1, values::count(value))),
    option("MCP_MAX_CHILDREN_PER_USER", One("NUMBER"), "8")
        .help("the same for one person")
        .sets(|config, value| set(&mut config.bridge.most.0, values::count(value))),
    option("MCP_BRIDGE_IDLE", One("SECONDS"), "600")
        .help("seconds after which an unused program, or session at an upstream, is ended")
        .sets(|config, value| set(&mut config.bridge.idle, values::seconds(value))),
    option("MCP_CHILDREN_DIR", One("DIR"), "beside the state directory, its name with .children")
        .help("directory with the home directories of the programs, one per person")
        .sets(|config, value| set(&mut config.bridge.directory, values::absolute(value).map(Some))),
    option("MCP_CHILD_USER", One("USER"), "the server's own")
        .help("user that programs run as: a name, a number, or a range of numbers for one user per person; the server needs the right to change users")
        .sets(|config, value| set(&mut config.bridge.user, Ok(Some(value.to_owned())))),
    option(CONFIG, One("FILE"), "none")
        .help("file of lines like MCP_ALLOW=user:octocat, with the names of the variables; variables and flags win over it")
        .sets(|config, value| set(&mut config.file, path(value))),
    option("MCP_STATE_DIR", One("DIR"), STATE_DIR)
        .help("directory of the grants, the key and the operator's socket")
        .sets(|config, value| set(&mut config.state_dir, Ok(value.into()))),
    option("MCP_STORE", One("URL"), "redb: grants.redb in the state directory")
        .help(
            "Valkey or Redis server with the grants of several servers: valkey://HOST:PORT/DB, valkeys:// for TLS, \
             unix:///PATH. In builds with FEATURES=valkey: docs/replicas.md",
        )
        .sets(|config, value| set(&mut config.store.url, StoreUrl::parse(value))),
    option("MCP_STORE_PASSWORD_FILE", One("FILE"), "none")
        .help("file with the password for that server")
        .sets(|config, value| set(&mut config.store.password_file, path(value))),
    option("MCP_OAUTH_KEY_FILE", One("FILE"), "key in the state directory, made at the first start unless there is MCP_STORE")
        .help("file with the server's key, which has to exist: docs/storage.md")
        .sets(|config, value| set(&mut config.key_file, path(value))),
    option("MCP_OPERATOR_SOCKET", One("PATH"), "operator.sock in the state directory")
        .help("socket for the operator's commands, for a state directory on a volume without Unix sockets")
        .sets(|config, value| set(&mut config.operator_socket, values::absolute(value).map(Some))),
    option("GITHUB_URL", One("URL"), github::URL)
        .help("URL of your GitHub Enterprise Server, if you have one")
        .sets(|config, value| set(&mut config.github.url, BaseUrl::parse(value))),
    option("GITHUB_API_URL", One("URL"), "https://api.github.com, or GITHUB_URL/api/v3")
        .help("URL of its API")
        .sets(|config, value| set(&mut config.github.api_url, BaseUrl::parse(value).map(Some))),
    option("MCP_CA_FILE", One("FILE"), "none")
        .help("certificates, PEM, trusted besides the built-in roots for calls to GitHub, client documents and upstreams")
        .sets(|config, value| set(&mut config.ca_file, path(value))),
];

fn set<T>(place: &mut T, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *place = value?;
    Ok(())
}

fn path(text: &str) -> Result<Option<PathBuf>, &'static str> {
    Ok(Some(text.into()))
}

/// The option with this flag, among those that are read.
pub(super) fn of_flag(flag: &str, reads: Reads) -> Result<&'static ConfigOption, StartupError> {
    let found = OPTIONS.iter().find(|option| option.flag() == flag);
    if let Some(secret) = found.filter(|option| option.is_secret()) {
        return Err(StartupError::new(format!(
            "a secret is not taken from the command line, which every user of this machine can read: \
             put it into a file that {}_FILE names",
            secret.env
        )));
    }
    let unknown =
        || StartupError::new(format!("this command has no option {flag:?}; --help lists those it has"));
    found.filter(|option| option.is_read(reads)).ok_or_else(unknown)
}
