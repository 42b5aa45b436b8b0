//! The advice at the start of a demo.

use super::*;

/// Each command can be pasted unchanged: the URL is complete.
#[test]
fn commands_in_the_banner_can_be_pasted() {
    let steps = next_steps(&PublicUrl::parse("http://127.0.0.1:3002").unwrap(), &[]);
    for line in [
        "claude mcp add --transport http demo http://127.0.0.1:3002/mcp && claude mcp login demo\n",
        "codex mcp add demo --url http://127.0.0.1:3002/mcp\n",
        "code --add-mcp '{\"name\":\"demo\",\"type\":\"http\",\"url\":\"http://127.0.0.1:3002/mcp\"}'\n",
        "links that install it: http://127.0.0.1:3002/\n",
        "(callback URL http://127.0.0.1:3002/auth/callback)",
        "export GITHUB_CLIENT_ID=... GITHUB_CLIENT_SECRET_FILE=github-secret MCP_ALLOW=user:YOUR-LOGIN\n",
    ] {
        assert!(steps.contains(line), "{line}: {steps}");
    }
}

/// With several servers there is nothing at `/mcp`: each has its own line.
#[test]
fn each_of_several_servers_can_be_added() {
    let url = |name| format!("http://127.0.0.1:3001/{name}/mcp");
    let servers = ["files", "notes"].map(|name| (name.to_owned(), Arc::from(url(name))));
    let steps = next_steps(&PublicUrl::parse("http://127.0.0.1:3001").unwrap(), &servers);
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
