//! The table of options: name, value, default, help and effect of each in one place. The flag follows from the variable:
//! `MCP_PUBLIC_URL` is `--public-url`.

use std::path::PathBuf;

use super::client_secret::{self, ClientSecret};
use super::{Config, values};
use crate::base::startup_error::StartupError;
use crate::bridge::UpstreamUrl;
use crate::github::{self, BaseUrl};
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::{DenyList, RedirectSchemes};

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
                let simulated = self.env.starts_with("GITHUB_") || self.env == "MCP_OAUTH_KEY_FILE";
                !simulated && !NOT_IN_A_DEMO.contains(&self.env)
            }
            Reads::StateFiles => {
                let of_files =
                    ["MCP_STATE_DIR", "MCP_OAUTH_KEY_FILE", "MCP_OPERATOR_SOCKET", "MCP_AUDIT_LOG"];
                self.env == CONFIG || of_files.contains(&self.env)
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
        .help("the client id of your OAuth app at GitHub")
        .sets(|config, value| set(&mut config.github.client_id, values::client_id(value))),
    option("GITHUB_CLIENT_SECRET", Secret("SECRET"), "required").help("its client secret").sets(
        |config, value| {
            set(&mut config.github.client_secret, client_secret::parse(value).map(ClientSecret::Given))
        },
    ),
    option("GITHUB_CLIENT_SECRET_FILE", One("FILE"), "none")
        .help(
            "a file with the client secret, and while you change it the other one in a second line; \
             wins over GITHUB_CLIENT_SECRET",
        )
        .sets(|config, value| set(&mut config.github.client_secret, Ok(ClientSecret::File(value.into())))),
    option("MCP_ALLOW", List("RULES"), "required; any for demo")
        .help("who is let in: a comma list of user:LOGIN, id:NUMBER, org:ORG, team:ORG/SLUG; or any")
        .sets(|config, value| set(&mut config.allow, values::allow_rules(value))),
    option("MCP_PUBLIC_URL", One("URL"), "http:// and the listen address, if that is loopback")
        .help("the https URL under which clients reach this server; may have a path")
        .sets(|config, value| set(&mut config.public_url, PublicUrl::parse(value).map(Some))),
    option("MCP_LISTEN", List("WHERE"), "127.0.0.1:3001")
        .help(
            "where to listen: a comma list of IP address and port, unix:/PATH, systemd (its .socket \
             unit); may be repeated",
        )
        .sets(|config, value| set(&mut config.listen, values::listen(value))),
    option("MCP_TLS_CERT", One("FILE"), "none")
        .help(
            "the certificate and its chain, PEM: encrypt what is listened to; read again when the file \
             changes",
        )
        .sets(|config, value| set(&mut config.tls_cert, path(value))),
    option("MCP_TLS_KEY", One("FILE"), "none")
        .help("its private key, PEM")
        .sets(|config, value| set(&mut config.tls_key, path(value))),
    option("MCP_BEHIND_PROXY", One("ADDR"), "none")
        .help(
            "instead of listening, take requests from a reverse proxy on a loopback HOST:PORT or \
             unix:/PATH",
        )
        .sets(|config, value| set(&mut config.behind_proxy, values::behind_proxy(value).map(Some))),
    option("MCP_TRUSTED_PROXY", List("NETWORKS"), "none")
        .help(
            "whose X-Forwarded-For is believed, for limits and the log: addresses, CIDRs, unix for the \
             Unix socket",
        )
        .sets(|config, value| set(&mut config.trusted_proxies, TrustedProxies::parse(value))),
    option("MCP_ALLOW_ORIGIN", List("ORIGINS"), "none; the MCP Inspector's for demo")
        .help(
            "a comma list of the origins of web pages and apps that may call the API, like \
             https://inspector.example, app://name, null",
        )
        .sets(|config, value| set(&mut config.allowed_origins, values::origins(value))),
    option("MCP_METRICS_LISTEN", One("HOST:PORT"), "none; always on the operator's socket")
        .help("a loopback address and port for /metrics")
        .sets(|config, value| set(&mut config.metrics_listen, values::metrics_listen(value).map(Some))),
    option("MCP_LOG_FORMAT", One("FORMAT"), "human")
        .help("how a line of the log is written: human or json")
        .sets(|config, value| set(&mut config.log_format, values::log_format(value))),
    option("MCP_AUDIT_LOG", One("FILE"), "none")
        .help("a file, or - for standard output, with one JSON line per call, login and act of the operator: docs/audit.md")
        .sets(|config, value| set(&mut config.audit.path, path(value))),
    option("MCP_AUDIT_REQUIRED", One("on|off"), "off")
        .help("whether calls are refused while the audit log cannot be written")
        .sets(|config, value| set(&mut config.audit.is_required, values::switch(value))),
    option("MCP_AUDIT_ARGUMENTS", One("off|hash"), "off")
        .help("whether its lines have a keyed hash of a call's arguments, so that calls can be compared")
        .sets(|config, value| set(&mut config.audit.hashes_arguments, values::audit_arguments(value))),
    option("MCP_CLIENTS", One("FILE"), "none")
        .help(
            "a JSON list of clients of your own: client_id, client_name, redirect_uris, perhaps \
             client_secret_file",
        )
        .sets(|config, value| set(&mut config.clients.file, path(value))),
    option("MCP_DENY_CLIENTS", List("LIST"), "none")
        .help(
            "clients that are refused and lose their grants: a comma list of fingerprints from the \
             log, URLs and hosts",
        )
        .sets(|config, value| set(&mut config.clients.denied, DenyList::parse(value))),
    option("MCP_REGISTRATION", One("open|closed"), "open")
        .help("whether clients may register by themselves; those that have done so before stay")
        .sets(|config, value| set(&mut config.clients.registration, values::registration(value))),
    option("MCP_REGISTRATIONS_PER_HOUR", One("NUMBER"), "600")
        .help("how often one address may register clients")
        .sets(|config, value| set(&mut config.clients.registrations_per_hour, values::count(value))),
    option("MCP_REDIRECT_SCHEMES", List("SCHEMES"), "none")
        .help(
            "a comma list of apps' own schemes, like myapp for myapp://callback, that clients may be \
             answered at, besides those of known clients",
        )
        .sets(|config, value| set(&mut config.clients.redirect_schemes, RedirectSchemes::parse(value))),
    option("MCP_CLIENT_DOCUMENTS", One("on|off"), "on; off for demo")
        .help(
            "whether a client's id may be the https URL of its metadata document, which this server \
             then fetches",
        )
        .sets(|config, value| set(&mut config.clients.documents, values::switch(value))),
    option("MCP_LEGACY_SSE", One("on|off"), "off")
        .help("also serve the HTTP+SSE transport of 2024-11-05, at /sse and /message")
        .sets(|config, value| set(&mut config.legacy_sse, values::switch(value))),
    option("MCP_MAX_CONNECTIONS", One("NUMBER"), "512")
        .help(
            "connections at once, a thread and a descriptor each; an eighth of them from one address. The \
             proxy of MCP_BEHIND_PROXY has to bound its own",
        )
        .sets(|config, value| set(&mut config.capacity.connections, values::count(value))),
    option("MCP_MAX_STREAMS", One("NUMBER"), "256")
        .help("open streams at once; leaves a quarter of the connections free")
        .sets(|config, value| set(&mut config.capacity.streams, values::count(value))),
    option("MCP_MAX_SESSIONS", One("NUMBER"), "1000")
        .help("sessions at once")
        .sets(|config, value| set(&mut config.capacity.sessions, values::count(value))),
    option("MCP_MAX_STREAMS_PER_USER", One("NUMBER"), "24")
        .help("open streams of one user")
        .sets(|config, value| set(&mut config.capacity.streams_per_user, values::count(value))),
    option("MCP_MAX_SESSIONS_PER_USER", One("NUMBER"), "32")
        .help("sessions of one user; the least recently used one makes room")
        .sets(|config, value| set(&mut config.capacity.sessions_per_user, values::count(value))),
    option("MCP_UPSTREAM", One("URL"), "none")
        .help("an MCP server over Streamable HTTP that is served in place of these tools")
        .sets(|config, value| set(&mut config.bridge.upstream, UpstreamUrl::parse(value).map(Some))),
    option("MCP_SERVERS", One("FILE"), "none")
        .help(
            "a JSON file of MCP servers (mcpServers, as clients have it), each served at /NAME/mcp in place of \
             these tools; SIGHUP rereads it",
        )
        .sets(|config, value| set(&mut config.bridge.file, path(value))),
    option("MCP_MAX_CHILDREN", One("NUMBER"), "64")
        .help(
            "programs, or sessions at upstreams, at once, of all servers together; the one unused for the \
             longest time makes room",
        )
        .sets(|config, value| set(&mut config.bridge.most.1, values::count(value))),
    option("MCP_MAX_CHILDREN_PER_USER", One("NUMBER"), "8")
        .help("those of one user")
        .sets(|config, value| set(&mut config.bridge.most.0, values::count(value))),
    option("MCP_BRIDGE_IDLE", One("SECONDS"), "600")
        .help("how long a program or a session is kept that nobody uses")
        .sets(|config, value| set(&mut config.bridge.idle, values::seconds(value))),
    option("MCP_CHILDREN_DIR", One("DIR"), "beside the state directory, its name with .children")
        .help("where programs have their home directories, one per person")
        .sets(|config, value| set(&mut config.bridge.directory, values::absolute(value).map(Some))),
    option("MCP_CHILD_USER", One("USER"), "the server's own")
        .help("the user that programs run as, by name or number, or a range of numbers, one for each person; needs the right to")
        .sets(|config, value| set(&mut config.bridge.user, Ok(Some(value.to_owned())))),
    option(CONFIG, One("FILE"), "none")
        .help(
            "a file of lines like MCP_ALLOW=user:octocat, with the names of the variables; variables \
             and flags win over it",
        )
        .sets(|config, value| set(&mut config.file, path(value))),
    option("MCP_STATE_DIR", One("DIR"), STATE_DIR)
        .help("where the grants, the key and the operator's socket are kept")
        .sets(|config, value| set(&mut config.state_dir, Ok(value.into()))),
    option("MCP_OAUTH_KEY_FILE", One("FILE"), "key in the state directory")
        .help("the server's key; made at the first start")
        .sets(|config, value| set(&mut config.key_file, path(value))),
    option("MCP_OPERATOR_SOCKET", One("PATH"), "operator.sock in the state directory")
        .help(
            "where a running server takes the operator's commands, if the state is on a volume that \
             has no Unix sockets",
        )
        .sets(|config, value| set(&mut config.operator_socket, values::absolute(value).map(Some))),
    option("GITHUB_URL", One("URL"), github::URL)
        .help("your GitHub Enterprise Server, if you have one")
        .sets(|config, value| set(&mut config.github.url, BaseUrl::parse(value))),
    option("GITHUB_API_URL", One("URL"), "https://api.github.com, or GITHUB_URL/api/v3")
        .help("its API")
        .sets(|config, value| set(&mut config.github.api_url, BaseUrl::parse(value).map(Some))),
    option("MCP_CA_FILE", One("FILE"), "none")
        .help(
            "certificates, PEM, trusted besides the built-in roots by every call to GitHub, for client \
             documents and at the upstream",
        )
        .sets(|config, value| set(&mut config.ca_file, path(value))),
];

fn set<T>(place: &mut T, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *place = value?;
    Ok(())
}

fn path(text: &str) -> Result<Option<PathBuf>, &'static str> {
    Ok(Some(text.into()))
}

/// The variables of all options.
pub(super) fn names() -> String {
    OPTIONS.iter().map(|option| option.env).collect::<Vec<_>>().join(", ")
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
    found.filter(|option| option.is_read(reads)).ok_or_else(|| {
        let read = OPTIONS.iter().filter(|option| option.is_read(reads) && !option.is_secret());
        let flags: Vec<String> = read.map(ConfigOption::flag).collect();
        StartupError::new(format!("there is no option {flag:?} here; these are: {}", flags.join(", ")))
    })
}
