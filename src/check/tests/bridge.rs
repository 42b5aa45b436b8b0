//! Reports on servers behind this one.

use super::*;

/// P1: the program, its user, and the consequences.
#[test]
fn a_program_is_looked_for_and_reported() {
    let text = of(&["--max-children", "3", "--child-user", "nobody", "--", "sh", "-c", "hush-hush"]);
    for word in [
        "/sh, run as user 65534, one for each person and client program",
        "3 at most, 8 of one person",
        "/nonexistent/state.children",
    ] {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    assert!(!text.contains("hush-hush"), "arguments may be secrets");
    assert!(!text.contains("can read the grants"));
    let as_the_server = match sys::effective_user() == 0 {
        true => "this server runs as root, and so would the program",
        false => "can read the grants",
    };
    assert!(of(&["--", "sh"]).contains(as_the_server));
    assert!(!of(&[]).contains("home directories"));
}

/// A parent of home directories that cannot be made would fail each start of a program; an upstream needs none.
#[test]
fn home_directories_that_cannot_be_made_are_a_fault() {
    let file = std::env::temp_dir().join(format!("mcp-check-homes-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let homes = file.join("homes");
    let options = ["--child-user", "nobody", "--children-dir", homes.to_str().unwrap()];
    let words = format!("this user can make nothing in {}: ", file.display());
    let advice = "choose another directory with --children-dir or MCP_CHILDREN_DIR";
    let text = of(&[&options[..], &["--", "sh"]].concat());
    assert!(text.contains(&words) && text.contains(advice), "{text}");
    let text = of(&[&options[..], &["--upstream", "http://127.0.0.1:1/mcp"]].concat());
    assert!(!text.contains(&words), "{text}");
    std::fs::remove_file(&file).unwrap();
}

/// All servers of a file, and all mistakes in it; nothing is started.
#[test]
fn every_server_of_a_file_is_reported() {
    let file = std::env::temp_dir().join(format!("mcp-check-servers-{}", std::process::id()));
    let report = |text: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let path = file.to_str().unwrap();
        of(&["--child-user", "nobody", "--servers", path]).replace(path, "FILE")
    };
    let text = report(
        r#"{"mcpServers":{"files":{"command":"sh","title":"Our files","isolation":"shared","home":"shared","env":{"A_KEY":"hush-hush"}},
            "far":{"url":"http://192.0.2.1/mcp"},"gh":{"command":"sh","env":{"T":"${github.token}"}}}}"#,
    );
    for words in [
        "Our files at /files/mcp, the program ",
        "far at /far/mcp, the MCP server at http://192.0.2.1/mcp, one for each person and client program",
        "one for everybody together",
        "every user of this machine can read FILE",
        "what files leaves in its home directory",
        "gh gets people's tokens at GitHub",
        "travel in the clear",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    assert!(!text.contains("would not start") && !text.contains("hush-hush"), "{text}");
    let text = report(r#"{"mcpServers":{"A":{"command":"sh"},"b":{"command":"sh","cwd":"x","colour":1}}}"#);
    for words in
        ["(FILE): server \"A\": its name", "(FILE): server \"b\": cwd: write", "\"b\": colour: the members"]
    {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    std::fs::remove_file(&file).unwrap();
}

/// A server that fails its trial does not prevent a start.
#[test]
fn a_failed_trial_is_no_failed_start() {
    let test = TestDirectory::new();
    let state = test.path().join("state");
    let upstream = ["--state-dir", state.to_str().unwrap(), "--upstream", "http://127.0.0.1:1/mcp"];
    assert!(report_of(&upstream).is_good());
    let report = report_of(&[&["--start"], &upstream[..]].concat());
    let text = report.to_string();
    assert!(text.contains("\nit would start, but 127.0.0.1:1 cannot be used: "), "{text}");
    assert!(!report.is_good() && !text.contains("would not start"), "{text}");
}
