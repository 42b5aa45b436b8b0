//! rmcp's client, the official Rust SDK, with its own OAuth code, in both eras.
//! usage: rmcp-walk ORIGIN, with a browser in BROWSER that prints the URL of the callback

use std::{env, error::Error, process::Command};

use rmcp::{
    ClientServiceExt, RoleClient,
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientInitializeError, ClientLifecycleMode, RunningService},
    transport::{
        AuthClient, AuthorizationManager, StreamableHttpClientTransport,
        auth::{AuthorizationRequest, OAuthState},
        streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError},
    },
};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Connected = RunningService<RoleClient, ()>;

const REDIRECT_URI: &str = "http://localhost:9/callback";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let endpoint = format!("{}/mcp", env::args().nth(1).ok_or("usage: rmcp-walk ORIGIN")?);
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let legacy_version = Some(ProtocolVersion::V_2025_11_25);
    walk(&endpoint, "initialize", ClientLifecycleMode::Initialize).await?;
    walk(
        &endpoint,
        "discover",
        ClientLifecycleMode::Discover { preferred_versions: preferred_versions.clone() },
    )
    .await?;
    walk(&endpoint, "auto", ClientLifecycleMode::Auto { preferred_versions, legacy_version }).await
}

/// Is refused, logs in, lists and calls; then again with a refreshed token.
async fn walk(endpoint: &str, era: &str, lifecycle: ClientLifecycleMode) -> Outcome<()> {
    let challenge = challenge(endpoint, lifecycle.clone()).await?;
    println!("ok: {era}: the first call is answered 401 and a challenge");

    let manager = log_in(endpoint, challenge).await?;
    println!("ok: {era}: the client registers and logs in");

    let client = AuthClient::new(reqwest::Client::new(), manager);
    let config = StreamableHttpClientTransportConfig::with_uri(endpoint);
    let transport = StreamableHttpClientTransport::with_client(client.clone(), config);
    let connected = ().serve_with_lifecycle(transport, lifecycle).await?;
    let tools = connected.list_all_tools().await?;
    if !tools.iter().any(|tool| tool.name == "greet") {
        return Err(format!("no greet among {tools:?}").into());
    }
    println!("ok: {era}: it lists the tools");

    greet(&connected, "Ada").await?;
    println!("ok: {era}: greet greets");

    let before = client.get_access_token().await?;
    client.auth_manager.lock().await.refresh_token().await?;
    if client.get_access_token().await? == before {
        return Err("a refresh gave the same token".into());
    }
    greet(&connected, "Grace").await?;
    println!("ok: {era}: greet greets with a refreshed token");
    connected.cancel().await?;
    Ok(())
}

/// The answer to a client without a token.
async fn challenge(endpoint: &str, lifecycle: ClientLifecycleMode) -> Outcome<String> {
    let transport = StreamableHttpClientTransport::from_uri(endpoint);
    let Err(error) = ().serve_with_lifecycle(transport, lifecycle).await else {
        return Err("a client without a token was let in".into());
    };
    let ClientInitializeError::TransportError { error, .. } = &error else {
        return Err(error.into());
    };
    error
        .error
        .downcast_ref::<StreamableHttpError<reqwest::Error>>()
        .and_then(StreamableHttpError::auth_challenge)
        .map(str::to_owned)
        .ok_or_else(|| format!("no challenge in {error:?}").into())
}

async fn log_in(endpoint: &str, challenge: String) -> Outcome<AuthorizationManager> {
    let mut state = OAuthState::new(endpoint, None).await?;
    let request = AuthorizationRequest::new(REDIRECT_URI).with_client_name("rmcp").with_challenge(challenge);
    state.start_authorization(request).await?;
    let link = state.get_authorization_url().await?;
    let browser = Command::new(env::var("BROWSER")?).arg(link).output()?;
    if !browser.status.success() {
        return Err(
            format!("the browser did not get back: {}", String::from_utf8_lossy(&browser.stderr)).into()
        );
    }
    state.handle_callback_url(String::from_utf8(browser.stdout)?.trim()).await?;
    state.into_authorization_manager().ok_or_else(|| "the login is not over".into())
}

async fn greet(connected: &Connected, name: &str) -> Outcome<()> {
    let arguments = json!({ "name": name }).as_object().cloned().unwrap_or_default();
    let result = connected.call_tool(CallToolRequestParams::new("greet").with_arguments(arguments)).await?;
    let text = result.content.first().and_then(|content| content.as_text()).map(|text| text.text.as_str());
    if text != Some(&format!("Hello, {name}!")) {
        return Err(format!("greet said {result:?}").into());
    }
    Ok(())
}
