//! The table of commands, and how a command line is split into a command, its arguments and options.

use std::path::PathBuf;

use super::options::{self, ConfigOption, Reads};
use super::sources::Given;
use super::values;
use crate::base::{
    ClientFingerprint, GrantId, Network, StartupError, Subject, TokenName, UserId, limits, log,
};
use crate::oauth::TokenOrder;
use crate::operator::{Operation, Selection};
use crate::store::StorePlace;
use crate::store::key_file::KeyFile;

/// An operation on a server's grants or key, and how to carry it out.
#[derive(Debug, PartialEq, Eq)]
pub struct OperatorCommand {
    pub operation: Operation,
    pub files: StateFiles,
    /// Where a backup goes.
    pub file: Option<PathBuf>,
    /// How the outcome is printed.
    pub format: log::Format,
}

/// The files of a server that the operator's commands work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFiles {
    pub directory: PathBuf,
    pub key_file: KeyFile,
    /// The operator's socket.
    pub socket: PathBuf,
    pub audit_log: Option<PathBuf>,
    /// Where the grants are.
    pub store: StorePlace,
}

/// The effect of a command.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Serve,
    Demo,
    Check,
    Health,
    Help,
    /// Asks the running server, or works on the state directory itself.
    Operate(fn(&CommandLine) -> Result<Operation, StartupError>),
}

/// One command.
pub(super) struct Command {
    /// Its words; none to serve.
    pub(super) words: &'static [&'static str],
    /// Its arguments besides options, as help shows them.
    arguments: &'static str,
    pub(super) help: &'static str,
    pub(super) action: Action,
}

/// A parsed command line.
pub(super) struct CommandLine {
    pub(super) command: &'static Command,
    /// The options of the table.
    pub(super) options: Vec<Given>,
    /// The flags that only some commands have, each with its value; empty for one that takes none.
    flags: Vec<(String, String)>,
    /// Its arguments that are no flags.
    pub(super) arguments: Vec<String>,
    /// The program to be served, with its arguments.
    pub(super) program: Vec<String>,
}

/// How a program to be served is written.
const BRIDGED: &str = "[[--env NAME[=VALUE]]... -- COMMAND [ARG...] | --upstream URL [--header 'NAME: VALUE']... | --servers FILE]";

/// The flags that may be repeated. Of any other, one value would be ignored.
const REPEATED: [&str; 5] = ["--address", "--env", "--header", "--member", "--server"];

/// How `grants revoke` is told which grants.
const SELECTION: &str = "(ID | --user LOGIN|NUMBER | --client FINGERPRINT | --all)";

const fn command(words: &'static [&'static str], arguments: &'static str, action: Action) -> Command {
    Command { words, arguments, help: "", action }
}

/// Every command, in the order in which `--help` and the README show them.
pub(super) const COMMANDS: &[Command] = &[
    command(&[], BRIDGED, Action::Serve).help(
        "serve this program's own tools, or an MCP server: a COMMAND that speaks MCP on standard input and output, started \
         for each person and client (--env gives it variables), a URL (--header adds headers), or several from a FILE",
    ),
    command(&["demo"], BRIDGED, Action::Demo)
        .help("serve on loopback with a simulated GitHub, no account needed"),
    command(&["check"], BRIDGED, Action::Check).help(
        "report what the options mean, what is unsafe, and whether the server would start; --start also starts each MCP \
         server behind it once and reports what it offers; --as user:LOGIN, id:NUMBER or token:NAME reports what the access rules \
         open to them, with --member org:ORG and --member team:ORG/SLUG for each of their groups (the org of a team is a --member of its own)",
    ),
    command(&["grants", "list"], "", Action::Operate(|_| Ok(Operation::ListGrants)))
        .help("list the grants: which person let which client in, and when it was last used"),
    command(&["grants", "revoke"], SELECTION, Action::Operate(revoke)).help(
        "end one grant, those of a person (github:NUMBER if the number is also a login) or a client, or all, with their tokens, sessions and streams",
    ),
    command(&["tokens", "add"], "NAME [--server NAME]... [--days 90] [--address NETWORK]...", Action::Operate(add_token)).help(
        "make a service token for a client that cannot log in, for the servers named here if there are several; print it once, with \
         a configuration of the client",
    ),
    command(&["tokens", "list"], "", Action::Operate(|_| Ok(Operation::ListTokens)))
        .help("list the service tokens: when each ends and was last used, where it may be used from, and its servers"),
    command(&["tokens", "revoke"], "NAME", Action::Operate(revoke_token))
        .help("end a service token, with its sessions and streams"),
    command(&["key", "rotate"], "", Action::Operate(|_| Ok(Operation::RotateKey))).help(
        "encrypt with a new key from now on, at once if the server runs; what was encrypted with older keys stays valid",
    ),
    command(&["backup"], "FILE", Action::Operate(back_up))
        .help("copy the grants, without the key, to a new file; the copy is consistent also while the server runs"),
    command(&["store", "copy"], "--from PLACE --to PLACE", Action::Operate(copy_store))
        .help("copy the grants from redb, the file, to the URL of MCP_STORE or back, while no server runs"),
    command(&["status"], "", Action::Operate(|_| Ok(Operation::Status))).help(
        "print since when the server is up, its version, and the number of grants, sessions, streams, running calls and \
         programs",
    ),
    command(&["servers", "list"], "", Action::Operate(|_| Ok(Operation::ListServers)))
        .help("list the MCP servers behind the running server: running programs, restarts, failures, the last failure"),
    command(&["servers", "restart"], "NAME", Action::Operate(restart))
        .help("end the programs of one MCP server; the next call starts them again"),
    command(&["servers", "forget"], "NAME [NUMBER|token:NAME]", Action::Operate(forget))
        .help("remove the home directories of one MCP server, or that of one person or service token"),
    command(&["health"], "[--url URL]", Action::Health).help(
        "exit with 0 if the server is up, else with 1; asks over the operator's socket, or at the URL",
    ),
    command(&["help"], "", Action::Help).help("print this"),
];

