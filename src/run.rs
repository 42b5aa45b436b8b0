//! The program around a server: options, signals, output. The whole `main` of a server with tools of its own.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::audit;
use crate::base::{Cause, StartupError, log};
use crate::bridge;
use crate::check;
use crate::config::{self, Config, Invocation, OperatorCommand, Program};
use crate::demo;
use crate::github::GitHub;
use crate::mcp::Backend;
use crate::operate::{self, report, report::visible};
use crate::operator::Operation;
use crate::serve::{self, MakeBackend, Server};
use crate::sys;
use crate::workers;

mod simulation;

use self::simulation::SimulatedGitHub;

/// The binary `mcp-oauth-server`: the demo's tools behind the server of this crate.
pub fn main() -> ExitCode {
    run("mcp-oauth-server", env!("CARGO_PKG_VERSION"), demo::tools)
}

/// Executes the command line with the environment and the configuration file: serves until SIGTERM or SIGINT, or prints
/// help.
///
/// `name` is the program's name in help and messages, and the name of the directory in which it keeps its state by
/// default: letters, digits, hyphens and underscores. Do not change it once there are users. `version` is what `--version` prints.
/// `backend` creates the tools; it is given the client for GitHub's API. It runs when the server starts and in `check`, and in no
/// other command, so it should not change anything outside of the process. Its error, of any type that can be printed, is reported
/// like a wrong option.
///
/// Settings of your own belong in environment variables, with another prefix than `MCP_`: a flag or a line of the configuration file
/// that is not in the table of options is an error.
///
/// Returns after SIGTERM or SIGINT, when running calls have ended or their time is over (`docs/operations.md`, "Stopping"), and after
/// any other command, `--help` included. The exit status is 0 after a clean stop, 2 if the
/// server could not start or continue, with a line on standard error that says what to do. A command of the operator ends with 0 on
/// success, 1 if the thing that it names or asks about does not exist, 2 on failure.
pub fn run<B, E>(
    name: &'static str,
    version: &'static str,
    backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>,
) -> ExitCode
where
    B: Backend + 'static,
    E: Display,
{
    if let Some(status) = bridge::serve_as_guardian(config::arguments()) {
        return status;
    }
    sys::set_up_libc();
    sys::raise_descriptor_limit();
    workers::log_panics();
    let tools: MakeBackend<'_> = Box::new(|github| match backend(github) {
        Ok(backend) => Ok(Arc::new(backend)),
        Err(error) => Err(unservable(&error)),
    });
    perform(name, version, tools).unwrap_or_else(|errors| {
        report_errors(name, &errors);
        ExitCode::from(2)
    })
}

