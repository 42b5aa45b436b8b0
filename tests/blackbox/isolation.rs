//! The isolation between programs of different people, and from the server: two people with two client programs each, in front of
//! programs that read their surroundings.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::{Value, json};

use crate::bridge::{NOBODY, executable, in_front_of_peer, is_root, text};
use crate::support::github::FakeGitHub;
use crate::support::server::Server;
use crate::support::walk::{modern, reply};

/// A server variable that no program may see.
const CANARY: (&str, &str) = ("SECRET_OF_THE_SERVER", "canary-of-the-server");
const OPTIONS: [&str; 2] = ["--env", "GITHUB_TOKEN=${github.token}"];
const DENIED: &str = "PermissionDenied";

fn call(server: &Server, token: &str, tool: &str, arguments: Value) -> Value {
    let request = modern("tools/call", json!({ "name": tool, "arguments": arguments }));
    reply(&request.bearer(token).send(server.authority()).unwrap())["result"]["structuredContent"].clone()
}

/// The outcome of a program's attempt to read these files.
fn read(server: &Server, token: &str, paths: &[String]) -> Vec<String> {
    let read = call(server, token, "read", json!({ "paths": paths }))["read"].clone();
    serde_json::from_value(read).unwrap()
}

/// A running program and its client.
struct Program {
    token: String,
    pid: String,
    environment: serde_json::Map<String, Value>,
}

impl Program {
    fn start(server: &Server) -> Program {
        let (_, tokens) = server.login();
        let environment = call(server, &tokens.access, "environment", json!({}));
        let environment = environment.as_object().unwrap().clone();
        let pid = text(server, &tokens.access, "pid");
        Program { token: tokens.access, pid, environment }
    }

    fn variable(&self, name: &str) -> &str {
        self.environment[name].as_str().unwrap()
    }

    fn owner(&self) -> u32 {
        fs::metadata(format!("/proc/{}", self.pid)).unwrap().uid()
    }
}

/// Two programs of octocat, then two of hubot.
fn programs(github: &FakeGitHub, server: &Server) -> Vec<Program> {
    let people = [("octocat", 583_231), ("octocat", 583_231), ("hubot", 7), ("hubot", 7)];
    let start = |(login, id)| {
        github.log_in_as(login, id);
        Program::start(server)
    };
    people.map(start).into()
}

fn start(github: &FakeGitHub, user: Option<&str>) -> Server {
    let executable = executable();
    let mut more = vec![("PATH", "/usr/bin:/bin"), CANARY, ("MCP_ALLOW", "user:octocat,user:hubot")];
    more.extend(user.map(|user| ("MCP_CHILD_USER", user)));
    let arguments = in_front_of_peer(&OPTIONS, &executable);
    match user {
        // The programs run as the server's user, which is not root.
        None if is_root() => Server::start_as(NOBODY.parse().unwrap(), github, &arguments, &more),
        _ => Server::start_command(github, &arguments, &more),
    }
}

/// Files of a process that contain its secrets.
fn of_process(pid: &str) -> Vec<String> {
    ["environ", "mem", "maps", "fd"].map(|file| format!("/proc/{pid}/{file}")).into()
}

/// Files that a server has in its state directory.
fn of_server(server: &Server) -> Vec<String> {
    let files = fs::read_dir(server.state_dir()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.is_file()).map(|path| path.display().to_string()).collect();
    assert!(files.iter().any(|path| path.contains("key")) && files.len() > 1, "{files:?}");
    files
}