impl Command {
    const fn help(self, help: &'static str) -> Command {
        Command { help, ..self }
    }

    /// Whether a program to be served may stand behind `--`.
    fn is_bridged(&self) -> bool {
        matches!(self.action, Action::Serve | Action::Demo | Action::Check)
    }

    /// Whether it takes arguments that are no flags. Help shows them first.
    fn takes_arguments(&self) -> bool {
        !self.arguments.is_empty() && !self.arguments.starts_with('[')
    }

    /// An error for an argument of a command that takes none.
    fn surplus(&self, word: &str) -> StartupError {
        let name = self.words.join(" ");
        let program = if self.is_bridged() { "; a program to be served stands behind --" } else { "" };
        StartupError::new(if name.is_empty() {
            format!("{word:?} is no option; if it is a program to be served, write -- before it")
        } else {
            format!("{name} takes no argument {word:?}; {name} --help shows what it takes{program}")
        })
    }

    /// Whether a flag of its own takes a value: in its usage something other than a flag follows. `None` if its usage has no such flag.
    fn takes_value(&self, flag: &str) -> Option<bool> {
        let usage = self.usage("");
        let mut words = usage.split([' ', '[', ']', '(', ')', '|']).filter(|word| !word.is_empty());
        words.find(|word| *word == flag && *word != "--")?;
        Some(words.next().is_some_and(|next| !next.starts_with('-')))
    }

    /// Which options it reads.
    pub(super) fn reads(&self) -> Reads {
        match self.action {
            Action::Serve | Action::Check | Action::Help => Reads::Everything,
            Action::Demo => Reads::Demo,
            Action::Health | Action::Operate(_) => Reads::StateFiles,
        }
    }

    /// `PROGRAM grants revoke (ID | --user LOGIN|NUMBER | …) [--json]`
    pub(super) fn usage(&self, program: &str) -> String {
        let parts = match self.action {
            Action::Check => vec!["[--start] [--as WHO [--member GROUP]...]", self.arguments],
            Action::Operate(_) => vec![self.arguments, "[--json]"],
            Action::Serve | Action::Demo | Action::Health | Action::Help => vec![self.arguments],
        };
        let parts = [&[program], self.words, &parts].concat();
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The words with which a command line begins.
pub(super) fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect()
}

/// The command that a command line begins with. No command's words begin another's, apart from those of `serve`, which has none.
fn find(line: &[String]) -> Result<&'static Command, StartupError> {
    let words = words(line);
    let longest =
        COMMANDS.iter().filter(|command| words.starts_with(command.words)).max_by_key(|c| c.words.len());
    longest.filter(|command| !command.words.is_empty() || words.is_empty()).ok_or_else(|| {
        let names: Vec<_> = COMMANDS.iter().skip(1).map(|command| command.words.join(" ")).collect();
        StartupError::new(format!(
            "there is no command {:?}; leave it out to serve, or write one of: {}; a program to be served stands behind --",
            words.join(" "),
            names.join(", ")
        ))
    })
}

