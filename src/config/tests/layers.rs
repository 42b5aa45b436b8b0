//! Where a value comes from: a flag, the environment, the file; and names that nobody knows.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A configuration file with this text and mode, as long as it lives.
struct Written(PathBuf);

impl Written {
    fn new(test: &str, text: &str, mode: u32) -> Written {
        let path =
            std::env::temp_dir().join(format!("mcp-oauth-server-config-{}-{test}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Written(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let text = "GITHUB_CLIENT_ID=of-file\nMCP_ALLOW=id:1\nMCP_LISTEN=[::1]:1\nMCP_LOG_FORMAT=json\n\
                GITHUB_CLIENT_SECRET_FILE=/of/file\nMCP_TRUSTED_PROXY=nonsense\n";
    let file = Written::new("layers", text, 0o644);
    let args = ["--listen", "[::1]:3", "--trusted-proxy", "::1"];
    let all = config(&args, &[("MCP_CONFIG", file.path()), ("MCP_LISTEN", "[::1]:2")]);
    assert_eq!(all.listen, [tcp("[::1]:3")]);
    assert_eq!((all.github.client_id.as_str(), all.log_format), ("Ov23li", log::Format::Json));
    // That the file has a secret file changes nothing for a secret in the environment: that was given later.
    assert!(all.github.client_secret.read().unwrap().matches(b"hush-hush"));
    assert_eq!(all.file.as_deref(), Some(file.0.as_path()));
    // A flag names the file, too; another than a variable.
    let flag = ["--config", file.path(), "--trusted-proxy", "::1"];
    assert_eq!(config(&flag, &[("MCP_CONFIG", "/nonexistent")]).listen, [tcp("[::1]:1")]);
    let both = ["grants", "list", "--config", file.path()];
    assert!(
        matches!(parse(&both, READY), Ok(Invocation::Operate(_))),
        "what it does not read cannot be wrong"
    );
    refused(&["--config", file.path()], &[], ":6: MCP_TRUSTED_PROXY: write a comma list");
    refused(&["--config", "/nonexistent"], &[], "/nonexistent: No such file");
}

/// S1: a secret that every user of the machine can read is none.
#[test]
fn a_world_readable_file_with_a_secret_is_refused() {
    let text = "GITHUB_CLIENT_SECRET=hush-hush\n";
    let open = Written::new("open", text, 0o644);
    refused(&["--config", open.path()], &[], "chmod 640 it");
    let closed = Written::new("closed", text, 0o640);
    let secret = config(&["--config", closed.path()], &[("GITHUB_CLIENT_SECRET", "")]).github.client_secret;
    assert!(secret.read().unwrap().matches(b"hush-hush"));
}

/// D6: a part of a file is not taken for the whole, and what is no file is not waited for.
#[test]
fn a_file_is_regular_and_whole() {
    for part in ["", "MCP_ALLOW=user:octocat\nMCP_DENY_CLI", "MCP_ALLOW=user:octocat"] {
        let file = Written::new("part", part, 0o644);
        refused(&["--config", file.path()], &[], "its last line does not end with a newline");
    }
    refused(&["--config", "/dev/null"], &[], "/dev/null: it is not a regular file");
}

/// Other programs have variables that begin like ours, and Kubernetes sets some for a service called `mcp-config`.
#[test]
fn variables_that_are_no_options_are_a_warning() {
    let warnings = |env: &[(&str, &str)]| config(&[], env).warnings;
    let unknown = warnings(&[("MCP_ALOW", "any"), ("MCP_DENY_CLIENT", "x"), ("MCP_TIMEOUT", "7")]);
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!(
        unknown[0].what,
        "the environment has variables that are no options: MCP_ALOW, MCP_DENY_CLIENT, MCP_TIMEOUT"
    );
    assert!(unknown[0].fix.contains("--help lists the options") && unknown[0].hidden.is_none());
    assert!(warnings(&[("GITHUB_ACTIONS", "true")]).is_empty());
    let services = [
        ("MCP_CONFIG_PORT", "udp://10.0.0.2:53"),
        ("MCP_CONFIG_SERVICE_HOST", "10.0.0.2"),
        ("MCP_PORT", "tcp://10.0.0.1:80"),
        ("MCP_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("MCP_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("MCP_SERVICE_PORT_HTTP", "80"),
    ];
    assert!(warnings(&services).is_empty());
    let ours = [("MCP_LISTEN_PORT", "4000"), ("MCP_PORT", "4000"), ("MCP_SERVICE_HOST", "10.0.0.1")];
    let name = |(name, _): &(&str, &str)| name.to_string();
    assert!(warnings(&ours)[0].what.ends_with(&ours.iter().map(name).collect::<Vec<_>>().join(", ")));
    let file = Written::new("misspelt", "MCP_DENY_CLIENT=x\n", 0o644);
    refused(&["--config", file.path()], &[], ":1: there is no option \"MCP_DENY_CLIENT\"; --help lists ");
}

/// An entry of the file without effect is reported: SIGHUP cannot reread a variable that the environment hides.
#[test]
fn an_option_that_another_place_hides_is_named() {
    let file = Written::new("hidden", "MCP_ALLOW=id:1\nMCP_LISTEN=[::1]:1\n", 0o644);
    let all = config(&["--config", file.path(), "--listen", "[::1]:3"], &[("MCP_LISTEN", "[::1]:2")]);
    let texts: Vec<String> = all.warnings.iter().map(|warning| warning.what.clone()).collect();
    let path = file.path();
    let expected = [
        format!("MCP_ALLOW in {path}:1 is not used: the environment has it as well"),
        format!("MCP_LISTEN in {path}:2 is not used: the environment has it as well"),
        "MCP_LISTEN in the environment is not used: the command line has it as well".to_owned(),
    ];
    assert_eq!(texts, expected);
    assert!(all.warnings.iter().any(|warning| warning.hidden == Some("MCP_ALLOW")));
}

/// Each try of an operator shows everything that is wrong, and nothing that follows from something else.
#[test]
fn errors_are_told_all_at_once() {
    let empty =
        [("GITHUB_CLIENT_ID", ""), ("GITHUB_CLIENT_SECRET", ""), ("MCP_ALLOW", "octocat"), ("HOME", "")];
    let errors = parse(&["--listen", "0.0.0.0:80"], &[READY, &empty].concat()).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let begins = [
        "MCP_ALLOW: name user:LOGIN",
        "MCP_STATE_DIR is",
        "GITHUB_CLIENT_ID is",
        "GITHUB_CLIENT_SECRET is",
        "MCP_PUBLIC_URL is",
    ];
    assert_eq!(texts.len(), begins.len(), "{texts:?}");
    for (text, begin) in texts.iter().zip(begins) {
        assert!(text.starts_with(begin), "{texts:?}");
    }
}

#[test]
fn options_that_differ_between_two_configurations_are_named() {
    let before = config(&["--listen", "[::1]:1"], &[("MCP_LOG_FORMAT", "json")]);
    let after = config(&["--listen", "[::1]:2"], &[("GITHUB_CLIENT_SECRET", "other")]);
    assert_eq!(before.differences(&after), ["GITHUB_CLIENT_SECRET", "MCP_LISTEN", "MCP_LOG_FORMAT"]);
    assert!(before.differences(&before).is_empty());
}

#[test]
fn a_program_name_is_a_valid_directory_name() {
    for bad in ["", ".", "..", ".hidden", "a/b", "a b", "\n", "ä"] {
        assert!(
            Program::new(bad, "1").unwrap_err().to_string().contains("is no name for a program"),
            "{bad:?}"
        );
    }
    assert_eq!(Program::new("hello_tool-2.0", "1").unwrap().name, "hello_tool-2.0");
}