fn perform(
    name: &'static str,
    version: &'static str,
    tools: MakeBackend<'_>,
) -> Result<ExitCode, Vec<StartupError>> {
    match config::from_process(Program::new(name, version)?)? {
        Invocation::Serve(config) => return serve(config, tools),
        Invocation::Check(config) => check(&config, tools)?,
        Invocation::Operate(command) => return Ok(operate(name, &command)?),
        Invocation::Health { socket, url } => {
            // 1 if the server is not up, as container runtimes expect.
            if let Err(error) = operate::health(socket, url) {
                report_errors(name, &[error]);
                return Ok(ExitCode::FAILURE);
            }
        }
        Invocation::Print(text) => print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn unservable(error: &dyn Display) -> StartupError {
    StartupError::new(format!("the tools cannot be served: {error}"))
}

/// Prints errors, one per line.
fn report_errors(program: &str, errors: &[StartupError]) {
    // Errors of standard error itself cannot be reported.
    let _ = errors.iter().try_for_each(|error| writeln!(std::io::stderr(), "{program}: {}", visible(error)));
}

fn print(text: &str) -> Result<(), StartupError> {
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| StartupError::unusable("standard output", error))
}

fn operate(name: &str, command: &OperatorCommand) -> Result<ExitCode, StartupError> {
    // The command prints its result; the running server logs the operation.
    log::set_quiet(true);
    let outcome = match operate::operate(command) {
        // No server of this name, or no running server because none has ever run.
        Err(error)
            if error.cause == Cause::Missing
                && matches!(command.operation, Operation::Status | Operation::RestartServer(_)) =>
        {
            report_errors(name, &[error]);
            return Ok(ExitCode::FAILURE);
        }
        outcome => outcome?,
    };
    print(&report::print(&command.operation, &outcome, command.format))?;
    let missed = report::missed(&command.operation, &outcome);
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints the meaning of the configuration.
fn check(config: &Config, tools: MakeBackend<'_>) -> Result<(), StartupError> {
    log::set_quiet(true);
    let report = check::check(config, tools);
    print(&report.to_string())?;
    if report.is_good() {
        return Ok(());
    }
    Err(StartupError::new("this configuration has faults, which the report names"))
}

fn serve(mut config: Config, tools: MakeBackend<'_>) -> Result<ExitCode, Vec<StartupError>> {
    // Before any thread is started, so that all of them inherit the blocked signals.
    let next_signal = sys::block_signals();
    log::set_format(config.log_format);
    // Dropped last: it writes the last log line.
    let _writer = log::Writer::start().map_err(serve::no_threads)?;
    let simulated = config.is_demo.then(|| SimulatedGitHub::start(&mut config.github)).transpose()?;
    if config.bridge.programs() > 0 {
        // Programs of the same user must not read the keys from this process.
        sys::hide_memory();
    }
    let server = Server::start(&config, tools)?;
    if simulated.is_some() {
        let url = config.github.url.to_string();
        let fields = [log::Field::Url(&url), log::Field::Hint("anyone can log in as anyone")];
        log::warn("simulated.github", &fields);
        // Output errors are ignored: nobody reads it then.
        let servers = server.named_servers();
        let _ = print(&simulation::next_steps(server.public_url(), &servers));
    }
    wait_for_stop(next_signal, &server, &config);
    let stopped = server.stop();
    audit::sync();
    if let Some(github) = simulated {
        github.stop();
    }
    stopped?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for SIGTERM or SIGINT, and reloads at SIGHUP, which a closing terminal sends as well.
fn wait_for_stop(next_signal: impl Fn() -> i32, server: &Server, config: &Config) {
    while next_signal() == libc::SIGHUP {
        audit::reopen();
        server.reload(config);
        match &config.file {
            Some(file) => reload_rules(server, config, file),
            None if config.bridge.file.is_some()
                || config.access.is_some()
                || config.audit.path.is_some() => {}
            None => {
                let hint = "there is no configuration file (MCP_CONFIG): what comes from the environment and the command \
                            line stays until the server is started again";
                log::warn("config.not_reloaded", &[log::Field::Hint(hint)]);
            }
        }
    }
}

/// The options that SIGHUP rereads from the configuration file.
const RELOADED: [&str; 2] = ["MCP_ALLOW", "MCP_DENY_CLIENTS"];

/// Rereads the configuration file and logs the result. The rules in it take effect; every other change waits for the next
/// start. An unusable file changes nothing.
fn reload_rules(server: &Server, config: &Config, file: &Path) {
    let new = match config::from_process(config.program) {
        Ok(Invocation::Serve(new)) => new,
        // Cannot happen: the running server's command line is one that serves.
        Ok(
            Invocation::Check(_) | Invocation::Health { .. } | Invocation::Operate(_) | Invocation::Print(_),
        ) => {
            return;
        }
        Err(errors) => return serve::log_mistakes("config.not_reloaded", &errors),
    };
    if server.change_rules(&new) {
        audit::info("rules.changed", &[log::Field::Path(&file.display().to_string())]);
    }
    let hidden = |option: &&str| new.warnings.iter().any(|warning| warning.hidden == Some(*option));
    let hidden: Vec<&str> = RELOADED.into_iter().filter(hidden).collect();
    if !hidden.is_empty() {
        let hint = "the environment or the command line has these, so what the file says of them is not used";
        log::warn("config.shadowed", &[log::Field::Options(&hidden.join(",")), log::Field::Hint(hint)]);
    }
    let path = file.display().to_string();
    let mut others = config.differences(&new);
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
