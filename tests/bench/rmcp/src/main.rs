//! The fastest peer: rmcp on axum, in the configuration of the counter and auth examples of its repository, with one tool and one
//! token. Usage: `PEER_TOKEN=… rmcp-peer PORT (stateful|stateless) [nodelay]`.
//!
//! `stateful` is rmcp's default (sessions, answers as event streams), `stateless` answers JSON. `nodelay` sets TCP_NODELAY,
//! which the examples do not: without it a streamed answer waits 44 ms for a delayed acknowledgement.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use rmcp::handler::server::{router::tool::ToolRouter, wrapper::Parameters};
use rmcp::model::{CallToolResult, ContentBlock, ServerCapabilities, ServerConfig, SubscriptionFilter};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use rmcp::{ErrorData, ServerHandler, schemars, tool, tool_handler, tool_router};
use serde_json::json;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Name {
    /// Name to greet
    name: String,
}

#[derive(Clone)]
struct Greeter {
    tool_router: ToolRouter<Greeter>,
}

#[tool_router]
impl Greeter {
    fn new() -> Greeter {
        Greeter { tool_router: Self::tool_router() }
    }

    #[tool(description = "A simple greeting tool")]
    async fn greet(&self, Parameters(Name { name }): Parameters<Name>) -> Result<CallToolResult, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("Hello, {name}!"))]))
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Greeter {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }
}

async fn bearer(
    State(expected): State<Arc<str>>,
    request: Request<Body>,
    next: Next,
) -> Result<Response, StatusCode> {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match sent.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) if token == &*expected => Ok(next.run(request).await),
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("PORT?")?.parse()?;
    let config = match arguments.next().as_deref() {
        Some("stateful") => StreamableHttpServerConfig::default(),
        Some("stateless") => {
            StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true)
        }
        _ => return Err("stateful or stateless?".into()),
    };
    let is_nodelay = arguments.next().as_deref() == Some("nodelay");
    let token: Arc<str> = std::env::var("PEER_TOKEN")?.into();

    let service: StreamableHttpService<Greeter, LocalSessionManager> =
        StreamableHttpService::new(|| Ok(Greeter::new()), Arc::default(), config);
    let issuer = format!("http://127.0.0.1:{port}");
    let metadata = move || async move {
        Json(json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "registration_endpoint": format!("{issuer}/register"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["mcp"],
        }))
    };
    let protected =
        Router::new().nest_service("/mcp", service).layer(middleware::from_fn_with_state(token, bearer));
    let app = Router::new().route("/.well-known/oauth-authorization-server", get(metadata)).merge(protected);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    if is_nodelay {
        let listener = listener.tap_io(|stream| {
            // Without it the answers are delayed, not incorrect.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, app).await?;
    } else {
        axum::serve(listener, app).await?;
    }
    Ok(())
}
