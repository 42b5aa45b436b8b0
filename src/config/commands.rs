//! The table of commands: each has its words, its arguments and its help in one place.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::options::{self, Reads};
use super::{ConfigError, values};
use crate::base::identity::{ClientFingerprint, GrantId, UserId};
use crate::operator::{Operation, Selection};
use crate::store::key_file::KeyFile;

/// What the operator asks for on the command line.
#[derive(Debug, PartialEq, Eq)]
pub struct OperatorCommand {
    /// What is to be done.
    pub operation: Operation,
    /// To which server.
    pub files: StateFiles,
    /// Where a copy goes.
    pub file: Option<PathBuf>,
    /// How its outcome is printed.
    pub format: Format,
}

/// Where a server is asked whether it is up.
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// The operator's socket.
    pub socket: PathBuf,
    /// Its URL, instead.
    pub url: Option<String>,
}

/// Where a server keeps what the operator's commands are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFiles {
    /// The state directory.
    pub directory: PathBuf,
    /// The key file.
    pub key_file: KeyFile,
    /// The operator's socket.
    pub socket: PathBuf,
}

/// How an outcome is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What a command does.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Serve,
    Demo,
    Check,
    Help,
    /// Asks the running server, or does it to the state directory itself.
    Operate(fn(&Arguments) -> Result<Operation, ConfigError>),
    /// Asks a server whether it is up.
    Health,
}

/// One command.
pub(super) struct Command {
    /// Its words; none to serve.
    pub(super) words: &'static [&'static str],
    /// What it takes besides options, one of them.
    arguments: &'static [Argument],
    help: &'static str,
    pub(super) action: Action,
}

/// One argument of a command.
struct Argument {
    /// Its flag; none for what stands alone.
    flag: Option<&'static str>,
    /// What its value is, if it has one.
    metavar: Option<&'static str>,
    /// Takes its value over, or says what is wrong with it.
    take: fn(&mut Arguments, &str) -> Result<(), &'static str>,
}

/// What the arguments of a command said.
#[derive(Default)]
pub(super) struct Arguments {
    selections: Vec<Selection>,
    pub(super) format: Format,
    pub(super) file: Option<PathBuf>,
    pub(super) url: Option<String>,
}

/// Every command that operates takes it.
const JSON: &str = "--json";

/// Every command, in the order in which `--help` and the README show them.
pub(super) const COMMANDS: &[Command] = &[
    Command { words: &[], arguments: &[], help: "serve", action: Action::Serve },
    Command {
        words: &["demo"],
        arguments: &[],
        help: "serve on loopback with a simulated GitHub, no account needed",
        action: Action::Demo,
    },
    Command {
        words: &["check"],
        arguments: &[],
        help: "say what the options mean, what of it is unsafe, and whether a server would start",
        action: Action::Check,
    },
    Command {
        words: &["grants", "list"],
        arguments: &[],
        help: "list who let which program in",
        action: Action::Operate(|_| Ok(Operation::ListGrants)),
    },
    Command {
        words: &["grants", "revoke"],
        arguments: &[
            Argument { flag: None, metavar: Some("ID"), take: |all, text| select(all, grant(text)) },
            Argument {
                flag: Some("--user"),
                metavar: Some("LOGIN|NUMBER"),
                take: |all, text| select(all, user(text)),
            },
            Argument {
                flag: Some("--client"),
                metavar: Some("FINGERPRINT"),
                take: |all, text| select(all, client(text)),
            },
            Argument { flag: Some("--all"), metavar: None, take: |all, _| select(all, Ok(Selection::All)) },
        ],
        help: "end one grant, those of a person or a program, or all: with their tokens, sessions and streams",
        action: Action::Operate(revoke),
    },
    Command {
        words: &["key", "rotate"],
        arguments: &[],
        help: "seal with a new key from now on, at once if the server runs; what older keys sealed still opens",
        action: Action::Operate(|_| Ok(Operation::RotateKey)),
    },
    Command {
        words: &["backup"],
        arguments: &[Argument { flag: None, metavar: Some("FILE"), take: file }],
        help: "copy the grants to a new file, consistent also while the server runs; the key is not in it",
        action: Action::Operate(back_up),
    },
    Command {
        words: &["status"],
        arguments: &[],
        help: "say since when the server is up, its version, and how many grants, sessions, streams and calls it has",
        action: Action::Operate(|_| Ok(Operation::Status)),
    },
    Command {
        words: &["health"],
        arguments: &[Argument { flag: Some("--url"), metavar: Some("URL"), take: url }],
        help: "exit with 0 if the server is up, else with 1: asked over the operator's socket, or at its URL",
        action: Action::Health,
    },
    Command { words: &["help"], arguments: &[], help: "print this", action: Action::Help },
];

