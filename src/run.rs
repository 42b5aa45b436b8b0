//! The program around a server: options, signals, what is printed. The whole `main` of a server with tools of its own.

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::base::capacity::Capacity;
use crate::base::clock::SystemClock;
use crate::base::random::OsRandom;
use crate::base::{limits, log};
use crate::check;
use crate::config::{
    self, ClientSecret, Config, ConfigError, ConfigWarning, GitHubApp, Invocation, OperatorCommand, Probe,
    Program,
};
use crate::demo;
use crate::edge::{self, Edge, Listener};
use crate::github::{BaseUrl, GitHub};
use crate::http::PublicUrl;
use crate::mcp::Backend;
use crate::operate::{self, report};
use crate::serve::{self, Server, StartError};
use crate::server::{self, Pool};
use crate::simulated::Simulated;
use crate::sys;

/// The binary `mcp-oauth-server`: the demo's tools behind the server of this crate.
pub fn main() -> ExitCode {
    run("mcp-oauth-server", env!("CARGO_PKG_VERSION"), demo::tools)
}

/// Does what the command line, the environment and the configuration file ask for: serves until SIGTERM or SIGINT, or prints
/// help.
///
/// `name` is what help and messages call the program, and the name of the directory in which it keeps its state unless told
/// otherwise: letters, digits, hyphens and underscores. Once it has users, it stays. `version` is what `--version` prints.
/// `backend` makes the tools; it is given the client for GitHub's API. The exit status is 0 after a clean stop, 2 if the
/// server could not start or go on, with a line on standard error that says what to do. A command of the operator ends with 0 when
/// it is done, 1 when what it names or asks about is not there, 2 when it could not be done.
pub fn run<B, E>(
    name: &'static str,
    version: &'static str,
    backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>,
) -> ExitCode
where
    B: Backend + 'static,
    E: Display,
{
    sys::set_up_libc();
    sys::raise_descriptor_limit();
    server::log_panics();
    let program = Program::new(name, version).map_err(|error| vec![error]);
    let done = match program.and_then(config::from_process) {
        Ok(Invocation::Serve(config)) => serve(&config, backend).map_err(|errors| config::lines(&errors)),
        Ok(Invocation::Demo(config)) => serve_demo(config, backend).map_err(|errors| config::lines(&errors)),
        Ok(Invocation::Operate(command)) => return operate(&command, name),
        Ok(Invocation::Health(probe)) => return health(&probe, name),
        Ok(Invocation::Check(config)) => look_at(&config, backend),
        Ok(Invocation::Help(text)) => say(&text),
        Ok(Invocation::Version) => say(&format!("{name} {version}\n")),
        Err(errors) => Err(config::lines(&errors)),
    };
    done.map_or_else(|error| fail(name, &error), |()| ExitCode::SUCCESS)
}

/// Prints errors, one a line.
fn fail(program: &str, errors: &str) -> ExitCode {
    // If standard error is closed there is nobody to tell.
    let _ = errors.lines().try_for_each(|error| writeln!(std::io::stderr(), "{program}: {error}"));
    ExitCode::from(2)
}

/// Exits with 1 where the server is not up, as container runtimes expect.
fn health(probe: &Probe, program: &str) -> ExitCode {
    match operate::health(probe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = fail(program, &error);
            ExitCode::FAILURE
        }
    }
}

fn operate(command: &OperatorCommand, program: &str) -> ExitCode {
    // What it does is its output; the log of it is the running server's.
    log::set_quiet(true);
    let outcome = match operate::operate(command) {
        Ok(outcome) => outcome,
        Err(error) => return fail(program, &error.to_string()),
    };
    match say(&report::print(&command.operation, &outcome, command.format)) {
        Ok(()) if report::missed(&command.operation, &outcome) => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(program, &error),
    }
}

fn serve<B, E>(
    config: &Config,
    backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>,
) -> Result<(), Vec<StartError>>
where
    B: Backend + 'static,
    E: Display,
{
    // Before any thread is started, so that every one of them leaves the signals to this one.
    let next_signal = sys::block_signals();
    log::set_format(config.watch.log_format);
    let _writer = log::Writer::start().map_err(|error| vec![StartError::Threads(error)])?; // dropped last: it writes to the last line
    let server = Server::start(config, backend)?;
    wait_for_stop(next_signal, &server, config);
    server.stop().map_err(|error| vec![error])
}

fn serve_demo<B, E>(
    mut config: Config,
    backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>,
) -> Result<(), Vec<StartError>>
where
    B: Backend + 'static,
    E: Display,
{
    let next_signal = sys::block_signals();
    log::set_format(config.watch.log_format);
    let _writer = log::Writer::start().map_err(|error| vec![StartError::Threads(error)])?; // dropped last: it writes to the last line
    let github = SimulatedGitHub::start(&mut config.github).map_err(|error| vec![error])?;
    let server = Server::start(&config, backend)?;
    let url = config.github.url.to_string();
    let fields = [log::Field::Url(&url), log::Field::Hint("anyone can log in as anyone")];
    log::warn("simulated.github", &fields);
    // Whoever closed standard output does not want to read it.
    let _ = say(&next_steps(&config::command(), server.public_url()));
    wait_for_stop(next_signal, &server, &config);
    let stopped = server.stop();
    github.stop();
    stopped.map_err(|error| vec![error])
}

/// Prints what the configuration means.
fn look_at<B, E>(config: &Config, backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>) -> Result<(), String>
where
    B: Backend + 'static,
    E: Display,
{
    log::set_quiet(true);
    let report = check::check(config, backend);
    say(&report.to_string())?;
    if report.is_good() { Ok(()) } else { Err("a server would not start with this configuration".to_owned()) }
}

