//! Sends requests to an MCP server, or to one of the baselines, at the rate of its answers; every answer is checked. Prints one line of
//! JSON; the status is 1 after any error. `bench.py` calls it with the requests for each server.

mod cold;
mod drive;
mod hold;
mod mcp;
mod pipe;
mod process;
mod wire;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use drive::Plan;
use hold::What;
use mcp::{Caller, Era, Target, Template, Tool};
use serde_json::{Value, json};

const USAGE: &str = "\
loadgen WHAT --address HOST:PORT [--path /mcp] …
  call      tools/call of --tool greet|echo      [--era legacy|modern] [--tokens FILE] [--sessions N]
  stranger  the same without a token, which must be a 401
  get       GET of the path; the body must hold --words TEXT
  constant  call, to a server that answers --words TEXT to everything
  hold      --streams N or --sessions N, until standard input says a line; [--era] [--tokens]
  cold      --runs N -- COMMAND …: starts it, waits for an answer, stops it
  pipe      call, to a server on standard input and output: --connections N at once -- COMMAND …
call, stranger, get, constant: [--connections 16] [--seconds 3] [--warmup 0.5] [--most ANSWERS] [--process ID]
A FILE of tokens has one a line; connections, sessions and streams take them in turn.";

/// The arguments of the command line.
struct Arguments {
    options: HashMap<String, String>,
    command: Vec<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut options = HashMap::new();
        while let Some(word) = words.next() {
            if word == "--" {
                return Ok(Arguments { options, command: words.collect() });
            }
            let name = word.strip_prefix("--").ok_or(format!("{word}?\n{USAGE}"))?;
            options.insert(name.to_owned(), words.next().ok_or(format!("{word} needs a value"))?);
        }
        Ok(Arguments { options, command: Vec::new() })
    }

    fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.options.get(name).map_or(default, String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, String> {
        self.text(name, &default.to_string()).parse().map_err(|_| format!("--{name} is no number"))
    }

    fn seconds(&self, name: &str, default: &str) -> Result<Duration, String> {
        let seconds = self.text(name, default).parse().map_err(|_| format!("--{name} is no number"))?;
        Duration::try_from_secs_f64(seconds).map_err(|error| format!("--{name}: {error}"))
    }

    fn target(&self) -> Result<Target, String> {
        let address =
            self.text("address", "").parse().map_err(|_| format!("--address is missing\n{USAGE}"))?;
        Ok(Target { address, path: self.text("path", "/mcp").to_owned(), tool: self.tool()? })
    }

    fn tool(&self) -> Result<Tool, String> {
        let name = self.text("tool", "greet");
        Tool::named(name).ok_or(format!("{name} is not called here"))
    }

    fn era(&self) -> Result<Era, String> {
        match self.text("era", "modern") {
            "legacy" => Ok(Era::Legacy),
            "modern" => Ok(Era::Modern),
            other => Err(format!("{other} is no era")),
        }
    }

    /// At least one; `None` is an unauthenticated caller.
    fn tokens(&self) -> Result<Vec<Option<String>>, String> {
        let Some(file) = self.options.get("tokens") else { return Ok(vec![None]) };
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let tokens: Vec<_> = text.lines().map(|line| Some(line.to_owned())).collect();
        if tokens.is_empty() { Err(format!("{file} is empty")) } else { Ok(tokens) }
    }

    fn plan(&self) -> Result<Plan, String> {
        let most = match self.options.contains_key("most") {
            true => Some(self.number("most", 0)?),
            false => None,
        };
        Ok(Plan {
            warmup: self.seconds("warmup", "0.5")?,
            time: self.seconds("seconds", "3")?,
            most,
            process: self.options.get("process").cloned(),
        })
    }
}

fn main() -> ExitCode {
    let report = run().unwrap_or_else(|error| json!({ "wrong": 1, "first_wrong": error }));
    println!("{report}");
    if report["wrong"] == 0 && report["starved"].as_u64().unwrap_or(0) == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run() -> Result<Value, String> {
    let mut words = std::env::args().skip(1);
    let what = words.next().ok_or(USAGE)?;
    let arguments = Arguments::parse(words)?;
    if what == "pipe" {
        return pipe::pipe(&arguments.command, arguments.tool()?, arguments.number("connections", 1)?, &arguments.plan()?);
    }
    let target = arguments.target()?;
    let connections = arguments.number("connections", 16)?;
    let many = |template: &dyn Fn() -> Template| {
        let templates = (0..connections).map(|_| template()).collect();
        drive::drive(target.address, templates, &arguments.plan()?)
    };
    let era = arguments.era()?;
    match what.as_str() {
        "call" => call(&arguments, &target, connections),
        "stranger" => many(&|| mcp::stranger(&target, era)),
        "get" => many(&|| mcp::get(&target, arguments.text("words", ""))),
        "constant" => many(&|| mcp::constant(&target, era, arguments.text("words", ""))),
        "hold" => {
            let (what, count) = match arguments.options.contains_key("sessions") {
                true => (What::Session, arguments.number("sessions", 0)?),
                false => (What::Stream(era), arguments.number("streams", 1000)?),
            };
            hold::hold(&target, what, &arguments.tokens()?, count)
        }
        "cold" => cold::cold(&target, &arguments.command, arguments.number("runs", 11)?),
        other => Err(format!("{other}?\n{USAGE}")),
    }
}

/// Calls of all the tokens' owners in turn; in the older era in sessions, which several connections share if there are to be
/// fewer of them.
fn call(arguments: &Arguments, target: &Target, connections: usize) -> Result<Value, String> {
    let (era, tokens) = (arguments.era()?, arguments.tokens()?);
    let callers = match era {
        Era::Modern => tokens.into_iter().map(|token| Caller { token, session: None }).collect::<Vec<_>>(),
        Era::Legacy => {
            let sessions = arguments.number("sessions", connections)?.clamp(1, connections);
            let opened =
                (0..sessions).map(|n| mcp::open_session(target, tokens[n % tokens.len()].as_deref()));
            opened.collect::<Result<_, _>>()?
        }
    };
    let templates = (0..connections).map(|n| mcp::call(target, era, &callers[n % callers.len()])).collect();
    let report = drive::drive(target.address, templates, &arguments.plan()?)?;
    for caller in callers.iter().filter(|caller| caller.session.is_some()) {
        mcp::close_session(target, caller)?;
    }
    Ok(report)
}
