//! Reports on a configuration.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::base::OsRandom;
use crate::config::{Invocation, Program};
use crate::demo;
use crate::serve::Server;
use crate::store::{RedbGrants, StateDirectory, fake::TestDirectory, key_file};

mod bridge;
mod certificate;
#[cfg(feature = "valkey")]
mod store;

const PLAIN: &[(&str, &str)] = &[
    ("GITHUB_CLIENT_ID", "Ov23li"),
    ("GITHUB_CLIENT_SECRET", "hush-hush"),
    ("MCP_ALLOW", "id:7"),
    ("MCP_LISTEN", "127.0.0.1:0"),
];

fn tools() -> MakeBackend<'static> {
    Box::new(|github| Ok(std::sync::Arc::new(demo::tools(github).unwrap())))
}

fn configured(env: &[(&str, &str)]) -> Config {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let program = Program::new("test", "1").unwrap();
    let parsed = Config::from(program, ["check".to_owned()].into_iter(), &env);
    let Ok(Invocation::Check(config)) = parsed else { panic!("{parsed:?}") };
    config
}

/// Checks that the report of `PLAIN` with these changes contains these words, and whether it would start.
fn check_words(changes: &[(&str, &str)], good: bool, words: &[&str]) -> String {
    let unmade = format!("mcp-oauth-server-check-{}", std::process::id());
    let state_dir = std::env::temp_dir().join(unmade).display().to_string();
    let config = configured(&[PLAIN, &[("MCP_STATE_DIR", state_dir.as_str())], changes].concat());
    let report = check(&config, tools());
    let text = report.to_string();
    assert_eq!(report.is_good(), good, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    assert!(!text.contains("hush-hush"), "{text}");
    assert!(!Path::new(&state_dir).exists(), "a check makes nothing");
    text
}

#[test]
fn a_report_describes_rules_origins_and_listeners() {
    let text = check_words(
        &[("MCP_ALLOW", "id:7,org:github,team:github/docs"), ("MCP_ALLOW_ORIGIN", "https://a.example")],
        true,
        &[
            "a port that the system picks",
            "in the clear",
            "the account with the number 7",
            "members of the organisation github",
            "the team github/docs",
            "https://a.example",
            "will be made",
            "app Ov23li",
        ],
    );
    assert!(!text.contains("would not start"), "{text}");
}

/// Of a file that cannot be read, and of one with nothing usable in it.
#[test]
fn a_fault_in_a_file_names_the_option_of_that_file() {
    let folder = TestDirectory::new();
    std::fs::create_dir(folder.path()).unwrap();
    let (missing, empty) = (folder.path().join("missing"), folder.path().join("empty"));
    std::fs::write(&empty, "").unwrap();
    let options = ["MCP_ACCESS", "MCP_SERVERS", "MCP_CLIENTS", "MCP_CA_FILE", "GITHUB_CLIENT_SECRET_FILE"];
    for path in [missing.display().to_string(), empty.display().to_string()] {
        for option in options {
            check_words(&[(option, &path)], false, &[&format!("it would not start: {option} ({path}): ")]);
        }
        let url = ("MCP_PUBLIC_URL", "https://mcp.example.com");
        let fixture = |name: &str| format!("{}/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
        let (cert, key) = (fixture("rsa.pem"), fixture("ecdsa.key"));
        let (of_cert, of_key) = (("MCP_TLS_CERT", path.as_str()), ("MCP_TLS_KEY", path.as_str()));
        check_words(&[url, of_cert, ("MCP_TLS_KEY", &key)], false, &[&format!("MCP_TLS_CERT ({path}): ")]);
        check_words(&[url, ("MCP_TLS_CERT", &cert), of_key], false, &[&format!("MCP_TLS_KEY ({path}): ")]);
        let both = format!("MCP_TLS_CERT ({cert}): it and MCP_TLS_KEY ({key}) cannot be used together: ");
        check_words(&[url, ("MCP_TLS_CERT", &cert), ("MCP_TLS_KEY", &key)], false, &[&both]);
    }
}

/// The facts about listening and limits, and the file that sets them.
#[test]
fn a_report_lists_listeners_and_limits() {
    let file = std::env::temp_dir().join(format!("mcp-oauth-server-check-file-{}", std::process::id()));
    std::fs::write(&file, "MCP_MAX_SESSIONS=77\n").unwrap();
    let path = file.display().to_string();
    let places = [
        ("MCP_CONFIG", path.as_str()),
        ("MCP_LISTEN", "127.0.0.1:0,unix:/tmp/a.sock,systemd"),
        ("MCP_PUBLIC_URL", "https://mcp.example.com"),
    ];
    let text = check_words(
        &places,
        true,
        &[
            &path,
            "127.0.0.1:0, in the clear",
            "unix:/tmp/a.sock, for this user and its group",
            "what systemd listens on for it, in the clear",
            "77 sessions (32 of one user)",
            "512 connections (64 from one address)",
            "unsafe: limits by address count everybody behind the proxy as one sender",
        ],
    );
    assert!(!text.contains("others reach"), "{text}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = ("GITHUB_CLIENT_SECRET_FILE", path.as_str());
    let fix = format!("can read or change {path}\n   fix: chmod o-rwx {path}");
    check_words(&[open], true, &[&fix]);
    check_words(&[("MCP_STORE_PASSWORD_FILE", path.as_str())], true, &[&fix]);
    let no_certificate = [("MCP_TLS_CERT", "/nonexistent"), ("MCP_TLS_KEY", path.as_str()), places[2]];
    check_words(&no_certificate, false, &[&fix]);
    assert!(!check_words(&places, true, &[]).contains("every user of this machine"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o646)).unwrap();
    let fix = format!("unsafe: every user of this machine can change {path}\n   fix: chmod o-w {path}");
    check_words(&places, true, &[&fix]);
    std::fs::write(&file, r#"[{"allow":["any"]}]"#).unwrap();
    check_words(&[("MCP_ACCESS", path.as_str())], true, &[&fix]);
    std::fs::remove_file(&file).unwrap();
    check_words(&[("MCP_LISTEN", "127.0.0.1:0,0.0.0.0:0"), places[2]], true, &["unsafe: tokens travel"]);
}

/// A2: unsafe settings are reported with their correction.
#[test]
fn unsafe_settings_come_with_their_fix() {
    let url = ("MCP_PUBLIC_URL", "https://mcp.example.com");
    check_words(&[("MCP_ALLOW", "any")], true, &["unsafe: everybody who has a GitHub account"]);
    check_words(&[("MCP_ALLOW", "user:octocat")], true, &["fix: write id:NUMBER"]);
    check_words(&[("MCP_ALLOW_ORIGIN", "app://a,null")], true, &["unsafe: every local file"]);
    check_words(&[("MCP_LISTEN", "0.0.0.0:0"), url], true, &["unsafe: tokens travel in the clear"]);
    check_words(&[("MCP_TRUSTED_PROXY", "0.0.0.0/0")], true, &["unsafe: everybody is a trusted proxy"]);
    let proxy = [("MCP_LISTEN", ""), ("MCP_BEHIND_PROXY", "127.0.0.1:0"), url];
    check_words(&proxy, true, &["unsafe: limits by address"]);
    check_words(&[url], true, &["unsafe: limits by address"]);
    let text = check_words(&[url, ("MCP_TRUSTED_PROXY", "127.0.0.1")], true, &[]);
    assert!(!text.contains("limits by address"), "{text}");
    assert!(!check_words(&[], true, &[]).contains("limits by address"), "nothing is in front of a demo");
    check_words(&[], true, &["unsafe: the client secret is in the environment"]);
}

#[test]
fn settings_that_prevent_a_start_are_faults() {
    let secret = ("GITHUB_CLIENT_SECRET_FILE", "/nonexistent/secret");
    check_words(&[secret], false, &["it would not start: GITHUB_CLIENT_SECRET_FILE ("]);
    let evil = ("MCP_CLIENTS", "/nonexistent/\u{1b}[2J\u{202e}");
    check_words(&[evil], false, &["it would not start: MCP_CLIENTS (/nonexistent/\\u{1b}[2J\\u{202e}): "]);
    let tls = [
        ("MCP_TLS_CERT", "/nonexistent/cert.pem"),
        ("MCP_TLS_KEY", "/nonexistent/key.pem"),
        ("MCP_PUBLIC_URL", "https://mcp.example.com"),
    ];
    check_words(&tls, false, &["it would not start: MCP_TLS_CERT (/nonexistent/cert.pem)"]);
    let socket = ("MCP_LISTEN", "unix:/nonexistent/m.sock");
    let missing = "it would not start: the directory /nonexistent does not exist; make it, or choose another with --listen";
    check_words(&[socket, tls[2]], false, &[missing]);
    let proxy = [("MCP_LISTEN", ""), ("MCP_BEHIND_PROXY", "unix:/nonexistent/m.sock"), tls[2]];
    check_words(&proxy, false, &["the directory /nonexistent does not exist; make it", "--behind-proxy"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check_words(
        &[("MCP_LISTEN", &address)],
        false,
        &["is in use by another program; stop that, or choose another with --listen or MCP_LISTEN"],
    );
}

/// The files of a directory, with their contents.
fn contents(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let paths = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    found.sort();
    found
}

/// A2: a check reads the same as a start, and creates nothing: the same errors, and no change.
#[test]
fn a_check_finds_what_a_start_finds_and_changes_nothing() {
    let test = TestDirectory::new();
    let directory = StateDirectory::open(test.path()).unwrap();
    let keys = Arc::new(key_file::load_or_create(&directory, &OsRandom).unwrap());
    drop(RedbGrants::open(&directory, &keys).unwrap());
    drop(directory);
    let key = test.path().join("key");
    let old = std::fs::read_to_string(&key).unwrap();
    let state = ("MCP_STATE_DIR", test.path().to_str().unwrap());
    let path = key.to_str().unwrap();
    let same = |more: &[(&str, &str)], expected: &[&str]| {
        let config = configured(&[PLAIN, &[state], more].concat());
        let before = contents(test.path());
        let report = check(&config, tools());
        assert!(before == contents(test.path()), "the check has changed something");
        assert_eq!(report.faults.len(), expected.len(), "{report}");
        if !expected.is_empty() {
            let errors = Server::start(&config, tools()).map(drop).unwrap_err();
            assert!(before == contents(test.path()), "the start has changed something");
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), report.faults);
            for (error, words) in report.faults.iter().zip(expected) {
                assert!(error.contains(words), "{error}");
            }
        }
    };
    same(&[], &[]);
    // Adopting a new first key is left to a start: after a check the old file is still valid.
    std::fs::write(&key, format!("{}\n{old}", crate::base::base64url(&[9; 32]))).unwrap();
    same(&[], &[]);
    std::fs::write(&key, &old).unwrap();
    same(&[], &[]);
    // Kubernetes mounts secrets as symlinks: an explicitly named key file may be one.
    std::fs::rename(&key, test.path().join("..data")).unwrap();
    symlink(test.path().join("..data"), &key).unwrap();
    same(&[("MCP_OAUTH_KEY_FILE", path)], &[]);
    same(&[], &["key is not what it should be"]);
    let all = [("GITHUB_CLIENT_SECRET_FILE", "/nonexistent/secret"), ("MCP_CA_FILE", "/nonexistent/ca")];
    same(&all, &["GITHUB_CLIENT_SECRET_FILE (", "/nonexistent/ca", "key is not what it should be"]);
}

/// A check by root of a state directory that belongs to the server's user reports that root must not start it, and creates no
/// file there to find out.
#[test]
fn a_check_makes_nothing_in_a_directory_of_another_user() {
    if sys::effective_user() != 0 {
        return; // only root can change the owner of the directory
    }
    let test = TestDirectory::new();
    drop(StateDirectory::open(test.path()).unwrap());
    std::os::unix::fs::chown(test.path(), Some(61_184), Some(61_184)).unwrap();
    let changed = || std::fs::metadata(test.path()).unwrap().modified().unwrap();
    let before = changed();
    let state = ("MCP_STATE_DIR", test.path().to_str().unwrap());
    check_words(&[state], false, &["belongs to user 61184, but the server runs as user 0"]);
    assert_eq!(before, changed());
}

/// An option without effect, and a feature that a volume lacks, are reported with their consequence.
#[test]
fn settings_without_effect_and_missing_features_are_warnings() {
    check_words(
        &[("MCP_ALOW", "any")],
        true,
        &["warning: the environment has variables that are no options: MCP_ALOW"],
    );
    let long = format!("/tmp/{}/operator.sock", "a".repeat(100));
    check_words(
        &[("MCP_OPERATOR_SOCKET", &long)],
        true,
        &["cannot reach the running server", "fix: name a shorter one in MCP_OPERATOR_SOCKET"],
    );
    let test = TestDirectory::new();
    drop(StateDirectory::open(test.path()).unwrap());
    std::fs::set_permissions(test.path(), std::fs::Permissions::from_mode(0o2770)).unwrap();
    let state = ("MCP_STATE_DIR", test.path().to_str().unwrap());
    check_words(&[state], true, &["unsafe: its group can use", "fsGroup"]);
}

/// The report about `PLAIN` with these arguments.
fn of(args: &[&str]) -> String {
    report_of(args).to_string()
}

fn report_of(args: &[&str]) -> Report {
    let env = PLAIN.iter().chain(&[("MCP_STATE_DIR", "/nonexistent/state"), ("PATH", "/usr/bin:/bin")]);
    let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let args = ["check"].iter().chain(args).map(|arg| (*arg).to_owned());
    let Ok(Invocation::Check(config)) = Config::from(Program::new("test", "1").unwrap(), args, &env) else {
        panic!("{env:?}")
    };
    check(&config, tools())
}

/// A4: `check` reports the permissions per server and rule, and the view of one person.
#[test]
fn rules_and_what_a_person_sees_are_reported() {
    let file = std::env::temp_dir().join(format!("mcp-check-access-{}", std::process::id()));
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        r#"{"mcpServers":{"all":{"command":"sh"},"files":{"command":"sh","access":[
            {"allow":["team:my-org/admins"]},
            {"allow":["org:my-org","user:bob"],"tools":["read_*","list_*"],"exclude":["read_all"],"readOnly":true,"resources":["file:///srv/*"]},
            {"allow":["token:cron"],"tools":[],"prompts":["daily"]}]}}}"#,
    )
    .unwrap();
    let report = |more: &[&str]| {
        of(&[&["--child-user", "nobody", "--allow", "org:my-org,user:eve", "--servers", path], more].concat())
    };
    let narrow = "tools read_*, list_* but read_all, only those annotated readOnlyHint; prompts none; resources file:///srv/*";
    let sees = |person: &[&str], words: &[&str]| {
        let text = report(person);
        let seen: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("would see")).map(str::trim).collect();
        assert_eq!(seen, words, "{person:?}");
    };
    let text = report(&[]);
    for words in [
        "all, everybody who is let in: everything",
        "files, rule 1: active members of the team my-org/admins: everything",
        &format!(
            "files, rule 2: active members of the organisation my-org; the account that has the login bob at that time: {narrow}"
        ),
        "files, rule 3: the service token cron: tools none; prompts daily; resources none",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    assert!(!text.contains("would see") && !text.contains("would not start"), "{text}");
    let in_org: &[&str] = &["--as", "user:alice", "--member", "org:My-Org"];
    sees(in_org, &["all, everything", &format!("files, by rule 2: {narrow}")]);
    sees(
        &[in_org, &["--member", "team:my-org/admins"]].concat(),
        &["all, everything", "files, by rule 1: everything"],
    );
    let in_none = "(taken for a member of no group: --member names one)";
    sees(
        &["--as", "user:eve"],
        &["all, everything", &format!("files, nothing: no rule names them {in_none}")],
    );
    sees(&["--as", "user:bob"], &[&format!("nothing: MCP_ALLOW does not let them in {in_none}")]);
    let words = "nothing: MCP_ALLOW does not let them in (groups: those of --member only; the org of a team is a --member of its own)";
    sees(&["--as", "user:alice", "--member", "team:my-org/admins"], &[words]);
    sees(
        &["--as", "token:cron"],
        &[
            "all, everything",
            "files, by rule 3: tools none; prompts daily; resources none",
            "only what it is made for: `tokens list` has the servers of each token",
        ],
    );
    std::fs::remove_file(&file).unwrap();
}

