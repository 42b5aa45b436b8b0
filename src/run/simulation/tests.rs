//! The advice for a newcomer.

use super::*;

/// Each command can be pasted unchanged: the URL is complete, the program has its command-line name, the address is the same.
#[test]
fn commands_in_the_banner_can_be_pasted() {
    let steps = |command: &str, url| {
        let command_line: Vec<String> = command.split(' ').map(str::to_owned).collect();
        next_steps(&command_line, &PublicUrl::parse(url).unwrap(), &[])
    };
    let usual = steps("target/debug/server demo", "http://127.0.0.1:3001");
    for line in [
        "claude mcp add --transport http demo http://127.0.0.1:3001/mcp && claude mcp login demo\n",
        "codex mcp add demo --url http://127.0.0.1:3001/mcp\n",
        "code --add-mcp '{\"name\":\"demo\",\"type\":\"http\",\"url\":\"http://127.0.0.1:3001/mcp\"}'\n",
        "links that install it: http://127.0.0.1:3001/\n",
        "(callback URL http://127.0.0.1:3001/auth/callback)",
        "    GITHUB_CLIENT_ID=... GITHUB_CLIENT_SECRET_FILE=github-secret MCP_ALLOW=user:YOUR-LOGIN target/debug/server\n",
    ] {
        assert!(usual.contains(line), "{line}: {usual}");
    }
    assert!(
        steps("server", "http://127.0.0.1:3002").contains(" MCP_LISTEN=127.0.0.1:3002 GITHUB_CLIENT_ID=")
    );
    assert!(
        steps("server", "http://localhost:3001").contains(" MCP_PUBLIC_URL=http://localhost:3001 GITHUB_")
    );
}

/// The command already contains the address of the command line.
#[test]
fn an_address_is_named_once() {
    let words = ["server", "demo", "--listen", "127.0.0.1:3951"].map(str::to_owned);
    let steps = next_steps(&words, &PublicUrl::parse("http://127.0.0.1:3951").unwrap(), &[]);
    assert!(!steps.contains("MCP_LISTEN") && steps.contains(" server --listen 127.0.0.1:3951\n"), "{steps}");
}

/// With several servers there is nothing at `/mcp`: each has its own line.
#[test]
fn each_of_several_servers_can_be_added() {
    let url = |name| format!("http://127.0.0.1:3001/{name}/mcp");
    let servers = ["files", "notes"].map(|name| (name.to_owned(), Arc::from(url(name))));
    let words = ["server", "demo", "--servers", "s.json"].map(str::to_owned);
    let steps = next_steps(&words, &PublicUrl::parse("http://127.0.0.1:3001").unwrap(), &servers);
    for name in ["files", "notes"] {
        let line =
            format!("claude mcp add --transport http {name} {} && claude mcp login {name}\n", url(name));
        assert!(steps.contains(&line), "{steps}");
    }
    assert!(
        !steps.contains(":3001/mcp") && steps.contains("Serving MCP at http://127.0.0.1:3001, with"),
        "{steps}"
    );
}

/// The command line of the program behind the demo, printed for use with the real GitHub, is quoted so that a shell reads it unchanged.
#[test]
fn the_program_behind_the_demo_is_in_the_command() {
    let check = |words: &[&str], expected: &str| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(without_demo(&words), expected);
    };
    check(&["server"], "server");
    check(&["server", "demo", "--", "npx", "-y", "@scope/name"], "server -- npx -y @scope/name");
    check(
        &["server", "demo", "--env", "WHO=${user.login}", "--", "demo"],
        "server --env 'WHO=${user.login}' -- demo",
    );
    check(&["a b", "demo", "--", "sh", "-c", "it's; ", ""], r"'a b' -- sh -c 'it'\''s; ' ''");
}