/// Splits a command line.
pub(super) fn parse(line: Vec<String>) -> Result<CommandLine, StartupError> {
    let command = find(&line)?;
    let (options, flags, arguments, program) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut parsed = CommandLine { command, options, flags, arguments, program };
    let mut args = line.into_iter().skip(command.words.len());
    while let Some(arg) = args.next() {
        if arg == "--" && command.is_bridged() {
            parsed.program = args.collect();
            let missing = || StartupError::unusable("--", "write the program to be served behind it");
            parsed.program.first().ok_or_else(missing)?;
            break;
        }
        // A grant's ID is base64url and may begin with a hyphen. No flag looks like one.
        if !arg.starts_with('-') || grant(&arg).is_ok() {
            if !command.takes_arguments() {
                return Err(command.surplus(&arg));
            }
            parsed.arguments.push(arg);
            continue;
        }
        let (flag, attached) = arg.split_once('=').unzip();
        parsed.take_flag(flag.unwrap_or(&arg), attached.map(str::to_owned), &mut args)?;
    }
    if parsed.program.is_empty() && parsed.has("--env") {
        let why = "it is a variable of a program to be served: write the program at the end, behind --";
        return Err(StartupError::unusable("--env", why));
    }
    if let Action::Operate(operation) = command.action {
        operation(&parsed)?;
    }
    Ok(parsed)
}

impl CommandLine {
    /// Takes a flag. Its value is attached to it by an equals sign, or is the next argument.
    fn take_flag(
        &mut self,
        flag: &str,
        attached: Option<String>,
        rest: &mut dyn Iterator<Item = String>,
    ) -> Result<(), StartupError> {
        let is_bare = attached.is_none();
        let value = || {
            let value = attached.or_else(|| rest.next()).filter(|value| !value.is_empty());
            value.ok_or_else(|| StartupError::new(format!("{flag} needs a value")))
        };
        match options::of_flag(flag, self.command.reads()) {
            Ok(option) => return self.add_option(option, value()?),
            Err(unknown) => match self.command.takes_value(flag) {
                None => return Err(unknown),
                Some(_) if self.has(flag) && !REPEATED.contains(&flag) => return Err(repeated(flag)),
                Some(true) => self.flags.push((flag.to_owned(), value()?)),
                Some(false) if is_bare => self.flags.push((flag.to_owned(), String::new())),
                Some(false) => return Err(StartupError::unusable(flag, "it takes no value")),
            },
        }
        Ok(())
    }

    /// The values of a flag, in their order.
    pub(super) fn texts<'l>(&'l self, flag: &'l str) -> impl Iterator<Item = &'l str> {
        self.flags.iter().filter(move |(name, _)| name == flag).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, flag: &str) -> bool {
        self.texts(flag).next().is_some()
    }

