//! The examples of docs/deploy, as far as they configure the server.

use super::*;

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{}/docs/deploy/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The examples set options that exist, and all that there are.
#[test]
fn the_examples_of_deploying_name_options_that_exist() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deploy");
    let mut named = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("MCP_") || word.starts_with("GITHUB_")) {
            assert!(OPTIONS.iter().any(|option| option.env == word), "{word} is no option");
            named += 1;
        }
    }
    assert!(named > 20);
}

/// Options that a reload rereads are in the file that the unit names; a machine without a clock gets one before the start, and
/// whatever keeps the server from starting does so for five seconds.
#[test]
fn the_unit_reloads_its_rules_and_starts_again_for_ever() {
    let unit = example("mcp-oauth-server.service");
    let (head, service) = unit.split_once("\n[Service]\n").unwrap();
    for line in
        ["Wants=network-online.target time-sync.target", "After=network-online.target time-sync.target"]
    {
        assert!(head.lines().any(|found| found == line), "{line}");
    }
    assert!(head.contains("\nStartLimitIntervalSec=0\n") && service.contains("\nRestartSec=5\n"));
    let set: Vec<&str> = service.lines().filter_map(|line| line.strip_prefix("Environment=")).collect();
    assert!(
        set.contains(&"MCP_CONFIG=/etc/mcp-oauth-server/config") && !service.contains("EnvironmentFile=")
    );
    assert!(!set.iter().any(|set| set.starts_with("MCP_ALLOW=") || set.starts_with("MCP_DENY_CLIENTS=")));
}

#[test]
fn the_image_has_a_health_check() {
    let image = example("Dockerfile");
    let check = image.lines().find(|line| line.starts_with("HEALTHCHECK ")).unwrap();
    let command: Vec<String> = serde_json::from_str(check.split_once(" CMD ").unwrap().1).unwrap();
    let words: Vec<&str> = command.iter().skip(1).map(String::as_str).collect();
    let Ok(Invocation::Health { socket, url }) = parse(&words, &[("MCP_STATE_DIR", "/state")]) else {
        panic!("{words:?}")
    };
    assert_eq!((socket, url), ("/state/operator.sock".into(), None));
}

/// The configuration in the manifest is one, its paths are mounted, and its probes are the server's.
#[test]
fn the_manifest_configures_a_server() {
    let text = example("kubernetes.md");
    let manifest = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let lines = manifest.lines().skip_while(|line| *line != "  mcp.conf: |").skip(1);
    let lines = lines.take_while(|line| line.starts_with("    ")).map(|line| format!("{}\n", line.trim()));
    let path = std::env::temp_dir().join(format!("mcp-oauth-server-manifest-{}", std::process::id()));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let parsed = parse(&[], &[("MCP_CONFIG", path.to_str().unwrap())]);
    std::fs::remove_file(&path).unwrap();
    let Ok(Invocation::Serve(config)) = parsed else { panic!("{parsed:?}") };
    assert!(manifest.contains("name: MCP_CONFIG\n              value: /config/mcp.conf"));
    let files = config.state_files();
    for (file, mount) in [
        (&files.directory, "/state"),
        (&files.socket, "/run/mcp"),
        (&PathBuf::from("/secrets/github-secret"), "/secrets"),
    ] {
        assert!(file.starts_with(mount) && manifest.contains(&format!("mountPath: {mount}\n")), "{mount}");
    }
    assert!(matches!(&config.github.client_secret, ClientSecret::File(path) if path.starts_with("/secrets")));
    assert_eq!(config.listen, [tcp("[::]:3001")]);
    for line in [
        "replicas: 1",
        "type: Recreate",
        "path: /healthz",
        "path: /readyz",
        "containerPort: 3001",
        "defaultMode: 0440",
    ] {
        assert!(manifest.contains(&format!("{line}\n")), "{line}");
    }
}