fn revoke(arguments: &Arguments) -> Result<Operation, ConfigError> {
    let why = match arguments.selections.as_slice() {
        [selection] => return Ok(Operation::Revoke(selection.clone())),
        [] => "say what is to end: an ID, or --user, --client or --all",
        [..] => "say one thing: an ID, or --user, --client or --all",
    };
    Err(ConfigError::BadValue("grants revoke", why))
}

fn back_up(arguments: &Arguments) -> Result<Operation, ConfigError> {
    let missing = ConfigError::BadValue("backup", "say to which file");
    arguments.file.as_ref().map(|_| Operation::BackUp).ok_or(missing)
}

fn select(arguments: &mut Arguments, selection: Result<Selection, &'static str>) -> Result<(), &'static str> {
    arguments.selections.push(selection?);
    Ok(())
}

fn file(arguments: &mut Arguments, text: &str) -> Result<(), &'static str> {
    let earlier = arguments.file.replace(text.into());
    if earlier.is_none() { Ok(()) } else { Err("say one file") }
}

fn url(arguments: &mut Arguments, text: &str) -> Result<(), &'static str> {
    arguments.url = Some(text.to_owned());
    let known = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(()) } else { Err("write the server's URL, like http://127.0.0.1:3001") }
}

fn grant(text: &str) -> Result<Selection, &'static str> {
    let id = GrantId::try_from(text.to_owned()).map(Selection::Grant);
    id.map_err(|_| "a grant's ID is the first column of `grants list`")
}

/// A person's number, bare or as the log has it, or else their login.
fn user(text: &str) -> Result<Selection, &'static str> {
    let number = text.strip_prefix("github:").unwrap_or(text);
    if number.bytes().all(|b| b.is_ascii_digit()) {
        return number
            .parse()
            .map(|id| Selection::User(UserId(id)))
            .map_err(|_| "an account's number has 1 to 19 digits");
    }
    values::login(text).map(Selection::Login)
}

fn client(text: &str) -> Result<Selection, &'static str> {
    let client = ClientFingerprint::parse(text).map(Selection::Client);
    client.ok_or("a program's fingerprint is the CLIENT column of `grants list`")
}

/// The command that a command line begins with.
///
/// # Errors
/// [`ConfigError::UnknownCommand`].
pub(super) fn of_line(line: &[String]) -> Result<&'static Command, ConfigError> {
    let words: Vec<&str> =
        line.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    // No command's words begin another's, but for the one that has none.
    let longest =
        COMMANDS.iter().filter(|command| words.starts_with(command.words)).max_by_key(|c| c.words.len());
    longest.filter(|command| !command.words.is_empty() || words.is_empty()).ok_or_else(|| {
        let like = COMMANDS.iter().filter(|command| command.words.first() == words.first());
        let like = like.map(|command| command.words.join(" ")).collect();
        ConfigError::UnknownCommand(words.join(" "), like)
    })
}

/// The help that a command line asks for: of the commands that begin with its words, or of everything. `None` if it asks for
/// none, or there is no such command.
pub(super) fn asked_help(program: &str, line: &[String]) -> Option<String> {
    let words: Vec<&str> =
        line.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    let words = match words.split_first() {
        Some((&"help", rest)) => rest,
        _ if line.iter().any(|word| word == "--help" || word == "-h") => words.as_slice(),
        _ => return None,
    };
    if words.is_empty() {
        return Some(options::help(program));
    }
    let asked = COMMANDS.iter().filter(|command| command.words.starts_with(words));
    let help: Vec<String> = asked.map(|command| command.help(program)).collect();
    (!help.is_empty()).then(|| help.join("\n"))
}

