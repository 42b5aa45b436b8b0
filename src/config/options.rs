//! The table of options: each has its flag, its variable, its default and its help in one place.

use std::fmt::Write as _;

use super::ConfigError;
use super::clients;
use super::commands;
use super::draft::Draft;
use super::given::distance;
use super::values::{self, ClientSecret};
use crate::base::limits;
use crate::github::{self, BaseUrl};
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::{DenyList, RedirectSchemes};

pub(super) const PORT: u16 = 3001;

/// One option.
pub(super) struct ConfigOption {
    /// Its flag; none for a secret, which every user of the host could read off the command line.
    pub(super) flag: Option<&'static str>,
    /// Its environment variable.
    pub(super) env: &'static str,
    metavar: &'static str,
    /// What holds when it is not given, in words.
    default: &'static str,
    help: &'static str,
    /// Takes its value over, or says what is wrong with it.
    pub(super) apply: fn(&mut Draft, String) -> Result<(), &'static str>,
}

/// Which options a command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// All of them: it serves.
    Everything,
    /// Where the state is, and nothing that could be wrong besides.
    StateFiles,
}

impl ConfigOption {
    /// Whether a command that reads so much reads this one.
    pub(super) fn is_of(&self, reads: Reads) -> bool {
        match reads {
            Reads::Everything => true,
            // A server's state is where its file says.
            Reads::StateFiles => {
                matches!(self.env, CONFIG | "MCP_STATE_DIR" | "MCP_OAUTH_KEY_FILE" | "MCP_OPERATOR_SOCKET")
            }
        }
    }

    /// Whether its value is a comma list, to which the flag may add more than once.
    pub(super) fn is_list(&self) -> bool {
        let lists = [
            "MCP_LISTEN",
            "MCP_ALLOW",
            "MCP_ALLOW_ORIGIN",
            "MCP_TRUSTED_PROXY",
            "MCP_DENY_CLIENTS",
            "MCP_REDIRECT_SCHEMES",
        ];
        lists.contains(&self.env)
    }
}

/// The variable that names the configuration file.
pub(super) const CONFIG: &str = "MCP_CONFIG";