/// P1, P2, M5: each program has a process and a token of its own, each person a home, and no program a secret of the server or of
/// another person.
#[test]
fn programs_of_two_people_share_nothing() {
    let github = FakeGitHub::start();
    let server = start(&github, is_root().then_some(NOBODY));
    let programs = programs(&github, &server);
    let distinct = |of: &dyn Fn(&Program) -> String| programs.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&|program| program.pid.clone()), 4);
    assert_eq!(distinct(&|program| program.variable("GITHUB_TOKEN").to_owned()), 4);
    assert_eq!(distinct(&|program| program.variable("HOME").to_owned()), 2, "one for each person");
    for program in &programs {
        let names: Vec<_> = program.environment.keys().map(String::as_str).collect();
        assert_eq!(names, ["GITHUB_TOKEN", "HOME", "PATH", "TMPDIR"]);
        let whole = fs::read(format!("/proc/{}/environ", program.pid)).unwrap();
        let whole = String::from_utf8_lossy(&whole).into_owned();
        for secret in [CANARY.1, crate::support::github::CLIENT_SECRET, program.token.as_str()] {
            assert!(!whole.contains(secret), "{whole}");
        }
    }
    for (index, person) in [(0, "583231"), (2, "7")] {
        let home = programs[index].variable("HOME");
        assert!(home.ends_with(&format!("/{person}/home")), "{home}");
        let modes = ["", "/..", "/../..", "/../../.."]
            .map(|up| fs::metadata(format!("{home}{up}")).unwrap().permissions().mode() & 0o777);
        assert_eq!(modes, [0o700, 0o711, 0o711, 0o711], "{home}");
        assert_eq!(fs::metadata(home).unwrap().uid(), programs[index].owner());
    }
}

/// M5: a token is checked with GitHub before a program gets it; if it is refused, nothing starts, and its client logs in again.
#[test]
fn a_refused_token_starts_no_program() {
    let github = FakeGitHub::start();
    let server = start(&github, is_root().then_some(NOBODY));
    let (_, tokens) = server.login();
    github.withdraw();
    let request = || modern("tools/list", json!({})).bearer(&tokens.access).send(server.authority()).unwrap();
    let message = reply(&request())["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("log in again"), "{message}");
    assert!(!server.log().contains("program.started"));
    request().expect(401);
}

/// The limits in SECURITY.md of programs that run as the server's user: its memory and environment are inaccessible to them, its
/// files and the programs of others are not.
#[test]
fn a_program_of_the_servers_user_reads_its_files_but_not_its_memory() {
    let github = FakeGitHub::start();
    let server = start(&github, None);
    let programs = programs(&github, &server);
    let [curious, other] = [&programs[0], &programs[2]];
    assert_eq!(curious.owner(), fs::metadata(server.state_dir()).unwrap().uid());
    let memory = of_process(&server.id().to_string());
    let tried = read(&server, &curious.token, &memory);
    assert!(tried.iter().all(|outcome| outcome == DENIED), "{memory:?}: {tried:?}");
    let environ = [format!("/proc/{}/environ", other.pid)];
    let tried = read(&server, &curious.token, &environ);
    assert!(
        tried[0].contains(other.variable("GITHUB_TOKEN")),
        "programs of one user can read each other: {tried:?}"
    );
    let files = of_server(&server);
    let tried = read(&server, &curious.token, &files);
    assert!(!tried.iter().any(|outcome| outcome == DENIED), "{files:?}: {tried:?}");
}

/// A separate user for all programs protects the server's files from them, a user for each person also the programs and files of others.
#[test]
fn a_program_of_another_user_reads_nothing_of_the_server() {
    if !is_root() {
        return;
    }
    for (user, are_apart) in [(NOBODY, false), ("200000-200009", true)] {
        let github = FakeGitHub::start();
        let server = start(&github, Some(user));
        let programs = programs(&github, &server);
        let [curious, other] = [&programs[0], &programs[2]];
        let guardian = fs::read_to_string(format!("/proc/{}/stat", curious.pid)).unwrap();
        let guardian =
            guardian.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(1).unwrap().to_owned();
        let closed =
            [of_process(&server.id().to_string()), of_process(&guardian), of_server(&server)].concat();
        let tried = read(&server, &curious.token, &closed);
        assert!(tried.iter().all(|outcome| outcome == DENIED), "{user}: {closed:?}: {tried:?}");
        let theirs = [format!("/proc/{}/environ", other.pid), format!("{}/.", other.variable("HOME"))];
        let tried = read(&server, &curious.token, &theirs);
        assert_eq!(tried.iter().all(|outcome| outcome == DENIED), are_apart, "{user}: {tried:?}");
        assert_eq!(curious.owner() != other.owner(), are_apart);
        assert_eq!(programs[0].owner(), programs[1].owner(), "one for each person");
    }
}
