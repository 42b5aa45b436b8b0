//! The operator's commands: what they ask for, and what they do not take.

use super::*;
use crate::base::{ClientFingerprint, GrantId, TokenName};
use crate::operator::{Operation, Selection};

/// The command that these words are, in an environment that could not serve.
fn command(args: &[&str]) -> OperatorCommand {
    match parse(args, &[("HOME", "/home/me"), ("MCP_LISTEN", "nonsense")]) {
        Ok(Invocation::Operate(command)) => command,
        other => panic!("{args:?}: {other:?}"),
    }
}

#[test]
fn commands_say_what_the_operator_wants() {
    let check = |args: &[&str], expected| assert_eq!(command(args).operation, expected, "{args:?}");
    let revoke = Operation::Revoke;
    let client = ClientFingerprint::of("client");
    check(&["grants", "list"], Operation::ListGrants);
    check(&["key", "rotate"], Operation::RotateKey);
    check(&["grants", "revoke", "AAAAAAAAAAAAAAAAAAAAAA"], revoke(Selection::Grant(GrantId([0; 16]))));
    let hyphens = GrantId::try_from("--user---------------A".to_owned()).unwrap();
    check(&["grants", "revoke", "--user---------------A"], revoke(Selection::Grant(hyphens)));
    check(&["grants", "revoke", "--user", "octocat"], revoke(Selection::Login("octocat".to_owned())));
    check(&["grants", "revoke", "--user=583231"], revoke(Selection::Number(UserId(583_231))));
    check(&["grants", "revoke", "--user=0583231"], revoke(Selection::Login("0583231".to_owned())));
    check(&["grants", "revoke", "--user", "github:583231"], revoke(Selection::User(UserId(583_231))));
    check(&["grants", "revoke", "--client", client.as_str()], revoke(Selection::Client(client.clone())));
    check(&["grants", "revoke", "--all"], revoke(Selection::All));
}

#[test]
fn service_tokens_are_ordered_by_name() {
    let order = |args: &[&str]| {
        let command = command(&[&["tokens", "add"], args].concat());
        let Operation::AddToken(order) = command.operation else { panic!("{command:?}") };
        order
    };
    let (plain, name) = (order(&["ci"]), TokenName::parse("ci").unwrap());
    assert_eq!((plain.name, plain.days, plain.servers.len(), plain.addresses.len()), (name, 90, 0, 0));
    let full = order(&[
        "token:ci",
        "--server",
        "files",
        "--server=notes,mail",
        "--days",
        "365",
        "--address",
        "10.0.0.0/8,::1",
        "--address=192.0.2.7",
    ]);
    let addresses: Vec<String> = full.addresses.iter().map(ToString::to_string).collect();
    assert_eq!((full.name, full.days, full.servers.join(" ").as_str()), (name, 365, "files notes mail"));
    assert_eq!(addresses, ["10.0.0.0/8", "::1", "192.0.2.7"]);
    assert_eq!(command(&["tokens", "list"]).operation, Operation::ListTokens);
    assert_eq!(command(&["tokens", "revoke", "ci"]).operation, Operation::Revoke(Selection::Token(name)));
    refused(&["tokens", "add"], &[], "tokens add: give one name: up to 32 lower-case letters");
    refused(&["tokens", "add", "CI"], &[], "tokens add: give one name");
    refused(&["tokens", "revoke", "a", "b"], &[], "tokens revoke: give one name");
    refused(&["tokens", "add", "ci", "--days", "a year"], &[], "--days: write a number of days");
    refused(&["tokens", "add", "ci", "--address", "10.0.0.1/8"], &[], "ends in zeros, like 10.0.0.0/8");
    refused(&["tokens", "revoke", "ci", "--days", "1"], &[], "no option \"--days\"");
    // The command line's mistakes come before those of the files.
    refused(
        &["tokens", "add", "ci", "--days", "x"],
        &[("MCP_CONFIG", "/nonexistent")],
        "write a number of days",
    );
}

