use std::fmt::Write as _;

use super::commands::COMMANDS;
use super::options::{Reads, Takes};
use super::*;
use crate::base::{Group, UserId};
use crate::oauth::{DenyList, RedirectSchemes, Registration};

fn lines(errors: &[StartupError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

mod commands;
mod deploying;
mod layers;
mod listening;

const PROGRAM: Program = Program { name: "our-server", version: "7.0.0" };

const READY: &[(&str, &str)] = &[
    ("GITHUB_CLIENT_ID", "Ov23li"),
    ("GITHUB_CLIENT_SECRET", "hush-hush"),
    ("MCP_ALLOW", "user:octocat"),
    ("HOME", "/home/me"),
];

fn parse(args: &[&str], env: &[(&str, &str)]) -> Result<Invocation, Vec<StartupError>> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::from(PROGRAM, args.iter().map(|arg| (*arg).to_owned()), &env)
}

fn tcp(address: &str) -> Listen {
    Listen::Tcp(address.parse().unwrap())
}

/// The configuration of `args` on top of an environment that is enough to serve.
fn config(args: &[&str], more: &[(&str, &str)]) -> Config {
    match parse(args, &[READY, more].concat()) {
        Ok(Invocation::Serve(config)) => config,
        other => panic!("{other:?}"),
    }
}

/// `args` and `more` are refused with a text that says `expected`.
fn refused(args: &[&str], more: &[(&str, &str)], expected: &str) {
    let text = lines(&parse(args, &[READY, more].concat()).unwrap_err());
    assert!(text.contains(expected), "{args:?} {more:?}: {text}");
    assert!(!text.contains("hush-hush"), "{text}");
}

#[test]
fn three_variables_are_enough_to_serve() {
    let config = config(&[], &[]);
    assert_eq!((config.listen.as_slice(), &config.behind_proxy), (&[tcp("127.0.0.1:3001")][..], &None));
    let files = config.state_files();
    assert_eq!(files.directory, PathBuf::from("/home/me/.local/state/our-server"));
    assert_eq!(files.key_file.path, PathBuf::from("/home/me/.local/state/our-server/key"));
    assert_eq!(config.github.url.to_string(), "https://github.com");
    assert_eq!(config.github.api_url().to_string(), "https://api.github.com");
    assert!(config.github.client_secret.read().unwrap().matches(b"hush-hush"));
    let bound = "127.0.0.1:4711".parse().ok();
    assert_eq!(config.public_url(bound).unwrap().origin(), "http://127.0.0.1:4711");
}

#[test]
fn commands_are_the_first_word() {
    assert!(matches!(parse(&[], READY), Ok(Invocation::Serve(config)) if !config.is_demo));
    assert!(matches!(parse(&["demo"], READY), Ok(Invocation::Serve(config)) if config.is_demo));
    assert!(matches!(parse(&["check", "--allow", "any"], READY), Ok(Invocation::Check(_))));
    for help in [&["help"][..], &["--help"], &["-h"], &["demo", "--help"]] {
        assert!(matches!(parse(help, &[]), Ok(Invocation::Print(_))), "{help:?}");
    }
    assert!(
        matches!(parse(&["--version"], &[]), Ok(Invocation::Print(text)) if text == "our-server 7.0.0\n")
    );
    refused(
        &["server"],
        &[],
        "no command \"server\"; leave it out to serve, or write one of: demo, check, grants list, ",
    );
}

#[test]
fn a_flag_wins_over_its_variable() {
    let env = [("MCP_LISTEN", "127.0.0.1:1")];
    for args in [&["--listen", "127.0.0.1:2"][..], &["--listen=127.0.0.1:2"]] {
        assert_eq!(config(args, &env).listen, [tcp("127.0.0.1:2")]);
    }
    assert_eq!(config(&[], &env).listen, [tcp("127.0.0.1:1")]);
    // A variable that a flag overrides is not even looked at.
    config(&["--listen", "127.0.0.1:2"], &[("MCP_LISTEN", "nonsense")]);
}

#[test]
fn invalid_arguments_are_refused() {
    refused(&["--lissten", "127.0.0.1:2"], &[], "no option \"--lissten\"; --help lists ");
    refused(&["--listen"], &[], "--listen needs a value");
    refused(&["--listen="], &[], "--listen needs a value");
    refused(&["--state-dir", "/a", "--state-dir", "/a"], &[], "--state-dir is given twice");
    refused(&["demo", "again"], &[], "demo takes no argument \"again\"; demo --help shows what it takes");
    refused(&["check", "demo"], &[], "check takes no argument \"demo\"");
    refused(&["npx", "server"], &[], "a program to be served stands behind --");
    refused(&["demo", "npx"], &[], "a program to be served stands behind --");
    let forgotten = "\"npx\" is no option; if it is a program to be served, write -- before it";
    refused(&["--env", "K=1", "npx", "server"], &[], forgotten);
    let lonely = "--env: it is a variable of a program to be served: write the program at the end, behind --";
    refused(&["--env", "K=1"], &[], lonely);
    refused(&["check", "--env", "K=1"], &[], lonely);
    refused(&["--env", "K=1", "--upstream", "http://127.0.0.1:1/"], &[], lonely);
}

/// G9: a secret on the command line would be visible to every user of the host.
#[test]
fn the_client_secret_is_refused_on_the_command_line() {
    for args in [&["--github-client-secret", "hush-hush"][..], &["--github-client-secret=hush-hush"]] {
        refused(args, &[], "a file that GITHUB_CLIENT_SECRET_FILE names");
    }
    assert!(OPTIONS.iter().any(|option| option.env == "GITHUB_CLIENT_SECRET" && option.is_secret()));
}

#[test]
fn a_missing_required_option_is_named() {
    refused(&[], &[("GITHUB_CLIENT_ID", "")], "GITHUB_CLIENT_ID is not set: register an OAuth app");
    refused(&[], &[("GITHUB_CLIENT_ID", "Ov23 li")], "a client id has letters, digits");
    refused(&[], &[("GITHUB_CLIENT_SECRET", "")], "GITHUB_CLIENT_SECRET is not set");
    refused(&[], &[("HOME", "")], "MCP_STATE_DIR is not set");
    refused(&[], &[("HOME", "relative")], "MCP_STATE_DIR is not set");
}

/// G5: with no rule nobody is let in, so the program does not start.
#[test]
fn nobody_is_let_in_by_default() {
    refused(&[], &[("MCP_ALLOW", "")], "MCP_ALLOW is not set: nobody would be let in");
}

#[test]
fn allow_rules_name_people_organisations_and_teams() {
    let check = |text: &str, expected: &[AllowRule]| {
        assert_eq!(config(&["--allow", text], &[]).rules.allow, expected)
    };
    let user = |login: &str| AllowRule::User(login.to_owned());
    let team = AllowRule::Group(Group::Team { org: "github".to_owned(), slug: "docs-team".to_owned() });
    check("any", &[AllowRule::Any]);
    check("user:octocat, user:mona_corp", &[user("octocat"), user("mona_corp")]);
    check("id:583231", &[AllowRule::Id(UserId(583_231))]);
    check("org:github,team:github/docs-team", &[AllowRule::Group(Group::Org("github".to_owned())), team]);
}

#[test]
fn ambiguous_allow_rules_are_refused() {
    let too_long = format!("user:{}", "a".repeat(40));
    for bad in [
        "octocat",
        "user:",
        "user:a b",
        "user:../x",
        "user:a%2f",
        "users:a",
        "any,user:a",
        "user:a,",
        "id:0",
        "id:-1",
        "id:+1",
        "id:99999999999999999999",
        "org:a/b",
        "team:a",
        "team:a/",
        "team:/b",
        "team:a/b/c",
        "*",
        &too_long,
    ] {
        refused(&["--allow", bad], &[], "--allow: ");
    }
    let (list, wrong) = ("org:a, usr:x,id:1", "and any stands alone; \"usr:x\" is wrong");
    refused(&["--allow", list], &[], wrong);
    refused(&[], &[("MCP_ALLOW", list)], wrong);
}

/// A2: what is not loopback needs a public URL, and an http one is refused.
#[test]
fn a_listener_beyond_loopback_needs_an_https_public_url() {
    refused(&["--listen", "0.0.0.0:80"], &[], "MCP_PUBLIC_URL is not set");
    refused(&["--behind-proxy", "127.0.0.1:80"], &[], "MCP_PUBLIC_URL is not set");
    refused(&[], &[("MCP_PUBLIC_URL", "http://mcp.example.com")], "MCP_PUBLIC_URL: http is for loopback");
    let config = config(&["--listen", "0.0.0.0:443", "--public-url", "https://mcp.example.com"], &[]);
    assert_eq!(config.public_url("0.0.0.0:443".parse().ok()).unwrap().origin(), "https://mcp.example.com");
}

/// H1: tiny_http is not reachable by strangers.
#[test]
fn the_trusted_door_is_on_loopback_or_a_unix_socket() {
    let check = |text: &str, expected: Listen| {
        let config = config(&["--behind-proxy", text], &[("MCP_PUBLIC_URL", "https://a.example")]);
        assert_eq!((config.listen, config.behind_proxy), (Vec::new(), Some(expected)));
    };
    check("127.0.0.1:3001", tcp("127.0.0.1:3001"));
    check("unix:/run/mcp.sock", Listen::Unix("/run/mcp.sock".into()));
    for bad in ["systemd", "0.0.0.0:3001", "10.0.0.1:80", "unix:run/mcp.sock", "localhost:80", "127.0.0.1"] {
        refused(&["--behind-proxy", bad], &[], "--behind-proxy: write a loopback address");
    }
    refused(
        &["--behind-proxy", "127.0.0.1:1", "--listen", "127.0.0.1:2"],
        &[],
        "a server has MCP_LISTEN or MCP_BEHIND_PROXY",
    );
}

#[test]
fn tls_has_a_certificate_a_key_and_an_https_url() {
    let cert = ["--tls-cert", "/tls/cert.pem"];
    let both = ["--tls-cert", "/tls/cert.pem", "--tls-key", "/tls/key.pem"];
    let url = ("MCP_PUBLIC_URL", "https://mcp.example.com");
    let config = config(&both, &[url, ("MCP_LISTEN", "[::]:443")]);
    assert_eq!(config.tls_files(), Some((Path::new("/tls/cert.pem"), Path::new("/tls/key.pem"))));
    refused(&cert, &[url], "MCP_TLS_KEY is not set");
    refused(&["--tls-key", "/tls/key.pem"], &[url], "MCP_TLS_CERT is not set");
    refused(&both, &[], "begins with https://");
    refused(&both, &[("MCP_PUBLIC_URL", "http://127.0.0.1:3001")], "begins with https://");
    refused(&both, &[url, ("MCP_BEHIND_PROXY", "127.0.0.1:1")], "the proxy encrypts");
    let files = [("MCP_TLS_CERT", "/tls/cert.pem"), ("MCP_TLS_KEY", "/tls/key.pem")];
    refused(&["demo"], &files, "anyone can log in as anyone");
    refused(&[&["demo"], &both[..]].concat(), &[], "no option \"--tls-cert\"; --help");
}

#[test]
fn proxy_metrics_and_log_format_options_are_parsed() {
    let args =
        ["--trusted-proxy", "unix,10.0.0.0/8", "--metrics-listen", "[::1]:9090", "--log-format", "json"];
    let watch = config(&args, &[]);
    assert!(watch.trusted_proxies.contain(None) && watch.trusted_proxies.contain("10.1.1.1".parse().ok()));
    assert_eq!(watch.metrics_listen, "[::1]:9090".parse().ok());
    assert_eq!((watch.log_format, config(&[], &[]).log_format), (log::Format::Json, log::Format::Human));
    refused(&["--trusted-proxy", "proxy.example"], &[], "--trusted-proxy: write a comma list");
    refused(&["--metrics-listen", "0.0.0.0:9090"], &[], "--metrics-listen: write a loopback address");
    refused(&["--log-format", "yaml"], &[], "--log-format: write human or json");
}

#[test]
fn limits_are_numbers_that_fit_together() {
    let capacity = config(
        &["--max-connections", "8000", "--max-streams=6000", "--max-streams-per-user", "60"],
        &[("MCP_MAX_SESSIONS", "5000"), ("MCP_MAX_SESSIONS_PER_USER", "100000")],
    );
    let expected = Capacity {
        connections: 8000,
        streams: 6000,
        sessions: 5000,
        streams_per_user: 60,
        sessions_per_user: 100_000,
    };
    assert_eq!((capacity.capacity, config(&[], &[]).capacity), (expected, Capacity::default()));
    for bad in ["0", "-1", "+1", "100001", "1e3", "many", "99999999999999999999"] {
        refused(&["--max-sessions", bad], &[], "--max-sessions: write a number from 1 to 100000");
    }
    refused(&["--max-connections", "300"], &[], "MCP_MAX_STREAMS: a quarter of the connections stays free");
}

/// G7: base URLs are https, or http on loopback.
#[test]
fn the_api_url_follows_from_the_github_url() {
    let check = |args: &[&str], url: &str, api_url: &str| {
        let github = config(args, &[]).github;
        assert_eq!(
            (github.url.to_string(), github.api_url().to_string()),
            (url.to_owned(), api_url.to_owned())
        );
    };
    check(&["--github-url", "https://ghe.example/"], "https://ghe.example", "https://ghe.example/api/v3");
    check(&["--github-url", "https://github.com/"], "https://github.com", "https://api.github.com");
    let both = ["--github-url", "http://127.0.0.1:9/a", "--github-api-url", "http://127.0.0.1:9/b"];
    check(&both, "http://127.0.0.1:9/a", "http://127.0.0.1:9/b");
    for bad in
        ["http://ghe.example", "ghe.example", "https://", "https://u@ghe.example", "https://ghe.example/?q"]
    {
        refused(&["--github-url", bad], &[], "--github-url: ");
    }
}

#[test]
fn the_state_directory_follows_systemd_then_xdg() {
    let check = |env: &[(&str, &str)], expected: &str| {
        assert_eq!(config(&[], env).state_files().directory, PathBuf::from(expected));
    };
    check(&[("XDG_STATE_HOME", "/xdg")], "/xdg/our-server");
    check(&[("XDG_STATE_HOME", "xdg")], "/home/me/.local/state/our-server");
    check(&[("XDG_STATE_HOME", "/xdg"), ("STATE_DIRECTORY", "/var/lib/mcp:/x")], "/var/lib/mcp");
    check(&[("STATE_DIRECTORY", "/var/lib/mcp"), ("MCP_STATE_DIR", "/mine")], "/mine");
    assert_eq!(
        config(&["--key-file", "/cred/key"], &[]).state_files().key_file.path,
        PathBuf::from("/cred/key")
    );
}

#[test]
fn a_demo_needs_no_settings_and_has_its_own_state() {
    let Ok(Invocation::Serve(demo)) = parse(&["demo"], &[("HOME", "/home/me")]) else { panic!("not a demo") };
    assert_eq!(demo.rules.allow, [AllowRule::Any]);
    let state = demo.state_files();
    assert!(
        state.directory.ends_with("our-server/demo") && state.key_file.path.starts_with(&state.directory)
    );
    let env =
        [("MCP_STATE_DIR", "/var/lib/mcp"), ("MCP_OAUTH_KEY_FILE", "/cred/key"), ("GITHUB_URL", "nonsense")];
    let beside = config(&["demo"], &env);
    assert_eq!(beside.state_files().key_file.path, PathBuf::from("/var/lib/mcp/demo/key"));
    refused(&["demo", "--key-file", "/cred/key"], &[], "no option \"--key-file\"; --help");
    assert!(!beside.github.client_secret.read().unwrap().matches(b"hush-hush"));
}

#[test]
fn a_demo_stays_on_loopback() {
    refused(&["demo", "--listen", "0.0.0.0:3001"], &[], "anyone can log in as anyone");
    refused(&["demo", "--public-url", "https://a.example"], &[], "anyone can log in as anyone");
    refused(&["demo"], &[("MCP_BEHIND_PROXY", "127.0.0.1:1")], "anyone can log in as anyone");
    refused(&["demo", "--behind-proxy", "127.0.0.1:1"], &[], "no option \"--behind-proxy\"; --help");
}

#[test]
fn a_secret_file_wins_and_says_when_it_cannot_be_read() {
    let file = std::env::temp_dir().join(format!("mcp-oauth-server-secret-{}", std::process::id()));
    std::fs::write(&file, "  from-the-file\n").unwrap();
    let secret = config(&["--github-client-secret-file", file.to_str().unwrap()], &[]).github.client_secret;
    let read = secret.read();
    std::fs::remove_file(&file).unwrap();
    assert!(read.unwrap().matches(b"from-the-file"));

    // A shell's `<(pass show github)` is the path of a pipe.
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"from-a-pipe\n").unwrap();
    let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    drop(writer);
    let secret = config(&["--github-client-secret-file", &path], &[]).github.client_secret;
    assert!(secret.read().unwrap().matches(b"from-a-pipe"));

    let missing = "/nonexistent/secret";
    let secret = config(&["--github-client-secret-file", missing], &[]).github.client_secret;
    assert!(secret.read().unwrap_err().to_string().contains(missing));
}

