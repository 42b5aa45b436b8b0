use super::*;
use crate::base::identity::UserId;
use crate::base::secret::Secret;
use crate::bridge::template::ServedPerson;

fn read(text: &str) -> Result<Vec<ServerEntry>, Vec<Mistake>> {
    let environment =
        [("FILES_KEY", "k1"), ("MCP_STATE_DIR", "/canary")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    let is_reserved = |name: &str| ["mcp", "token", "auth"].contains(&name);
    let idle = Duration::from_secs(600);
    parse(text, &Surroundings { environment: &environment, idle, is_reserved })
}

/// The file's one server has this text for its members, and they bring exactly these mistakes.
fn check(members: &str, expected: &[&str]) {
    let found = read(&format!(r#"{{"mcpServers":{{"s":{members}}}}}"#)).err().unwrap_or_default();
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), expected.len(), "{members}: {texts:#?}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.starts_with("server \"s\": ") && text.contains(expected), "{members}: {text}");
    }
}

fn program(entry: &ServerEntry) -> &Executable {
    match &entry.target {
        Location::Command(program) => program,
        Location::Url { .. } => panic!("{entry:?}"),
    }
}

#[test]
fn every_member_is_read() {
    let entries = read(
        r#"{ "mcpServers": {
            "files": { "type": "stdio", "command": "npx", "args": ["-y", "server", "cost: $${X}"],
                "env": { "WHO": "${user.login}", "KEY": "${env.FILES_KEY}" }, "cwd": "/srv", "user": "mcp", "home": "shared",
                "isolation": "user", "startSeconds": 120, "idleSeconds": 5, "title": "Files",
                "access": [ { "allow": ["team:o/admins", "user:me"] }, { "allow": ["org:o"] } ] },
            "gh": { "command": "gh-server", "env": { "T": "${github.token}" }, "githubScopes": ["repo"] },
            "notes": { "type": "http", "url": "http://127.0.0.1:8000/mcp", "headers": { "X-User": "${user.id}" } },
            "off": { "command": "x", "disabled": true } } }"#,
    )
    .unwrap();
    let [files, gh, notes] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((&*files.name, files.title.as_deref()), ("files", Some("Files")));
    assert_eq!((files.isolation, files.idle), (Isolation::User, Duration::from_secs(5)));
    assert_eq!(files.access, [vec!["team:o/admins", "user:me"], vec!["org:o"]]);
    let files = program(files);
    assert_eq!((&*files.command, &files.args[2][..]), ("npx", "cost: ${X}"));
    assert_eq!((files.cwd.as_deref(), files.user.as_deref()), (Some("/srv".as_ref()), Some("mcp")));
    assert_eq!((files.home, files.start), (Home::Shared, Duration::from_secs(120)));
    let token = || Some(Secret::new("gho_x".to_owned()));
    let person = ServedPerson { id: UserId(7), login: "octocat", github_token: &token };
    let values =
        files.env.iter().map(|(name, value)| format!("{name}={}", value.fill(&person).unwrap().expose()));
    assert_eq!(values.collect::<Vec<_>>(), ["KEY=k1", "WHO=octocat"]);
    assert_eq!((gh.isolation, gh.idle), (Isolation::Grant, Duration::from_secs(600)));
    assert_eq!(
        (&gh.github_scopes[..], program(gh).start),
        (&["repo".to_owned()][..], Duration::from_secs(60))
    );
    let Location::Url { url, headers } = &notes.target else { panic!("{notes:?}") };
    assert_eq!((&**url, &*headers[0].0), ("http://127.0.0.1:8000/mcp", "X-User"));
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = r#"{ "inputs": [], "mcpServers": {
        "Bad Name": { "command": "x" }, "mcp": { "command": "x" }, "list": [],
        "s": { "command": ["npx", "-y"], "args": "-y", "env": { "A": 1, "B": "${C}", "D=": "x" }, "envFile": ".env", "startSeconds": 0 } } }"#;
    let mistakes = read(text).unwrap_err();
    let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    for expected in [
        "\"inputs\": asks the user of an editor",
        "server \"Bad Name\": is no name for a path",
        "server \"mcp\": is a path of this server's own",
        "server \"list\": must be an object",
        "server \"s\": \"command\": must be the program alone",
        "server \"s\": \"args\": must be a list of texts",
        "server \"s\": \"env.A\": must be a text",
        "server \"s\": \"env.B\": write ${env.C}",
        "server \"s\": \"env.D=\": is no name",
        "server \"s\": \"envFile\": is not read: write the variables into \"env\"",
        "server \"s\": \"startSeconds\": must be a number of seconds",
    ] {
        assert_eq!(
            texts.iter().filter(|text| text.starts_with(expected)).count(),
            1,
            "{expected}: {texts:#?}"
        );
    }
    assert_eq!(texts.len(), 11, "{texts:#?}");
}