#[test]
fn maintenance_commands_are_parsed() {
    assert_eq!(command(&["status"]).operation, Operation::Status);
    let backup = command(&["backup", "/backups/today.redb"]);
    assert_eq!(
        (backup.operation, backup.file),
        (Operation::BackUp, Some(PathBuf::from("/backups/today.redb")))
    );
    refused(&["backup"], &[], "backup: say to which file");
    refused(&["backup", "a", "b"], &[], "backup: say to which file, and name only one");
    refused(&["store", "copy", "--from", "redb"], &[], "store copy: say two places");
    refused(&["store", "copy", "--from", "redb", "--to", "redb"], &[], "store copy: say two places");
    if cfg!(feature = "valkey") {
        let copy = command(&["store", "copy", "--from", "redb", "--to", "valkey://db/1"]).operation;
        let (from, to) = ("redb".to_owned(), "valkey://db/1".to_owned());
        assert_eq!(copy, Operation::CopyStore { from, to });
    } else {
        let line = ["store", "copy", "--from", "valkey://db/1", "--to", "redb"];
        refused(&line, &[], "make static FEATURES=valkey");
        refused(&["status"], &[("MCP_STORE", "valkey://db/1")], "make static FEATURES=valkey");
    }
    assert_eq!(command(&["backup", "/a=b"]).file, Some(PathBuf::from("/a=b")));
    let probe = |args: &[&str]| match parse(args, &[("MCP_STATE_DIR", "/state")]) {
        Ok(Invocation::Health { socket, url }) => (socket, url),
        other => panic!("{args:?}: {other:?}"),
    };
    let socket = PathBuf::from("/state/operator.sock");
    assert_eq!(probe(&["health"]), (socket.clone(), None));
    let url = "http://10.0.0.7:3001/".to_owned();
    assert_eq!(probe(&["health", "--url", &url]), (socket, Some(url.clone())));
    let elsewhere = probe(&["health", "--operator-socket=/run/mcp/o.sock"]);
    assert_eq!(elsewhere.0, PathBuf::from("/run/mcp/o.sock"));
    refused(&["health", "--url", "10.0.0.7"], &[], "--url: write the server's URL");
    refused(&["health", "--json"], &[], "no option \"--json\"");
    refused(&["status", "--operator-socket", "o.sock"], &[], "write an absolute path");
}

#[test]
fn a_command_needs_to_know_where_the_state_is_and_no_more() {
    let files = command(&["grants", "list", "--state-dir", "/var/lib/mcp", "--json"]);
    assert_eq!((files.format, files.files.directory), (log::Format::Json, PathBuf::from("/var/lib/mcp")));
    assert_eq!(files.files.key_file.path, PathBuf::from("/var/lib/mcp/key"));
    let files = command(&["key", "rotate", "--key-file=/keys/mcp"]).files;
    assert_eq!(files.key_file.path, PathBuf::from("/keys/mcp"));
    assert_eq!(files.directory, PathBuf::from("/home/me/.local/state/our-server"));
    refused(&["grants", "list", "--listen", "127.0.0.1:1"], &[], "this command has no option \"--listen\"");
    refused(&["key", "rotate", "--listen=x"], &[], "no option \"--listen\"; --help lists those it has");
    let Ok(Invocation::Print(help)) = parse(&["key", "rotate", "--help"], &[]) else { panic!("no help") };
    let flags: Vec<&str> =
        help.lines().filter_map(|line| line.strip_prefix("  --")?.split(' ').next()).collect();
    assert_eq!(
        flags,
        [
            "audit-log",
            "config",
            "state-dir",
            "store",
            "store-password-file",
            "key-file",
            "operator-socket",
            "ca-file"
        ]
    );
    refused(&["grants", "list"], &[("HOME", "")], "MCP_STATE_DIR is not set");
}

/// Else that flag would be taken for the ID of a grant.
#[test]
fn no_flag_can_be_read_as_a_grant_id() {
    for flag in OPTIONS.iter().map(|option| option.flag()) {
        assert!(GrantId::try_from(flag.clone()).is_err(), "{flag}");
    }
}

