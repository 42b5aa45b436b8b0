//! `mcp-oauth-server`: the demo's tools behind "Sign in with GitHub".

fn main() -> std::process::ExitCode {
    mcp_oauth_server::main()
}
