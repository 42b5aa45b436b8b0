//! The syntax of a configuration file.

use super::*;

/// The values of `text`, or what is wrong with it.
fn read(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let given = parse(Path::new("/etc/mcp.conf"), text)
        .map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect::<String>())?;
    Ok(given.into_iter().map(|each| (each.option.env, each.value)).collect())
}

#[test]
fn a_file_has_a_name_and_a_value_a_line() {
    let text = "# who\n; what\n\nMCP_ALLOW=user:octocat,org:github\n  MCP_LISTEN = [::1]:1 \nMCP_STATE_DIR=\"/a b\"\n\
                GITHUB_URL='https://a.example/#x'\r\nMCP_CLIENTS=\n";
    let expected = [
        ("MCP_ALLOW", "user:octocat,org:github"),
        ("MCP_LISTEN", "[::1]:1"),
        ("MCP_STATE_DIR", "/a b"),
        ("GITHUB_URL", "https://a.example/#x"),
    ];
    assert_eq!(read(text).unwrap(), expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn an_invalid_line_is_refused_with_its_number() {
    for (text, expected) in [
        (
            "MCP_ALLOW=any\nMCP_ALOW=any",
            "/etc/mcp.conf:2: there is no option \"MCP_ALOW\"; --help lists the options",
        ),
        ("export MCP_ALLOW=any", "/etc/mcp.conf:1: there is no option \"export MCP_ALLOW\""),
        ("MCP_CONFIG=/other", "/etc/mcp.conf:1: there is no option \"MCP_CONFIG\""),
        ("mcp_allow=any", ":1: there is no option"),
        ("MCP_ALLOW any", ":1: write NAME=value"),
        ("\n\nMCP_ALLOW=any\nMCP_ALLOW=any", ":4: MCP_ALLOW is given twice"),
        ("MCP_ALLOW=\"any", ":1: MCP_ALLOW: quotes go around the whole value"),
        ("MCP_ALLOW=\"user:a\",\"user:b\"", ":1: MCP_ALLOW: quotes"),
        ("MCP_ALLOW=user:a,\\\nMCP_LISTEN=[::]:1", ":1: MCP_ALLOW: quotes"),
        ("MCP_ALOW=any\nMCP_ALLOW", "--help lists the options\n/etc/mcp.conf:2: write NAME=value\n"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}