/// Every option, in the order in which `--help` and the README show them.
pub(super) const OPTIONS: &[ConfigOption] = &[
    ConfigOption {
        flag: Some("--github-client-id"),
        env: "GITHUB_CLIENT_ID",
        metavar: "ID",
        default: "required",
        help: "the client id of your OAuth app at GitHub",
        apply: |draft, value| put(&mut draft.client_id, values::client_id(value)),
    },
    ConfigOption {
        flag: None,
        env: "GITHUB_CLIENT_SECRET",
        metavar: "SECRET",
        default: "required",
        help: "its client secret",
        apply: |draft, value| put(&mut draft.client_secret, values::secret(value).map(ClientSecret::Given)),
    },
    ConfigOption {
        flag: Some("--github-client-secret-file"),
        env: "GITHUB_CLIENT_SECRET_FILE",
        metavar: "FILE",
        default: "none",
        help: "a file with the client secret, and while you change it the other one in a second line; wins over GITHUB_CLIENT_SECRET",
        apply: |draft, value| put(&mut draft.client_secret, Ok(ClientSecret::File(value.into()))),
    },
    ConfigOption {
        flag: Some("--allow"),
        env: "MCP_ALLOW",
        metavar: "RULES",
        default: "required",
        help: "who is let in: a comma list of user:LOGIN, id:NUMBER, org:ORG, team:ORG/SLUG; or any",
        apply: |draft, value| put(&mut draft.allow, values::allow_rules(&value)),
    },
    ConfigOption {
        flag: Some("--public-url"),
        env: "MCP_PUBLIC_URL",
        metavar: "URL",
        default: "http:// and the listen address, if that is loopback",
        help: "the https URL under which clients reach this server",
        apply: |draft, value| put(&mut draft.public_url, PublicUrl::parse(&value)),
    },
    ConfigOption {
        flag: Some("--listen"),
        env: "MCP_LISTEN",
        metavar: "WHERE",
        default: "127.0.0.1:3001",
        help: "where to listen: a comma list of IP address and port, unix:/PATH, systemd (its .socket unit); may be repeated",
        apply: |draft, value| put(&mut draft.listen, values::listen(&value)),
    },
    ConfigOption {
        flag: Some("--tls-cert"),
        env: "MCP_TLS_CERT",
        metavar: "FILE",
        default: "none",
        help: "the certificate and its chain, PEM: encrypt what is listened to; read again when the file changes",
        apply: |draft, value| put(&mut draft.tls_cert, Ok(value.into())),
    },
    ConfigOption {
        flag: Some("--tls-key"),
        env: "MCP_TLS_KEY",
        metavar: "FILE",
        default: "none",
        help: "its private key, PEM",
        apply: |draft, value| put(&mut draft.tls_key, Ok(value.into())),
    },
    ConfigOption {
        flag: Some("--behind-proxy"),
        env: "MCP_BEHIND_PROXY",
        metavar: "ADDR",
        default: "none",
        help: "instead of listening, take requests from a reverse proxy on a loopback HOST:PORT or unix:/PATH",
        apply: |draft, value| put(&mut draft.behind_proxy, values::behind_proxy(&value)),
    },
    ConfigOption {
        flag: Some("--trusted-proxy"),
        env: "MCP_TRUSTED_PROXY",
        metavar: "NETWORKS",
        default: "none",
        help: "whose X-Forwarded-For is believed, for limits and the log: addresses, CIDRs, unix for the Unix socket",
        apply: |draft, value| put(&mut draft.trusted_proxies, TrustedProxies::parse(&value)),
    },
    ConfigOption {
        flag: Some("--allow-origin"),
        env: "MCP_ALLOW_ORIGIN",
        metavar: "ORIGINS",
        default: "none",
        help: "a comma list of the origins of web pages and apps that may call the API, like https://inspector.example, app://name, null",
        apply: |draft, value| put(&mut draft.allowed_origins, values::origins(&value)),
    },
    ConfigOption {
        flag: Some("--metrics-listen"),
        env: "MCP_METRICS_LISTEN",
        metavar: "HOST:PORT",
        default: "none; always on the operator's socket",
        help: "a loopback address and port for /metrics",
        apply: |draft, value| put(&mut draft.metrics_listen, values::metrics_listen(&value)),
    },
    ConfigOption {
        flag: Some("--log-format"),
        env: "MCP_LOG_FORMAT",
        metavar: "FORMAT",
        default: "human",
        help: "how a line of the log is written: human or json",
        apply: |draft, value| put(&mut draft.log_format, values::log_format(&value)),
    },
    ConfigOption {
        flag: Some("--clients"),
        env: "MCP_CLIENTS",
        metavar: "FILE",
        default: "none",
        help: "a JSON list of clients of your own: client_id, client_name, redirect_uris, perhaps client_secret_file",
        apply: |draft, value| put(&mut draft.clients_file, Ok(value.into())),
    },
    ConfigOption {
        flag: Some("--deny-clients"),
        env: "MCP_DENY_CLIENTS",
        metavar: "LIST",
        default: "none",
        help: "clients that are refused and lose their grants: a comma list of fingerprints from the log, URLs and hosts",
        apply: |draft, value| put(&mut draft.denied, DenyList::parse(&value)),
    },
    ConfigOption {
        flag: Some("--registration"),
        env: "MCP_REGISTRATION",
        metavar: "open|closed",
        default: "open",
        help: "whether clients may register by themselves; those that have done so before stay",
        apply: |draft, value| put(&mut draft.registration, clients::registration(&value)),
    },
    ConfigOption {
        flag: Some("--registrations-per-hour"),
        env: "MCP_REGISTRATIONS_PER_HOUR",
        metavar: "NUMBER",
        default: "600",
        help: "how often one address may register clients",
        apply: |draft, value| put(&mut draft.registrations_per_hour, values::count(&value)),
    },
    ConfigOption {
        flag: Some("--redirect-schemes"),
        env: "MCP_REDIRECT_SCHEMES",
        metavar: "SCHEMES",
        default: "none",
        help: "a comma list of apps' own schemes, like myapp for myapp://callback, that clients may be answered at, besides those of known clients",
        apply: |draft, value| put(&mut draft.redirect_schemes, RedirectSchemes::parse(&value)),
    },
    ConfigOption {
        flag: Some("--client-documents"),
        env: "MCP_CLIENT_DOCUMENTS",
        metavar: "on|off",
        default: "on; off for demo",
        help: "whether a client's id may be the https URL of its metadata document, which this server then fetches",
        apply: |draft, value| put(&mut draft.documents, clients::switch(&value)),
    },
    ConfigOption {
        flag: Some("--legacy-sse"),
        env: "MCP_LEGACY_SSE",
        metavar: "on|off",
        default: "off",
        help: "also serve the HTTP+SSE transport of 2024-11-05, at /sse and /message",
        apply: |draft, value| put(&mut draft.legacy_sse, values::switch(&value)),
    },
    ConfigOption {
        flag: Some("--max-connections"),
        env: "MCP_MAX_CONNECTIONS",
        metavar: "NUMBER",
        default: "512",
        help: "connections at once, a thread and a descriptor each; an eighth of them from one address",
        apply: |draft, value| set(&mut draft.capacity.connections, values::count(&value)),
    },
    ConfigOption {
        flag: Some("--max-streams"),
        env: "MCP_MAX_STREAMS",
        metavar: "NUMBER",
        default: "256",
        help: "open streams at once; leaves a quarter of the connections free",
        apply: |draft, value| set(&mut draft.capacity.streams, values::count(&value)),
    },
    ConfigOption {
        flag: Some("--max-sessions"),
        env: "MCP_MAX_SESSIONS",
        metavar: "NUMBER",
        default: "1000",
        help: "sessions at once",
        apply: |draft, value| set(&mut draft.capacity.sessions, values::count(&value)),
    },
    ConfigOption {
        flag: Some("--max-streams-per-user"),
        env: "MCP_MAX_STREAMS_PER_USER",
        metavar: "NUMBER",
        default: "24",
        help: "open streams of one user",
        apply: |draft, value| set(&mut draft.capacity.streams_per_user, values::count(&value)),
    },
    ConfigOption {
        flag: Some("--max-sessions-per-user"),
        env: "MCP_MAX_SESSIONS_PER_USER",
        metavar: "NUMBER",
        default: "32",
        help: "sessions of one user; the least recently used one makes room",
        apply: |draft, value| set(&mut draft.capacity.sessions_per_user, values::count(&value)),
    },
    ConfigOption {
        flag: Some("--config"),
        env: CONFIG,
        metavar: "FILE",
        default: "none",
        help: "a file of lines like MCP_ALLOW=user:octocat, with the names of this table; variables and flags win over it",
        apply: |draft, value| put(&mut draft.config_file, Ok(value.into())),
    },
    ConfigOption {
        flag: Some("--state-dir"),
        env: "MCP_STATE_DIR",
        metavar: "DIR",
        default: "systemd's STATE_DIRECTORY, else a directory of the program's name in XDG_STATE_HOME or ~/.local/state",
        help: "where the grants, the key and the operator's socket are kept",
        apply: |draft, value| put(&mut draft.state_dir, Ok(value.into())),
    },
    ConfigOption {
        flag: Some("--key-file"),
        env: "MCP_OAUTH_KEY_FILE",
        metavar: "FILE",
        default: "key in the state directory",
        help: "the server's key; made at the first start",
        apply: |draft, value| put(&mut draft.key_file, Ok(value.into())),
    },
    ConfigOption {
        flag: Some("--operator-socket"),
        env: "MCP_OPERATOR_SOCKET",
        metavar: "PATH",
        default: "operator.sock in the state directory",
        help: "where a running server takes the operator's commands, if the state is on a volume that has no Unix sockets",
        apply: |draft, value| put(&mut draft.operator_socket, values::absolute(value)),
    },
    ConfigOption {
        flag: Some("--github-url"),
        env: "GITHUB_URL",
        metavar: "URL",
        default: github::URL,
        help: "your GitHub Enterprise Server, if you have one",
        apply: |draft, value| put(&mut draft.github_url, BaseUrl::parse(&value)),
    },
    ConfigOption {
        flag: Some("--github-api-url"),
        env: "GITHUB_API_URL",
        metavar: "URL",
        default: "https://api.github.com, or GITHUB_URL/api/v3",
        help: "its API",
        apply: |draft, value| put(&mut draft.github_api_url, BaseUrl::parse(&value)),
    },
    ConfigOption {
        flag: Some("--ca-file"),
        env: "MCP_CA_FILE",
        metavar: "FILE",
        default: "none",
        help: "certificates, PEM, trusted besides the built-in roots by every call to GitHub and for client documents",
        apply: |draft, value| put(&mut draft.ca_file, Ok(value.into())),
    },
];