fn wait_for_stop(next_signal: impl Fn() -> i32, server: &Server, config: &Config) {
    // SIGHUP, which a closing terminal sends as well, is not taken for a stop.
    while next_signal() == libc::SIGHUP {
        server.reload_certificate();
        match &config.file {
            Some(file) => reload_rules(server, config, file),
            None => {
                let hint = "there is no configuration file (MCP_CONFIG): what comes from the environment and the command \
                            line stays until the server is started again";
                log::warn("config.not_reloaded", &[log::Field::Hint(hint)]);
            }
        }
    }
}

/// What SIGHUP takes over from the configuration file.
const RELOADED: [&str; 2] = ["MCP_ALLOW", "MCP_DENY_CLIENTS"];

/// Reads the configuration file again, and says what came of it. Of what has changed in it the rules take effect; for
/// everything else the server has to be started again. A file that cannot be used changes nothing.
fn reload_rules(server: &Server, config: &Config, file: &Path) {
    let new = match config::from_process(config.program) {
        Ok(Invocation::Serve(new) | Invocation::Demo(new)) => new,
        // The command line is the one that was told to serve.
        Ok(
            Invocation::Check(_)
            | Invocation::Health(_)
            | Invocation::Operate(_)
            | Invocation::Help(_)
            | Invocation::Version,
        ) => {
            return;
        }
        Err(errors) => {
            let hint = "correct that and send SIGHUP again; nothing was changed";
            for error in errors {
                let fields = [log::Field::Error(&error.to_string()), log::Field::Hint(hint)];
                log::error("config.not_reloaded", &fields);
            }
            return;
        }
    };
    if server.change_rules(&new) {
        log::info("rules.changed", &[]);
    }
    let hidden = |option: &&str| {
        let is_hidden =
            |warning: &ConfigWarning| matches!(warning, ConfigWarning::Shadowed(name, ..) if name == option);
        new.warnings.iter().any(is_hidden)
    };
    let hidden: Vec<&str> = RELOADED.into_iter().filter(hidden).collect();
    if !hidden.is_empty() {
        let hint = "the environment or the command line has these, so what the file says of them is not used";
        log::warn("config.shadowed", &[log::Field::Options(&hidden.join(",")), log::Field::Hint(hint)]);
    }
    let path = file.display().to_string();
    let mut others = config.given.differences(&new.given);
    others.retain(|name| !RELOADED.contains(name));
    if others.is_empty() {
        log::info("config.reloaded", &[log::Field::Path(&path)]);
    } else {
        let hint = "these are read at a start only: start the server again";
        let others = others.join(",");
        let fields = [log::Field::Path(&path), log::Field::Options(&others), log::Field::Hint(hint)];
        log::warn("config.reloaded", &fields);
    }
}

/// The made-up GitHub of the demo, behind an edge of its own on a loopback port.
struct SimulatedGitHub {
    edge: Edge,
    pool: Arc<Pool>,
}

impl SimulatedGitHub {
    /// Starts it and points `app` at it.
    fn start(app: &mut GitHubApp) -> Result<SimulatedGitHub, StartError> {
        let failed = |error| {
            StartError::Listen("a loopback port for the simulated GitHub".to_owned(), serve::LISTEN, error)
        };
        let listener = Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(failed)?;
        let url = format!("http://{}", listener.name());
        let secret = app.client_secret.read()?;
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(OsRandom));
        let simulated = Simulated::new(&app.client_id, &secret, clock, random);
        let pool = Arc::new(Pool::start(Capacity::default().queue()).map_err(StartError::Threads)?);
        let edge =
            Edge::start(vec![listener], Arc::new(simulated), Arc::clone(&pool), edge::Settings::default());
        let base_url = |url: &str| BaseUrl::parse(url).map_err(|why| ConfigError::BadValue("demo", why));
        app.api_url = base_url(&format!("{url}/api/v3"))?;
        app.url = base_url(&url)?;
        app.client_secret = ClientSecret::Given(secret);
        Ok(SimulatedGitHub { edge: edge.map_err(failed)?, pool })
    }

    fn stop(self) {
        self.edge.stop(limits::DRAIN);
        self.pool.stop(limits::DRAIN);
    }
}

/// What a newcomer can do with the demo. `command` started it.
fn next_steps(command: &str, url: &PublicUrl) -> String {
    let origin = url.origin();
    // The same address again, which GitHub must know.
    let address = match url.authority() {
        "127.0.0.1:3001" => String::new(),
        other if other.parse::<SocketAddr>().is_ok() => format!("MCP_LISTEN={other} "),
        _ => format!("MCP_PUBLIC_URL={origin} "),
    };
    format!(
        r#"
  Serving MCP at {origin}/mcp, with a SIMULATED GitHub: no account needed, nothing leaves this computer.

  Connect a client; it opens a browser, where you pick one of the made-up users:
    Claude Code    claude mcp add --transport http demo {origin}/mcp && claude mcp login demo
    Codex          codex mcp add demo --url {origin}/mcp
    VS Code        code --add-mcp '{{"name":"demo","type":"http","url":"{origin}/mcp"}}'
    Cursor         ~/.cursor/mcp.json: {{"mcpServers":{{"demo":{{"url":"{origin}/mcp"}}}}}}
    MCP Inspector  npx @modelcontextprotocol/inspector   (Streamable HTTP, {origin}/mcp)
    Others, and links that install it: {origin}/

  With the real GitHub: register an OAuth app at https://github.com/settings/developers
  (callback URL {origin}/auth/callback), stop this with Ctrl-C, then
    {address}GITHUB_CLIENT_ID=... GITHUB_CLIENT_SECRET=... MCP_ALLOW=user:YOUR-LOGIN {command}

"#
    )
}

fn say(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))
}

#[cfg(test)]
mod tests;
