use std::path::Path;

use super::*;
use crate::bridge::entry::BridgeOptions;
use crate::bridge::upstream::UpstreamUrl;
use crate::mcp::Backend;

fn setup(options: &BridgeOptions, root_is_fine: bool) -> BridgeSetup<'_> {
    let (state_dir, is_reserved) = (Path::new("/nonexistent/state"), |_: &str| false);
    BridgeSetup { options, name: "n", version: "1", state_dir, ca_file: None, root_is_fine, is_reserved }
}

/// Builds the bridge of the only server.
fn build(options: &BridgeOptions, root_is_fine: bool) -> Result<Bridge, StartupError> {
    let setup = setup(options, root_is_fine);
    let entry = setup.entries().map_err(|mut errors| errors.remove(0))?.remove(0);
    setup.bridge(entry, &InstancePool::new(options.most))
}

fn bridge(command: &[&str], env: &[&str], more: impl FnOnce(&mut BridgeOptions)) -> Result<Bridge, String> {
    let mut options = BridgeOptions {
        command: command.iter().map(ToString::to_string).collect(),
        env: env.iter().map(ToString::to_string).collect(),
        ..BridgeOptions::default()
    };
    let variables = [("PATH", "/usr/bin:/bin"), ("KEY", "canary"), ("MCP_STATE_DIR", "canary")];
    options.take_variables(&variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert!(!options.variables.contains_key("MCP_STATE_DIR") && !format!("{options:?}").contains("canary"));
    more(&mut options);
    build(&options, true).map_err(|error| error.to_string())
}

#[test]
fn a_command_suffices_and_variables_are_optional() {
    assert!(bridge(&["sh", "-c", "echo ${HOME}"], &[], |_| {}).is_ok());
    assert!(bridge(&["/bin/sh"], &["A=1", "KEY", "WHO=${user.login}", "EMPTY="], |_| {}).is_ok());
}

/// The consent page names the server that the person gives access to.
#[test]
fn the_server_has_a_title_that_people_know() {
    let title = |options: &BridgeOptions| build(options, true).unwrap().consent().title.clone();
    let of = |command: &[&str]| {
        let command: Vec<String> = command.iter().map(ToString::to_string).collect();
        title_of(&command).to_owned()
    };
    assert_eq!(of(&["npx", "-y", "@example/server-files", "/srv"]), "@example/server-files");
    assert_eq!(of(&["/usr/bin/uvx", "mcp-server-time"]), "mcp-server-time");
    assert_eq!(
        of(&["uvx", "--with", "tzdata", "--from", "some-package", "mcp-server-time"]),
        "mcp-server-time"
    );
    assert_eq!(of(&["/opt/bin/notes-server", "stdio"]), "notes-server");
    assert_eq!(of(&["npx", "-y"]), "npx");
    let command = vec!["/bin/sh".to_owned()];
    assert_eq!(title(&BridgeOptions { command, ..BridgeOptions::default() }), "sh");
    let upstream = Some(UpstreamUrl::parse("http://127.0.0.1:8000/mcp").unwrap());
    assert_eq!(title(&BridgeOptions { upstream, ..BridgeOptions::default() }), "127.0.0.1:8000");
}

#[test]
fn an_unusable_command_or_variable_is_explained() {
    let check = |command: &[&str], env: &[&str], expected: &str| {
        let error = bridge(command, env, |_| {}).err().unwrap();
        assert!(error.contains(expected) && !error.contains("canary"), "{command:?} {env:?}: {error}");
    };
    check(&[], &[], "write the program");
    check(&["no-such-program"], &[], "no program \"no-such-program\"");
    check(&["sh", "--user=${user.login}"], &[], "placeholders are for the values of --env");
    check(&["sh"], &["=x"], "no name for a variable");
    check(&["sh"], &["ABSENT"], "ABSENT: the variable ABSENT is not set");
    check(&["sh"], &["MCP_STATE_DIR"], "MCP_STATE_DIR configures this server");
    check(&["sh"], &["A=${HOME}"], "A: write ${env.HOME}");
}

/// Programs do not run as root, except in a trial.
#[test]
fn programs_do_not_run_as_root() {
    if crate::sys::effective_user() != 0 {
        return;
    }
    let options = |user: Option<&str>| BridgeOptions {
        command: vec!["/bin/sh".to_owned()],
        user: user.map(str::to_owned),
        ..BridgeOptions::default()
    };
    for user in [None, Some("root"), Some("0")] {
        let error = build(&options(user), false).err().unwrap().to_string();
        assert!(error.starts_with("MCP_CHILD_USER: this server runs as root"), "{error}");
    }
    assert!(build(&options(Some("1")), false).is_ok());
}

#[test]
fn home_directories_are_beside_the_state() {
    let of = |options: &BridgeOptions, state: &str| {
        let setup = BridgeSetup { state_dir: Path::new(state), ..setup(options, true) };
        setup.home_directories().display().to_string()
    };
    let default = BridgeOptions::default();
    assert_eq!(of(&default, "/var/lib/mcp.d"), "/var/lib/mcp.d.children");
    let here = std::env::current_dir().unwrap();
    for (state, beside) in [("run/demo", "run/demo.children"), ("run", "run.children")] {
        assert_eq!(
            of(&default, state),
            here.join(beside).display().to_string(),
            "HOME and TMPDIR are below it"
        );
    }
    let named = BridgeOptions { directory: Some("/srv/homes".into()), ..BridgeOptions::default() };
    assert_eq!(of(&named, "/var/lib/mcp"), "/srv/homes");
}

fn upstream(url: &str, headers: &[&str], more: impl FnOnce(&mut BridgeOptions)) -> Result<Bridge, String> {
    bridge(&[], &[], |options| {
        options.upstream = (!url.is_empty()).then(|| UpstreamUrl::parse(url).unwrap());
        options.headers = headers.iter().map(ToString::to_string).collect();
        more(options);
    })
}

#[test]
fn an_upstream_is_a_url_and_headers() {
    let url = "http://127.0.0.1:8000/mcp";
    let keeps_tokens = |headers: &[&str]| {
        use crate::mcp::Backend;
        upstream(url, headers, |_| {}).unwrap().consent().keeps_github_tokens
    };
    assert!(!keeps_tokens(&["X-User: ${user.login}", "Authorization: Bearer ${env.KEY}"]));
    assert!(keeps_tokens(&["Authorization: Bearer ${github.token}"]));
    let check = |outcome: Result<Bridge, String>, expected: &str| {
        let error = outcome.err().unwrap();
        assert!(error.contains(expected) && !error.contains("canary"), "{error}");
    };
    check(upstream(url, &["X: ${env.MCP_STATE_DIR}"], |_| {}), "MCP_STATE_DIR configures this server");
    check(upstream("http://host/", &["X: ${github.token}"], |_| {}), "an https or a loopback URL only");
    check(
        upstream("", &["X: 1"], |options| options.command = vec!["sh".to_owned()]),
        "--header: headers are for",
    );
    check(
        upstream(url, &[], |options| options.command = vec!["sh".to_owned()]),
        "-- COMMAND and MCP_UPSTREAM describe",
    );
}
