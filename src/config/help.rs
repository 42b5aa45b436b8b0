//! `--help`, and the tables of the README, from the tables of options and commands.

use std::fmt::Write as _;

use super::Program;
use super::commands::{COMMANDS, Command, words};
use super::options::{OPTIONS, Reads, Takes};

/// The text that a command line asks for: the version, or the help of the commands that begin with its words. `None` if it
/// asks for neither, or there is no such command. What follows `--` is another program's.
pub(super) fn asked(program: Program, line: &[String]) -> Option<String> {
    let line = line.split(|word| word == "--").next()?;
    let has = |long: &str, short: &str| line.iter().any(|word| word == long || word == short);
    let words = words(line);
    let words = match words.split_first() {
        Some((&"help", rest)) => rest,
        _ if has("--help", "-h") => words.as_slice(),
        _ if has("--version", "-V") => return Some(format!("{} {}\n", program.name, program.version)),
        _ => return None,
    };
    if words.is_empty() {
        return Some(all(program.name));
    }
    let asked: Vec<&Command> = COMMANDS.iter().filter(|command| command.words.starts_with(words)).collect();
    let usage = |command: &&Command| format!("{}\n    {}\n", command.usage(program.name), command.help);
    let usages: Vec<String> = asked.iter().map(usage).collect();
    // Commands with a word in common read the same options.
    let options = options(asked.first()?.reads());
    Some(format!("{}\nOptions:\n{options}", usages.join("\n")))
}

/// The help of the whole program. Writing to a String cannot fail.
pub(super) fn all(program: &str) -> String {
    let mut out = format!(
        "{program}: MCP over Streamable HTTP behind \"Sign in with GitHub\"\n\n\
         Commands (--version prints the version):\n",
    );
    for command in COMMANDS {
        let _ = writeln!(out, "  {}\n      {}", command.usage(program), command.help);
    }
    out.push_str(
        "\nOptions. Each is also an environment variable and a line of the --config file; the flag wins, then the variable. \
         COMMAND --help lists those that a command takes:\n",
    );
    out + &options(Reads::Everything)
}

fn options(reads: Reads) -> String {
    let mut out = String::new();
    for option in OPTIONS.iter().filter(|option| option.is_read(reads)) {
        let (name, value) = match option.takes {
            Takes::One(value) | Takes::List(value) => (option.flag(), value),
            Takes::Secret(value) => ("(environment only)".to_owned(), value),
        };
        let _ = write!(out, "  {name} {value}\n      {}\n      ", option.help);
        let _ = writeln!(out, "{} [default: {}]", option.env, option.default);
    }
    out
}