/// D5: strangers may register and bring documents unless the operator says no; a demo fetches nothing.
#[test]
fn registration_and_client_documents_are_on_by_default() {
    let check = |args: &[&str], registration, documents| {
        let clients = config(args, &[]).clients;
        assert_eq!((clients.registration, clients.documents), (registration, documents), "{args:?}");
    };
    check(&[], Registration::Open, true);
    check(&["--registration", "closed"], Registration::Closed, true);
    check(&["--client-documents=off"], Registration::Open, false);
    check(&["demo"], Registration::Open, false);
    check(&["demo", "--client-documents", "on"], Registration::Open, true);
    let none = ["--registration", "closed", "--client-documents", "off"];
    refused(&none, &[], "no client could log in");
    assert_eq!(config(&none, &[("MCP_CLIENTS", "/etc/clients")]).clients.file, Some("/etc/clients".into()));
    refused(&["--registration", "on"], &[], "write open or closed");
    refused(&["--client-documents", "yes"], &[], "write on or off");
}

/// A3, A4: rules are for one server or stand with each; about one person is asked at a time.
#[test]
fn conflicting_access_and_person_options_are_refused() {
    refused(
        &["--access", "a.json", "--servers", "s.json"],
        &[],
        "MCP_ACCESS: leave it out together with --servers",
    );
    refused(&["check", "--member", "org:acme"], &[], "--member: say who is a member with --as");
    refused(&["check", "--as", "id:7", "--as", "user:x"], &[], "--as is given twice");
    refused(&["check", "--as", "org:acme"], &[], "--as: write one person");
    refused(&["check", "--as", "alice"], &[], "--as: write one person: user:LOGIN (user:alice, not alice)");
    refused(&["check", "--as", "id:7", "--member", "user:x"], &[], "--member: write a group");
    refused(&["--as", "id:7"], &[], "no option \"--as\"");
}