/// Nothing is ended that was not named, and nothing is guessed.
#[test]
fn ambiguous_commands_are_refused() {
    refused(&["grant"], &[], "no command \"grant\"; leave it out to serve, or write one of: demo, check, ");
    refused(&["grants"], &[], "no command \"grants\"");
    refused(&["grants", "lists"], &[], "no command \"grants lists\"");
    refused(&["grant", "list"], &[], "no command \"grant list\"");
    refused(&["key"], &[], "no command \"key\"");
    refused(&["key", "rotate", "now"], &[], "key rotate takes no argument \"now\"");
    refused(&["grants", "list", "--all"], &[], "no option \"--all\"");
    refused(&["grants", "revoke"], &[], "say what is to end");
    refused(&["grants", "revoke", "--all", "--user", "octocat"], &[], "give one of these");
    refused(
        &["grants", "revoke", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA"],
        &[],
        "give one of these",
    );
    for (command, flag, value) in [
        ("health", "--url", "http://a"),
        ("tokens add ci", "--days", "30"),
        ("store copy --to redb", "--from", "redb"),
        ("store copy --from redb", "--to", "redb"),
        ("grants revoke", "--user", "octocat"),
        ("grants revoke", "--client", "AAAA"),
        ("check", "--as", "user:octocat"),
    ] {
        let words: Vec<&str> = command.split(' ').chain([flag, value, flag, value]).collect();
        refused(&words, &[], &format!("{flag} is given twice"));
    }
    refused(&["status", "--json", "--json"], &[], "--json is given twice");
    refused(&["grants", "revoke", "--all=yes"], &[], "--all: it takes no value");
    refused(&["grants", "revoke", "--user"], &[], "--user needs a value");
    refused(&["grants", "revoke", "--user="], &[], "--user needs a value");
    refused(&["grants", "revoke", "--user", "a b"], &[], "--user: a login");
    refused(&["grants", "revoke", "--user", "99999999999999999999999"], &[], "--user: an account's number");
    refused(&["grants", "revoke", "--client", "octocat"], &[], "--client: a client's fingerprint");
    refused(&["grants", "revoke", "octocat"], &[], "grants revoke: a grant's ID");
    refused(&["demo", "--json"], &[], "no option \"--json\"");
    refused(&["servers", "forget"], &[], "servers forget: say a name of `servers list`");
    refused(&["servers", "forget", "files", "7", "8"], &[], "servers forget: say a name of `servers list`");
    refused(&["servers", "forget", "files", "octocat"], &[], "servers forget: a person is the number");
}

#[test]
fn help_has_every_command() {
    let help = help::all("our-server");
    for command in COMMANDS {
        assert!(help.contains(&command.words.join(" ")), "{:?}", command.words);
    }
    assert!(help.starts_with("our-server: MCP over") && help.contains("  our-server demo ["), "{help}");
    assert!(
        help.contains("grants revoke (ID | --user LOGIN|NUMBER | --client FINGERPRINT | --all) [--json]"),
        "{help}"
    );
}

/// Each command's own help, and no more.
#[test]
fn a_command_explains_itself() {
    let help_of = |args: &[&str]| match parse(args, &[]) {
        Ok(Invocation::Print(text)) => text,
        other => panic!("{args:?}: {other:?}"),
    };
    let revoke = help_of(&["grants", "revoke", "--help"]);
    assert!(
        revoke.starts_with("our-server grants revoke (ID |") && revoke.contains("--state-dir DIR"),
        "{revoke}"
    );
    assert!(!revoke.contains("--allow") && !revoke.contains("grants list"), "{revoke}");
    assert_eq!(help_of(&["help", "grants", "revoke"]), revoke);
    let both = help_of(&["grants", "-h"]);
    assert!(both.contains("our-server grants revoke (") && both.contains("our-server grants list"), "{both}");
    assert!(help_of(&["check", "--allow", "any", "--help"]).contains("--allow RULES"));
    let servers = help_of(&["servers", "--help"]);
    assert_eq!((servers.matches("our-server servers").count(), servers.matches("Options:").count()), (3, 1));
    assert_eq!(help_of(&["--help"]), help::all("our-server"));
    refused(&["nonsense", "--help"], &[], "there is no command");
    for word in ["--help", "-h", "--version", "-V", "help"] {
        let of_the_program = parse(&["--", "npx", word], READY);
        assert!(matches!(of_the_program, Ok(Invocation::Serve(_))), "{word}: {of_the_program:?}");
    }
    assert!(matches!(parse(&["--version", "--", "npx"], &[]), Ok(Invocation::Print(_))));
}

/// P1: the vector of arguments is taken as it stands, whatever is in it.
#[test]
fn arguments_after_two_hyphens_are_the_command_to_run() {
    let of = |args: &[&str]| config(args, &[("MCP_STATE_DIR", "/state"), ("KEY", "k")]).bridge;
    let bridge = of(&["--env", "A=1,2=3", "--env=KEY", "--", "npx", "-y", "--", "--listen", "a b"]);
    assert_eq!(bridge.command, ["npx", "-y", "--", "--listen", "a b"]);
    assert_eq!(
        (bridge.env.as_slice(), bridge.programs()),
        (&["A=1,2=3".to_owned(), "KEY".to_owned()][..], 64)
    );
    assert_eq!(of(&[]).programs(), 0);
    assert_eq!(of(&["--max-children", "3", "--", "x"]).programs(), 3);
    assert!(
        matches!(parse(&["check", "--", "x"], READY), Ok(Invocation::Check(config)) if config.bridge.programs() > 0)
    );
    refused(&["--"], &[], "--: write the program");
    refused(&["--=x"], &[], "no option \"--\"");
    refused(&["check", "--=x"], &[], "no option \"--\"");
    refused(&["status", "--", "x"], &[], "no option \"--\"");
    refused(&["status", "--env", "A"], &[], "no option \"--env\"");
    refused(&["--bridge-idle", "0"], &[], "--bridge-idle: write a number of seconds");
    refused(&["--children-dir", "here"], &[], "--children-dir: write an absolute path");
}