    /// The values of a flag, each read by `read`, which says what is wrong with it.
    pub(super) fn values<T>(
        &self,
        flag: &str,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, StartupError> {
        self.texts(flag).map(|text| read(text).map_err(|why| StartupError::unusable(flag, why))).collect()
    }

    fn add_option(&mut self, option: &'static ConfigOption, value: String) -> Result<(), StartupError> {
        match self.options.iter_mut().find(|earlier| earlier.option.env == option.env) {
            Some(earlier) if option.is_list() => earlier.value = format!("{},{value}", earlier.value),
            Some(_) => return Err(repeated(&option.flag())),
            None => {
                let (place, name) = ("the command line".to_owned(), option.flag());
                self.options.push(Given { option, value, place, name });
            }
        }
        Ok(())
    }
}

fn repeated(flag: &str) -> StartupError {
    StartupError::new(format!("{flag} is given twice"))
}

fn revoke(line: &CommandLine) -> Result<Operation, StartupError> {
    let unusable = |why| StartupError::unusable("grants revoke", why);
    let ids = line.arguments.iter().map(|id| grant(id).map_err(unusable)).collect::<Result<_, _>>()?;
    let (users, clients) = (line.values("--user", user)?, line.values("--client", client)?);
    let all = line.values("--all", |_| Ok(Selection::All))?;
    match [ids, users, clients, all].concat().as_slice() {
        [selection] => Ok(Operation::Revoke(selection.clone())),
        [] => Err(unusable("say what is to end: an ID, or --user, --client or --all")),
        [..] => Err(unusable("give one of these: an ID, or --user, --client or --all")),
    }
}

fn add_token(line: &CommandLine) -> Result<Operation, StartupError> {
    let networks = |text: &str| text.split(',').map(Network::parse).collect::<Result<Vec<_>, _>>();
    let days = |text: &str| text.parse().map_err(|_| "write a number of days, like 90");
    Ok(Operation::AddToken(TokenOrder {
        name: token_name(line)?,
        servers: line.texts("--server").flat_map(|names| names.split(',')).map(str::to_owned).collect(),
        days: line.values("--days", days)?.pop().unwrap_or(limits::service_token::DAYS.0),
        addresses: line.values("--address", networks)?.concat(),
    }))
}

fn revoke_token(line: &CommandLine) -> Result<Operation, StartupError> {
    Ok(Operation::Revoke(Selection::Token(token_name(line)?)))
}

fn token_name(line: &CommandLine) -> Result<TokenName, StartupError> {
    const FORM: &str = "give one name: up to 32 lower-case letters, digits, - and _, a letter or digit first";
    let name = only_argument(line, FORM)?;
    let name = TokenName::parse(name.strip_prefix("token:").unwrap_or(name));
    name.ok_or_else(|| StartupError::unusable(line.command.words.join(" "), FORM))
}

/// The argument of a command that takes exactly one, which `what` asks for.
fn only_argument<'l>(line: &'l CommandLine, what: &str) -> Result<&'l str, StartupError> {
    match line.arguments.as_slice() {
        [argument] => Ok(argument),
        [] | [..] => Err(StartupError::unusable(line.command.words.join(" "), what)),
    }
}

fn restart(line: &CommandLine) -> Result<Operation, StartupError> {
    let server = only_argument(line, "give one name of `servers list`")?;
    Ok(Operation::RestartServer(server.to_owned()))
}

fn forget(line: &CommandLine) -> Result<Operation, StartupError> {
    let unusable = |why| StartupError::unusable("servers forget", why);
    let (server, user) = match line.arguments.as_slice() {
        [server] => (server, None),
        [server, person] => (server, Some(person)),
        [] | [..] => {
            return Err(unusable(
                "say a name of `servers list`, and perhaps the number of one person or token:NAME",
            ));
        }
    };
    let subject = user.map(|person| match (TokenName::try_from(person.clone()), self::user(person)) {
        (Ok(token), _) => Ok(Subject::Token(token)),
        (Err(_), Ok(Selection::User(id) | Selection::Number(id))) => Ok(Subject::User(id)),
        (Err(_), Ok(_) | Err(_)) => Err(unusable(
            "a person is the number in the USER column of `grants list`, and a service token is token:NAME",
        )),
    });
    Ok(Operation::ForgetServer { server: server.clone(), subject: subject.transpose()? })
}

fn back_up(line: &CommandLine) -> Result<Operation, StartupError> {
    only_argument(line, "say to which file, and name only one").map(|_| Operation::BackUp)
}

fn copy_store(line: &CommandLine) -> Result<Operation, StartupError> {
    let places = (line.values("--from", values::place)?.pop(), line.values("--to", values::place)?.pop());
    match places {
        (Some(from), Some(to)) if from != to && line.arguments.is_empty() => {
            Ok(Operation::CopyStore { from, to })
        }
        _ => Err(StartupError::unusable(
            "store copy",
            "say two places: --from redb --to URL, or the other way",
        )),
    }
}

fn grant(text: &str) -> Result<Selection, &'static str> {
    let id = GrantId::try_from(text.to_owned()).map(Selection::Grant);
    id.map_err(|_| "a grant's ID is the first column of `grants list`")
}

/// A person's number, bare or as the log has it, or else their login. Numbers begin with no zero, logins of digits may.
fn user(text: &str) -> Result<Selection, &'static str> {
    let number = text.strip_prefix("github:").unwrap_or(text);
    if number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0') {
        let id = number.parse().map(UserId).map_err(|_| "an account's number has 1 to 19 digits")?;
        return Ok(if number == text { Selection::Number(id) } else { Selection::User(id) });
    }
    values::checked_login(text).map(Selection::Login)
}

fn client(text: &str) -> Result<Selection, &'static str> {
    let client = ClientFingerprint::parse(text).map(Selection::Client);
    client.ok_or("a client's fingerprint is the CLIENT column of `grants list`")
}