/// D4, O5: how often clients register, and the schemes that they may be answered at.
#[test]
fn registrations_have_a_rate_and_schemes() {
    let of = |args: &[&str]| {
        let clients = config(args, &[]).clients;
        (clients.registrations_per_hour, clients.redirect_schemes)
    };
    assert_eq!(of(&[]), (600, RedirectSchemes::default()));
    let args = ["--registrations-per-hour=20", "--redirect-schemes", "myapp", "--redirect-schemes=web+mcp"];
    assert_eq!(of(&args), (20, RedirectSchemes::parse("myapp,web+mcp").unwrap()));
    refused(&["--registrations-per-hour", "0"], &[], "write a number from 1");
    refused(&[], &[("MCP_REDIRECT_SCHEMES", "myapp,javascript")], "cannot be added");
}

/// D6: an entry that would deny nobody is an error, not a surprise.
#[test]
fn denied_clients_are_fingerprints_urls_and_hosts() {
    let list = "evil.example,https://a.example/c,LPJNul-wow4m6DsqxbninA";
    assert_eq!(config(&["--deny-clients", list], &[]).rules.denied, DenyList::parse(list).unwrap());
    refused(&["--deny-clients", "evil"], &[], "--deny-clients: an entry is");
}

#[test]
fn help_names_every_option_and_its_variable() {
    let help = help::all("our-server");
    for option in OPTIONS {
        assert!(help.contains(option.env), "{}", option.env);
        assert_eq!(help.contains(&format!("  {} ", option.flag())), !option.is_secret(), "{}", option.env);
    }
}

