//! The program around a server: options, signals, what is printed. The whole `main` of a server with tools of its own.

use std::fmt::Display;
use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use crate::base::capacity::Capacity;
use crate::base::clock::SystemClock;
use crate::base::random::OsRandom;
use crate::base::{limits, log};
use crate::check;
use crate::config::{
    self, ClientSecret, Config, ConfigError, GitHubApp, Invocation, OperatorCommand, options,
};
use crate::edge::{self, Edge};
use crate::github::{BaseUrl, GitHub};
use crate::mcp::Backend;
use crate::operate::{self, report};
use crate::serve::{Server, StartError};
use crate::server::{self, Pool};
use crate::simulated::Simulated;
use crate::sys;

/// Does what the command line and the environment ask for: serves until SIGTERM or SIGINT, or prints help.
///
/// `backend` makes the tools; it is given the client for GitHub's API. The exit status is 0 after a clean stop, 2 if the
/// server could not start, with a line on standard error that says what to do. A command of the operator ends with 0 when
/// it is done, 1 when what it names is not there, 2 when it could not be done.
pub fn run<B, E>(backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>) -> ExitCode
where
    B: Backend + 'static,
    E: Display,
{
    sys::pin_resolver();
    sys::raise_descriptor_limit();
    server::log_panics_by_place();
    let done = match config::from_process() {
        Ok(Invocation::Serve(config)) => serve(&config, backend).map_err(|error| error.to_string()),
        Ok(Invocation::Demo(config)) => serve_demo(config, backend).map_err(|error| error.to_string()),
        Ok(Invocation::Operate(command)) => return operate(&command),
        Ok(Invocation::Check(config)) => look_at(&config, backend),
        Ok(Invocation::Help) => say(&options::help()),
        Ok(Invocation::Version) => say(&format!("mcp-oauth-server {}\n", env!("CARGO_PKG_VERSION"))),
        Err(error) => Err(error.to_string()),
    };
    done.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(error: &str) -> ExitCode {
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "mcp-oauth-server: {error}");
    ExitCode::from(2)
}

fn operate(command: &OperatorCommand) -> ExitCode {
    // What it does is its output; the log of it is the running server's.
    log::set_quiet(true);
    let outcome = match operate::operate(&command.operation, &command.files) {
        Ok(outcome) => outcome,
        Err(error) => return fail(&error.to_string()),
    };
    match say(&report::print(&outcome, command.format)) {
        Ok(()) if report::missed(&command.operation, &outcome) => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn serve<B, E>(config: &Config, backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>) -> Result<(), StartError>
where
    B: Backend + 'static,
    E: Display,
{
    // Before any thread is started, so that every one of them leaves the signals to this one.
    let next_signal = sys::block_signals().map_err(StartError::Threads)?;
    log::set_format(config.watch.log_format);
    let _writer = log::Writer::start().map_err(StartError::Threads)?; // dropped last: it writes to the last line
    let server = Server::start(config, backend)?;
    wait_for_stop(next_signal, &server);
    server.stop();
    Ok(())
}

fn serve_demo<B, E>(
    mut config: Config,
    backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>,
) -> Result<(), StartError>
where
    B: Backend + 'static,
    E: Display,
{
    let next_signal = sys::block_signals().map_err(StartError::Threads)?;
    log::set_format(config.watch.log_format);
    let _writer = log::Writer::start().map_err(StartError::Threads)?; // dropped last: it writes to the last line
    let github = SimulatedGitHub::start(&mut config.github)?;
    let server = Server::start(&config, backend)?;
    // Whoever closed standard output does not want to read it.
    let _ = say(&next_steps(server.public_url().origin()));
    wait_for_stop(next_signal, &server);
    server.stop();
    github.stop();
    Ok(())
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

fn wait_for_stop(next_signal: impl Fn() -> i32, server: &Server) {
    // SIGHUP, which a closing terminal sends as well, is not taken for a stop.
    while next_signal() == libc::SIGHUP {
        server.reload();
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
        let failed = |error| StartError::Listen("a loopback port for the simulated GitHub".to_owned(), error);
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let secret = app.client_secret.read()?;
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(OsRandom));
        let simulated = Simulated::new(&app.client_id, &secret, clock, random);
        let pool = Arc::new(Pool::start(Capacity::default().queue()).map_err(StartError::Threads)?);
        let edge = Edge::start(listener, Arc::new(simulated), Arc::clone(&pool), edge::Settings::default());
        log::warn(
            "simulated.github",
            &[log::Field::Url(&url), log::Field::Hint("anyone can log in as anyone")],
        );
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

/// What a newcomer can do with the demo.
fn next_steps(origin: &str) -> String {
    format!(
        r#"
  Serving MCP at {origin}/mcp, with a SIMULATED GitHub: no account needed, nothing leaves this computer.

  Connect a client; it opens a browser, where you pick one of the made-up users:
    Claude Code    claude mcp add --transport http demo {origin}/mcp   (then /mcp inside claude)
    VS Code        code --add-mcp '{{"name":"demo","type":"http","url":"{origin}/mcp"}}'
    Cursor         ~/.cursor/mcp.json: {{"mcpServers":{{"demo":{{"url":"{origin}/mcp"}}}}}}
    MCP Inspector  npx @modelcontextprotocol/inspector   (Streamable HTTP, {origin}/mcp)

  With the real GitHub: register an OAuth app at https://github.com/settings/developers
  (callback URL {origin}/auth/callback), then
    GITHUB_CLIENT_ID=... GITHUB_CLIENT_SECRET=... MCP_ALLOW=user:YOUR-LOGIN mcp-oauth-server

  Ctrl-C stops it.

"#
    )
}

fn say(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))
}
