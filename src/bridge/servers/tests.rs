use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::base::fake::principal;
use crate::base::{Principal, Secret};
use crate::bridge::entry::BridgeOptions;
use crate::bridge::template::Template;

fn read(text: &str) -> Result<Vec<ServerEntry>, Vec<String>> {
    let variables = [("PATH", "/usr/bin:/bin"), ("FILES_KEY", "k1"), ("MCP_STATE_DIR", "/canary")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = BridgeOptions { variables, ..BridgeOptions::default() };
    let setup = BridgeSetup {
        options: &options,
        name: "n",
        version: "1",
        state_dir: Path::new("/nonexistent/state"),
        ca_file: None,
        root_is_fine: true,
        is_reserved: |name| ["mcp", "token"].contains(&name),
    };
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (process, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let file = std::env::temp_dir().join(format!("mcp-servers-test-{process}-{number}"));
    fs::write(&file, text).unwrap();
    let mistakes = |all: Vec<StartupError>| {
        let texts = all.iter().map(ToString::to_string);
        let named = format!("MCP_SERVERS ({})", file.display());
        texts.map(|text| text.replacen(&named, "f.json", 1)).collect()
    };
    let entries = super::read(&file, setup).map_err(mistakes);
    fs::remove_file(&file).unwrap();
    entries
}

/// Checks that a file with one server of these members has exactly these mistakes.
fn check(members: &str, expected: &[&str]) {
    let texts = read(&format!(r#"{{"mcpServers":{{"s":{members}}}}}"#)).err().unwrap_or_default();
    assert_eq!(texts.len(), expected.len(), "{members}: {texts:#?}");
    for (text, expected) in texts.iter().zip(expected) {
        let is_expected = text.starts_with("f.json: server \"s\"") && text.contains(expected);
        assert!(is_expected && !text.contains("canary") && text.is_ascii(), "{members}: {text}");
    }
}

fn program(entry: &ServerEntry) -> &Executable {
    match &entry.location {
        Location::Program(program) => program,
        Location::Upstream { .. } => panic!("{}", entry.name),
    }
}

/// A3, A8: a server's rules are read with it, and are not part of the digest.
#[test]
fn rules_are_read_with_their_server() {
    let server = |access: &str| {
        let text = format!(r#"{{"mcpServers":{{"s":{{"command":"sh"{access}}}}}}}"#);
        read(&text).unwrap().remove(0)
    };
    let (open, ruled) = (server(""), server(r#","access":[{"allow":["org:acme"],"tools":["a*"]}]"#));
    assert_eq!(open.digest, ruled.digest);
    assert_eq!((open.access.has_groups(), ruled.access.has_groups()), (false, true));
    check(
        r#"{"command":"sh","access":[{"allow":["acme"]},{"alow":["any"]}]}"#,
        &["access: rule 1", "access: rule 2"],
    );
    check(r#"{"command":"sh","access":{"allow":["any"]}}"#, &["access: write a list of rules"]);
}

#[test]
fn every_member_is_read() {
    let entries = read(
        r#"{ "mcpServers": {
            "files": { "type": "stdio", "command": "sh", "args": ["-y", "server", "cost: $${X}"],
                "env": { "WHO": "${user.login}", "KEY": "${env.FILES_KEY}" }, "cwd": "/usr", "user": "54321", "home": "shared",
                "isolation": "user", "startSeconds": 120, "idleSeconds": 5, "title": "Files" },
            "gh": { "command": "/bin/sh", "env": { "T": "${github.token}" }, "githubScopes": ["repo"] },
            "notes": { "type": "http", "url": "http://127.0.0.1:8000/mcp", "headers": { "X-User": "${user.id}" } },
            "off": { "command": "sh", "disabled": true } } }"#,
    )
    .unwrap();
    let [files, gh, notes] = &entries[..] else { panic!("{}", entries.len()) };
    assert_eq!((&*files.name, &*files.title, &*gh.title), ("files", "Files", "gh"));
    assert_eq!((files.isolation, files.idle), (Isolation::User, Duration::from_secs(5)));
    assert_eq!(files.start, Duration::from_secs(120));
    let files = program(files);
    assert!(files.path.is_absolute() && files.path.ends_with("sh"));
    assert_eq!((files.args[2].as_str(), files.cwd.as_deref()), ("cost: ${X}", Some("/usr".as_ref())));
    let user = ChildUser::parse("54321").unwrap();
    assert_eq!((files.home, files.user.as_ref()), (Home::Shared, Some(&user)));
    let token = || Some(Secret::new("gho_x".to_owned()));
    let person = Principal { login: "octocat".into(), ..principal(7) };
    let fill = |(name, value): &(String, Template)| {
        format!("{name}={}", value.fill(&person, &token).unwrap().expose())
    };
    let values = files.env.iter().map(fill);
    assert_eq!(values.collect::<Vec<_>>(), ["KEY=k1", "WHO=octocat"]);
    assert_eq!((gh.isolation, gh.idle), (Isolation::Grant, Duration::from_secs(600)));
    assert_eq!(
        (&gh.github_scopes[..], gh.start, gh.needs_github_token(), notes.needs_github_token()),
        (&["repo".to_owned()][..], Duration::from_secs(60), true, false)
    );
    let Location::Upstream { url, headers } = &notes.location else { panic!("{}", notes.name) };
    assert_eq!((url.as_str(), headers[0].0.as_str()), ("http://127.0.0.1:8000/mcp", "x-user"));
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = r#"{ "inputs": [], "mcpServers": {
        "Bad Name": { "command": "sh" }, "mcp": { "command": "sh" }, "list": [], "absent": { "command": "no-such-program" },
        "s": { "command": ["npx", "-y"], "args": "canary", "env": { "B": "${C}", "D=": "x" }, "envFile": ".env", "startSeconds": 0 } } }"#;
    let texts = read(text).err().unwrap();
    for expected in [
        "f.json: inputs: write the servers into \"mcpServers\"",
        "f.json: server \"Bad Name\": its name becomes a path",
        "f.json: server \"mcp\": its name is a path of this server's own",
        "f.json: server \"list\": write {",
        "f.json: server \"absent\": command: there is no program \"no-such-program\"",
        "f.json: server \"s\": command: write the program alone",
        "f.json: server \"s\": args: write a list of texts",
        "f.json: server \"s\": env.B: write ${env.C}",
        "f.json: server \"s\": env.D=: it is no name",
        "f.json: server \"s\": envFile: write the variables into \"env\"",
        "f.json: server \"s\": startSeconds: write a number of seconds",
    ] {
        let found = texts.iter().filter(|text| text.starts_with(expected)).count();
        assert_eq!(found, 1, "{expected}: {texts:#?}");
    }
    assert!(texts.len() == 11 && !texts.iter().any(|text| text.contains("canary")), "{texts:#?}");
    assert!(texts.iter().all(|text| text.is_ascii()), "the log escapes other characters: {texts:#?}");
}

#[test]
fn members_of_other_clients_formats_are_answered_with_the_right_form() {
    check(r#"{"type":"sse","url":"http://h/sse"}"#, &["write \"stdio\", or \"http\""]);
    check(r#"{"type":"streamable-http","url":"http://h/mcp"}"#, &["or \"http\" for Streamable HTTP"]);
    check(r#"{"url":"http://h/mcp"}"#, &[]);
    check(r#"{"command":"sh","timeout":3,"alwaysAllow":["a"]}"#, &["leave it out", "write \"startSeconds\""]);
    check(r#"{"command":"sh","env":{"A":"${input:a}"}}"#, &["write ${env.NAME}"]);
    check(
        r#"{"type":"http","url":"http://h/","serverUrl":"x"}"#,
        &["the members of such a server are type, url, headers"],
    );
    check(
        r#"{"command":"sh","colour":"red"}"#,
        &["colour: the members of such a server are type, command, args"],
    );
    let vs_code = read(r#"{"servers":{"s":{"command":"sh"}}}"#).err().unwrap();
    assert!(vs_code[0].contains("servers: write the servers into \"mcpServers\""), "{vs_code:?}");
}

#[test]
fn placeholders_are_for_env_and_headers_only() {
    let expected = "placeholders are for the values";
    check(r#"{"command":"${user.login}"}"#, &[expected]);
    check(r#"{"command":"sh","args":["--user=${user.login}"]}"#, &[expected]);
    check(r#"{"command":"sh","cwd":"/home/${user.login}"}"#, &[expected]);
    check(r#"{"type":"http","url":"http://h/${user.login}"}"#, &[expected]);
}

/// M5, P2: values of one person do not reach a process that several share.
#[test]
fn personal_values_need_a_process_per_person() {
    for isolation in ["grant", "session"] {
        check(
            &format!(
                r#"{{"command":"sh","isolation":"{isolation}","env":{{"A":"${{github.token}}${{user.id}}"}}}}"#
            ),
            &[],
        );
    }
    check(r#"{"command":"sh","isolation":"user","env":{"A":"${user.id}"}}"#, &[]);
    check(
        r#"{"command":"sh","isolation":"user","env":{"A":"${github.token}"}}"#,
        &["env.A: ${github.token} belongs"],
    );
    check(
        r#"{"command":"sh","isolation":"shared","env":{"A":"${github.token}"}}"#,
        &["env.A: \"shared\" is started"],
    );
    check(
        r#"{"command":"sh","isolation":"shared","env":{"A":"${user.login}"}}"#,
        &["env.A: \"shared\" is started"],
    );
    check(
        r#"{"type":"http","url":"http://h/","isolation":"shared","headers":{"A":"${user.id}"}}"#,
        &["headers.a: "],
    );
    check(r#"{"command":"sh","env":{"A":"${env.MCP_STATE_DIR}"}}"#, &["configures this server"]);
}

#[test]
fn each_kind_has_its_own_members() {
    check(r#"{"type":"http","url":"http://h/","args":[]}"#, &["args: the members of such a server are"]);
    check(r#"{"command":"sh","headers":{}}"#, &["headers: the members of such a server are"]);
    check(r#"{"type":"http"}"#, &["url: write the URL"]);
    check("{}", &["command: write the program"]);
    check(r#"{"command":""}"#, &["command: there is no program"]);
    check(r#"{"type":"http","url":"ftp://h/"}"#, &["url: write the URL of an MCP server"]);
    check(r#"{"url":"127.0.0.1:3450/mcp","headers":{"A":"1"}}"#, &["url: write the URL of an MCP server"]);
    check(
        r#"{"type":"http","headers":{"A":"1"},"colour":1}"#,
        &["url: write", "type, url, headers, isolation"],
    );
    check(r#"{"type":"http","url":"http://u:p@h/"}"#, &["into a header"]);
    check(r#"{"type":"http","url":"http://h/","headers":{"Host":"x"}}"#, &["headers.Host: host is set by"]);
    check(r#"{"type":"http","url":"http://h/","headers":{"a b":"x"}}"#, &["headers.a b: it is no name"]);
    check(
        r#"{"url":"http://10.1.1.1/","headers":{"A":"${github.token}"}}"#,
        &["https or a loopback URL only"],
    );
}

#[test]
fn invalid_values_are_refused_with_the_expected_form() {
    check(r#"{"command":"sh","isolation":"person"}"#, &["\"grant\", \"user\", \"session\" or \"shared\""]);
    check(r#"{"command":"sh","home":"mine"}"#, &["\"person\" or \"shared\""]);
    check(r#"{"command":"sh","cwd":"/"}"#, &[]);
    for cwd in ["srv", ".", "/nonexistent/srv", "/etc/passwd", "/etc/passwd/srv"] {
        let expected = "cwd: write the absolute path of a directory that exists";
        check(&format!(r#"{{"command":"sh","cwd":"{cwd}"}}"#), &[expected]);
    }
    check(r#"{"command":"sh","user":"no-such-user"}"#, &["user: there is no user"]);
    check(r#"{"command":"sh","disabled":"yes"}"#, &["true or false"]);
    check(r#"{"command":"sh","title":7}"#, &["title: write a text"]);
    check(r#"{"command":"sh","env":{"A":1}}"#, &["numbers and true in quotes"]);
    check(r#"{"command":"sh","idleSeconds":86401}"#, &["from 1 to 86400"]);
    check(r#"{"command":"sh","idleSeconds":1.5}"#, &["from 1 to 86400"]);
    check(r#"{"command":"sh","githubScopes":["repo"]}"#, &["this server gets no token"]);
    check(r#"{"command":"sh","env":{"A":"${github.token}"},"githubScopes":["a b"]}"#, &["one a text"]);
}

#[test]
fn a_file_without_a_valid_mcp_servers_object_is_refused() {
    for (text, expected) in [
        ("", "not JSON that can be used: EOF"),
        ("[]", "not JSON that can be used: invalid type: sequence, expected a map"),
        (r#"{"mcpServers":{"a":{"command":"sh"},"a":{"command":"y"}}}"#, "two members have one name"),
        ("{}", "write { \"mcpServers\""),
        (r#"{"mcpServers":[]}"#, "write { \"mcpServers\""),
        (r#"{"mcpServers":{}}"#, "names no server"),
        (r#"{"mcpServers":{"a":{"command":"sh","disabled":true}}}"#, "names no server"),
    ] {
        let mistakes = read(text).err().unwrap();
        assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{text}: {mistakes:?}");
    }
}

#[test]
fn names_are_path_segments() {
    let name = |name: &str| read(&format!(r#"{{"mcpServers":{{"{name}":{{"command":"sh"}}}}}}"#)).is_ok();
    for good in ["a", "0", "files-2", "a_b", &"x".repeat(32)] {
        assert!(name(good), "{good}");
    }
    for bad in ["", "-a", "_a", "A", "a.b", "a/b", "ä", "token", &"x".repeat(33)] {
        assert!(!name(bad), "{bad}");
    }
}

/// A shared home requires one user for all.
#[test]
fn a_range_of_users_is_for_homes_of_persons() {
    let entry = |more: &str| format!(r#"{{"command":"sh","user":"200000-200009"{more}}}"#);
    let wrong: &[&str] = match crate::sys::effective_user() == 0 {
        true => &["home: \"shared\" needs one user for all"],
        false => &["user: a user for each person needs a server that runs as root"],
    };
    check(&entry(r#","home":"shared""#), wrong);
    check(r#"{"command":"sh","user":"9-8"}"#, &["user: \"9-8\" is no range"]);
}

#[test]
fn a_command_together_with_a_url_is_one_mistake() {
    check(r#"{"command":"sh","args":["x"],"url":"http://h/mcp"}"#, &["take \"command\" or \"url\""]);
}

#[test]
fn a_file_that_is_not_json_is_reported_as_such() {
    for text in ["{", "{\"mcpServers\": {},}", "{\"mcpServers\" {}}"] {
        let texts = read(text).err().unwrap();
        assert!(texts.len() == 1 && texts[0].starts_with("f.json: not JSON that can be used: "), "{texts:?}");
    }
}