impl Command {
    /// What `COMMAND --help` prints.
    fn help(&self, program: &str) -> String {
        let mut out = format!("{}\n    {}\n\nOptions:\n", self.usage(program), self.help);
        out.push_str(&options::list(self.reads()));
        out
    }

    /// Which options it reads.
    pub(super) fn reads(&self) -> Reads {
        match self.action {
            Action::Operate(_) | Action::Health => Reads::StateFiles,
            Action::Serve | Action::Demo | Action::Check | Action::Help => Reads::Everything,
        }
    }

    #[cfg(test)]
    fn operates(&self) -> bool {
        self.reads() == Reads::StateFiles
    }

    /// Takes an argument of this command, with its value if it has one. Says whether it was one of its own.
    ///
    /// # Errors
    /// [`ConfigError`] if its value cannot be used.
    pub(super) fn take(
        &self,
        arguments: &mut Arguments,
        (word, attached): (&str, &Option<String>),
        rest: &mut dyn Iterator<Item = String>,
    ) -> Result<bool, ConfigError> {
        if word == JSON && attached.is_none() && matches!(self.action, Action::Operate(_)) {
            arguments.format = Format::Json;
            return Ok(true);
        }
        // A grant's ID is base64url and may begin with a hyphen. No flag looks like one.
        let is_flag = word.starts_with('-') && grant(word).is_err();
        let flag = is_flag.then_some(word);
        let Some(argument) = self.arguments.iter().find(|argument| argument.flag == flag) else {
            return Ok(false);
        };
        let name = argument.flag.or(self.words.first().copied().filter(|word| *word != "grants"));
        let name = name.unwrap_or("grants revoke");
        let value = match (argument.flag, argument.metavar) {
            (None, _) => Some(word.to_owned()),
            (Some(_), Some(_)) => attached.clone().or_else(|| rest.next()).filter(|value| !value.is_empty()),
            (Some(_), None) if attached.is_some() => {
                return Err(ConfigError::BadValue(name, "it takes no value"));
            }
            (Some(_), None) => Some(String::new()),
        };
        let value = value.ok_or(ConfigError::MissingValue(name))?;
        (argument.take)(arguments, &value).map_err(|why| ConfigError::BadValue(name, why))?;
        Ok(true)
    }

    /// `PROGRAM grants revoke (ID | --user LOGIN|NUMBER | …) [--json]`
    fn usage(&self, program: &str) -> String {
        let form = |argument: &Argument| {
            [argument.flag, argument.metavar].into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        let forms: Vec<String> = self.arguments.iter().map(form).collect();
        let arguments = match (forms.as_slice(), self.action) {
            ([], _) => String::new(),
            ([form], Action::Health) => format!("[{form}]"),
            ([form], _) => form.clone(),
            (forms, _) => format!("({})", forms.join(" | ")),
        };
        let options = if matches!(self.action, Action::Operate(_)) { "[--json]" } else { "" };
        let parts = [program, &self.words.join(" "), &arguments, options];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The commands as `--help` lists them.
pub(super) fn help(program: &str) -> String {
    let mut out = String::new();
    for command in COMMANDS {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {}\n      {}", command.usage(program), command.help);
    }
    out
}

/// The table of the operator's commands in the README, in Markdown. A test compares the two.
#[cfg(test)]
pub fn markdown() -> String {
    let mut out = String::from("| command | what it does |\n| --- | --- |\n");
    for command in COMMANDS.iter().filter(|command| command.operates()) {
        // Writing to a String cannot fail. A bar would end the cell.
        let _ = writeln!(
            out,
            "| `{}` | {} |",
            command.usage("mcp-oauth-server").replace('|', "\\|"),
            command.help
        );
    }
    out
}