/// A4: the first rule that matches a person applies, so a later rule that matches nobody else is a mistake.
#[test]
fn an_unreachable_access_rule_is_a_warning() {
    let file = std::env::temp_dir().join(format!("mcp-check-late-access-{}", std::process::id()));
    let check = |rules: &str, expected: &[u8]| {
        std::fs::write(&file, rules).unwrap();
        let text = of(&["--access", file.to_str().unwrap(), "--allow", "any"]);
        let is_warned_of = |rule: &u8| text.contains(&format!("warning: rule {rule} never holds"));
        assert_eq!((1..=4).filter(is_warned_of).collect::<Vec<u8>>(), expected, "{text}");
    };
    check(
        r#"[{"allow":["org:a"],"tools":["x"]},{"allow":["any"]},{"allow":["user:b"]},{"allow":["token:c"]}]"#,
        &[3],
    );
    check(
        r#"[{"allow":["org:a"]},{"allow":["user:b"]},{"allow":["user:b","org:a"]},{"allow":["id:7","org:a"]}]"#,
        &[3],
    );
    check(r#"[{"allow":["token:c"]},{"allow":["token:c"],"tools":[]}]"#, &[2]);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_public_url_with_the_path_of_the_endpoint_is_warned_of() {
    for (url, is_warned_of) in [("https://mcp.example/mcp", true), ("https://mcp.example/base", false)] {
        assert_eq!(of(&["--public-url", url]).contains("leave /mcp out"), is_warned_of, "{url}");
    }
}

/// A4: the rules of the only server, and questions that make no sense.
#[test]
fn rules_of_one_server_are_reported() {
    let file = std::env::temp_dir().join(format!("mcp-check-one-access-{}", std::process::id()));
    let path = file.to_str().unwrap();
    std::fs::write(&file, r#"[{"allow":["id:7"],"tools":["gr*"]}]"#).unwrap();
    let text = of(&["--access", path, "--allow", "any", "--as", "id:7"]);
    let rule = "tools gr*; prompts none; resources none";
    assert!(text.contains(&format!("rule 1: the account with the number 7: {rule}")), "{text}");
    assert!(text.contains(&format!("would see                  by rule 1: {rule}")), "{text}");
    std::fs::write(&file, r#"[{"allow":["id:7"],"tool":["gr*"]}]"#).unwrap();
    assert!(of(&["--access", path]).contains("rule 1: unknown field `tool`"));
    std::fs::write(&file, "[").unwrap();
    assert!(of(&["--access", path]).contains("not JSON that can be used"));
    std::fs::remove_file(&file).unwrap();
}