fn put<T>(place: &mut Option<T>, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *place = Some(value?);
    Ok(())
}

fn set<T>(place: &mut T, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *place = value?;
    Ok(())
}

/// Which option has this flag, of those that are read, and the flag.
///
/// # Errors
/// [`ConfigError`]: what can be said of a flag that none has.
pub(super) fn of_flag(
    flag: &str,
    reads: Reads,
) -> Result<(&'static ConfigOption, &'static str), ConfigError> {
    let flags = || OPTIONS.iter().filter_map(|option| Some((option, option.flag?)));
    let own = || flags().filter(|(option, _)| option.is_of(reads));
    match flags().find(|(_, name)| *name == flag) {
        Some(found) if found.0.is_of(reads) => return Ok(found),
        Some((_, name)) => {
            return Err(ConfigError::ForeignOption(name, own().map(|(_, name)| name).collect()));
        }
        None => {}
    }
    let variable = flag.trim_start_matches('-').replace('-', "_").to_ascii_uppercase();
    if let Some(secret) = OPTIONS.iter().find(|option| option.flag.is_none() && option.env == variable) {
        return Err(ConfigError::SecretOption(secret.env));
    }
    let nearest = own().map(|(_, name)| (distance(flag, name), name)).min();
    let nearest = nearest.filter(|(letters, _)| *letters <= limits::MISSPELT_LETTERS);
    Err(ConfigError::UnknownOption(flag.to_owned(), nearest.map(|(_, name)| name)))
}