#[test]
fn dialects_of_clients_are_told_the_right_form() {
    check(r#"{"type":"sse","url":"http://h/sse"}"#, &["write \"http\" and the URL"]);
    check(r#"{"type":"streamable-http","url":"http://h/mcp"}"#, &["\"type\": write \"http\""]);
    check(r#"{"url":"http://h/mcp"}"#, &["write \"type\": \"http\""]);
    check(r#"{"type":"local","command":"x"}"#, &["write \"stdio\""]);
    check(r#"{"type":"pipe","command":"x"}"#, &["must be \"stdio\" or \"http\""]);
    check(r#"{"command":"x","timeout":3,"alwaysAllow":["a"]}"#, &["leave it out", "write \"startSeconds\""]);
    check(r#"{"command":"x","env":{"A":"${input:a}"}}"#, &["write ${env.NAME}"]);
    check(r#"{"type":"http","url":"http://h/","serverUrl":"x"}"#, &["write \"url\""]);
    check(r#"{"command":"x","colour":"red"}"#, &["the members are type, title, isolation"]);
    let vs_code = read(r#"{"servers":{"s":{"command":"x"}}}"#).unwrap_err();
    assert!(vs_code[0].to_string().contains("VS Code's form: write \"mcpServers\""), "{vs_code:?}");
}

#[test]
fn placeholders_are_for_env_and_headers_only() {
    let expected = "placeholders are for the values";
    check(r#"{"command":"${user.login}"}"#, &[expected]);
    check(r#"{"command":"x","args":["--user=${user.login}"]}"#, &[expected]);
    check(r#"{"command":"x","cwd":"/home/${user.login}"}"#, &[expected]);
    check(r#"{"type":"http","url":"http://h/${user.login}"}"#, &[expected]);
}

/// M5, P2: what belongs to one person does not reach a process that several use.
#[test]
fn personal_values_need_a_process_per_person() {
    for isolation in ["grant", "session"] {
        check(
            &format!(
                r#"{{"command":"x","isolation":"{isolation}","env":{{"A":"${{github.token}}${{user.id}}"}}}}"#
            ),
            &[],
        );
    }
    check(r#"{"command":"x","isolation":"user","env":{"A":"${user.id}"}}"#, &[]);
    check(
        r#"{"command":"x","isolation":"user","env":{"A":"${github.token}"}}"#,
        &["\"env.A\": ${github.token} belongs"],
    );
    check(
        r#"{"command":"x","isolation":"shared","env":{"A":"${github.token}"}}"#,
        &["\"env.A\": a \"shared\" server"],
    );
    check(
        r#"{"command":"x","isolation":"shared","env":{"A":"${user.login}"}}"#,
        &["\"env.A\": a \"shared\" server"],
    );
    check(
        r#"{"type":"http","url":"http://h/","isolation":"shared","headers":{"A":"${user.id}"}}"#,
        &["\"headers.A\""],
    );
    check(r#"{"command":"x","env":{"A":"${env.MCP_STATE_DIR}"}}"#, &["configures this server"]);
}

#[test]
fn each_kind_has_its_own_members() {
    check(r#"{"type":"http","url":"http://h/","args":[]}"#, &["\"args\": is for servers with a \"command\""]);
    check(r#"{"command":"x","headers":{}}"#, &["\"headers\": is for servers with \"type\": \"http\""]);
    check(r#"{"type":"http"}"#, &["\"url\": is missing"]);
    check("{}", &["\"command\": is missing"]);
    check(r#"{"command":""}"#, &["\"command\": is empty"]);
    check(r#"{"type":"http","url":"ftp://h/"}"#, &["must be http:// or https://"]);
    check(r#"{"type":"http","url":"http://u:p@h/"}"#, &["without user"]);
    check(r#"{"type":"http","url":"http://h/","headers":{"Host":"x"}}"#, &["\"headers.Host\": is no name"]);
    check(r#"{"type":"http","url":"http://h/","headers":{"a b":"x"}}"#, &["\"headers.a b\": is no name"]);
}

#[test]
fn values_have_their_form() {
    check(
        r#"{"command":"x","isolation":"person"}"#,
        &["must be \"grant\", \"user\", \"session\" or \"shared\""],
    );
    check(r#"{"command":"x","home":"mine"}"#, &["\"person\" or \"shared\""]);
    check(r#"{"command":"x","cwd":"srv"}"#, &["absolute"]);
    check(r#"{"command":"x","disabled":"yes"}"#, &["true or false"]);
    check(r#"{"command":"x","title":7}"#, &["must be a text"]);
    check(r#"{"command":"x","idleSeconds":86401}"#, &["from 1 to 86400"]);
    check(r#"{"command":"x","idleSeconds":1.5}"#, &["from 1 to 86400"]);
    check(r#"{"command":"x","githubScopes":["repo"]}"#, &["widens a token"]);
    check(r#"{"command":"x","env":{"A":"${github.token}"},"githubScopes":["a b"]}"#, &["one a text"]);
    check(r#"{"command":"a\u0000b"}"#, &["NUL"]);
}

#[test]
fn access_has_only_allow_for_now() {
    check(r#"{"command":"x","access":[{"allow":["org:o"]}]}"#, &[]);
    check(r#"{"command":"x","access":[]}"#, &["must be rules"]);
    check(r#"{"command":"x","access":["org:o"]}"#, &["must be rules"]);
    check(r#"{"command":"x","access":[{"allow":[]}]}"#, &["\"access.allow\": must be a list"]);
    check(
        r#"{"command":"x","access":[{"allow":["org:o"],"tools":["a"],"readOnly":true}]}"#,
        &["\"access.readOnly\": is not known", "\"access.tools\": is not known"],
    );
}

#[test]
fn a_file_that_is_no_file_of_servers_is_refused() {
    for (text, expected) in [
        ("", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        (r#"{"mcpServers":{"a":{"command":"x"},"a":{"command":"y"}}}"#, "two members have one name"),
        ("{}", "has no \"mcpServers\""),
        (r#"{"mcpServers":[]}"#, "must be an object"),
        (r#"{"mcpServers":{}}"#, "names no server"),
        (r#"{"mcpServers":{"a":{"command":"x","disabled":true}}}"#, "names no server"),
    ] {
        let mistakes = read(text).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].to_string().contains(expected), "{text}: {mistakes:?}");
    }
}

#[test]
fn names_are_path_segments() {
    let name = |name: &str| read(&format!(r#"{{"mcpServers":{{"{name}":{{"command":"x"}}}}}}"#)).is_ok();
    for good in ["a", "0", "files-2", "a_b", &"x".repeat(32)] {
        assert!(name(good), "{good}");
    }
    for bad in ["", "-a", "_a", "A", "a.b", "a/b", "ä", "token", &"x".repeat(33)] {
        assert!(!name(bad), "{bad}");
    }
}