/// The help of a demo leaves out the options that it refuses or ignores.
#[test]
fn the_help_of_a_demo_has_what_it_takes() {
    let Ok(Invocation::Print(help)) = parse(&["demo", "--help"], &[]) else { panic!("no help") };
    assert!(help.contains("  --listen WHERE\n") && help.contains("  --public-url URL\n"), "{help}");
    for refused in
        ["--tls-cert", "--behind-proxy", "--github-client-id", "GITHUB_CLIENT_SECRET", "--key-file"]
    {
        assert!(!help.contains(refused), "{refused}: {help}");
    }
}

#[test]
fn the_readme_has_the_option_and_command_tables() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for table in [option_table(), command_table()] {
        assert!(readme.contains(&table), "put this table into README.md:\n{table}");
    }
}

/// The option table of the README, in Markdown.
fn option_table() -> String {
    let mut out = String::from("| variable | flag | default | what it is |\n| --- | --- | --- | --- |\n");
    for option in OPTIONS {
        let flag = match option.takes {
            Takes::One(value) | Takes::List(value) => {
                format!("`{} {value}`", option.flag()).replace('|', "\\|")
            }
            Takes::Secret(_) => "—".to_owned(),
        };
        let _ = writeln!(out, "| `{}` | {flag} | {} | {} |", option.env, option.default, option.help);
    }
    out
}

/// The table of the operator's commands in the README, in Markdown. A bar would end the cell.
fn command_table() -> String {
    let mut out = String::from("| command | what it does |\n| --- | --- |\n");
    for command in COMMANDS.iter().filter(|command| command.reads() == Reads::StateFiles) {
        let usage = command.usage("mcp-oauth-server").replace('|', "\\|");
        let _ = writeln!(out, "| `{usage}` | {} |", command.help);
    }
    out
}