/// The text of `--help`.
pub fn help(program: &str) -> String {
    let mut out = format!(
        "{program}: MCP over Streamable HTTP behind \"Sign in with GitHub\"\n\n\
         Commands (--version prints the version):\n",
    );
    out.push_str(&commands::help(program));
    out.push_str(
        "\nOptions, each also an environment variable and a line of --config (the flag wins, then the variable); \
         the operator's commands read the state's alone:\n",
    );
    out.push_str(&list(Reads::Everything));
    out
}

/// The options of a command that reads so much.
pub(super) fn list(reads: Reads) -> String {
    let mut out = String::new();
    for option in OPTIONS.iter().filter(|option| option.is_of(reads)) {
        let name = option.flag.unwrap_or("(environment only)");
        // Writing to a String cannot fail.
        let _ = write!(out, "  {name} {}\n      {}\n      ", option.metavar, option.help);
        let _ = writeln!(out, "{} [default: {}]", option.env, option.default);
    }
    out
}

/// The option table of the README, in Markdown. A test compares the two.
#[cfg(test)]
pub fn markdown() -> String {
    let mut out = String::from("| variable | flag | default | what it is |\n| --- | --- | --- | --- |\n");
    for option in OPTIONS {
        let flag = option.flag.map_or_else(|| "—".to_owned(), |flag| format!("`{flag}`"));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{}` | {flag} | {} | {} |", option.env, option.default, option.help);
    }
    out
}
